"""replies - cut the server's byte stream into replies.

What     RFC 5321 §4.2.1: lines of three digits and a hyphen go on, three digits and a space end the reply.
Lenient  A line may end in bare LF, a code may change within one reply (a `220-` teaser that turns into `521 `, as postscreen
         sends it): the last line's code is what counts. Anything else is one reply with code 0, so that a server that
         does not speak SMTP is shown and not waited for.
Bounds   A line is at most 4096 bytes here (RFC 5321 §4.5.3.1.5 asks for 512); what is longer is cut and has code 0.
Since    0.1
"""

import re
from dataclasses import dataclass, field

from tarry.smtp.text import escape

MAX_LINE_BYTES = 4096
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


@dataclass(slots=True)
class ReplyReader:
    """Collects bytes and gives whole replies as (code, first line of text)."""

    _rest: bytearray = field(default_factory=bytearray)
    _begun: tuple[int, str] | None = None  # code and text of the first line of a reply that is not complete

    def feed(self, data: bytes) -> list[tuple[int, str]]:
        """Take the next bytes and return the replies that they complete, oldest first."""
        self._rest += data
        *lines, tail = self._rest.split(b"\n")
        if len(tail) > MAX_LINE_BYTES:
            lines.append(tail)
            tail = bytearray()
        self._rest = tail
        return [reply for line in lines if (reply := self._read(bytes(line))) is not None]

    def finish(self) -> list[tuple[int, str]]:
        """Return what the server left incomplete when it closed: a cut line, or a reply whose last line never came."""
        found = []
        if self._rest:
            reply = self._read(bytes(self._rest))
            found = [reply] if reply is not None else []
            self._rest = bytearray()
        if self._begun is not None:
            found.append((0, self._begun[1]))
            self._begun = None
        return found

    def _read(self, line: bytes) -> tuple[int, str] | None:
        line = line.removesuffix(b"\r")
        match = _LINE.fullmatch(line) if len(line) <= MAX_LINE_BYTES else None
        if match is None:
            self._begun = None
            return 0, escape(line)
        code, text = int(match[1]), escape(match[3] or b"")
        if self._begun is None:
            self._begun = code, text
        if match[2] == b"-":
            return None
        begun, self._begun = self._begun, None
        return code, begun[1] if begun[0] == code else text
