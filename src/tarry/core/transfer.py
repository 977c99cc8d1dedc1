"""transfer - message data on its way from the client to the MTA.

What      Where the data of a transaction stands: how much has come, which header lines still go in front, whether a chunk is passed
          on or only counted.
Promises  Data is passed on in the blocks in which it came. Header lines go out once a message, before its first octet,
          and are counted into the size of its first chunk (RFC 3030). The last octet of a message that comes in chunks is withheld
          until the message may end: an MTA that has all octets of the last chunk has the message, whatever comes then.
"""

from __future__ import annotations

from tarry.core.upstream import Upstream
from tarry.smtp.grammar import Chunk
from tarry.smtp.reply import Reply

SLOWEST = 1024.0
"""Octets a second. A sender at this pace or above never meets the deadline for data, however long its message; a dribble adds
next to nothing to it."""


class Transfer:
    """The data of the transaction under way.

    ``is_open``: data is coming now. ``octets`` counts the message so far. ``discarded`` is the reply to a chunk that is
    not passed on.
    """

    __slots__ = ("_begun", "_headers", "_left", "_since", "_withheld", "discarded", "is_last", "is_open", "octets")

    def __init__(self) -> None:
        self.is_open = False
        self.is_last = False
        self.octets = 0
        self.discarded: Reply | None = None
        self._begun = False  # header lines have gone out
        self._headers = self._withheld = b""
        self._left = 0  # octets of the chunk that have not come
        self._since = 0.0

    def begin_message(self, headers: bytes, now: float) -> None:
        """The MTA said 354: data follows up to the end of data."""
        self.reset()
        self.is_open = True
        self._since = now
        self._headers = headers

    def begin_chunk(self, chunk: Chunk, headers: bytes, mta: Upstream, now: float) -> None:
        """Pass a BDAT command on. *headers* are used for the first chunk of a message only."""
        before = b"" if self._begun else headers
        self._begun = True
        self.is_open = True
        self.is_last = chunk.last
        self.discarded = None
        self._since = now
        self._left = chunk.octets
        line = b"BDAT %d%b\r\n%b" % (chunk.octets + len(before), b" LAST" if chunk.last else b"", before)
        if chunk.last and not chunk.octets:
            self._withheld = line
        else:
            mta.pass_on(line)

    def begin_discarded(self, reply: Reply, now: float) -> None:
        """Octets of a chunk follow that the MTA will not see; *reply* is the answer when they have come."""
        self.is_open = True
        self.is_last = False
        self.discarded = reply
        self._since = now

    def take(self, data: bytes, mta: Upstream) -> None:
        """Count a block, and pass it on unless it is discarded or the MTA has given its answer already."""
        if self.discarded is None:
            self.octets += len(data)
            self._left -= len(data)
            if mta.early is None:
                if self.is_last and data and self._left <= 0:
                    data, self._withheld = data[:-1], data[-1:]
                mta.pass_on(self.headers_left() + data if self._headers else data)

    def withheld(self) -> bytes:
        """Return what ends the message that comes in chunks, once."""
        withheld, self._withheld = self._withheld, b""
        return withheld

    def restart(self, now: float) -> None:
        """The client has its time for the message from now on."""
        self._since = now

    def headers_left(self) -> bytes:
        """Return the header lines that have not gone out, once."""
        headers, self._headers = self._headers, b""
        return headers

    def deadline(self, limit: float) -> float:
        """When the message must have come: *limit* seconds after its beginning, later the more of it has come."""
        return self._since + limit + self.octets / SLOWEST

    def reset(self) -> None:
        """The transaction is over or begins anew."""
        self.is_open = self.is_last = self._begun = False
        self.octets = 0
        self.discarded = None
        self._headers = self._withheld = b""
