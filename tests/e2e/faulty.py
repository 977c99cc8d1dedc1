"""faulty - one session through a front door whose MTA misbehaves, for the promises about faults."""

import time
from dataclasses import dataclass, field

from tests.e2e.servers.clients import Reply
from tests.e2e.servers.door import Door
from tests.e2e.servers.faults import Fault

BACKEND = 1.0
CONFIG = f'[limits]\nbackend = "{BACKEND:.0f}s"\n'
BODY = b"Subject: hello\r\n\r\n" + b"0123456789\r\n" * 50 + b".\r\n"
STEPS = (
    ("EHLO", b"EHLO client.example\r\n", 250),
    ("MAIL", b"MAIL FROM:<sender@client.example>\r\n", 250),
    ("RCPT", b"RCPT TO:<alice@example.org>\r\n", 250),
    ("DATA", b"DATA\r\n", 354),
    ("message", BODY, 250),
)


@dataclass(slots=True)
class Played:
    """How the session went: *last* is the step that it ended at, *slowest* the longest wait for a reply or a close."""

    replies: list[tuple[str, Reply]] = field(default_factory=list)
    last: str = ""
    closed: bool = False
    slowest: float = 0.0
    port: int = 0

    @property
    def codes(self) -> list[int]:
        return [reply.code for _, reply in self.replies]

    @property
    def accepted(self) -> bool:
        """Whether the client was told 250 for its message."""
        return any(step == "message" and reply.code == 250 for step, reply in self.replies)


def play(door: Door, fault: Fault) -> Played:
    """Send one message while the sink misbehaves; stop where the answer is not what lets a client go on."""
    door.sink.play(fault)
    if fault.at == "connect":
        door.sink.listen()
    played = Played()
    try:
        with door.client(timeout=8) as client:
            played.port = client.address[1]
            assert client.read_reply().code == 220
            for step, said, wanted in STEPS:
                played.last = step
                began = time.monotonic()
                try:
                    client.send(said)
                    reply = client.read_reply()
                except ConnectionError:  # it closed without a word: the client will come again
                    played.closed = True
                    break
                finally:
                    played.slowest = max(played.slowest, time.monotonic() - began)
                played.replies.append((step, reply))
                if reply.code != wanted:
                    break
            if not played.closed and played.codes[-1] // 100 == 4:
                client.send(b"QUIT\r\n")
                client.read_until_closed(3)
    finally:
        if fault.at == "connect":
            door.sink.play()
            door.sink.listen()
    return played
