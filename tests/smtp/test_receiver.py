"""The client's byte stream, cut into inputs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.smtp.grammar import parse_chunk, parse_command
from tarry.smtp.inputs import (
    AuthLine,
    BrokenData,
    BrokenLine,
    ChunkData,
    ClientInput,
    CommandLine,
    EndOfChunk,
    EndOfData,
    MessageData,
    OverlongLine,
)
from tarry.smtp.receiver import AUTH_LIMIT, LINE_LIMIT, Receiver
from tests.strategies import borders, cut, cuts, smtp_bytes


def react(receiver: Receiver, seen: ClientInput) -> None:
    """Do what a server would that agrees to everything."""
    match seen:
        case CommandLine(command=command) if command.verb == "DATA":
            receiver.expect_message()
        case CommandLine(command=command) if command.verb == "AUTH":
            receiver.expect_auth_line()
        case CommandLine(command=command) if command.verb == "BDAT":
            if chunk := parse_chunk(command.argument):
                receiver.expect_chunk(chunk.octets)


def read_all(pieces: Iterable[bytes], *, normalize: bool = True, line_limit: int = LINE_LIMIT) -> list[ClientInput]:
    """Feed the pieces, taking and answering each input as it comes; blocks of one message or chunk are put together.

    How much of a message was handed on before it proved broken depends on the cuts, so it is left out.
    """
    receiver = Receiver(line_limit=line_limit, normalize=normalize)
    inputs: list[ClientInput] = []
    for piece in pieces:
        receiver.receive_data(piece)
        while (seen := receiver.next_input()) is not None:
            match inputs[-1] if inputs else None, seen:
                case MessageData(data=before), MessageData(data=data):
                    inputs[-1] = MessageData(before + data)
                case ChunkData(data=before), ChunkData(data=data):
                    inputs[-1] = ChunkData(before + data)
                case MessageData(), BrokenData():
                    inputs[-1] = seen
                case _:
                    inputs.append(seen)
            react(receiver, seen)
    return inputs


def command(line: bytes, *, bare_newline: bool = False) -> CommandLine:
    return CommandLine(parse_command(line), bare_newline)


TRANSCRIPTS: list[tuple[str, bytes, list[ClientInput]]] = [
    ("nothing", b"", []),
    ("half a command", b"EHLO x", []),
    ("half a line end", b"EHLO x\r", []),
    ("a command", b"EHLO x\r\n", [command(b"EHLO x")]),
    ("an empty line", b"\r\n", [command(b"")]),
    ("a group", b"RSET\r\nMAIL FROM:<>\r\nQUIT\r\n", [command(b"RSET"), command(b"MAIL FROM:<>"), command(b"QUIT")]),
    (
        "a message",
        b"DATA\r\na\r\n..b\r\n.\r\nQUIT\r\n",
        [command(b"DATA"), MessageData(b"a\r\n..b\r\n"), EndOfData(), command(b"QUIT")],
    ),
    ("an empty message", b"DATA\r\n.\r\nQUIT\r\n", [command(b"DATA"), EndOfData(), command(b"QUIT")]),
    ("a message with no end", b"DATA\r\na\r\n.\r", [command(b"DATA"), MessageData(b"a")]),
    ("a mended message", b"DATA\r\na\n.\r\n.\r\n", [command(b"DATA"), MessageData(b"a\r\n..\r\n"), EndOfData("LF")]),
    (
        "two messages",
        b"DATA\r\na\0\r\n.\r\nDATA\r\nb\r\n.\r\n",
        [command(b"DATA"), MessageData(b"a \r\n"), EndOfData("NUL"), command(b"DATA"), MessageData(b"b\r\n"), EndOfData()],
    ),
    (
        "chunks",
        b"BDAT 7\r\n\r\n.\r\n\0\rBDAT 0\r\nBDAT 2 LAST\r\nxyQUIT\r\n",
        [
            command(b"BDAT 7"), ChunkData(b"\r\n.\r\n\0\r"), EndOfChunk(), command(b"BDAT 0"), EndOfChunk(),
            command(b"BDAT 2 LAST"), ChunkData(b"xy"), EndOfChunk(), command(b"QUIT"),
        ],
    ),
    ("half a chunk", b"BDAT 7\r\nabc", [command(b"BDAT 7"), ChunkData(b"abc")]),
    ("AUTH", b"AUTH PLAIN\r\nAGFh\r\nQUIT\r\n", [command(b"AUTH PLAIN"), AuthLine(b"AGFh"), command(b"QUIT")]),
    ("AUTH given up", b"AUTH LOGIN\r\n*\r\nQUIT\r\n", [command(b"AUTH LOGIN"), AuthLine(b"*"), command(b"QUIT")]),
    ("a verb in AUTH", b"AUTH LOGIN\r\nXCLIENT ADDR=::1\r\n", [command(b"AUTH LOGIN"), AuthLine(b"XCLIENT ADDR=::1")]),
    ("a NUL in AUTH", b"AUTH LOGIN\r\na\0b\r\nQUIT\r\n", [command(b"AUTH LOGIN"), BrokenLine("NUL", b"a\0b"), command(b"QUIT")]),
    ("a bare LF in AUTH", b"AUTH LOGIN\r\nab\nQUIT\r\n", [command(b"AUTH LOGIN"), BrokenLine("LF", b"ab"), command(b"QUIT")]),
    ("a bare CR", b"NOOP\rMAIL FROM:<>\r\nQUIT\r\n", [BrokenLine("CR", b"NOOP\rMAIL FROM:<>"), command(b"QUIT")]),
    ("a doubled CR", b"NOOP\r\r\nQUIT\r\n", [BrokenLine("CR", b"NOOP\r"), command(b"QUIT")]),
    ("a NUL", b"MAIL FROM:<a\0@b.example>\r\nQUIT\r\n", [BrokenLine("NUL", b"MAIL FROM:<a\0@b.example>"), command(b"QUIT")]),
    ("CR and NUL", b"a\0b\rc\r\n", [BrokenLine("CR", b"a\0b\rc")]),
    ("a NUL before a bare LF", b"NOOP\0\nQUIT\r\n", [BrokenLine("NUL", b"NOOP\0"), command(b"QUIT")]),
    ("a CR then a bare LF", b"NOOP\rx\nQUIT\r\n", [BrokenLine("CR", b"NOOP\rx"), command(b"QUIT")]),
    (
        "a PROXY header",
        b"\r\n\r\n\0\r\nQUIT\n",
        [command(b""), command(b""), BrokenLine("NUL", b"\0"), command(b"QUIT", bare_newline=True)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "inputs"), [row[1:] for row in TRANSCRIPTS], ids=[row[0] for row in TRANSCRIPTS])
def test_transcripts(stream: bytes, inputs: list[ClientInput]) -> None:
    """What a stream means, in every cut."""
    for pieces in cuts(stream):
        assert inputs == read_all(pieces)


@pytest.mark.parametrize("smuggled", [b"XCLIENT ADDR=10.9.8.7", b"MAIL FROM:<evil@example.com>"])
def test_a_bare_lf_in_a_command(smuggled: bytes) -> None:
    """With ``normalize`` a bare LF ends the line, and the line says so; without it no command is read from that line."""
    stream = b"NOOP\n" + smuggled + b"\r\nQUIT\r\n"
    for pieces in cuts(stream):
        assert [command(b"NOOP", bare_newline=True), command(smuggled), command(b"QUIT")] == read_all(pieces)
        assert [BrokenLine("LF", b"NOOP"), command(smuggled), command(b"QUIT")] == read_all(pieces, normalize=False)


@pytest.mark.parametrize("stray", [b"\n", b"\r", b"\0"])
def test_with_reject_nothing_is_read_behind_a_broken_message(stray: bytes) -> None:
    """The rest of a refused message must not be taken for commands."""
    what = {b"\n": "LF", b"\r": "CR", b"\0": "NUL"}[stray]
    stream = b"DATA\r\nab" + stray + b"c\r\n.\r\nMAIL FROM:<evil@example.com>\r\n"
    for pieces in cuts(stream):
        assert [command(b"DATA"), BrokenData(what)] == read_all(pieces, normalize=False)


# Limits.


@pytest.mark.parametrize("limit", [16, LINE_LIMIT])
@pytest.mark.parametrize(
    ("spare", "fits"),
    [(1, True), (0, True), (-1, False), (-2, False), (-100, False)],
    ids=["one less", "the limit", "one more", "two more", "many more"],
)
def test_a_line_is_measured_with_its_crlf(limit: int, spare: int, fits: bool) -> None:
    """A line of exactly the limit is taken; one octet more is not, and then nothing more is read, not even a good command."""
    line = b"A" * (limit - 2 - spare)
    stream = line + b"\r\nXCLIENT ADDR=10.9.8.7\r\n"
    expected: list[ClientInput] = [command(line), *([OverlongLine(16)] if limit == 16 else [command(b"XCLIENT ADDR=10.9.8.7")])]
    for at in ((), range(len(stream)), (limit - 1,), (limit,), (limit + 1,)):
        assert (expected if fits else [OverlongLine(limit)]) == read_all(cut(stream, at), line_limit=limit)


@pytest.mark.parametrize("k", [n + d for n in (16, 512, 1000, 2048, 4096, 8192, 16384, 65536) for d in (-2, -1, 0, 1)])
def test_the_tail_of_a_long_line_is_never_a_command(k: int) -> None:
    """Whatever its length: a line is one command or none, and what stands at its end is not read by itself."""
    stream = b"B" * k + b"XCLIENT ADDR=10.9.8.7\r\n"
    for at in ((), (k,), range(0, len(stream), 1000)):
        verbs = [seen.command.verb for seen in read_all(cut(stream, at)) if isinstance(seen, CommandLine)]
        assert "XCLIENT" not in verbs


@pytest.mark.parametrize(("length", "fits"), [(AUTH_LIMIT, True), (AUTH_LIMIT + 1, False)])
def test_a_line_of_auth_has_a_limit_of_its_own(length: int, fits: bool) -> None:
    """12,288 octets with CRLF (RFC 4954 §4), whatever the limit for commands."""
    line = b"A" * (length - 2)
    for at in ((), (AUTH_LIMIT - 1,), range(0, length, 99)):
        inputs = read_all(cut(b"AUTH PLAIN\r\n" + line + b"\r\n", at), line_limit=64)
        assert [command(b"AUTH PLAIN"), AuthLine(line) if fits else OverlongLine(AUTH_LIMIT)] == inputs


def test_a_deaf_receiver_stores_nothing() -> None:
    """After an overlong line nothing is kept and nothing more comes out."""
    receiver = Receiver(line_limit=16)
    receiver.receive_data(b"A" * 16)
    assert OverlongLine(16) == receiver.next_input()
    receiver.receive_data(b"\r\nQUIT\r\n" * 1000)
    assert (False, b"", None) == (receiver.has_pending, receiver.pending(100), receiver.next_input())


def test_pending_is_what_was_not_taken() -> None:
    """What lies behind a command can be looked at and counted without being taken."""
    receiver = Receiver()
    assert (False, b"") == (receiver.has_pending, receiver.pending(5))
    receiver.receive_data(b"EHLO x\r\nMAIL FROM:<>\r\n")
    assert (True, b"EHLO ") == (receiver.has_pending, receiver.pending(5))
    assert command(b"EHLO x") == receiver.next_input()
    assert (True, b"MAIL FROM:<>\r\n", 14) == (receiver.has_pending, receiver.pending(100), receiver.pending_octets)
    assert command(b"MAIL FROM:<>") == receiver.next_input()
    assert (False, b"") == (receiver.has_pending, receiver.pending(5))


# Laws.


@settings(max_examples=400)
@given(stream=smtp_bytes(), at=borders, normalize=st.booleans())
def test_inputs_do_not_depend_on_packet_borders(stream: bytes, at: list[int], normalize: bool) -> None:
    """The receiver sees the same inputs however TCP splits the stream: commands, AUTH, messages and chunks."""
    whole = read_all([stream], normalize=normalize, line_limit=40)
    assert whole == read_all(cut(stream, at), normalize=normalize, line_limit=40)
    assert whole == read_all([stream[n : n + 1] for n in range(len(stream))], normalize=normalize, line_limit=40)


@given(pieces=st.lists(st.binary(max_size=40), max_size=12), mode=st.sampled_from(("", "DATA\r\n", "AUTH X\r\n", "BDAT 30\r\n")))
def test_arbitrary_bytes_never_raise(pieces: list[bytes], mode: str) -> None:
    """Any bytes in, inputs out, in each mode."""
    for normalize in (True, False):
        read_all([mode.encode(), *pieces], normalize=normalize, line_limit=32)


@given(stream=smtp_bytes(), at=borders)
def test_the_buffer_is_bounded(stream: bytes, at: list[int]) -> None:
    """When all inputs have been taken, less than one line is kept."""
    receiver = Receiver(line_limit=40)
    for piece in cut(stream, at):
        receiver.receive_data(piece)
        while (seen := receiver.next_input()) is not None:
            react(receiver, seen)
        mode_limit = AUTH_LIMIT if b"AUTH" in stream else 40
        assert receiver.pending_octets < mode_limit


class Counted(bytes):
    """Bytes that count how many of them were searched and how many were copied."""

    searched = copied = 0

    def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(what, start)
        Counted.searched += (found if found >= 0 else len(self)) - start
        return found

    def __getitem__(self, index: slice) -> Counted:  # type: ignore[override]
        taken = Counted(bytes.__getitem__(self, index)) if isinstance(index, slice) else super().__getitem__(index)
        Counted.copied += len(taken) if isinstance(taken, bytes) else 0
        return taken

    def __add__(self, more: bytes) -> Counted:  # type: ignore[override]
        return Counted(super().__add__(more))


def work(pieces: Iterable[bytes]) -> tuple[int, int]:
    """Return how many octets the receiver searched and copied to read the pieces."""
    Counted.searched = Counted.copied = 0
    read_all(Counted(piece) for piece in pieces)
    return Counted.searched, Counted.copied


def test_piled_up_commands_cost_linear_time() -> None:
    """Each octet is searched once and copied once: the buffer is not copied at each command."""
    stream = b"NOOP x\r\n" * 1000
    searched, copied = work([stream])
    assert (True, True) == (searched <= len(stream), copied <= len(stream))


def test_a_line_that_dribbles_in_is_searched_once() -> None:
    """Each search for the line's end begins where the last one stopped."""
    stream = b"A" * 1000 + b"\r\n"
    searched, _ = work(stream[at : at + 1] for at in range(len(stream)))
    assert searched <= len(stream)
