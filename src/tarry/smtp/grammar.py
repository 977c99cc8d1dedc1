"""grammar - what a command line says.

What      Cut a command line into verb and argument, and read the few arguments that the front door itself must understand:
          the reverse- and forward-path (for the log), the size of a BDAT chunk, the AUTH mechanism.
Promises  Any bytes in, a value out; nothing raises. Arguments that only the MTA judges (MAIL and RCPT with their parameters)
          are never rewritten: the line is relayed as it came.
Source    RFC 5321 §4.1 (commands) and §4.5.3.1 (limits), RFC 3030 (BDAT), RFC 4954 (AUTH).
"""

from __future__ import annotations

import re

import msgspec

_VERB = re.compile(rb"([A-Za-z]{1,16})(?:[ \t]+(.*))?[ \t]*\Z", re.DOTALL)
_PATH = re.compile(rb"(?:FROM|TO):[ \t]*<([^>]*)>", re.IGNORECASE)
_CHUNK = re.compile(rb"(0|[1-9][0-9]{0,17})( LAST)?\Z", re.IGNORECASE)


class Command(msgspec.Struct, frozen=True):
    """One command. ``verb`` is upper case, "" where the line begins with no word; ``line`` is the line without its CRLF."""

    verb: str
    argument: bytes
    line: bytes


class Chunk(msgspec.Struct, frozen=True):
    """The argument of BDAT: how many octets follow, and whether they end the message."""

    octets: int
    last: bool


def parse_command(line: bytes) -> Command:
    """Cut a command line. RFC 5321 §2.4: verbs are not case sensitive; spaces after the argument do not count."""
    match = _VERB.match(line)
    if match is None:
        return Command("", b"", line)
    return Command(match[1].upper().decode("ascii"), (match[2] or b"").rstrip(b" \t"), line)


def path(argument: bytes) -> bytes:
    """Return what stands between the angle brackets of a MAIL or RCPT argument, or the argument where there are none."""
    match = _PATH.match(argument)
    return match[1] if match else argument


def parse_chunk(argument: bytes) -> Chunk | None:
    """Read the argument of BDAT, or return None where it is not exactly `size [SP "LAST"]`.

    Strict on purpose. Python's int() takes ``1_0``, ``+10``, blanks and foreign digits, and an MTA that reads the size in
    another way would run the payload as commands. 18 digits stay below 2**63 everywhere.
    """
    match = _CHUNK.match(argument)
    return Chunk(int(match[1]), match[2] is not None) if match else None
