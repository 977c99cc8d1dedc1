"""What events say in plain words."""

from __future__ import annotations

import pytest

from tarry.record.schema import (
    Answer,
    Close,
    Command,
    Config,
    Connect,
    Exit,
    Greet,
    Handoff,
    Hangup,
    Hold,
    Lost,
    Outcome,
    Parked,
    ProcessEvent,
    Readable,
    Reason,
    Reply,
    SessionEvent,
    Start,
    Stop,
    Stress,
    Tls,
    Verdict,
)
from tarry.sinks.story import Said, Session, tell, tell_process

CONNECT = Connect("127.0.0.1", 50122, "127.0.0.1", 4.2)
EARLY = Readable("hold", 8, "EHLO x\\r\\n")
SPOKE = Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 1.0, "reject")
MAIL = Command("MAIL", 20, "<a@b>")
RCPT_TAKEN = Reply(250, "2.1.5 Ok", "RCPT", "mta")


def words(said: list[Said]) -> list[str]:
    return [one.before + (f' "{one.quote}"' if one.quote is not None else "") + one.after for one in said]


def story(*events: tuple[float, SessionEvent]) -> list[str]:
    """Return all that is told of a session of these events."""
    session = Session()
    return [line for dt, event in events for line in words(tell(session, event, dt))]


def test_an_early_talker_is_one_line() -> None:
    """What the client said, when, and what was done about it stand together; the close adds nothing."""
    assert story(
        (0.0, CONNECT),
        (0.03, EARLY),
        (0.03, SPOKE),
        (0.03, Verdict("hold", "reject", ("pregreet.spoke",))),
        (0.03, Reply(554, "5.7.1 You spoke before the greeting", "connect")),
        (0.1, Close("127.0.0.1", 50122, early=0.03, action="reject")),
    ) == ["connected, held for 4.2 s", 'spoke after 0.03 s: "EHLO x\\r\\n" -> refused 554 (pregreet.spoke)']


def test_who_was_given_away_is_told_where_to() -> None:
    """What the MTA did with it is the MTA's to tell."""
    given = (1.0, Handoff("pass", "unix:/smtpd", True, 0.3))
    assert ["connected, held for 4.2 s", "handed to unix:/smtpd"] == story(
        (0.0, CONNECT), given, (1.0, Close("127.0.0.1", 50122, ended="handoff", greeted=True))
    )


def test_a_good_session_is_told_by_its_milestones() -> None:
    """Held, greeted, a message, done: commands and good replies only count."""
    assert story(
        (0.0, CONNECT),
        (4.2, Outcome("pregreet", "passed")),
        (4.21, Greet(4.21)),
        (4.3, Command("EHLO", 8, "x")),
        (4.3, Reply(250, "x", "EHLO", "mta")),
        (4.4, MAIL),
        (4.5, Command("RCPT", 20, "<c@d>")),
        (4.5, RCPT_TAKEN),
        (4.6, Command("RCPT", 20, "<e@f>")),
        (4.6, RCPT_TAKEN),
        (4.7, Reply(250, "2.0.0 Ok", "message", "mta", 1234)),
        (5.0, Command("QUIT", 6)),
        (5.1, Hangup("message", "fin")),
        (5.1, Close("127.0.0.1", 50122, greeted=True, messages=1, commands=5, total=5.1)),
    ) == [
        "connected, held for 4.2 s",
        "greeted after 4.21 s",
        "message of 1,234 octets from <a@b> to 2 recipients: 250 by the MTA",
        "done: 1 message, 5 commands, 5.1 s",
    ]


def test_a_silent_client_that_leaves_is_told_once() -> None:
    """A hang-up in the hold is the whole end of the story."""
    assert story((0.0, CONNECT), (2.0, Hangup("hold", "fin")), (2.0, Close("127.0.0.1", 50122, hangup=2.0, total=2.0))) == [
        "connected, held for 4.2 s",
        "hung up after 2.0 s without a word",
    ]


def test_a_client_that_half_closes_leaves_once() -> None:
    """The end of file is met again when the hold is over; it is the same one."""
    assert story(
        (0.0, CONNECT),
        (0.5, Hangup("hold", "fin")),
        (4.2, Greet(4.2)),
        (4.2, Hangup("greeted", "fin")),
        (4.2, Close("127.0.0.1", 50122, greeted=True, hangup=0.5, total=4.2)),
    ) == ["connected, held for 4.2 s", "hung up after 0.5 s without a word", "greeted after 4.20 s"]


def test_a_client_that_half_closes_and_sends_mail_has_its_sum() -> None:
    """To have left is not the whole story of a client whose commands still came."""
    assert story(
        (0.5, Hangup("hold", "fin")), (4.2, Greet(4.2)), (4.3, Close(greeted=True, hangup=0.5, commands=4, messages=1, total=4.3))
    ) == [
        "hung up after 0.5 s without a word",
        "greeted after 4.20 s",
        "done: 1 message, 4 commands, 4.3 s",
    ]


def test_a_client_that_speaks_and_leaves_is_not_silent() -> None:
    """Early talk that nobody answered is told before the reset."""
    assert story((0.0, CONNECT), (1.0, EARLY), (1.0, SPOKE), (1.5, Hangup("hold", "reset"))) == [
        "connected, held for 4.2 s",
        'spoke after 1.00 s: "EHLO x\\r\\n" -> nobody waits for an answer',
        "reset the connection after 1.5 s",
    ]


def test_a_client_that_leaves_after_the_greeting_has_both_lines() -> None:
    """Once greeted, a session has a sum worth reading, however it ended."""
    assert story(
        (4.2, Greet(4.2)),
        (5.0, Command("EHLO", 8, "x")),
        (6.0, Hangup("helo", "fin")),
        (6.0, Close(greeted=True, commands=1, total=6.0)),
    ) == ["greeted after 4.20 s", "hung up after 6.0 s", "done: 0 messages, 1 command, 6.0 s"]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (None, "let through"),
        (Verdict("hold", "delay", ("pregreet.spoke",)), "delay (pregreet.spoke)"),
    ],
)
def test_early_talk_that_is_forgiven_is_told_with_the_greeting(verdict: Verdict | None, expected: str) -> None:
    """Without a refusal the greeting is what was done about it."""
    judged = [(0.03, verdict)] if verdict else []
    assert story((0.03, EARLY), *judged, (4.2, Greet(4.2))) == [
        f'spoke after 0.03 s: "EHLO x\\r\\n" -> {expected}',
        "greeted after 4.20 s",
    ]


def test_an_observed_verdict_says_so() -> None:
    """With --observe the person sees what would have happened, and that it did not."""
    observed = Verdict("hold", "reject", ("pregreet.spoke",), True)
    again = Verdict("mail", "reject", ("pregreet.spoke",), True)

    assert story((0.03, EARLY), (0.03, SPOKE), (0.03, observed), (4.2, Greet(4.2)), (5.0, again)) == [
        'spoke after 0.03 s: "EHLO x\\r\\n" -> only observed: reject (pregreet.spoke)',
        "greeted after 4.20 s",
    ]
    assert story((5.0, again)) == ["only observed: reject (pregreet.spoke)"]


def test_a_reason_in_mid_session_has_its_own_line() -> None:
    """What is found after the greeting is told where it is found, and the refusal when it comes."""
    assert story(
        (5.0, Reason("bare_newline", "lf", "data", "x\\ny")),
        (5.0, Reason("pipelining", "early", "helo")),
        (5.0, Verdict("data", "reject", ("bare_newline.lf", "pipelining.early"))),
        (5.0, Reply(550, "5.7.1 no", "message", "tarry", 20)),
        (5.0, Reply(550, "5.7.1 no", "MAIL")),
    ) == [
        'bare_newline.lf at data: "x\\ny"',
        "pipelining.early at helo",
        'message of 20 octets from ? to 0 recipients: 550 by tarry "5.7.1 no"',
        "MAIL refused 550 (bare_newline.lf, pipelining.early)",
    ]


def test_a_milder_verdict_is_told_when_it_changes() -> None:
    """A delay has no reply that would tell it."""
    delay = Verdict("rcpt", "delay", ("dnslists.zen",))
    assert story((5.0, delay), (6.0, delay)) == ["delay (dnslists.zen)"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Connect("::1", 25, "::1"), "connected"),
        (Connect("::1", 25, "::1", 4.0, via="10.0.0.1"), "connected through 10.0.0.1, held for 4.0 s"),
        (Connect("::1", 25, "::1", exempt="your network"), "connected, exempt: your network"),
        (Reply(421, "4.7.0 too many", "connect"), '421 by tarry: "4.7.0 too many"'),
        (Reply(421, "4.4.2 timeout"), '421 by tarry: "4.4.2 timeout"'),
        (Reply(550, "5.1.1 who?", "RCPT", "mta"), '550 to RCPT by the MTA: "5.1.1 who?"'),
        (Hold("tarpit.rcpt", 12.0, 12.0, "due", "rcpt"), "waited 12.0 s at rcpt (tarpit.rcpt)"),
        (Hold("delay", 60.0, 9.0, "left", "rcpt"), "waited 9.0 s at rcpt (delay), then hung up"),
        (Hold("delay", 60.0, 9.0, "talked", "rcpt"), "waited 9.0 s at rcpt (delay), then spoke"),
        (Hold("reply_pace", 13.0, 2.0, "cut", "rcpt"), "waited 2.0 s at rcpt (reply_pace), cut short"),
        (
            Hold("residual", 56.0, 56.0, "due", "rcpt", ("helo.unqualified", "ptr.none"), "a@b", "c@d"),
            "delayed 56.0 s at rcpt for helo.unqualified, ptr.none: from <a@b> to <c@d>",
        ),
        (
            Hold("residual", 56.0, 9.0, "left", "rcpt", ("ptr.none",), "", "c@d"),
            "delayed 9.0 of 56.0 s at rcpt for ptr.none: from <> to <c@d>, unexpected disconnection",
        ),
        (
            Hold("residual", 56.0, 56.0, "due", "mail", ("ptr.none",), "a b>"),
            "delayed 56.0 s at mail for ptr.none: from an odd path",
        ),
        (Hold("residual", 56.0, 56.0, "due", "helo", ("ptr.none",)), "delayed 56.0 s at helo for ptr.none"),
        (Handoff("pass", "private/smtpd", True), "handed to private/smtpd"),
        (
            Handoff("proxy", "127.0.0.1:10025", False, why="ECONNREFUSED"),
            "the MTA at 127.0.0.1:10025 cannot be used: ECONNREFUSED",
        ),
        (Parked("rcpt", 2), "parked at rcpt: the MTA is free meanwhile"),
        (Tls("client", True, "TLSv1.3", "AES"), "TLS with the client: TLSv1.3 AES"),
        (Tls("mta", True, "TLSv1.2", "AES"), "TLS with the MTA: TLSv1.2 AES"),
        (Tls("client", False, why="http request"), "no TLS with the client: http request"),
        (Exit(-9, 1.25), "the command ended after 1.2 s with status -9"),
        (Handoff("proxy", "127.0.0.1:10025", True, blind=True), "encrypted from here on: bytes are only passed on"),
        (Hangup("greeted", "reset"), "reset the connection after 7.0 s without a word"),
        (Close("192.0.2.7", 1, hangup=2.0, total=2.0), "hung up after 2.0 s without a word"),
        (Close("192.0.2.7", 1, hangup=2.0, early=1.0, total=2.0), "hung up after 2.0 s"),
        (Close("192.0.2.7", 1, action="reject", reasons=("pregreet.spoke",), total=0.3), "reject after 0.3 s (pregreet.spoke)"),
        (Close("192.0.2.7", 1, greeted=True, messages=2, commands=9, total=8.0), "done: 2 messages, 9 commands, 8.0 s"),
        (Close("192.0.2.7", 1, total=3.0), "gone after 3.0 s"),
    ],
)
def test_one_event_alone(event: SessionEvent, expected: str) -> None:
    """Each event has its words, also with nothing known of its session."""
    assert story((7.0, event)) == [expected]


@pytest.mark.parametrize(
    "event", [Answer("zen"), Outcome("pregreet", "passed"), Command("NOOP", 6), RCPT_TAKEN, Handoff("proxy", "x", True), EARLY]
)
def test_events_that_say_nothing_by_themselves(event: SessionEvent) -> None:
    """Most records are for machines."""
    assert story((7.0, event)) == []


@pytest.mark.parametrize(
    ("arg", "expected"),
    [("a@b", "<a@b>"), ("<a@b>", "<a@b>"), ("<>", "<>"), ("", "<>"), ('<a" to 9 recipients: 250>', "an odd path")],
)
def test_a_sender_cannot_forge_the_line(arg: str, expected: str) -> None:
    """A path is shown as it is only if it can be nothing else."""
    told = story((5.0, Command("MAIL", 20, arg)), (5.0, RCPT_TAKEN), (6.0, Reply(250, "ok", "message", "maildir", 1)))

    assert told == [f"message of 1 octet from {expected} to 1 recipient: 250 by maildir"]


@pytest.mark.parametrize(("size", "is_cut"), [(8, False), (9, True)])
def test_a_quotation_tells_that_it_is_only_the_beginning(size: int, is_cut: bool) -> None:
    """Escapes count as the one octet that they stand for."""
    session = Session()
    tell(session, Readable("hold", size, "EHLO x\\r\\n"), 0.1)

    assert [said.is_cut for said in tell(session, Greet(4.0), 4.0)] == [is_cut, False]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Start("0.1.0", ("127.0.0.1:2525", "[::1]:2525"), 7), "0.1.0 listens on 127.0.0.1:2525, [::1]:2525"),
        (Config("4f1c"), "configuration 4f1c taken"),
        (Config("", False, "line 3"), "configuration refused, the old one stays: line 3"),
        (Stress("clients", True, "15000"), "under stress: clients 15000"),
        (Stress("clients", False), "no longer under stress: clients"),
        (Stress("list bl.example", True, "it lists 127.0.0.1"), "the DNS list bl.example is not asked: it lists 127.0.0.1"),
        (Stress("list bl.example", False), "the DNS list bl.example is asked again"),
        (Lost(1, "ENOSPC"), "1 record lost: ENOSPC"),
        (Lost(1200, "queue full"), "1,200 records lost: queue full"),
        (Stop("SIGTERM", 1), "stops: SIGTERM, 1 session open"),
    ],
)
def test_events_of_the_daemon(event: ProcessEvent, expected: str) -> None:
    """The daemon's own events are told in the same plain words."""
    assert words(tell_process(event)) == [expected]


def test_a_message_that_is_thrown_away() -> None:
    """It is told with why, and counted apart."""
    assert [
        "discard (pregreet.spoke)",
        "message of 6 octets from <a@b> to 1 recipient: 250 by tarry, thrown away (pregreet.spoke)",
        "done: 0 messages and 1 thrown away, 3 commands, 2.0 s",
    ] == story(
        (1.0, Verdict("helo", "discard", ("pregreet.spoke",))),
        (1.1, MAIL),
        (1.2, RCPT_TAKEN),
        (1.3, Reply(250, "2.6.0 Message accepted", "message", "tarry", 6)),
        (2.0, Close("192.0.2.7", 1, greeted=True, commands=3, total=2.0, discarded=1)),
    )
