"""steps - the words in which a habit is declared.

What     A Habit is a name, a kind, a few words for the table and the steps of one connection. Steps are data: `play` carries
         them out, tests read them without a network.
Kinds    HONEST  a client that must be served, however odd it looks
         BOT     a client that breaks the dialogue; being turned away is what it deserves
         ODD     breaks no rule; shown because servers differ in what they do (does a half-close end the hold? are 25 recipients
                 too many?)
Since    0.1
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from tarry.probe.trace import GREETING, Seconds

# For replies that a strict server may never send. Everything else is waited for until the time-out of the whole habit.
BOT_WAIT = Seconds(2.0)
# How long to listen for further replies before a client that has no more to say leaves.
QUIET = Seconds(1.0)


class Kind(StrEnum):
    """Who a habit stands for. The values are part of the JSON contract."""

    HONEST = "honest"
    BOT = "bot"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class Say:
    """Send *data*; with *pace*, a byte at a time and all of it in that many seconds.

    *as_server*: SERVER in *data* stands for the name that the server gave in its greeting.
    """

    data: bytes
    pace: Seconds = Seconds(0.0)
    only_if_refused: bool = False
    as_server: bool = False


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait for the reply to *what*; when none comes *within* that time, leave.

    *bears_refusal*: a no is what the client reckons with, and it goes on.
    """

    what: str
    within: Seconds | None = None
    bears_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Listen:
    """Take whatever comes until the server closes or has been quiet for that long."""

    quiet: Seconds = QUIET


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing, unless the server closes."""

    length: Seconds


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Say that nothing more will be sent, and go on reading."""


Step: TypeAlias = Say | Hear | Listen | Pause | HalfClose
# Stands in Say.data for the server's own name.
SERVER = b"{server}"
# How a polite client leaves, at the end or after a refusal.
GOODBYE: tuple[Step, ...] = (Say(b"QUIT\r\n"), Hear("quit", BOT_WAIT), Listen())


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user may choose about the clients."""

    sender: str = "probe@tarry.invalid"  # RFC 2606: nobody's domain; empty is the null sender
    recipient: str = "postmaster@localhost"
    deliver: bool = True
    flood_mail: bool = False  # whether the client with many recipients brings its message as well: never to a real server
    patience: Seconds = Seconds(2.0)
    reply_patience: Seconds = Seconds(10.0)  # of clients that send in bulk, for each reply after the greeting
    date: str = "Thu, 01 Jan 1970 00:00:00 +0000"
    token: str = "0"  # makes Message-IDs of two runs differ

    @property
    def hello(self) -> bytes:
        """The name that the clients give: the sender's domain, since a server may compare the two."""
        return (self.sender.rpartition("@")[2] or "probe.tarry.invalid").encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """One client.

    *goal* is the reply that it is after; with the greeting as the goal it wants no more than to be let in. *polite* says
    whether a refusal makes it QUIT; otherwise it goes through all its steps. *gives_up* says that it is the client's own choice to
    leave when a reply stays away. *repeats* names what a flood does many times: its replies are those to "rcpt 1", "rcpt 2"...
    """

    name: str
    kind: Kind
    did: str
    goal: str
    steps: tuple[Step, ...]
    polite: bool = True
    gives_up: bool = False
    repeats: str = ""

    @property
    def waits_for_greeting(self) -> bool:
        """Tell whether the client is silent until the greeting, however long that takes: then its wait measures the hold."""
        return self.steps[0] == Hear(GREETING)

    @property
    def bears_refusals_of(self) -> frozenset[str]:
        """What may be refused without that being a refusal of the client."""
        return frozenset(step.what for step in self.steps if isinstance(step, Hear) and step.bears_refusal)
