"""mta - an MTA for conversations without sockets: it answers the same to the same, unless told otherwise, and keeps mail.

What     `Mta` takes the effects of a conversation and gives what the MTA sends; `talk_through` plays a client's groups of commands
         against it, on a clock of its own, and returns the codes that the client was told and the messages that the MTA accepted.
Facts    A sender with "nosender" in it is refused, a recipient with "nobody" for good, with "later" for now. It knows
         PIPELINING, CHUNKING and AUTH PLAIN, and lets everybody log in. *moods* are answers that it gives instead, and then does
         not do what it was asked: by the number of the connection, and of the command on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tarry.core.border import CloseMta, OpenMta, Relay, Send, SessionEffect
from tarry.core.conversation import Conversation
from tarry.core.setting import Setting
from tests.talk import BEGUN_AT

EHLO = b"250-mta.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n"
BODY = b"Subject: x\r\n\r\ntext\r\n.\r\n"
LONGER_THAN_ANY_HOLD = 20.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that the MTA said 250 to."""

    mail: bytes
    rcpts: tuple[bytes, ...]
    text: bytes


@dataclass(slots=True)
class Connection:
    """One connection: what it has sent and not been answered, and its transaction."""

    commands: int = 0
    buffer: bytes = b""
    mail: bytes = b""
    rcpts: list[bytes] = field(default_factory=list)
    text: bytes = b""
    in_data: bool = False
    chunk: int = -1
    is_last: bool = False

    def forget(self) -> None:
        self.mail = self.text = b""
        self.rcpts = []


class Mta:
    """The MTA of one session."""

    def __init__(self, moods: Mapping[tuple[int, int], bytes] | None = None) -> None:
        self._moods = moods or {}
        self.accepted: list[Accepted] = []
        self.opened = 0
        self.is_asked_to_open = False
        self.connection: Connection | None = None

    def take(self, effects: Iterable[SessionEffect]) -> None:
        """Hear what the conversation orders."""
        for effect in effects:
            match effect:
                case OpenMta():
                    self.is_asked_to_open = True
                case CloseMta():
                    self.connection = None
                    self.is_asked_to_open = False
                case Relay(data=data):
                    assert self.connection is not None
                    self.connection.buffer += data
                case _:
                    pass

    def says(self) -> bytes:
        """Return the reply that is due next, or nothing."""
        if self.is_asked_to_open:
            self.is_asked_to_open = False
            self.connection = Connection()
            self.opened += 1
            return b"220 mta.example\r\n"
        at = self.connection
        if at is None:
            return b""
        if at.in_data:
            return self._end_of_data(at)
        if at.chunk >= 0:
            return self._chunk(at)
        line, end, rest = at.buffer.partition(b"\r\n")
        if not end:
            return b""
        at.buffer = rest
        at.commands += 1
        if mood := self._moods.get((self.opened, at.commands)):
            return mood
        return self._command(at, line)

    def _command(self, at: Connection, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO" | b"HELO":
                at.forget()
                return EHLO if line[:4].upper() == b"EHLO" else b"250 mta.example\r\n"
            case b"MAIL" if at.mail:
                return b"503 nested\r\n"
            case b"MAIL" if b"nosender" in line:
                return b"550 sender\r\n"
            case b"MAIL":
                at.mail = line
            case b"RCPT" if not at.mail:
                return b"503 MAIL first\r\n"
            case b"RCPT" if b"nobody" in line or b"later" in line:
                return b"550 nobody\r\n" if b"nobody" in line else b"451 later\r\n"
            case b"RCPT":
                at.rcpts.append(line)
            case b"DATA" if not at.rcpts:
                return b"554 nobody to send it to\r\n" if at.mail else b"503 MAIL first\r\n"
            case b"DATA":
                at.in_data = True
                return b"354 go\r\n"
            case b"BDAT":
                at.chunk = int(line.split()[1])
                at.is_last = line.endswith(b"LAST")
                return self._chunk(at)
            case b"AUTH":
                return b"503 not now\r\n" if at.mail else b"235 ok\r\n"
            case b"RSET":
                at.forget()
            case b"QUIT":
                return b"221 bye\r\n"
            case _:
                return b"500 what\r\n"
        return b"250 ok\r\n"

    def _end_of_data(self, at: Connection) -> bytes:
        text, end, rest = at.buffer.partition(b"\r\n.\r\n")
        if not end:
            return b""
        at.buffer, at.in_data, at.text = rest, False, text
        return self._keep(at)

    def _chunk(self, at: Connection) -> bytes:
        if len(at.buffer) < at.chunk:
            return b""
        at.text += at.buffer[: at.chunk]
        at.buffer, at.chunk = at.buffer[at.chunk :], -1
        if not at.rcpts:
            if at.is_last:
                at.forget()
            return b"503 RCPT first\r\n"
        return self._keep(at) if at.is_last else b"250 ok\r\n"

    def _keep(self, at: Connection) -> bytes:
        self.accepted.append(Accepted(at.mail, tuple(at.rcpts), at.text))
        at.forget()
        return b"250 kept\r\n"


def talk_through(
    setting: Setting, groups: Sequence[bytes], moods: Mapping[tuple[int, int], bytes] | None = None
) -> tuple[list[int], list[Accepted], int]:
    """Play *groups*, each in one block, a message after each 354; return codes, messages and how often the MTA was opened."""
    conversation, mta, now, told = Conversation(setting), Mta(moods), BEGUN_AT, b""

    def take(effects: list[SessionEffect]) -> None:
        nonlocal told
        mta.take(effects)
        told += b"".join(effect.data for effect in effects if isinstance(effect, Send))

    def settle() -> None:
        nonlocal now
        while True:
            before = mta.opened
            if said := mta.says():
                if mta.opened != before:
                    take(conversation.mta_opened(now))
                take(conversation.mta_sent(said, now))
            elif conversation.wake_at - now <= LONGER_THAN_ANY_HOLD:
                now = conversation.wake_at
                take(conversation.due(now))
            else:
                return

    take(conversation.begin(now))
    for group in groups:
        take(conversation.client_sent(group, now))
        settle()
        if told.splitlines()[-1].startswith(b"354"):
            take(conversation.client_sent(BODY, now))
            settle()
    return [int(line[:3]) for line in told.splitlines() if line[3:4] == b" "], mta.accepted, mta.opened
