"""reply - SMTP replies: built, parsed, relayed as they came.

What      `Reply`, a reply of either side with its exact bytes; `ReplyReader`, which cuts the MTA's stream into replies.
Promises  A reply that was read is relayed byte for byte. A stream that is no reply (mixed codes, no code, a line or a reply
          beyond its limit, a bare LF) becomes a `ReplyFault`, never an exception and never a guess.
Limits    LINE_LIMIT per line, REPLY_LIMIT per reply: RFC 5321 §4.5.3.1.5 asks for 512 octets a line; Postfix and Exim send up
          to 2,048, and an EHLO reply is rarely above 1 KiB.
Source    RFC 5321 §4.2 and §4.2.1 (multi-line replies), RFC 2034 and RFC 3463 (enhanced status codes).
"""

from __future__ import annotations

import re

import msgspec

LINE_LIMIT = 4096
REPLY_LIMIT = 65536
ERRORS = frozenset({500, 501, 502, 503, 504, 555})
"""Codes of replies to what is an error in itself, whoever says it (RFC 5321 §4.2.2 and §4.1.1.11)."""

# The whole of what a read brought is one reply of one line: nearly always.
_SINGLE = re.compile(rb"([2-5][0-9][0-9])(?: [^\r\n\0]*)?\r\n\Z")
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n\0]*))?\Z")


class Reply(msgspec.Struct, frozen=True):
    """One reply. ``raw`` holds its lines with their CRLFs, exactly as sent or as to be sent."""

    code: int
    raw: bytes

    @property
    def lines(self) -> tuple[bytes, ...]:
        """The text of each line, without code and CRLF."""
        return tuple(line[4:] for line in self.raw.split(b"\r\n")[:-1])

    @property
    def last_line(self) -> bytes:
        """The last line's text, for the log."""
        return self.raw[self.raw.rfind(b"\n", 0, -2) + 5 : -2]

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300


class ReplyFault(msgspec.Struct, frozen=True):
    """The MTA sent something that is no reply."""

    why: str


def reply(code: int, *texts: str | bytes) -> Reply:
    """Build a reply of one line per text. Raises ValueError for a code or text that cannot stand in a reply.

    An enhanced status code is part of the text: ``reply(250, "2.0.0 Ok")``.
    """
    if not 200 <= code <= 599:
        raise ValueError(f"no SMTP reply code: {code}")
    *most, last = [text if isinstance(text, bytes) else text.encode("utf-8") for text in texts or ("",)]
    raw = b"".join(b"%d-%b\r\n" % (code, text) for text in most) + b"%d %b\r\n" % (code, last)
    if raw.count(b"\n") != len(most) + 1 or raw.count(b"\r") != len(most) + 1 or b"\0" in raw:
        raise ValueError(f"a reply text holds CR, LF or NUL: {texts!r}")
    return Reply(code, raw)


class ReplyReader:
    """Cut the bytes of an MTA into replies.

    Feed bytes with `receive_data`; take what is complete with `next_reply`. After a fault the stream is not read further.
    """

    __slots__ = ("_buffer", "_code", "_fault", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0  # where the first line not yet looked at begins
        self._code = 0  # code of the multi-line reply under way
        self._fault: ReplyFault | None = None

    def __len__(self) -> int:
        """Bytes received and not yet handed out."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Store bytes; parsing waits for `next_reply`. After a fault nothing is stored."""
        if self._fault is None:
            self._buffer += data

    def next_reply(self) -> Reply | ReplyFault | None:
        """Return the next complete reply, a fault, or None where more bytes are needed."""
        if self._fault is not None:
            return self._fault
        buffer = self._buffer
        if not buffer:
            return None
        if not self._start and len(buffer) <= LINE_LIMIT:
            raw = bytes(buffer)
            match = _SINGLE.match(raw)
            if match is not None:
                buffer.clear()
                return Reply(int(match[1]), raw)
        while True:
            end = buffer.find(b"\n", self._start)
            if end < 0:
                if len(buffer) - self._start > LINE_LIMIT:
                    return self._fail(f"a reply line beyond {LINE_LIMIT} bytes")
                return None
            line = bytes(buffer[self._start : end])
            if len(line) > LINE_LIMIT:
                return self._fail(f"a reply line beyond {LINE_LIMIT} bytes")
            if not line.endswith(b"\r"):
                return self._fail("a reply line that does not end in CRLF")
            match = _LINE.match(line[:-1])
            if match is None:
                return self._fail("a line that is no SMTP reply")
            code = int(match[1])
            if self._code and code != self._code:
                return self._fail(f"a reply that mixes {self._code} and {code}")
            if end + 1 > REPLY_LIMIT:
                return self._fail(f"a reply beyond {REPLY_LIMIT} bytes")
            self._start = end + 1
            if match[2] == b"-":
                self._code = code
                continue
            raw = bytes(buffer[: end + 1])
            del buffer[: end + 1]
            self._start = self._code = 0
            return Reply(code, raw)

    def _fail(self, why: str) -> ReplyFault:
        self._fault = ReplyFault(why)
        self._buffer.clear()
        return self._fault
