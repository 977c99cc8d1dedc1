"""border - everything that crosses between the core and the shell.

What      Inputs that happen to a held client, the moments that checks look at, and the effects that the core orders.
Promises  Plain values. The core never touches a socket; the shell never decides. Effects are msgspec structs: a message
          makes 35 of them, and a frozen dataclass takes ten times as long to make.
Words     An input is a past fact, an effect an order. "Command" means an SMTP command only.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tarry.core.facts import Answer, Question
from tarry.record.schema import SessionEvent
from tarry.smtp.grammar import Command
from tarry.smtp.reply import Reply

PEEK_BYTES = 1024
"""How much of early talk is looked at; the bytes stay in the socket. postscreen peeks 1,023 (peers.md, section 3)."""


# Inputs to the hold before the greeting; `Readable` and `Due` are moments for checks as well.


class Readable(msgspec.Struct, frozen=True):
    """Bytes lie in the socket before the greeting: ``first`` is what a peek showed."""

    first: bytes


class HungUp(msgspec.Struct, frozen=True):
    """The client ended its side with a FIN, or the connection with a RST. A FIN may be a half-close: the hold goes on."""

    reset: bool = False


class Due(msgspec.Struct, frozen=True):
    """The hold is over, and the socket was still empty when last looked at."""


class Answered(msgspec.Struct, frozen=True):
    """What was asked about the client came back."""

    answer: Answer


HoldInput: TypeAlias = Readable | HungUp | Due | Answered


# Moments in the conversation, and the one before it.


class Arrived(msgspec.Struct, frozen=True):
    """The client came in, and only its address is known. A moment to ask at, and not to look."""


class Hello(msgspec.Struct, frozen=True):
    """EHLO or HELO (``verb``) came with ``name``, the ``count``-th of the session. `About.helo` is still the one before."""

    verb: str
    name: str
    count: int


class Sender(msgspec.Struct, frozen=True):
    """MAIL came. ``address`` is the reverse-path without its brackets, "" for the null one."""

    address: str


class Recipient(msgspec.Struct, frozen=True):
    """The ``count``-th RCPT of this transaction came, for ``address``."""

    address: str
    count: int


class RecipientAnswered(msgspec.Struct, frozen=True):
    """The MTA answered a RCPT with ``code``; ``accepted`` so far in this transaction, ``refused`` (4xx, 5xx) in the session."""

    code: int
    accepted: int
    refused: int


class Repeated(msgspec.Struct, frozen=True):
    """The ``count``-th RSET or NOOP (``verb``) of the session came."""

    verb: str
    count: int


class Piled(msgspec.Struct, frozen=True):
    """Bytes lay behind ``verb`` before it was answered. ``grouping``: RFC 2920 grouping was on offer and EHLO had been answered."""

    verb: str
    first: bytes
    grouping: bool


class PreData(msgspec.Struct, frozen=True):
    """Message data came before the 354."""

    first: bytes


class Stray(msgspec.Struct, frozen=True):
    """A bare CR, LF or NUL (``what``) stood in a ``command`` or ``message``."""

    where: str
    what: str
    text: bytes = b""


class Unrecognised(msgspec.Struct, frozen=True):
    """A command that is none, or none that tarry relays."""

    command: Command


class Erred(msgspec.Struct, frozen=True):
    """The client got its ``count``-th reply that says its command was wrong (500 to 504, 555)."""

    count: int


Moment: TypeAlias = (
    Arrived
    | Readable
    | Due
    | Answered
    | Hello
    | Sender
    | Recipient
    | RecipientAnswered
    | Repeated
    | Piled
    | PreData
    | Stray
    | Unrecognised
    | Erred
)


# Effects.


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Write this record."""

    event: SessionEvent


class Greet(msgspec.Struct, frozen=True, gc=False):
    """The hold is survived: write the greeting and begin the session."""


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """Send this one reply, then close; nothing that the client has piled up is answered."""

    reply: Reply


class Forget(msgspec.Struct, frozen=True, gc=False):
    """The client is gone: close the descriptor."""


class Wait(msgspec.Struct, frozen=True, gc=False):
    """The hold is to last ``seconds`` from accept on, in place of what it was to last."""

    seconds: float


HoldEffect: TypeAlias = Emit | Wait | Greet | Refuse | Forget


class Send(msgspec.Struct, frozen=True, gc=False):
    """Write to the client."""

    data: bytes


class OpenMta(msgspec.Struct, frozen=True, gc=False):
    """Connect to the MTA; answered by `Conversation.mta_opened` or `mta_left`."""


class Relay(msgspec.Struct, frozen=True, gc=False):
    """Write to the MTA."""

    data: bytes


class CloseMta(msgspec.Struct, frozen=True, gc=False):
    """End the MTA's connection. ``abort``: at once, with nothing more sent, so that a message under way is dropped."""

    abort: bool = False


class Learn(msgspec.Struct, frozen=True, gc=False):
    """The MTA's EHLO reply, for the greeting of later clients."""

    ehlo: Reply


class SecureMta(msgspec.Struct, frozen=True, gc=False):
    """Begin TLS on the MTA's connection, as its client; answered by `Conversation.mta_secured`."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Look these up; each is answered by `Conversation.answered`, once."""

    questions: tuple[Question, ...]


class Pump(msgspec.Struct, frozen=True, gc=False):
    """From here on pass bytes both ways unread (STARTTLS in relay mode)."""


class StartTls(msgspec.Struct, frozen=True, gc=False):
    """What was sent until now was the last in the clear: begin the handshake, and read nothing in between.

    Answered by `Conversation.tls_established` or `tls_failed`.
    """


class Close(msgspec.Struct, frozen=True, gc=False):
    """End the client's connection once what was sent has gone out.

    ``linger``: what the client still sends is drained within bounds, so that no reset destroys the reply. After a QUIT with nothing
    behind it there is nothing to drain.
    """

    linger: bool = True


SessionEffect: TypeAlias = Emit | Send | OpenMta | Relay | CloseMta | Learn | SecureMta | Ask | Pump | StartTls | Close


class Outbox:
    """Effects in the order in which they were given; bytes for the same side that follow each other become one write."""

    __slots__ = ("_effects",)

    def __init__(self) -> None:
        self._effects: list[SessionEffect] = []

    def put(self, effect: SessionEffect) -> None:
        self._effects.append(effect)

    def send(self, data: bytes) -> None:
        """Write to the client."""
        effects = self._effects
        last = effects[-1] if effects else None
        if isinstance(last, Send):
            effects[-1] = Send(last.data + data)
        else:
            effects.append(Send(data))

    def relay(self, data: bytes) -> None:
        """Write to the MTA."""
        effects = self._effects
        last = effects[-1] if effects else None
        if isinstance(last, Relay):
            effects[-1] = Relay(last.data + data)
        else:
            effects.append(Relay(data))

    def take(self) -> list[SessionEffect]:
        """Return what was put and begin anew."""
        effects, self._effects = self._effects, []
        return effects
