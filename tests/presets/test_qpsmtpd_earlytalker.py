"""Each option of qpsmtpd's plugin: the table of docs/presets/qpsmtpd-earlytalker.md, row by row."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tarry.config.compile import door_rules, policy
from tarry.config.imports import earlytalker
from tarry.config.imports.found import Found, Source
from tarry.config.load import load, preset_text
from tarry.config.spelling import spell
from tarry.core.admission import Admitted, Door
from tarry.core.policy import Policy
from tarry.record import schema
from tests.preset_pages import FOLDER
from tests.presets import hold, policy_of, talks_at
from tests.talk import DATA, ENVELOPE, HELLO, MAIL, Talk

PAGE = (FOLDER / "qpsmtpd-earlytalker.md").read_text(encoding="utf-8")
WORDS = "Connecting host started transmitting before SMTP greeting"


class Row(NamedTuple):
    """What is written for the plugin and for tarry, and what a client gets at each place: a code, or also "closed", or nothing."""

    plugin: str
    toml: str
    connect: str
    mail: str
    data: str


def rows() -> list[Row]:
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| `")]
    found = []
    for plugin, ours, *outcomes in (cells for cells in table if len(cells) == 5):
        keys = re.findall(r"`([^`]+ = [^`]+)`", ours)
        assert keys or ours == "nothing"
        found.append(Row(plugin.strip("`"), "\n".join(keys), *outcomes))
    return found


ROWS = rows()
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.plugin)


def early(rules: Policy) -> tuple[str, Talk | None]:
    """Talk early; return the code that this gets, or the conversation."""
    outcome = hold(rules, talks_at(0.0))
    assert outcome.reply in ("", f"{outcome.reply[:3]} {WORDS}")
    return outcome.reply[:3], None if outcome.reply else Talk(rules, reasons=outcome.reasons)


def test_the_table_has_every_setting() -> None:
    """Each option, each type of refusal, and the old form with each of its actions."""
    written = " ".join(row.plugin for row in ROWS)
    options = ("wait", "reject 0", "reject_type temp", "reject_type perm", "reject_type disconnect", "temp_disconnect")
    assert [] == [word for word in (*options, "defer-reject 1", "check-at CONNECT", "check-at DATA") if word not in written]
    assert [] == [word for word in ("deny", "denysoft", "log") if f"action {word}" not in written]


@each
def test_at_connect(row: Row) -> None:
    """Early talk is refused there, or greeted."""
    assert row.connect == early(policy_of("qpsmtpd-earlytalker", row.toml))[0]


@each
def test_at_mail(row: Row) -> None:
    """A client that talked early and was greeted all the same has its MAIL refused where that was deferred."""
    _, talk = early(policy_of("qpsmtpd-earlytalker", row.toml))
    if talk is None:
        assert "" == row.mail
        return
    talk.plays(HELLO)
    if not row.mail:
        talk.plays(MAIL)
        return
    ending = "\n* close" if "closed" in row.mail else ""
    talk.plays(f"C: MAIL FROM:<a@b.example>\nS: {row.mail[:3]} {WORDS}{ending}")
    if not ending:
        talk.plays(f"C: RCPT TO:<c@d.example>\nS: {row.mail[:3]} {WORDS}\nC: MAIL FROM:<>\nS: {row.mail[:3]} {WORDS}")


@each
def test_at_data(row: Row) -> None:
    """A client that waited for the greeting and not for the 354 is refused where that was looked for, after the wait."""
    rules = policy_of("qpsmtpd-earlytalker", row.toml)
    assert "" == hold(rules).reply
    talk = Talk(rules).plays(ENVELOPE)
    wait = rules.data_wait.low
    assert (1.0 if row.data else 0.0) == wait
    if row.data:
        talk.plays(f"C: DATA\n--\n! 0.4s\nC: Subject: x\n--\n! 0.5s\n--\n! 0.1s\nS: {row.data} {WORDS}\n* abort the MTA\n* close")
        assert ["predata.spoke"] == [f"{reason.check}.{reason.code}" for reason in talk.of(schema.Reason)]
    else:
        talk.plays(DATA)


@each
def test_a_row_is_without_mistakes(row: Row) -> None:
    """What stands on the page can be pasted, and the wait is the plugin's."""
    loaded = load(None, text=f'preset = "qpsmtpd-earlytalker"\n{row.toml}')
    assert () == loaded.problems
    wait = re.search(r"wait (\d)", row.plugin)
    expected = 0.0 if "check-at DATA" in row.plugin and "CONNECT" not in row.plugin else float(wait[1]) if wait else 1.0
    assert expected == loaded.config.hold.wait.low == loaded.config.hold.wait.high


@each
def test_an_import_of_the_line_comes_to_the_same(row: Row) -> None:
    """`tarry import qpsmtpd` reads the plugin's words by rules of its own; what a client gets is what the table says."""
    found = Found("qpsmtpd")
    earlytalker.apply(found, row.plugin.removeprefix("earlytalker").split(), Source("plugins", 1, "earlytalker"), "")
    toml = "\n".join(f"{one.key} = {spell(one.value)}" for one in found.settings.values())
    imported = policy(load(None, text=toml).checked())
    ours = policy_of("qpsmtpd-earlytalker", row.toml)
    assert (ours.wait, ours.data_wait) == (imported.wait, imported.data_wait)
    code, talk = early(imported)
    assert row.connect == code
    if row.mail and talk is not None:
        talk.plays(HELLO, f"C: MAIL FROM:<a@b.example>\nS: {row.mail[:3]} {WORDS}" + ("\n* close" if "closed" in row.mail else ""))
    assert ours.armed["predata"].settings.action is imported.armed["predata"].settings.action


SETTINGS = """wait 1, reject 0, reject 1, reject naughty, reject_type temp, reject_type perm, reject_type disconnect,
defer-reject 0, defer-reject 1, check-at CONNECT, check-at DATA, loglevel, action deny, action denysoft, action log"""


@pytest.mark.parametrize("word", [word.strip() for word in SETTINGS.split(",")])
def test_the_file_explains_each_setting(word: str) -> None:
    """It has a line that says which key does it."""
    assert f"#   {word}" in preset_text("qpsmtpd-earlytalker")


@pytest.mark.parametrize("exempt", ['exempt.networks = ["192.0.2.0/24"]', r"exempt.patterns = ['^192\.0\.2\.']"])
def test_who_is_immune_is_not_held(exempt: str) -> None:
    """A relay client or whitelisted host of the plugin's is one of [exempt] here; who logs in is skipped from then on."""
    config = load(None, text=f'preset = "qpsmtpd-earlytalker"\n{exempt}').config
    assert Admitted.EXEMPT is Door(door_rules(config)).admit(bytes([192, 0, 2, 7]), "192.0.2.7", 0.0)
    rules = policy_of("qpsmtpd-earlytalker", 'checks.pregreet.at = "mail"')
    talk = Talk(rules, reasons=hold(rules, talks_at(0.0)).reasons, is_exempt=True).plays(HELLO + MAIL)
    assert [] == talk.of(schema.Verdict)
