"""protocol - what goes over the control socket: a line of JSON to ask, a line to answer, and the connection is over.

What      ``{"do":"status"}`` is answered with a `State`, ``{"do":"ping"}`` with the process and the version only, all else with
          why not.
Promises  A line that is asked is at most `LONGEST` octets. A reply's length is bounded by what a `State` can hold.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tarry.control.states import State

LONGEST = 4096


class Request(msgspec.Struct, frozen=True):
    """What is asked."""

    do: Literal["status", "ping"]


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer. ``error``: why there is none."""

    pid: int = 0
    version: str = ""
    state: State | None = None
    error: str = ""


_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(Request).decode
_decode_reply = msgspec.json.Decoder(Reply).decode


def write(message: Request | Reply) -> bytes:
    """Return the line."""
    return _encode(message) + b"\n"


def read_request(line: bytes) -> Request | None:
    """Return what was asked; None for what is nothing that can be."""
    try:
        return _decode_request(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_reply(line: bytes) -> Reply:
    """Return the answer. Raises ValueError for what is none."""
    return _decode_reply(line)
