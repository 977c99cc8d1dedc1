"""inputs - what a client did, as the receiver tells it.

What      The closed set of values that `Receiver.next_input` yields.
Promises  They depend on the bytes and on the mode the receiver was put in, never on how TCP cut the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tarry.smtp.grammar import Command


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A whole command line. ``bare_newline`` says that a bare LF ended it (only where such lines are taken)."""

    command: Command
    bare_newline: bool = False


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A command line that no command may be read from: it holds a bare "LF", a bare "CR" or a "NUL"."""

    what: str
    line: bytes


@dataclass(frozen=True, slots=True)
class OverlongLine:
    """A line beyond its limit. Nothing more is read: the rest of the line must not be taken for a command."""

    limit: int


@dataclass(frozen=True, slots=True)
class MessageData:
    """A block of message data, fit to be sent to the MTA as it is."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfData:
    """CRLF.CRLF has come. ``mended`` names the first stray byte that was normalised ("" where there was none)."""

    mended: str = ""


@dataclass(frozen=True, slots=True)
class BrokenData:
    """The message holds a bare CR, bare LF or NUL and is refused for it. Nothing more is read."""

    what: str


@dataclass(frozen=True, slots=True)
class ChunkData:
    """Octets of a BDAT chunk, opaque."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfChunk:
    """All octets of the chunk have come."""


@dataclass(frozen=True, slots=True)
class AuthLine:
    """One line of an AUTH exchange, without its CRLF."""

    line: bytes


ClientInput: TypeAlias = (
    CommandLine | BrokenLine | OverlongLine | MessageData | EndOfData | BrokenData | ChunkData | EndOfChunk | AuthLine
)
