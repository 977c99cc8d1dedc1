"""dialect - where a server believes that a command line and a message end.

What     A `Dialect` is three patterns: what ends a command line, what ends a line of a message, and which whole line is
         the end of data. STRICT is RFC 5321 §2.3.8 and §4.1.1.4: CRLF and a lone dot, nothing else. The others are
         faults met in real servers, each of which reads two messages where a strict server reads one.
         `Body` applies a dialect to a stream cut anywhere.
Source   CVE-2023-51764, -51765, -51766 and CVE-2024-27305 for the line ends; str.splitlines for the Python one.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """*cut_at* breaks a longer line of a message in two, as servers with a fixed line buffer do."""

    name: str
    command_end: re.Pattern[bytes]
    line_end: re.Pattern[bytes]
    dot: re.Pattern[bytes]
    cut_at: int | None = None


CRLF = re.compile(rb"\r\n")
LF = re.compile(rb"\r?\n")
DOT = re.compile(rb"\.")

STRICT = Dialect(name="strict", command_end=CRLF, line_end=CRLF, dot=DOT)
SLOPPY = Dialect(name="sloppy", command_end=LF, line_end=re.compile(rb"\r\n|\n|\r"), dot=DOT)
NUL_DROPPING = Dialect(name="nul-dropping", command_end=CRLF, line_end=re.compile(rb"\r\0*\n"), dot=re.compile(rb"\0*\.\0*"))
STRIPPING = Dialect(name="stripping", command_end=LF, line_end=LF, dot=re.compile(rb"\s*\.\s*"))
SEVEN_BIT = Dialect(
    name="seven-bit", command_end=CRLF, line_end=re.compile(rb"[\r\x8d][\n\x8a]"), dot=re.compile(rb"[.\xae]|\xc0\xae")
)
SPLITLINES = Dialect(
    name="splitlines",
    command_end=LF,
    line_end=re.compile(rb"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85]|\xc2\x85|\xe2\x80[\xa8\xa9]"),
    dot=DOT,
)

DIALECTS = {each.name: each for each in (STRICT, SLOPPY, NUL_DROPPING, STRIPPING, SEVEN_BIT, SPLITLINES)}


def cutting(length: int) -> Dialect:
    """Return a strict dialect that breaks lines longer than *length* bytes."""
    return Dialect(name=f"cutting-{length}", command_end=CRLF, line_end=CRLF, dot=DOT, cut_at=length)


class Body:
    """A message as one dialect reads it.

    *raw* is what it holds so far as it was on the wire, without the end of data; *text* the same with the stuffed dots
    removed. *rest* is what follows the end of data, once `feed` has returned True.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.text = bytearray()
        self.rest = b""
        self._dialect = dialect
        self._received = bytearray()
        self._line = 0  # where the line not yet ended begins
        self._scan = 0  # no line end begins before this point
        self._end: int | None = None

    @property
    def raw(self) -> bytes:
        return bytes(self._received if self._end is None else self._received[: self._end])

    def feed(self, more: bytes) -> bool:
        """Take *more* bytes; return whether the message has ended."""
        self._received += more
        while (line := self._next_line()) is not None:
            text, end, after = line
            if self._dialect.dot.fullmatch(text):
                self._end, self.rest = self._line, bytes(self._received[after:])
                return True
            self.text += (text[1:] if text.startswith(b".") else text) + end
            self._line = self._scan = after
        return False

    def _next_line(self) -> tuple[bytes, bytes, int] | None:
        found = self._dialect.line_end.search(self._received, self._scan)
        cut = self._dialect.cut_at
        if cut is not None and (found.start() if found else len(self._received)) - self._line > cut:
            after = self._line + cut
            return bytes(self._received[self._line : after]), b"", after
        if found is None:
            self._scan = max(self._line, len(self._received) - 64)  # CR, NULs and LF may be cut anywhere
            return None
        if found.end() == len(self._received) and found[0] == b"\r":
            return None  # the next byte says whether this is CRLF or a bare CR
        return bytes(self._received[self._line : found.start()]), found[0], found.end()
