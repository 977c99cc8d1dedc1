"""Lines of a mail log: prefix, sessions, process."""

from __future__ import annotations

import os
import socket
import time

import pytest
from hypothesis import given
from hypothesis.strategies import binary, floats, integers, text

from tarry.record.journal import Journal
from tarry.record.schema import (
    PASSED_BEFORE,
    Close,
    Command,
    Config,
    Connect,
    Greet,
    Handoff,
    Hangup,
    Lost,
    Outcome,
    ProcessEvent,
    Readable,
    Reply,
    SessionEvent,
    Start,
    Stop,
    Stress,
    Worker,
    write_line,
    write_process_line,
)
from tarry.sinks.postscreen import PostscreenRenderer
from tarry.smtp.text import escape

T = 1_795_239_067.0  # 2026-11-21 05:31:07 UTC
CONNECT = Connect("192.0.2.7", 50122, "198.51.100.25:25", 4.2)
CONNECTED = b"Nov 21 05:31:07 mx postfix/postscreen[4711]: CONNECT from [192.0.2.7]:50122 to [198.51.100.25]:25\n"


def renderer(sessions: int = 100, host: str = "mx.example.org") -> PostscreenRenderer:
    return PostscreenRenderer(host=host, pid=4711, local=time.gmtime, sessions=sessions)


def line(event: SessionEvent, *, dt: float = 0.0, id: str = "A-1") -> bytes:
    return write_line(event, t=T + dt, dt=dt, id=id, n=1)


def test_a_line_has_the_prefix_of_syslog() -> None:
    """Time of the record, the host up to its first dot, the program as Postfix names it, the process."""
    assert CONNECTED == renderer().render(line(CONNECT))


@pytest.mark.parametrize(
    ("t", "shown"),
    [(0.0, b"Jan  1 00:00:00"), (T + 0.99, b"Nov 21 05:31:07"), (T + 86400 * 11, b"Dec  2 05:31:07"), (1e300, b"Jan  1 00:00:00")],
)
def test_days_have_two_places(t: float, shown: bytes) -> None:
    """A day below ten is filled up with a blank; a time that no clock shows is the first of all."""
    told = renderer().render(write_line(CONNECT, t=t, dt=0.0, id="A-1", n=1))

    assert told is not None
    assert shown == told[:15]


def test_time_host_and_process_are_those_of_the_machine() -> None:
    """Local time, as syslog writes it; a renderer that is told nothing finds out."""
    told = PostscreenRenderer().render(line(CONNECT))
    host = socket.gethostname().partition(".")[0]
    now = time.localtime(T)

    assert told is not None
    assert told.decode().startswith(f"Nov {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} {host} postfix/")
    assert f"[{os.getpid()}]: " in told.decode()


@pytest.mark.parametrize(("host", "shown"), [("a b", b"a-b"), ("h\x1b\u00e4", b"h??"), (".x", b"localhost")])
def test_a_host_is_one_word(host: str, shown: bytes) -> None:
    """Every tool splits the line at its blanks."""
    told = renderer(host=host).render(line(CONNECT))

    assert told is not None
    assert shown == told.split()[3]


def test_the_lines_of_a_session_know_of_each_other() -> None:
    """Client, HELO name and envelope come from the records before."""
    mail_log = renderer()
    for event in (
        CONNECT,
        Greet(4.2),
        Command("HELO", 10, "x.example"),
        Command("MAIL", 9, "a@b.example"),
        Command("RCPT", 9, "c@d"),
    ):
        mail_log.render(line(event))

    assert mail_log.render(line(Reply(452, "4.5.3 Too many recipients", "RCPT"))) == (
        b"Nov 21 05:31:07 mx postfix/postscreen[4711]: NOQUEUE: reject: RCPT from [192.0.2.7]:50122: "
        b"452 4.5.3 Too many recipients; from=<a@b.example>, to=<c@d>, proto=SMTP, helo=<x.example>\n"
    )


def test_a_record_may_give_two_lines() -> None:
    """Each has its prefix."""
    told = renderer().render(line(Connect("192.0.2.7", 1, "198.51.100.25:25", exempt="exempt")))

    assert told is not None
    assert [b"CONNECT", b"ALLOWLISTED"] == [one.split()[5] for one in told.splitlines()]


def test_an_accepted_recipient_is_seen() -> None:
    """Of the good replies only those to RCPT are read: DATA behind one is no DATA without a recipient."""
    told = []
    for taken in (250, 550):
        mail_log = renderer()
        for event in (CONNECT, Greet(4.2), Reply(taken, "x", "RCPT", "mta"), Command("DATA", 6)):
            mail_log.render(line(event))
        told.append(mail_log.render(line(Reply(503, "5.5.1 RCPT first", "DATA"))))

    assert told[0] is None
    assert told[1] is not None
    assert told[1].endswith(b"DATA without valid RCPT from [192.0.2.7]:50122\n")


def test_only_the_outcome_of_a_proxy_header_is_told() -> None:
    """The others are passed over unread."""
    mail_log = renderer()
    mail_log.render(line(CONNECT))

    assert mail_log.render(line(Outcome("pregreet", "passed"))) is None
    told = mail_log.render(line(Outcome("proxy_header", "failed", "late")))
    assert told is not None
    assert told.endswith(b"warning: haproxy read: late\n")


def test_a_session_is_forgotten_at_its_close() -> None:
    """Its id may be taken anew, and memory is given back."""
    mail_log = renderer()
    for event in (CONNECT, Close("192.0.2.7", 50122, "198.51.100.25:25"), CONNECT):
        mail_log.render(line(event))

    assert 1 == mail_log.open_sessions


def test_a_second_close_follows_a_first_one() -> None:
    """`tarry inetd` closes when it becomes the command; where that cannot be run, more follows, and the session is still known."""
    mail_log = renderer()
    happened: list[SessionEvent] = [
        CONNECT,
        Handoff("exec", "/bin/x", True),
        Close("192.0.2.7", 50122, "s:25", ended="handoff"),
        Handoff("exec", "/bin/x", False, why="Exec format error"),
        Reply(421, "4.3.0 The mail server cannot be started, try again later [A-1]", "connect"),
        Close("192.0.2.7", 50122, "s:25", ended="mta"),
    ]
    told = b"".join(mail_log.render(line(event)) or b"" for event in happened).decode()

    assert [
        "CONNECT from [192.0.2.7]:50122 to [198.51.100.25]:25",
        "PASS NEW [192.0.2.7]:50122",
        "warning: cannot pass connection to service /bin/x: Exec format error",
        "NOQUEUE: reject: CONNECT from [192.0.2.7]:50122: all server ports busy",
        "DISCONNECT [192.0.2.7]:50122",
    ] == [one.partition("]: ")[2] for one in told.splitlines()]
    assert 0 == mail_log.open_sessions


def test_with_the_closing_lines_only_each_tells_its_session() -> None:
    """As record.detail = "close" writes them; the memory stays empty."""
    mail_log = renderer()
    told: list[bytes | None] = []
    for number in (1, 2):
        journal = Journal(
            f"A-{number}", accepted_at=0.0, accepted_wall=T, write=lambda one: told.append(mail_log.render(one)), all_records=False
        )
        journal.emit(CONNECT, 0.0)
        journal.emit(Hangup("hold", "fin"), 1.5)
        journal.close(1.5)
    shown = [one.split(b" ", 5)[5] for piece in told for one in (piece or b"").splitlines()]

    assert (
        2
        * [
            b"CONNECT from [192.0.2.7]:50122 to [198.51.100.25]:25",
            b"HANGUP after 1.5 from [192.0.2.7]:50122 in tests before SMTP handshake",
            b"DISCONNECT [192.0.2.7]:50122",
        ]
        == shown
    )
    assert 0 == mail_log.open_sessions


def test_the_memory_of_sessions_is_bounded() -> None:
    """The oldest is forgotten first, and told from its close."""
    mail_log = renderer(sessions=2)
    for number in range(5):
        mail_log.render(line(CONNECT, id=f"A-{number}"))
    told = mail_log.render(line(Close("192.0.2.7", 50122, "198.51.100.25:25"), id="A-0"))

    assert 2 == mail_log.open_sessions
    assert told is not None
    assert told.startswith(CONNECTED)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Start("0.1.0", ("0.0.0.0:25", "[::]:25"), 1), "tarry 0.1.0 started, listens on 0.0.0.0:25, [::]:25"),
        (Config("d95b"), "configuration d95b taken"),
        (
            Config("d95b", why="record.path as before until a restart"),
            "configuration d95b taken (record.path as before until a restart)",
        ),
        (
            Config("d95b", False, "tarry.toml:3: error: x"),
            "warning: configuration refused, the old one stays: tarry.toml:3: error: x",
        ),
        (Stress("descriptors", True, "EMFILE"), "entering STRESS mode with 1 connections"),
        (Stress("descriptors", False), "leaving STRESS mode with 1 connections"),
        (Stress("load", True, "18 of 20 clients are in"), "entering STRESS mode with 1 connections"),
        (Stress("load", False, "14 of 20 clients are in"), "leaving STRESS mode with 1 connections"),
        (Stress("mta", True, "Connection refused"), "warning: cannot connect to service mta: Connection refused"),
        (Stress("mta", False), "mta can be used"),
        (
            Stress("list zen.example", True, "127.0.0.2 is not listed"),
            "warning: list zen.example cannot be used: 127.0.0.2 is not listed",
        ),
        (Lost(17, "ENOSPC"), "warning: 17 log records lost: ENOSPC"),
        (Worker(2, "began", 4712), "worker 2 (process 4712) began"),
        (Worker(2, "replaced", 4713), "worker 2 (process 4713) replaced"),
        (Worker(2, "ended", 4713), "worker 2 (process 4713) ended"),
        (
            Worker(2, "ended", 4713, 0, "exit status 0; another one begins"),
            "worker 2 (process 4713) ended: exit status 0; another one begins",
        ),
        (Worker(2, "ended", 4713, -9, "killed by SIGKILL"), "warning: worker 2 (process 4713) ended: killed by SIGKILL"),
        (Worker(2, "ended", 4713, 1), "warning: worker 2 (process 4713) ended: status 1"),
        (Stop("SIGTERM", 2), "tarry stops (SIGTERM) with 2 connections"),
    ],
)
def test_the_daemon_has_lines_too(event: ProcessEvent, told: str) -> None:
    """Warnings are marked as Postfix marks them, so that pflogsumm lists them."""
    mail_log = renderer()
    mail_log.render(line(CONNECT))

    assert f"Nov 21 05:31:07 mx postfix/postscreen[4711]: {told}\n".encode() == mail_log.render(write_process_line(event, t=T))


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome("pregreet", "skipped", PASSED_BEFORE), b"PASS OLD"),
        (Outcome("own", "skipped", "not asked for"), b"PASS NEW"),
        (Outcome("pregreet", "passed"), b"PASS NEW"),
    ],
)
def test_a_client_that_was_not_held_for_what_is_remembered_is_old(outcome: Outcome, word: bytes) -> None:
    """Other outcomes have no line and say nothing of earlier sessions."""
    mail_log = renderer()
    for event in (CONNECT, outcome, Greet(0.1)):
        told = mail_log.render(line(event))
    assert told is None
    assert word in (mail_log.render(line(Handoff("proxy", "127.0.0.1:10025", True))) or b"")


@pytest.mark.parametrize("strange", [b"", b"\n", b"no json\n", b'{"v":2,"t":1.0,"ev":"later"}\n', b"\xff\n", b'{"ev":"connect"}'])
def test_what_is_no_known_record_is_passed_over(strange: bytes) -> None:
    """A record of a later version is not an error."""
    assert renderer().render(strange) is None


@given(binary(max_size=200))
def test_any_bytes_are_passed_over(data: bytes) -> None:
    """The writer's thread must live on whatever it is given."""
    assert renderer().render(b'{"v":1,"t":1.0,"dt":1.0,"id":"A","n":1,"ev":"' + data) is None


@given(text(max_size=60), text(max_size=60), floats(-1e300, 1e300), integers(-(2**60), 2**60))
def test_a_line_is_one_line_of_printable_ascii(said: str, client: str, t: float, number: int) -> None:
    """Also where a record holds what no shell of ours would write."""
    mail_log = renderer()
    events: tuple[SessionEvent, ...] = (
        Connect(client, number, said),
        Readable("hold", number, said),
        Command("EHLO", number, said),
        Reply(number % 1000, said, "RCPT"),
        Handoff(said, said, False, why=said),
    )
    told = b"".join(mail_log.render(write_line(event, t=t, dt=t, id="A-1", n=1)) or b"" for event in events)

    assert all(32 <= byte < 127 for byte in told.replace(b"\n", b""))
    assert all(b" mx postfix/postscreen[4711]: " in one for one in told.splitlines())


def test_a_client_forges_no_line() -> None:
    """Line ends and terminal codes of a client stay escaped."""
    mail_log = renderer()
    mail_log.render(line(CONNECT))
    forged = b"x\nNov 21 05:31:07 mx postfix/postscreen[1]: PREGREET 1 after 0 from [10.0.0.1]:1: \x1b[31m"
    told = mail_log.render(line(Readable("hold", 99, escape(forged)), dt=1.0))

    assert told is not None
    assert 1 == told.count(b"\n")
    assert rb"x\nNov 21" in told
    assert rb"\033[31" in told
