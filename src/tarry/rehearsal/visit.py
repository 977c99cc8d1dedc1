"""visit - what a client does that is tried out: a patient one, by default, with one message.

What      `Visit` is its address, its words and its habits; `dialogue` is what it says after the greeting, command by command.
Promises  It waits for each reply, does what RFC 5321 tells it to on a refusal, and always ends: by QUIT, if it comes to that.
"""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address

import msgspec

from tarry.smtp.reply import Reply

FLOODS = ("rcpt", "mail", "rset", "noop", "error")
"""Commands of which there may be many; ``mail`` counts whole messages."""
MOST = 10_000
_HELLO = (b"EHLO ", b"HELO ")
_MESSAGE = b"Subject: a rehearsal\r\n\r\nNothing of this was sent.\r\n.\r\n"


class Early(msgspec.Struct, frozen=True):
    """Bytes that the client sends ``at`` seconds after it connected, whether it is its turn or not."""

    at: float
    data: bytes


class Visit(msgspec.Struct, frozen=True):
    """One client. ``leaves`` is when it hangs up, None for never; ``counts`` how many it sends of `FLOODS`.

    It is the ``connection``-th at once from its address, and the ``client``-th at once of all.
    """

    address: IPv4Address | IPv6Address
    helo: str = "mail.example.net"
    sender: str = "sender@example.net"
    recipients: tuple[str, ...] = ("postmaster@example.org",)
    early: tuple[Early, ...] = ()
    leaves: float | None = None
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    connection: int = 1
    client: int = 1

    def count(self, kind: str) -> int:
        """Return how many commands of a kind it sends."""
        least = {"rcpt": len(self.recipients), "mail": 1}.get(kind, 0)
        return max(least, min(MOST, self.counts.get(kind, 0)))


class Line(msgspec.Struct, frozen=True):
    """What it sends in one go, and how that is told."""

    data: bytes
    told: str


def dialogue(visit: Visit, early: bytes = b"") -> Generator[Line, Reply, None]:
    """Yield what the client says after the greeting, but for the EHLO that it has said *early*; each reply is sent in."""
    if not early.startswith(_HELLO) and (yield _command(f"EHLO {visit.helo}")).code >= 400:
        yield _command("QUIT")
        return
    for _ in range(visit.count("error")):
        yield _command("XYZZY")
    for _ in range(visit.count("noop")):
        yield _command("NOOP")
    for _ in range(visit.count("rset")):
        yield _command("RSET")
    for _ in range(visit.count("mail")):
        yield from _message(visit)
    yield _command("QUIT")


def _message(visit: Visit) -> Generator[Line, Reply, None]:
    if (yield _command(f"MAIL FROM:<{visit.sender}>")).code >= 400:
        return
    accepted = 0
    for number in range(visit.count("rcpt")):
        accepted += (yield _command(f"RCPT TO:<{_recipient(visit, number)}>")).code < 400
    if not accepted:
        yield _command("RSET")
        return
    if (yield _command("DATA")).code == 354:
        yield Line(_MESSAGE, "sends its message")


def _recipient(visit: Visit, number: int) -> str:
    if number < len(visit.recipients):
        return visit.recipients[number]
    name, at, domain = visit.recipients[0].rpartition("@")
    return f"{name}-{number + 1}{at}{domain}"


def _command(line: str) -> Line:
    return Line(line.encode("utf-8", "backslashreplace") + b"\r\n", line)
