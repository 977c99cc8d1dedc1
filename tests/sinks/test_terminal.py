"""Lines for a person: form, width, colours."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, sampled_from, text

from tarry.record.schema import (
    Close,
    Command,
    Connect,
    Greet,
    Hangup,
    Lost,
    Readable,
    Reply,
    SessionEvent,
    write_line,
    write_process_line,
)
from tarry.sinks import terminal
from tarry.sinks.story import Said, Tone
from tarry.sinks.terminal import TerminalRenderer, line_of, local_time, wants_colour, width_of
from tarry.smtp.text import escape

T = 1_795_239_067.0  # 05:31:07 UTC


def utc(t: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(t))


def line(event: SessionEvent, *, dt: float = 0.0, id: str = "5B9FQK3F") -> bytes:
    return write_line(event, t=T + dt, dt=dt, id=id, n=1)


def test_a_line_begins_with_time_session_and_client() -> None:
    """The client stands in every line of its session, though only the first record names it."""
    renderer = TerminalRenderer(clock=utc)

    assert renderer.render(line(Connect("127.0.0.1", 50122, "127.0.0.1", 4.2))) == (
        b"05:31:07 QK3F 127.0.0.1:50122 connected, held for 4.2 s\n"
    )
    assert renderer.render(line(Greet(4.21), dt=4.21)) == b"05:31:11 QK3F 127.0.0.1:50122 greeted after 4.21 s\n"


def test_sessions_of_several_workers_can_be_told_apart() -> None:
    """Each counts its own from 1 on."""
    renderer = TerminalRenderer(clock=utc)
    shown = [renderer.render(line(Connect("127.0.0.1", 7, "::1"), id=id)) for id in ("6B01B566001-0004", "6B01B566002-0004")]
    assert [b"1-0004", b"2-0004"] == [(one or b"").split()[1] for one in shown]


def test_the_words_stand_in_one_column() -> None:
    """Shorter addresses are filled up to the longest one seen; a very long one pushes its own line only."""
    renderer = TerminalRenderer(clock=utc)
    shown = [
        renderer.render(line(Connect(host, 1, "::1"), id=host))
        for host in ("192.0.2.133", "192.0.2.7", "2001:db8:1234:5678:9abc:def0:1234:5678", "192.0.2.8")
    ]

    assert shown == [
        b"05:31:07 .133 192.0.2.133:1 connected\n",
        b"05:31:07 .2.7 192.0.2.7:1   connected\n",
        b"05:31:07 5678 [2001:db8:1234:5678:9abc:def0:1234:5678]:1 connected\n",
        b"05:31:07 .2.8 192.0.2.8:1   connected\n",
    ]


def test_the_daemon_speaks_under_its_own_name() -> None:
    """Records of the process have no session."""
    told = TerminalRenderer(clock=utc).render(write_process_line(Lost(3, "ENOSPC"), t=T))

    assert told == b"05:31:07 tarry 3 records lost: ENOSPC\n"


@pytest.mark.parametrize("strange", [b"", b"\n", b"no json\n", b'{"v":2,"t":1.0,"ev":"later"}\n', b"\xff\n"])
def test_what_is_no_known_record_is_passed_over(strange: bytes) -> None:
    """A record of a later version is not an error."""
    assert TerminalRenderer().render(strange) is None


def test_a_record_that_says_nothing_shows_nothing() -> None:
    """Not every record is worth a line."""
    assert TerminalRenderer().render(line(Command("NOOP", 6))) is None


def test_two_lines_can_come_of_one_record() -> None:
    """Early talk that is still owed is told before what ends it."""
    renderer = TerminalRenderer(clock=utc)
    renderer.render(line(Connect("192.0.2.7", 1, "::1")))
    renderer.render(line(Readable("hold", 6, "HELP\\r\\n"), dt=1.0))

    assert renderer.render(line(Hangup("hold", "fin"), dt=2.0)) == (
        b'05:31:09 QK3F 192.0.2.7:1 spoke after 1.00 s: "HELP\\r\\n" -> nobody waits for an answer\n'
        b"05:31:09 QK3F 192.0.2.7:1 hung up after 2.0 s\n"
    )


def early_line(said: str, width: int, *, octets: int = 0) -> str:
    renderer = TerminalRenderer(clock=utc, width=lambda: width)
    renderer.render(line(Connect("192.0.2.7", 1, "::1")))
    renderer.render(line(Readable("hold", octets or len(said), said), dt=1.0))
    shown = renderer.render(line(Greet(4.0), dt=4.0))
    assert shown is not None
    return shown.decode().splitlines()[0]


def test_what_was_said_is_cut_before_what_was_done() -> None:
    """On a narrow terminal the quotation gives way first."""
    shown = early_line("x" * 60, 80)

    assert shown == '05:31:11 QK3F 192.0.2.7:1 spoke after 1.00 s: "xxxxxxxxxxxxxx..." -> let through'
    assert len(shown) == 80


def test_a_cut_quotation_never_ends_in_half_an_escape() -> None:
    """The cut moves to the left until no escape is in two."""
    assert '"' + r"\x01" * 3 + '..."' in early_line(r"\x01" * 20, 81, octets=20)


@pytest.mark.parametrize(
    ("cut", "whole"),
    [("ab\\", "ab"), ("ab\\x", "ab"), ("ab\\x1", "ab"), ("ab\\x1b", "ab\\x1b"), ("ab\\\\", "ab\\\\"), ("ab\\\\\\x", "ab\\\\")],
)
def test_half_escapes(cut: str, whole: str) -> None:
    """A doubled backslash is an escape too."""
    assert terminal._shorten(cut + "~~~~", len(cut) + 3, True) == whole + "..."


def test_more_than_was_kept_is_marked() -> None:
    """A quotation that is whole in the record but not in life ends in dots."""
    assert '"EHLO..."' in early_line("EHLO", 0, octets=3000)


def test_a_client_cannot_end_its_own_quotation() -> None:
    """A quote in what was said is escaped."""
    assert early_line('x" -> refused', 0).endswith('"x\\" -> refused" -> let through')


def test_a_terminal_too_narrow_for_anything_is_not_overrun() -> None:
    """Even ten columns are kept to."""
    assert [len(early_line("EHLO x", width)) for width in (1, 10, 28, 40)] == [1, 10, 28, 40]


def test_colours_say_what_the_words_say() -> None:
    """The head is dim, the words have their tone, and without colours the same text remains."""
    renderer = TerminalRenderer(clock=utc, colour=True)
    renderer.render(line(Connect("192.0.2.7", 1, "::1")))

    assert renderer.render(line(Greet(4.0))) == b"\x1b[2m05:31:07 QK3F 192.0.2.7:1\x1b[0m greeted after 4.00 s\n"
    assert renderer.render(line(Reply(250, "ok", "message", "mta", 3))) == (
        b"\x1b[2m05:31:07 QK3F 192.0.2.7:1\x1b[0m\x1b[32m message of 3 octets from ? to 0 recipients: 250 by the MTA\x1b[0m\n"
    )


# Controls of both sets, a bidirectional override, a line separator, wide and accented letters.
@given(
    said=binary(max_size=120),
    reply=text("a \\\0\r\n\x1b\x7f\x9b\u202e\u2028é日🦊", max_size=60),
    width=integers(0, 200),
    phase=sampled_from(["hold", "helo"]),
)
def test_no_control_byte_reaches_the_terminal(said: bytes, reply: str, width: int, phase: str) -> None:
    """Whatever a client or an MTA sends, what is shown is printable ASCII within the width."""
    renderer = TerminalRenderer(clock=utc, width=lambda: width)
    shown = [
        renderer.render(line(event, dt=1.0))
        for event in (
            Connect("192.0.2.7", 1, "::1", 3.0, exempt=reply),
            Readable(phase, len(said), escape(said)),
            Command("MAIL", 9, escape(said)),
            Reply(550, reply, "RCPT", "mta"),
            Reply(250, reply, "message", "mta", 9),
            Close("192.0.2.7", 1, greeted=True, reasons=(reply,)),
        )
    ]
    for one in b"".join(piece for piece in shown if piece).decode("ascii").splitlines():
        assert one.isprintable()
        assert not width or len(one) <= width


def test_sessions_that_never_close_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost closing lines do not fill the memory; the oldest session is the one forgotten."""
    monkeypatch.setattr(terminal, "_SESSIONS", 2)
    renderer = TerminalRenderer(clock=utc)
    for number in (1, 2, 3):
        renderer.render(line(Connect("192.0.2.7", number, "::1"), id=f"{number}"))

    assert renderer.render(line(Greet(1.0), id="3")) == b"05:31:07 3 192.0.2.7:3 greeted after 1.00 s\n"
    assert renderer.render(line(Greet(1.0), id="1")) == b"05:31:07 1 ?           greeted after 1.00 s\n"


def test_a_closed_session_is_forgotten() -> None:
    """The closing line is the last that needs the session."""
    renderer = TerminalRenderer(clock=utc)
    renderer.render(line(Connect("192.0.2.7", 1, "::1")))
    renderer.render(line(Close("192.0.2.7", 1, greeted=True)))

    assert renderer._sessions == {}


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
    ],
)
def test_colours_only_where_they_are_wanted(environ: dict[str, str], is_terminal: bool, expected: bool) -> None:
    """NO_COLOR counts when it is set and not empty (no-color.org)."""
    assert wants_colour(environ, is_terminal=is_terminal) is expected


def test_the_width_is_the_terminals_own() -> None:
    """A pseudo terminal has a width, a file has none."""
    master, slave = os.openpty()
    try:
        terminal_size = os.get_terminal_size(slave).columns
        assert width_of(slave) == terminal_size
    finally:
        os.close(master)
        os.close(slave)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        assert width_of(null) == 0
    finally:
        os.close(null)


def test_the_clock_is_the_one_on_the_wall() -> None:
    """A person reads local time."""
    assert local_time(T) == time.strftime("%H:%M:%S", time.localtime(T))


def test_a_line_under_a_head_of_ones_own() -> None:
    """For who tells one session, where time and client stand above it."""
    said = Said(Tone.BAD, "spoke:", "EHLO\x1b x", " -> refused")

    assert b'  0.3 s spoke: "EHLO\\x1b x" -> refused\n' == line_of("  0.3 s", said, 80)
    assert b'  0.3 s spoke: "EHLO\\x1b x" -> ...\n' == line_of("  0.3 s", said, 34)
    assert line_of("  0.3 s", said, 80, colour=True).startswith(b"\x1b[2m  0.3 s\x1b[0m\x1b[31m spoke:")
