"""text - bytes from a peer made fit for a log, a header or a terminal.

Promises  The result is printable ASCII, one line, no longer than asked; the escaping can be read back by eye
          (``\\r``, ``\\n``, ``\\x1b``). postscreen escapes PREGREET text in the same way.
"""

from __future__ import annotations

import re
from functools import lru_cache

TEXT_LIMIT = 100
"""Longest text from a client in a record, in characters (DESIGN §7)."""

_LOGIN = re.compile(rb"(AUTH[ \t]+[A-Z0-9_-]+).*", re.IGNORECASE | re.DOTALL)
_ESCAPES = [f"\\x{byte:02x}" for byte in range(256)]
for _byte in range(32, 127):
    _ESCAPES[_byte] = chr(_byte)
for _byte, _short in ((9, "\\t"), (10, "\\n"), (13, "\\r"), (92, "\\\\")):
    _ESCAPES[_byte] = _short


@lru_cache(maxsize=2)  # an early talker's first bytes are told twice in a row: as what came, and as the reason
def evidence(data: bytes, limit: int = TEXT_LIMIT) -> str:
    """Return what a client said out of turn, escaped; what follows AUTH and its mechanism may be a password and is left out."""
    head = data[:limit]
    return escape(_LOGIN.sub(rb"\1 ...", head) if b"AUTH" in head.upper() else head, limit)


def escape(data: bytes, limit: int = TEXT_LIMIT) -> str:
    """Return *data* as printable ASCII of at most *limit* characters; an escape is never cut in two."""
    head = data[:limit]
    if head.isascii() and b"\\" not in head:
        text = head.decode("ascii")
        if text.isprintable():
            return text
    pieces = [_ESCAPES[byte] for byte in head]
    text = "".join(pieces)
    length = len(text)
    if length <= limit:
        return text
    while length > limit:
        length -= len(pieces.pop())
    return text[:length]
