"""postfix - Postfix's own front doors, started privately by tests/e2e/servers/postfix.

postscreen            hold, early and pass: `drop`, memory of passed clients off. mail and line: the sender is in the cache of
                      those that passed, then smtpd, then a before-queue filter, which is the sink: what an honest client
                      costs between the wire and the next server, nothing queued.
postscreen_discard    the same into Postfix's queue and its discard transport: a whole MTA.
smtpd_proxy_filter    smtpd without postscreen, and the sink as before-queue filter.

What is called postscreen's own in the figures is the process `postscreen` alone, without master, anvil, dnsblog and smtpd.
"""

import contextlib
import socket
from collections.abc import Iterator

from tests.e2e.servers import install
from tests.e2e.servers.postfix import Postfix, Postscreen

from bench.peers.kind import Peer, Setup
from bench.server import Running

RECIPIENTS = ("user@example.com",)
PROCESSES = 250
"""Above any number of smtpds that a measure needs at once; Postfix's default is 100."""
LINE = 200
"""Clients in line at once: an smtpd each, of several MB."""


def _missing() -> str:
    return install.missing("postfix")


def _postscreen(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return _mail_door(setup, filter_to=setup.sink_port) if setup.measure in ("mail", "line") else _strict_door(setup)


def _postscreen_discard(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return _mail_door(setup, filter_to=None)


@contextlib.contextmanager
def _strict_door(setup: Setup) -> Iterator[Running]:
    """Start postscreen as hold, early and pass want it. Its timers know whole seconds only, so does *setup.wait* here."""
    door = Postscreen(greet_wait=max(1, round(setup.wait)), greet_action="drop", remember=False)
    with Postfix(recipients=RECIPIENTS, postscreen=door, process_limit=PROCESSES) as server:
        yield Running(server.pid, server.port, own="postscreen")


@contextlib.contextmanager
def _mail_door(setup: Setup, *, filter_to: int | None) -> Iterator[Running]:
    """Start postscreen with a memory, and let 127.0.0.1 pass once."""
    door = Postscreen(greet_wait=1, greet_action="drop", remember=True)
    with Postfix(
        recipients=RECIPIENTS, postscreen=door, filter_to=filter_to, discard=filter_to is None, process_limit=PROCESSES
    ) as server:
        _earn_pass(server.port)
        yield Running(server.pid, server.port, own="postscreen")


@contextlib.contextmanager
def _smtpd_proxy_filter(setup: Setup) -> Iterator[Running]:
    """Start smtpd alone, with the sink as its before-queue filter."""
    with Postfix(recipients=RECIPIENTS, filter_to=setup.sink_port, process_limit=PROCESSES) as server:
        yield Running(server.pid, server.port, own=None)


def _earn_pass(port: int) -> None:
    """Wait out one greeting as an honest client does."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client, client.makefile("rb") as replies:
        while (line := replies.readline()).startswith(b"220-"):
            pass
        assert line.startswith(b"220 "), f"postscreen said {line!r}"
        client.sendall(b"QUIT\r\n")
        replies.read()


POSTSCREEN = Peer(
    name="postscreen",
    about="Postfix postscreen (mail: passed client -> smtpd -> before-queue filter = sink)",
    measures=frozenset({"hold", "early", "pass", "mail", "line"}),
    missing=_missing,
    start=_postscreen,
    at_once=LINE,
)
POSTSCREEN_DISCARD = Peer(
    name="postscreen_discard",
    about="postscreen, passed client -> smtpd -> queue -> discard",
    measures=frozenset({"mail"}),
    missing=_missing,
    start=_postscreen_discard,
)
SMTPD_PROXY_FILTER = Peer(
    name="smtpd_proxy_filter",
    about="Postfix smtpd, the sink as before-queue filter",
    measures=frozenset({"mail", "line"}),
    missing=_missing,
    start=_smtpd_proxy_filter,
    at_once=LINE,
)
