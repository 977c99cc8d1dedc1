"""body - the message after 354: where it ends, and nothing in it that two servers could read in two ways.

What      `MessageFilter` passes blocks of message data on and finds the end of data.
Promises  The end is CRLF.CRLF (or .CRLF as the first line) and nothing else. No bare CR, bare LF or NUL comes out. With
          "normalize" a bare LF becomes CRLF (with dot-stuffing redone for the line that this makes), a bare CR or a NUL a
          space; with "reject" they are a fault. Clean data leaves byte for byte, in whole blocks. What comes out does not
          depend on how the input was cut.
          A line that begins with one dot and more text was not stuffed by its sender; its dot is taken off here, as the
          MTA would (RFC 5321 §4.5.2), so that ``. CRLF`` or ``.\\x0bCRLF`` cannot pass for an end of data in an MTA that strips.
How       A block is clean when it has as many LFs and as many CRs as it has CRLFs, and no NUL: counted at memory speed. Only
          another block is taken apart. Up to four bytes are held back while they could be the beginning of the end, so
          a message that breaks off leaves no dot behind.
Why       SMTP smuggling: CVE-2023-51764 (Postfix), -51765 (Sendmail), -51766 (Exim). A CR or NUL is replaced, never removed,
          since removing one can join CRLF and a dot to an end of data.
Source    RFC 5321 §4.1.1.4 and §4.5.2; Postfix smtpd_forbid_bare_newline = normalize.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_END = b"\r\n.\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n(\.?)")
_BARE_CR_OR_NUL = re.compile(rb"\r(?!\n)|\0")
_NAMES = {b"\r": "CR", b"\n": "LF", b"\0": "NUL"}


@dataclass(frozen=True, slots=True)
class BodyFault:
    """The message holds what may not be relayed (only with ``reject``): a bare "CR", a bare "LF" or a "NUL"."""

    what: str


class MessageFilter:
    """One message's data on its way through.

    ``found`` names the first stray byte that was mended ("" while there is none).
    """

    __slots__ = ("_after_stray", "_at_start", "_held", "_normalize", "found")

    def __init__(self, *, normalize: bool) -> None:
        self._normalize = normalize
        self._held = b"\r\n"  # a line end of our own before the first byte, so that the first line needs no rule of its own
        self._at_start = True
        self._after_stray = False  # the last byte out ended a line that a bare LF made: a dot that follows is to be stuffed
        self.found = ""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None] | BodyFault:
        """Take a block; return (what may go out now, what followed the end of data, or None where the end has not come).

        What goes out ends with the CRLF before the dot when the end has come; the line with the dot is left to the caller.
        """
        block = self._held + data if self._held else data
        single_dots: list[int] = []
        rest: bytes | None = None
        cut = -1
        at = block.find(b"\r\n.")
        while at >= 0:
            after = block[at + 3 : at + 5]
            if after == b"\r\n":
                cut, rest = at + 2, block[at + 5 :]
                break
            if after in (b"", b"\r"):
                cut = at  # undecided until more comes
                break
            if after[:1] != b".":
                single_dots.append(at + 2)
            at = block.find(b"\r\n.", at + 3)
        if cut < 0:
            cut = len(block) - (2 if block.endswith(b"\r\n") else block.endswith(b"\r"))
        self._held = b"" if rest is not None else block[cut:]
        if cut != len(block):
            block = block[:cut]
        if single_dots:
            block = _without(block, single_dots)
        if self._at_start and block:
            # Our own CRLF stays out, but it is looked back at: so it goes after mending.
            mended = self._mend(block)
            self._at_start = False
            return mended if isinstance(mended, BodyFault) else (mended[2:], rest)
        mended = self._mend(block)
        return mended if isinstance(mended, BodyFault) else (mended, rest)

    def _mend(self, block: bytes) -> bytes | BodyFault:
        ends = block.count(b"\r\n")
        if ends == block.count(b"\n") and ends == block.count(b"\r") and b"\0" not in block:
            if self._after_stray and block:
                self._after_stray = False
                if block.startswith(b"."):
                    return b"." + block
            return block
        stray = _BARE_LF.search(block), _BARE_CR_OR_NUL.search(block)
        first = min((found for found in stray if found), key=lambda found: found.start())
        what = _NAMES[block[first.start() : first.start() + 1]]
        self.found = self.found or what
        if not self._normalize:
            return BodyFault(what)
        stuff = b"." if self._after_stray and block.startswith(b".") else b""
        self._after_stray = block.endswith(b"\n") and not block.endswith(b"\r\n")
        return stuff + _BARE_LF.sub(rb"\r\n\1\1", _BARE_CR_OR_NUL.sub(b" ", block))


def _without(block: bytes, positions: list[int]) -> bytes:
    """Return *block* less the bytes at *positions* (ascending)."""
    pieces = []
    start = 0
    for position in positions:
        pieces.append(block[start:position])
        start = position + 1
    pieces.append(block[start:])
    return b"".join(pieces)
