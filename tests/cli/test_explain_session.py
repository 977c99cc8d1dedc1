"""`tarry explain ID`: how a session is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.recording import BEGAN, DENIED, EARLY, GOOD, ID, LISTED, session

from tarry.cli import explain_session, layout
from tarry.cli.explain_session import lines, remedies, report
from tarry.cli.session_account import Account, account_of
from tarry.config.load import load
from tarry.record import schema

NOW = BEGAN + 60
WHEN = "  2026-11-21 15:59:00 UTC (1 min ago): "


def account(happened: object, text: str = "", **how: bool) -> Account:
    loaded = load(Path("tarry.toml") if text else None, text=text or None)
    return account_of(session(happened, **how), loaded, None)  # type: ignore[arg-type]


def told(happened: object, text: str = "", **how: bool) -> list[str]:
    return list(lines(account(happened, text, **how), NOW))


def test_an_early_talker() -> None:
    """The whole of it."""
    events = [(EARLY[0][0], schema.Connect("192.0.2.7", 40000, "198.51.100.25:25", 4.2)), *EARLY[1:]]
    found = told(events)
    advice = found.pop(next(index for index, line in enumerate(found) if line.startswith("      if it is honest: ")))
    assert "TLS-on-connect clients" in advice
    assert [
        f"{ID}  192.0.2.7:40000",
        "  2026-11-21 15:59:00 UTC (1 min ago): refused (reject) for pregreet.spoke; tarry ended it after 0.3 s",
        "",
        "What happened",
        "      0.00 s  connected, held for 4.2 s",
        '      0.30 s  spoke after 0.30 s: "EHLO x\\r\\n" -> refused 554 (pregreet.spoke)',
        "",
        "Why",
        "  pregreet.spoke: bytes came before the greeting",
        "      found before the greeting, after 0.3 s: EHLO x\\r\\n",
        '      led to reject, by checks.pregreet.action = "reject" (default): refused at connect',
        "      karma -3: it spoke before the greeting, as no honest sender does",
        "",
        "How long",
        '  to be held 4.2 s before the greeting: hold.wait = "3s..6s" (default)',
        "  not greeted: it was refused after 0.3 s, sooner than that since it was decided: hold.end_early = true (default)",
        "",
        "Karma",
        "  the session brought -3: pregreet -3 (it spoke before the greeting, as no honest sender does); by karma.rules (default)",
        "",
        "What to do",
        "  the client may come again at any time: each session is judged anew, by what it does and by its karma",
        "  `tarry clients allow 192.0.2.7 --for 30d` lets it in unheld and unchecked; `tarry clients forget 192.0.2.7` makes a "
        "stranger of it",
        "  what its reasons lead to is changed in the configuration, and `tarry explain pregreet.spoke` has the lines",
    ] == found


def test_a_good_sender() -> None:
    """Nothing is to be done about it."""
    found = told(GOOD)
    assert f"{WHEN}let in after it was held for 4.2 s, 1 message delivered; the client ended it after 4.8 s" == found[1]
    assert "Why" not in found
    assert "  nothing was found against it" == found[-1]


def test_a_delayed_client() -> None:
    """The sum of its holds, and who lists it."""
    found = told(LISTED)
    assert f"{WHEN}let in after it was held for 180.0 s, 0 messages delivered; the client ended it after 180.4 s" == found[1]
    assert "  dnslists.listed (bl.example): " in [line[:32] for line in found]
    assert "  180.4 s in all, 150.0 s of them held after the greeting" in found


def test_what_the_configuration_says_is_told_where_it_decided() -> None:
    """For a client that was turned away, or is exempt; not for one that was refused for what it did."""
    static = ["192.0.2.0/24 is in deny.networks (tarry.toml:2): it is refused as soon as it connects"]
    denied = list(lines(account(DENIED), NOW, static=static))
    assert f"  {static[0]}" in denied
    assert f"{WHEN}turned away: 554 5.7.1 Not accepted from this address [6B01B58C-0001]; tarry ended it after 0.0 s" == denied[1]
    assert "  `tarry explain 192.0.2.9` tells what would become of it now, and what is remembered of it" == denied[-1]
    assert static[0] not in "\n".join(lines(account(EARLY), NOW, static=static))
    assert "nothing in this configuration is about it" in "\n".join(told(DENIED))
    away = [DENIED[0], (0.0, schema.Reply(421, "4.7.0 Too many connections, try again later", "connect"))]
    assert "a 421 tells it to come again" in "\n".join(told(away))


def test_history_stands_with_karma() -> None:
    """What is remembered by now."""
    found = list(lines(account(GOOD), NOW, ["  by now it has +1.0"]))
    assert "  by now it has +1.0" == found[found.index("Karma") + 2]


def test_a_session_under_way() -> None:
    """Is told in the present."""
    found = told(GOOD[:3], ends=False)
    assert f"{WHEN}so far: let in after it was held for 4.2 s, 0 messages delivered" == found[1]
    assert "the session would bring, if it ended now, none: no rule of karma.rules (default)" in "\n".join(found)


@pytest.mark.parametrize(
    ("close", "told"),
    [
        (schema.Close("192.0.2.7", 1, hangup=2.0), "it hung up before the greeting"),
        (schema.Close("192.0.2.7", 1), "not greeted"),
        (schema.Close("192.0.2.7", 1, greeted=True, messages=2), "let in, 2 messages delivered"),
        (schema.Close("192.0.2.7", 1, action="drop"), "refused (drop)"),
        (schema.Close("192.0.2.7", 1, greeted=True, action="drop", observed=True), "let in, 0 messages delivered"),
    ],
)
def test_what_it_came_to(close: schema.Close, told: str) -> None:
    """In a few words."""
    assert told == explain_session._came_to(close)


def test_actions_of_then_and_now() -> None:
    """What a reason led to, where that is not what it would lead to now; what speaks for a client; what nobody knows any more."""
    events = [
        EARLY[0],
        (1.0, schema.Reason("pregreet", "spoke", "hold", "", 0.0, "defer")),
        (1.0, schema.Reason("karma", "good", "hold", "", -1.0, "delay")),
        (1.0, schema.Reason("own", "x", "helo", "", 1.0, "tag")),
    ]
    found = told(events)
    assert '      led to defer then; now it would be reject: checks.pregreet.action = "reject" (default)' in found
    assert "      speaks for it: weight -1" in found
    assert "      led to tag then" in found


def test_only_closing_lines() -> None:
    """There is little to tell."""
    found = told(EARLY, all_records=False)
    assert '      led to reject, by checks.pregreet.action = "reject" (default): refused at connect' in found
    assert 1 == sum(line.startswith("      0.30 s") for line in found)


def test_what_a_client_says_stays_printable() -> None:
    """In every part of it."""
    evil = "\x1b[2J"
    events = [EARLY[0], (1.0, schema.Reason("own", evil, evil, evil, 1.0, evil, evil)), (2.0, schema.Reply(554, evil, "connect"))]
    assert "\x1b" not in "".join(told(events))


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wider than it; colours where they are wanted."""
    monkeypatch.setattr(layout, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    long = [*EARLY[:1], (0.3, schema.Readable("hold", 100, "x" * 90)), *EARLY[2:]]
    assert 60 >= max(map(len, "\n".join(told(long)).splitlines()))
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    assert any(line.startswith("\x1b[31m") for line in told(long))


def test_the_report_is_whole() -> None:
    """Everything that is told, for programs."""
    found = json.loads(json.dumps(report(account(LISTED))))
    assert (ID, "203.0.113.7", 40002, "2026-11-21T15:59:00Z", True, "client") == tuple(
        found[name] for name in ("id", "client", "port", "began", "is_over", "ended")
    )
    assert {"after": 30.0, "text": "greeted after 30.00 s", "tone": "plain"} in found["story"]
    (reason,) = found["reasons"]
    assert ("dnslists.listed", "bl.example", "delay", 3.0) == tuple(
        reason[name] for name in ("reason", "subject", "action", "weight")
    )
    assert (150.0, 180.4) == (found["delayed"], found["close"]["total"])
    assert list(remedies(account(LISTED))) == found["remedies"]
    assert [None, None] == [report(account(GOOD[:3], ends=False))[name] for name in ("ended", "close")]
    assert "554 5.7.1 Not accepted from this address [6B01B58C-0001]" == report(account(DENIED))["turned_away"]
