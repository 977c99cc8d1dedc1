"""relays - five MTAs that send mail from a queue, all called in the same way.

What     `send(name, port, ...)` starts one of RELAYS with that loopback port as its relay, has it send one message, and tells
         how it went. `relay` starts it and leaves the rest to the caller; `complaints` reads what its log says of deliveries.
Promise  A status of 0 means that each message was taken at the first attempt: nothing deferred, nothing returned, queue empty.
Not      They start TLS where that is offered, whatever the certificate, so there is no way to insist: with *starttls* a log
         that does not show TLS is a failure, and so is one that does without it.
Source   The log lines are those of Exim 4.96, Haraka 3.1.1, OpenSMTPD 6.8, Postfix 3.7 and Sendmail 8.17.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from tests.e2e.servers.clients import MESSAGE, RECIPIENT, SENDER, TIMEOUT, Ran
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.haraka import Haraka
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sendmail import Sendmail


class Relay(Protocol):
    """What each of them can be asked."""

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Put *message*, whose lines end in LF, into the queue."""

    def queue_empty(self, timeout: float = 10.0) -> bool:
        """Say whether the queue is empty within *timeout* seconds."""

    def log_text(self) -> str:
        """Return the log so far."""

    def halt(self) -> None:
        """End its processes."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one is started, with what settings beyond its own, and its log lines of a delivery."""

    start: Callable[[int, str, Mapping[str, str]], AbstractContextManager[Relay]]
    taken: str
    not_taken: str  # deferred, returned, or no connection
    over_tls: str


def send(
    name: str,
    port: int,
    *,
    sender: str = SENDER,
    recipient: str = RECIPIENT,
    message: bytes = MESSAGE,
    starttls: bool = False,
    source: str = "127.0.0.1",
) -> Ran:
    """Send *message*, whose lines end in CRLF, from the loopback address *source*; the output is the MTA's log."""
    began = time.monotonic()
    with relay(name, port, source) as running:
        running.send(sender, [recipient], message.replace(b"\r\n", b"\n"))
        # The queue may be empty before the log says why.
        wait_until(lambda: _is_over(name, running), TIMEOUT)
        log = running.log_text()
        wrong = complaints(name, log, messages=1, starttls=starttls)
        if not running.queue_empty(0):
            wrong.append("its queue is not empty")
    return Ran(int(bool(wrong)), "\n".join([*wrong, log]), time.monotonic() - began)


def relay(
    name: str, port: int, source: str = "127.0.0.1", settings: Mapping[str, str] | None = None
) -> AbstractContextManager[Relay]:
    """Return the MTA *name*, to be started as a context, which sends to *port* from *source*; *settings* are its own."""
    return _KINDS[name].start(port, source, settings or {})


def taken(name: str, log: str) -> int:
    """Return how many deliveries the log shows, one for each recipient of a message."""
    return len(re.findall(_KINDS[name].taken, log))


def complaints(name: str, log: str, *, messages: int, starttls: bool) -> list[str]:
    """Return what is not as it should be in the log of *messages* messages, each to one recipient."""
    kind = _KINDS[name]
    wrong = [f"not taken: {line}" for line in log.splitlines() if re.search(kind.not_taken, line)]
    if (found := taken(name, log)) != messages:
        wrong.append(f"taken {found} times, not {messages}")
    if bool(re.search(kind.over_tls, log)) != starttls:
        wrong.append(f"it should have sent {'over TLS' if starttls else 'in the clear'}")
    return wrong


def _is_over(name: str, running: Relay) -> bool:
    log = running.log_text()
    return bool(re.search(_KINDS[name].not_taken, log)) or (taken(name, log) > 0 and running.queue_empty(0))


def _exim(port: int, source: str, settings: Mapping[str, str]) -> AbstractContextManager[Relay]:
    return Exim(relay_to=port, source=source, settings=settings)


def _haraka(port: int, source: str, settings: Mapping[str, str]) -> AbstractContextManager[Relay]:
    return Haraka(relay_to=port, source=source, settings=settings)


def _opensmtpd(port: int, source: str, settings: Mapping[str, str]) -> AbstractContextManager[Relay]:
    return OpenSmtpd(relay_to=port, source=source, settings=[f"{name} {value}" for name, value in settings.items()])


def _postfix(port: int, source: str, settings: Mapping[str, str]) -> AbstractContextManager[Relay]:
    own = {"smtp_bind_address": source, "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1"}
    return Postfix(relay_to=port, settings={**own, **settings})


def _sendmail(port: int, source: str, settings: Mapping[str, str]) -> AbstractContextManager[Relay]:
    return Sendmail(relay_to=port, source=source, options=settings)


_KINDS = {
    "exim": _Kind(_exim, r" [=-]> \S+ R=relay ", r" (==|\*\*) ", r" X=TLS"),
    "haraka": _Kind(
        _haraka,
        r"\[outbound\] +delivered file=",
        r"\[outbound\] (Failed to get socket|Temp failing|bouncing mail|recipient .* rejected)",
        r" tls=Y ",
    ),
    "opensmtpd": _Kind(
        _opensmtpd,
        r'mta delivery .* result="Ok"',
        r'mta delivery .* result="(?!Ok")|mta error|Disabling route',
        r"mta tls ciphers=TLS",
    ),
    "postfix": _Kind(_postfix, r"status=sent ", r"status=(?!sent )", r"TLS connection established to "),
    "sendmail": _Kind(_sendmail, r" to=.* stat=Sent ", r" to=.* stat=(?!Sent )", r"STARTTLS=client, relay=.* version=TLS"),
}

RELAYS = tuple(_KINDS)
