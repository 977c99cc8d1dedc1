"""wire - what all generators share: how they talk to the bench, how they open a client, what a whole reply is."""

import gc
import re
import resource
import socket
import sys
from typing import TypeVar

import msgspec

from bench.quantiles import quantile

T = TypeVar("T")

# ip(7): choose the port at connect, by the whole four-tuple. Otherwise 20,000 bound addresses each reserve one.
IP_BIND_ADDRESS_NO_PORT = 24

_FINAL_LINE = re.compile(rb"^(\d\d\d)(?: [^\n]*)?\r?\n", re.MULTILINE)


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """A spread of times in milliseconds; NaN travels as null."""

    min: float | None
    p50: float | None
    p99: float | None
    max: float | None


def times(seconds: list[float]) -> Times:
    """Summarise *seconds* (sorted in place)."""
    seconds.sort()
    low, p50, p99, high = (round(1000 * quantile(seconds, share), 3) if seconds else None for share in (0, 0.5, 0.99, 1))
    return Times(min=low, p50=p50, p99=p99, max=high)


def read_order(kind: type[T]) -> T:
    """Return the order from the command line, and make this process fit to carry it out."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # nothing here is cyclic, and a collection amid 10,000 clients shows as lateness
    return msgspec.json.decode(sys.argv[1], type=kind)


def ready() -> None:
    """Say that preparations are done and wait for the word to go."""
    mark("ready")
    if not sys.stdin.readline():
        raise SystemExit("the bench is gone")


def mark(word: str) -> None:
    """Tell the bench that a point was reached."""
    print(word, flush=True)


def finish(outcome: msgspec.Struct) -> None:
    """Deliver the outcome."""
    mark(msgspec.json.encode(outcome).decode())


def source_address(number: int) -> str:
    """Return the address of client *number*, 127.1.0.1 first; four million are distinct."""
    block, last = divmod(number % 4_000_000, 250)
    second, third = divmod(block, 250)
    return f"127.{1 + second}.{third}.{1 + last}"


def new_client(address: str) -> socket.socket:
    """Return a non-blocking TCP socket bound to *address*, not yet connected."""
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((address, 0))
    return client


def final_codes(text: bytes) -> list[int]:
    """Return the code of each whole reply in *text*: of the lines that are no continuation (RFC 5321 §4.2.1).

    A `220-` teaser followed by `521 ` is one reply, with the code of its last line.
    """
    return [int(code) for code in _FINAL_LINE.findall(text)]
