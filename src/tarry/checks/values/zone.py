"""zone - a DNS list in a check's configuration: its zone, which of its answers count, and how much.

What      `Zone`, one row of ``zones``; `Answers`, the filter; `labels`, the names under which rows stand in reasons and replies;
          `found`, what an answer means for the rows of its zone; `settled`, the same, and a pass once all have answered.
Filter    A list, parted by commas or semicolons, of ``127.0.0.2``, ``127.0.0.2..11`` (a range of the last octet) and
          ``127.0.[0..3].[2;4..6]`` (a set of numbers and ranges for any octet). "" is everything but 127.0.0.1 and what ends in
          255: so SURBL and URIBL, dnswl.org and Spamhaus' DBL answer those whom they do not want to answer.
Promises  Whatever the filter says, an answer outside 127.0.0.0/8 is no listing: the domain of a dead list is parked somewhere. Nor
          is one in 127.255.255.0/24: large lists answer so who asks too much, or through a public resolver. Both are Unknown.
          Where a zone has a ``name``, the zone itself, which may hold a customer's key, is in no reason.
Source    Postfix postscreen_dnsbl_sites and postscreen_dnsbl_reply_map; RFC 5782 §2.3; Spamhaus' error codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tarry.core.check import option
from tarry.core.facts import Answer, Facts, Question, State
from tarry.core.result import PASSED, Failed, Outcome, Unknown
from tarry.smtp.text import escape

_OCTET = r"(?:\d{1,3}|\[[^\[\]]*\])"
_PATTERN = re.compile(rf"({_OCTET})\.({_OCTET})\.({_OCTET})\.({_OCTET}|\d{{1,3}}\.\.\d{{1,3}})", re.ASCII)
_BETWEEN = re.compile(r"[;,](?![^\[\]]*\])")  # not within brackets
_ADDRESS = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_DOMAIN = re.compile(r"(?=.{1,190}\Z)(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}", re.ASCII)
_ERRORS = (127, 255, 255)  # 127.255.255.0/24
_ITSELF = (127, 0, 0, 1)


class Answers:
    """Which answers of a list count. Two are equal when they are written alike; ``str`` is the text again."""

    __slots__ = ("_patterns", "_text")

    def __init__(self, text: str) -> None:
        """Raises ValueError, with a sentence, where *text* is no filter."""
        self._text = text.strip()
        pieces = _BETWEEN.split(self._text) if self._text else []
        self._patterns = tuple(_octets(piece.strip()) for piece in pieces)

    def __contains__(self, address: str) -> bool:
        octets = _read(address)
        if octets is None or octets[0] != 127 or octets[:3] == _ERRORS:
            return False
        if not self._patterns:
            return octets != _ITSELF and octets[3] != 255
        return any(all(octet in allowed for octet, allowed in zip(octets, pattern, strict=True)) for pattern in self._patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answers) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Answers({self._text!r})"


EVERYTHING = Answers("")


def domain(text: str) -> str:
    """Read the zone of a DNS list: in lower case and without a final dot. 190 characters leave room for what is asked about."""
    bare = text.strip().removesuffix(".").lower()
    if not _DOMAIN.fullmatch(bare):
        raise ValueError("the zone of a DNS list is a domain name of at most 190 letters, digits, hyphens and dots")
    return bare


def public_name(text: str) -> str:
    """Read a name that can stand in a reply."""
    if not (text.isascii() and text.isprintable() and len(text) <= 60):
        raise ValueError("a name in replies is at most 60 printable ASCII characters")
    return text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One row of ``zones``."""

    zone: str = option("", read=domain, unit="zone", example="zen.spamhaus.org", required=True, help="the list's zone")
    answers: Answers = option(
        EVERYTHING,
        read=Answers,
        unit="answers",
        example="127.0.0.2..11",
        help="which answers count, such as 127.0.0.2..11 or 127.0.[0..3].[2;4..6]; empty is all that are no error codes",
    )
    weight: float = option(1.0, unit="weight", help="what a listing adds to the score; below 0 the list is an allow list")
    name: str = option(
        "", read=public_name, unit="name", example="zen.spamhaus.org", help="the list's name in replies, where the zone holds a key"
    )


def zones_option(example: str) -> Any:
    """Declare the option ``zones`` of a check that asks DNS lists; *example* is one row."""
    return option(
        (),
        unit="list of DNS lists",
        rows=Zone,
        example=example,
        help="the lists, each with its zone, the answers that count (empty is all that are no error codes), a weight (1) and, "
        f"where the zone holds a key, a name for replies: [{example}]",
    )


def distinct(zones: tuple[Zone, ...]) -> tuple[str, ...]:
    """Return the zones to be asked, each once."""
    return tuple(dict.fromkeys(row.zone for row in zones))


def public(zone: str, zones: tuple[Zone, ...]) -> str:
    """Return the name of a zone in replies: one that any of its rows gives it, or the zone."""
    return next((row.name for row in zones if row.zone == zone and row.name), zone)


@lru_cache(maxsize=16)
def labels(zones: tuple[Zone, ...]) -> tuple[str, ...]:
    """Return for each row the name that tells it apart: the list's; with the filter where it has several rows; and no two alike."""
    shown = [row.name or public(row.zone, zones) for row in zones]
    full = [f"{name} {row.answers}".rstrip() if shown.count(name) > 1 else name for name, row in zip(shown, zones, strict=True)]
    return tuple(name if name not in full[:at] else f"{name} #{at + 1}" for at, name in enumerate(full))


def found(answer: Answer, zones: tuple[Zone, ...]) -> tuple[Failed | Unknown, ...]:
    """Return what *answer* says of the client, one finding for each row that it matches; nothing where it is not listed."""
    if answer.state is State.NOTHING:
        return ()  # as nearly all lists say of nearly all clients
    zone = answer.question.zone
    rows = [(row, label) for row, label in zip(zones, labels(zones), strict=True) if row.zone == zone]
    name = public(zone, zones)
    if answer.state is State.UNKNOWN:
        return (Unknown(_shown(f"{name}: {answer.why or 'no answer'}")),)
    failures = []
    for row, label in rows:
        counted = [value for value in answer.values if value in row.answers]
        if counted:
            detail = _shown(f"{row.name or name}={','.join(counted)}")
            failures.append(Failed("allowed" if row.weight < 0 else "listed", detail, label, row.weight))
    if not failures and answer.values and not any(value in EVERYTHING for value in answer.values):
        return (Unknown(_shown(f"{name} answers {answer.values[0]}: {_objection(answer.values[0])}")),)
    return tuple(failures)


def settled(answer: Answer, asked: tuple[Question, ...], facts: Facts, zones: tuple[Zone, ...]) -> tuple[Outcome, ...]:
    """Return what *answer* says, if it is to one of the questions *asked*; with the last of them a pass, where no zone lists it."""
    if answer.question not in asked:
        return ()
    told = found(answer, zones)
    if told:
        return told
    known = [one for question in asked if (one := facts.get(question)) is not None]
    return () if len(known) < len(asked) or any(found(one, zones) for one in known) else (PASSED,)


def _objection(address: str) -> str:
    octets = _read(address)
    if octets is not None and octets[0] == 127:
        return "an error code, not a listing"
    return "not in 127.0.0.0/8, so no listing"


def _octets(piece: str) -> tuple[frozenset[int], ...]:
    match = _PATTERN.fullmatch(piece)
    if match is None:
        raise ValueError(f"{piece or 'an empty piece'} is none of 127.0.0.2, 127.0.0.2..11 and 127.0.[0..3].[2;4..6]")
    octets = tuple(_numbers(part, piece) for part in match.groups())
    if 127 not in octets[0]:
        raise ValueError(f"{piece} is outside 127.0.0.0/8, where no list has its answers")
    if all(octet == {number} for octet, number in zip(octets, _ERRORS, strict=False)):
        raise ValueError(f"{piece} is in 127.255.255.0/24, which are error codes and no listings")
    return octets


def _numbers(part: str, piece: str) -> frozenset[int]:
    """Return the numbers of one octet: a number, a range, or a set of both in brackets."""
    found: set[int] = set()
    for one in re.split("[;,]", part.strip("[]")):
        low, dots, high = (word.strip() for word in one.partition(".."))
        if not (low.isdecimal() and low.isascii() and (not dots or (high.isdecimal() and high.isascii()))):
            raise ValueError(f"{one.strip() or 'nothing'} in {piece} is neither a number nor a range such as 2..11")
        first, last = int(low), int(high or low)
        if last > 255:
            raise ValueError(f"{last} in {piece} is above 255")
        if first > last:
            raise ValueError(f"the range {one.strip()} in {piece} begins above its end")
        found.update(range(first, last + 1))
    return frozenset(found)


def _read(address: str) -> tuple[int, ...] | None:
    match = _ADDRESS.fullmatch(address)
    return tuple(map(int, match.groups())) if match else None


def _shown(text: str) -> str:
    return escape(text.encode("ascii", "backslashreplace"))
