"""recorded - what the sink saw: connections and the messages on them.

Promise  What is in a `Connection` happened; `Message.reply` is what the client was told, empty when it was told nothing.
"""

from dataclasses import dataclass, field

from tests.e2e.servers.proxyheader import Header


@dataclass(slots=True)
class Message:
    """A message that came to its end. *raw* is as on the wire, *text* without stuffed dots; both without the dot line."""

    sender: bytes
    recipients: list[bytes]
    raw: bytes
    text: bytes
    via: str  # "DATA" or "BDAT"
    mail: bytes  # the MAIL line
    rcpt: list[bytes]  # the RCPT lines
    connection: int
    at: float
    reply: bytes = b""

    @property
    def accepted(self) -> bool:
        """Whether the client was told 250, in full."""
        return self.reply.startswith(b"250 ") and self.reply.endswith(b"\r\n")


@dataclass(slots=True)
class Connection:
    """All that happened on one connection. Times are time.monotonic()."""

    number: int
    peer: tuple[str, int]
    opened_at: float
    received: bytearray = field(default_factory=bytearray)  # after TLS starts: the clear text
    sent: bytearray = field(default_factory=bytearray)
    reads: list[tuple[float, int]] = field(default_factory=list)  # when, and how many bytes
    lines: list[bytes] = field(default_factory=list)  # command lines without their ends
    messages: list[Message] = field(default_factory=list)
    proxy: Header | None = None
    xclient: list[bytes] = field(default_factory=list)
    credentials: list[tuple[bytes, bytes]] = field(default_factory=list)
    tls: str = ""  # protocol version once STARTTLS is through
    left_before_tls: bytes = b""  # sent in the clear behind STARTTLS; dropped
    body_left: bytes = b""  # what there was of a message that did not end
    ended: str = ""  # empty while open: quit, eof, reset, truncated, timeout, stopped, fault, protocol
    closed_at: float = 0.0

    @property
    def verbs(self) -> list[str]:
        return [verb(line) for line in self.lines]


def verb(line: bytes) -> str:
    """Return the first word of a command line, in capitals."""
    return (line.strip().split(None, 1) or [b""])[0].decode("latin-1").upper()
