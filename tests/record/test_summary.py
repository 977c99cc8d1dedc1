"""What a session's records add up to, event by event."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.record.schema import (
    Answer,
    Close,
    Command,
    Connect,
    Greet,
    Handoff,
    Hangup,
    Hold,
    Outcome,
    Readable,
    Reason,
    Record,
    Reply,
    SessionEvent,
    Stamp,
    Start,
    Verdict,
)
from tarry.record.summary import Summary, fold
from tests.strategies import session_events

CONNECT = Connect("192.0.2.7", 40000, "198.51.100.1:25", 4.5)


@dataclass(frozen=True)
class At:
    """An event and when it happened."""

    dt: float
    event: SessionEvent


def total(*happened: At) -> Close:
    return fold([Record(Stamp(1, 1700000000.0 + at.dt, at.dt, "x", n), at.event) for n, at in enumerate(happened, 1)])


def close(**fields: object) -> Close:
    """Return the closing line of a client that connected and was held, but for *fields*."""
    usual = {"client": "192.0.2.7", "port": 40000, "server": "198.51.100.1:25", "phase": "hold"}
    return Close(**(usual | fields))  # type: ignore[arg-type]


SESSIONS: list[tuple[str, list[At], Close]] = [
    ("nothing happened", [], Close()),
    ("a client in the room", [At(0.0, CONNECT)], close()),
    ("an exempt client", [At(0.0, Connect("192.0.2.7", 40000, "198.51.100.1:25", exempt="network"))], close(phase="connect")),
    (
        "one that hung up in silence",
        [At(0.0, CONNECT), At(3.25, Hangup("hold", "fin"))],
        close(ended="client", held=3.25, total=3.25, hangup=3.25),
    ),
    (
        "one that half-closed and was greeted",
        [At(0.0, CONNECT), At(1.0, Hangup("hold", "fin")), At(4.5, Greet(4.5))],
        close(ended="client", held=4.5, total=4.5, hangup=1.0, greeted=True, phase="greeted"),
    ),
    (
        "the first hang-up counts",
        [At(0.0, CONNECT), At(1.0, Hangup("hold", "fin")), At(2.0, Hangup("hold", "reset"))],
        close(ended="client", held=1.0, total=2.0, hangup=1.0),
    ),
    (
        "an early talker",
        [
            At(0.0, CONNECT),
            At(0.25, Readable("hold", 8, "EHLO x")),
            At(0.25, Reason("pregreet", "spoke", "hold", action="reject")),
            At(0.25, Verdict("hold", "reject", ("pregreet.spoke",))),
            At(0.25, Reply(554, "no", "connect")),
        ],
        close(held=0.25, total=0.25, early=0.25, action="reject", reasons=("pregreet.spoke",)),
    ),
    (
        "the first early bytes count, and only those of the hold",
        [
            At(0.0, CONNECT),
            At(1.0, Readable("data", 8, "x")),
            At(2.0, Readable("hold", 8, "x")),
            At(3.0, Readable("hold", 8, "x")),
        ],
        close(held=3.0, total=3.0, early=2.0),
    ),
    (
        "the strongest action counts",
        [At(0.0, CONNECT), At(1.0, Verdict("hold", "drop", observed=True)), At(2.0, Verdict("rcpt", "tag"))],
        close(held=2.0, total=2.0, action="drop", observed=True),
    ),
    (
        "a delivery",
        [
            At(0.0, CONNECT),
            At(4.5, Greet(4.5)),
            At(5.0, Command("EHLO", 8, "a.example")),
            At(5.0, Reply(250, "ok", "EHLO")),
            At(5.1, Command("MAIL", 30, "a@b.example")),
            At(5.2, Handoff("proxy", "127.0.0.1:10025", True, 3.0)),
            At(5.2, Reply(250, "ok", "MAIL", "mta")),
            At(5.3, Command("RCPT", 30, "c@d.example")),
            At(9.3, Hold("tarpit", 4.0, 4.0, "due", "rcpt")),
            At(9.3, Reply(250, "ok", "RCPT", "mta")),
            At(9.4, Command("RCPT", 30, "e@d.example")),
            At(11.4, Hold("tarpit", 4.0, 2.0, "talked", "rcpt")),
            At(11.4, Reply(550, "no", "RCPT", "mta")),
            At(11.5, Command("DATA", 6)),
            At(11.5, Reply(354, "go", "DATA", "mta")),
            At(12.5, Reply(250, "queued", "message", "mta", 1000)),
            At(12.6, Command("QUIT", 6)),
            At(12.6, Reply(221, "bye", "QUIT")),
        ],
        close(
            phase="message", ended="client", held=4.5, total=12.6, greeted=True, helo="a.example", commands=6,
            rcpts=2, rcpts_accepted=1, messages=1, octets=1000, delayed=6.0, mta=True, mta_ms=3.0,
        ),
    ),
    (
        "a refused message counts its octets only",
        [At(0.0, CONNECT), At(1.0, Greet(1.0)), At(2.0, Reply(552, "too big", "message", "mta", 5000))],
        close(phase="message", held=1.0, total=2.0, greeted=True, octets=5000, messages_refused=1),
    ),
    (
        "errors, whoever told them",
        [
            At(0.0, CONNECT),
            *(At(1.0, Reply(code, "", "", by)) for code in (500, 501, 502, 503, 504, 555, 550, 450) for by in ("tarry", "mta")),
        ],
        close(held=1.0, total=1.0, errors=12),
    ),
    ("the MTA ended it", [At(0.0, CONNECT), At(9.0, Reply(421, "going down", "", "mta"))], close(ended="mta", held=9.0, total=9.0)),
    ("tarry ended it", [At(0.0, CONNECT), At(9.0, Reply(421, "too slow"))], close(held=9.0, total=9.0)),
    ("no MTA", [At(0.0, CONNECT), At(9.0, Handoff("proxy", "x", False, why="refused"))], close(ended="mta", held=9.0, total=9.0)),
    (
        "a relayed STARTTLS",
        [At(0.0, CONNECT), At(1.0, Handoff("proxy", "x", True)), At(2.0, Handoff("proxy", "x", True, blind=True))],
        close(held=2.0, total=2.0, mta=True, blind=True, mta_ms=0.0),
    ),
    (
        "commands out of order do not lead back",
        [
            At(0.0, CONNECT),
            At(1.0, Command("BDAT", 9)),
            At(2.0, Command("HELO", 9, "b")),
            At(3.0, Command("", 9)),
            At(4.0, Greet(4.0)),
        ],
        close(phase="data", held=4.0, total=4.0, greeted=True, helo="b", commands=3),
    ),
    (
        "what was passed is told once, and most answers add nothing",
        [
            At(0.0, CONNECT),
            At(1.0, Answer("zen")),
            At(1.5, Outcome("dnslists", "unknown", "no answer")),
            *[At(2.0, Outcome("pregreet", "passed"))] * 2,
        ],
        close(held=2.0, total=2.0, passed=("pregreet",)),
    ),
    (
        "a client with a domain that logs in",
        [At(0.0, CONNECT), At(1.0, Answer("domain_history", domain="example.org")), At(2.0, Reply(235, "ok", "AUTH", "mta"))],
        close(held=2.0, total=2.0, domain="example.org", login=True),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("happened", "expected"), [row[1:] for row in SESSIONS], ids=[row[0] for row in SESSIONS])
def test_sessions(happened: list[At], expected: Close) -> None:
    """Each session's records and the one line that they add up to."""
    assert expected == total(*happened)


@given(events=st.lists(session_events, max_size=20))
def test_a_close_among_the_records_is_passed_over(events: list[SessionEvent]) -> None:
    """Folding a session that is closed gives its closing line, and folding it again gives the same."""
    happened = [At(float(n), event) for n, event in enumerate(events)]
    expected = total(*happened)
    assert expected == total(*happened, At(99.0, expected))


@given(events=st.lists(session_events, max_size=20), more=session_events)
def test_counts_never_go_back(events: list[SessionEvent], more: SessionEvent) -> None:
    """One more record takes nothing away."""
    before = total(*(At(1.0, event) for event in events))
    after = total(*(At(1.0, event) for event in (*events, more)))
    for count in (
        "commands",
        "rcpts",
        "rcpts_accepted",
        "messages",
        "octets",
        "errors",
        "delayed",
        "greeted",
        "mta",
        "blind",
        "observed",
    ):
        assert getattr(before, count) <= getattr(after, count)
    assert before.reasons == after.reasons[: len(before.reasons)]


def test_a_record_of_the_process_is_our_mistake() -> None:
    """It belongs to no session, so it cannot be folded into one."""
    with pytest.raises(AssertionError):
        fold([Record(Stamp(1, 0.0), Start("0.1", (), 1))])


def test_what_was_thrown_away_is_no_message() -> None:
    """It is counted by itself; its octets are among all that came."""
    summary = Summary()
    for by in ("tarry", "mta", "tarry"):
        summary.add(Reply(250, "ok", "message", by, 100), 1.0)
    summary.add(Reply(550, "no", "message", "tarry", 100), 1.0)
    found = summary.close()
    assert (1, 2, 400) == (found.messages, found.discarded, found.octets)
