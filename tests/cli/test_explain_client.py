"""`tarry explain ADDRESS`: what is known of a client, and what would become of it."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.cli.recording import DENIED, EARLY, GOOD, LISTED, session
from tests.cli.remembering import DAY, NOW

from tarry.cli.client_history import Past
from tarry.cli.explain_client import Account, account_of, lines, report
from tarry.cli.opened import Memory
from tarry.cli.recorded import Session
from tarry.cli.who import who
from tarry.config.load import Loaded, load
from tarry.core.history import Entry, Pass
from tarry.record import schema
from tarry.store import Mark


def configured(text: str, folder: Path) -> Loaded:
    (folder / "partners.txt").write_text("192.0.2.0/25 until=2026-12-31\n192.0.2.8 until=2025-12-31\n")
    (folder / "tarry.toml").write_text(text)
    loaded = load(folder / "tarry.toml")
    assert () == loaded.errors
    return loaded


def past(name: str, entry: Entry | None = None, domain: Entry | None = None, *marks: Mark) -> Past:
    return Past(who(name), entry, domain, marks)


def account(name: str, loaded: Loaded, known: Past | None = None, *sessions: Session, away: str = "") -> Account:
    memory = Memory(loaded.config, "none", NOW)
    return account_of(who(name), ip_address(name), loaded, memory, known, away, sessions, (), None)


def forecast(known: Past, text: str = "", **given: object) -> str:
    return account(known.who.what, load(None, text=text), known).forecast


def entry(karma: float, *passes: Pass) -> Entry:
    return Entry("192.0.2.7", karma, NOW, NOW, 5, 3, 0, passes=passes)


def test_what_the_configuration_says_of_it(tmp_path: Path) -> None:
    """Each list, file, pattern and class that it is in, with the place; nothing of a line that has ended, or of others."""
    loaded = configured(
        "[exempt]\nnetworks = ['192.0.2.0/24']\nfiles = ['partners.txt']\npatterns = ['^192']\n[deny]\nnetworks = ['192.0.2.7']\n"
        "[listen]\nproxy_from = ['192.0.2.7']\n[[hold.class]]\nname = 'ours'\nnetworks = ['192.0.0.0/16']\nwait = '0s'\n"
        "[[hold.class]]\nname = 'rest'\nwho = ['listed']\nwait = '9s'\n",
        tmp_path,
    )
    file = tmp_path / "tarry.toml"
    assert [
        f"192.0.2.0/24 is in exempt.networks ({file}:2): it is neither held nor checked",
        f"192.0.2.7/32 is in deny.networks ({file}:6): it is refused as soon as it connects",
        f"192.0.2.0/25 is in partners.txt, until 2026-12-31 00:00 UTC, a file of exempt.files ({file}:3): it is neither held nor "
        "checked",
        f"^192 is in exempt.patterns ({file}:4): it is neither held nor checked",
        f"192.0.2.7/32 is in listen.proxy_from ({file}:8): it must begin with a PROXY header",
        f'it is of the hold class ours: hold.class "ours" wait = "0s" ({file}:9)',
    ] == list(account("192.0.2.7", loaded).static)
    assert () == account("203.0.113.7", loaded).static


@pytest.mark.parametrize(
    ("known", "text", "told"),
    [
        (past("192.0.2.7"), "", "Greeted after "),
        (past("192.0.2.7", entry(9.0)), "", "Greeted at once for karma.good, then handed to the MTA."),
        (
            past("192.0.2.7", entry(-9.0)),
            '[delay]\ntarget = "100s"\n[checks.karma]\naction = "delay"\n',
            ", delayed to 100 s at RCPT for karma.bad, then handed to",
        ),
        (past("192.0.2.7", entry(0.0), entry(9.0)), "", "Greeted at once for karma.good"),
        (past("192.0.2.7", None, None, Mark("192.0.2.0/24", "deny")), "", "Refused with 554 at once: it is on the deny list."),
        (
            past("192.0.2.7", None, None, Mark("192.0.2.7", "allow")),
            '[deny]\nnetworks = ["192.0.2.0/24"]\n',
            "Exempt, greeted at once",
        ),
        (past("192.0.2.7"), '[deny]\nnetworks = ["192.0.2.0/24"]\n', "Refused with 554 at once: it is on the deny list."),
    ],
)
def test_what_would_become_of_it(known: Past, text: str, told: str) -> None:
    """By what is remembered of it, and said of it by hand; the narrowest mark counts, and before the configuration."""
    assert told in forecast(known, text)


def test_files_count_as_marks_do(tmp_path: Path) -> None:
    """As long as their lines hold; a mark on a narrower network counts before them."""
    loaded = configured("[deny]\nfiles = ['partners.txt']\n", tmp_path)
    assert [False, True, True] == [
        account(name, loaded, past(name, None, None, *marks)).is_through
        for name, marks in (("192.0.2.8", ()), ("192.0.2.200", ()), ("192.0.2.8", (Mark("192.0.2.8", "allow"),)))
    ]


def test_a_store_that_is_away(tmp_path: Path) -> None:
    """Is told, and all the rest."""
    loaded = load(None)
    found = account("192.0.2.7", loaded, None, session(EARLY), away="the memory of clients (x) is away: refused")
    told = list(lines(found, Memory(loaded.config, "none", NOW)))
    assert "  the memory of clients (x) is away: refused" in told
    assert found.forecast.startswith("Greeted after ")
    assert found.is_known


def test_it_is_told_in_parts() -> None:
    """What would become of it, what is remembered, and its last sessions, each in a line."""
    loaded = load(None)
    found = account("192.0.2.7", loaded, past("192.0.2.7", entry(1.0, Pass("pregreet", NOW + DAY))), session(EARLY), session(GOOD))
    told = list(lines(found, Memory(loaded.config, "none", NOW)))
    assert ["192.0.2.7", "If it came now", "In the memory", "In the event log"] == [
        line for line in told if line and not line.startswith(" ")
    ]
    assert "  6B01B58C-0001  2026-11-21 15:59 UTC (1 min ago)  reject for pregreet.spoke" in told
    assert "  6B01B58C-0001  2026-11-21 15:59 UTC (1 min ago)  held 4.2 s, 1 message" in told
    assert "  `tarry explain 6B01B58C-0001` tells the last of them, with all its reasons" == told[-1]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (session(LISTED), "held 180.0 s, 0 messages, delay for dnslists.listed"),
        (session(DENIED), "turned away"),
        (session(GOOD[:3], ends=False), "is under way"),
        (session(GOOD[:3], ends=False, is_lost=True), "its end is not recorded: tarry was started anew since"),
        (session([EARLY[0], (2.0, schema.Hangup("hold", "fin"))]), "hung up after 2.0 s"),
        (
            session([*EARLY[:3], (0.3, schema.Verdict("hold", "reject", ("pregreet.spoke",), True)), (4.2, schema.Greet(4.2))]),
            "held 4.2 s, 0 messages, reject for pregreet.spoke, only observed",
        ),
    ],
)
def test_sessions_in_brief(found: Session, told: str) -> None:
    """What became of the client, and why."""
    loaded = load(None)
    made = account("192.0.2.7", loaded, past("192.0.2.7"), found)
    assert told == report(made, Memory(loaded.config, "none", NOW))["sessions"][0]["brief"]  # type: ignore[index]


def test_who_is_known() -> None:
    """Whoever there is anything of."""
    loaded = load(None)
    assert [False, True, True, True] == [
        one.is_known
        for one in (
            account("192.0.2.7", loaded, past("192.0.2.7")),
            account("192.0.2.7", loaded, past("192.0.2.7", entry(0.0))),
            account("192.0.2.7", loaded, past("192.0.2.7"), session(GOOD)),
            account("192.0.2.7", load(None, text="[exempt]\nnetworks = ['192.0.2.7']\n"), past("192.0.2.7")),
        )
    ]


def test_an_ipv6_client_is_its_subnet() -> None:
    """And that is said."""
    loaded = load(None)
    told = list(lines(account("2001:db8::7", loaded, past("2001:db8::7")), Memory(loaded.config, "none", NOW)))
    assert ["2001:db8::7", "  (an IPv6 client is known by its /64: 2001:db8::/64)"] == told[:2]


def test_the_report_is_whole() -> None:
    """Everything that is told, for programs."""
    loaded = load(None)
    made = account("192.0.2.7", loaded, past("192.0.2.7", entry(9.0)), session(EARLY))
    found = json.loads(json.dumps(report(made, Memory(loaded.config, "none", NOW))))
    assert ("192.0.2.7", "192.0.2.7", True, None) == (
        found["client"],
        found["key"],
        found["forecast"]["through"],
        found["memory_away"],
    )
    assert ("good", ["pregreet.spoke"]) == (found["memory"]["history"]["standing"], found["sessions"][0]["reasons"])
