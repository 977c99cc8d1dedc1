"""receiver - the server's view of one client's byte stream.

What      Store bytes with `receive_data`, take what they mean with `next_input`. The caller says what comes next with
          `expect_message`, `expect_chunk` and `expect_auth_line`; after each of these the receiver returns to commands by itself.
Promises  Parsing never raises on a client's bytes. A command line ends in CRLF; one that holds a bare CR or NUL is one broken
          line, and so is one with a bare LF unless ``normalize`` is set, where the LF ends the line as in Postfix. A line beyond
          the limit is told once, and then nothing more is read. Every buffer has a limit: a line (`line_limit`, or
          AUTH_LIMIT in an AUTH exchange); message data and chunks are handed on at once.
Not here  What a command means to the session (core/conversation), what is relayed to whom.
Source    RFC 5321 §2.3.8 (CRLF only), §4.5.3.1.4 (command lines), RFC 4954 §4 (12,288 octets for AUTH).
"""

from __future__ import annotations

from enum import Enum

from tarry.smtp.body import BodyFault, MessageFilter
from tarry.smtp.grammar import parse_command
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

LINE_LIMIT = 2048
AUTH_LIMIT = 12288


class _Mode(Enum):
    COMMAND = "command"
    AUTH = "auth"
    MESSAGE = "message"
    CHUNK = "chunk"
    DEAF = "deaf"


class Receiver:
    """One client's byte stream, cut into inputs. The buffer holds what came behind the last input taken."""

    __slots__ = ("_at", "_buffer", "_ended", "_filter", "_line_limit", "_mode", "_normalize", "_octets", "_scanned")

    def __init__(self, *, line_limit: int = LINE_LIMIT, normalize: bool = True) -> None:
        self._buffer = b""
        self._at = 0  # what comes before has been taken; cutting the buffer at each line would cost its square
        self._scanned = 0  # no LF before this index: a line that dribbles in is not searched from its start each time
        self._mode = _Mode.COMMAND
        self._line_limit = line_limit
        self._normalize = normalize
        self._filter: MessageFilter | None = None
        self._ended = False  # end of data was found together with the last block, which goes out first
        self._octets = 0

    @property
    def has_pending(self) -> bool:
        """True while bytes have come that were not taken."""
        return self._at < len(self._buffer)

    @property
    def pending_octets(self) -> int:
        """How many bytes have come that were not taken."""
        return len(self._buffer) - self._at

    def pending(self, limit: int) -> bytes:
        """Return up to *limit* of the bytes that have come and were not taken."""
        return self._buffer[self._at : self._at + limit]

    def receive_data(self, data: bytes) -> None:
        """Store bytes. Nothing is parsed before `next_input`."""
        if self._mode is _Mode.DEAF:
            return
        if self._at < len(self._buffer):
            self._buffer = self._buffer[self._at :] + data
        else:
            self._buffer = data
        self._scanned -= self._at
        self._at = 0

    def expect_message(self) -> None:
        """What follows is message data, up to CRLF.CRLF (after 354)."""
        self._mode = _Mode.MESSAGE
        self._filter = MessageFilter(normalize=self._normalize)
        self._ended = False

    def expect_chunk(self, octets: int) -> None:
        """What follows is *octets* octets of a BDAT chunk."""
        self._mode = _Mode.CHUNK
        self._octets = octets

    def expect_auth_line(self) -> None:
        """What follows is one line of an AUTH exchange (after 334)."""
        self._mode = _Mode.AUTH

    def next_input(self) -> ClientInput | None:
        """Return what the client did next, or None where more bytes are needed."""
        match self._mode:
            case _Mode.COMMAND | _Mode.AUTH:
                return self._next_line()
            case _Mode.MESSAGE:
                return self._next_message_data()
            case _Mode.CHUNK:
                return self._next_octets()
            case _Mode.DEAF:
                return None

    def _next_line(self) -> ClientInput | None:
        buffer, at = self._buffer, self._at
        auth = self._mode is _Mode.AUTH
        limit = AUTH_LIMIT if auth else self._line_limit
        end = buffer.find(b"\n", max(at, self._scanned))
        # A line is measured with its CRLF, as RFC 5321 does, whether it has come whole or not: cuts make no difference.
        if (end if end >= 0 else len(buffer)) - at >= limit:
            self._go_deaf()
            return OverlongLine(limit)
        if end < 0:
            self._scanned = len(buffer)
            return None
        self._at = self._scanned = end + 1
        strict = end > at and buffer[end - 1] == 13
        line = buffer[at : end - 1 if strict else end]
        self._mode = _Mode.COMMAND
        if not strict and (auth or not self._normalize):
            return BrokenLine("LF", line)  # told before a CR or NUL in it: only after a LF may the next line begin elsewhere
        if b"\r" in line or b"\0" in line:
            return BrokenLine("CR" if b"\r" in line else "NUL", line)
        if auth:
            return AuthLine(line)
        return CommandLine(parse_command(line), bare_newline=not strict)

    def _next_message_data(self) -> ClientInput | None:
        message = self._filter
        assert message is not None
        while True:
            if self._ended:
                self._mode = _Mode.COMMAND
                self._filter = None
                return EndOfData(message.found)
            data = self._take(len(self._buffer))
            if not data:
                return None
            passed = message.feed(data)
            if isinstance(passed, BodyFault):
                self._go_deaf()
                return BrokenData(passed.what)
            block, rest = passed
            if rest is not None:
                self._ended = True
                self._buffer = rest
                self._at = self._scanned = 0
            if block:
                return MessageData(block)

    def _next_octets(self) -> ClientInput | None:
        if self._octets == 0:
            self._mode = _Mode.COMMAND
            return EndOfChunk()
        data = self._take(self._octets)
        self._octets -= len(data)
        return ChunkData(data) if data else None

    def _take(self, most: int) -> bytes:
        """Take up to *most* bytes; the whole buffer, the usual case, without a copy."""
        buffer, at = self._buffer, self._at
        if at == 0 and most >= len(buffer):
            self._buffer = b""
            self._scanned = 0
            return buffer
        data = buffer[at : at + most]
        self._at = self._scanned = at + len(data)
        return data

    def _go_deaf(self) -> None:
        self._mode = _Mode.DEAF
        self._buffer = b""
        self._at = self._scanned = 0
