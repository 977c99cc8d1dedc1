"""visitor - a polite client from any address: it waits for the greeting and sends one message, and tells how that went.

What     `visit(port, address)` announces *address* in a PROXY header, for which the front door needs 127.0.0.1 in
         listen.proxy_from, or comes from that loopback address itself. `visits` lets several come at the same time.
         A `Visit` has the codes of all replies by what they answer ("" is the greeting), their texts, and how many seconds
         each took; that of the greeting counts from the connect.
Promise  No visitor waits longer than *patience* seconds for a reply. One that is refused goes no further.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.servers import proxyheader
from tests.e2e.servers.clients import RECIPIENT, SENDER, RawClient
from tests.e2e.servers.tarry import Tarry

PATIENCE = 15.0
_HERE = {False: ("127.0.0.1", 25), True: ("2001:db8:ffff::1", 25)}


@dataclass(slots=True)
class Visit:
    """How it went. ``heard`` is every octet from the server."""

    address: str
    codes: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    heard: bytes = b""
    fault: str = ""

    @property
    def is_delivered(self) -> bool:
        return self.codes.get("message") == 250

    @property
    def greeted_after(self) -> float:
        return self.took[""]

    @property
    def rcpt_after(self) -> float:
        """Seconds from the connect to the reply to RCPT."""
        return sum(self.took[what] for what in ("", "EHLO", "MAIL", "RCPT"))

    def records(self, door: Tarry, **wanted: object) -> list[dict[str, Any]]:
        """Return the records of its session, once that is closed."""
        (close,) = door.wait_records(1, ev="close", client=self.address)
        return door.records(id=close["id"], **wanted)


def visit(
    port: int,
    address: str,
    *,
    hello: str = "EHLO client.example",
    sender: str = SENDER,
    login: str = "",
    tls: bool = False,
    announced: bool = True,
    patience: float = PATIENCE,
) -> Visit:
    """Come once. *login* is a command line to say before MAIL; *tls* begins with TLS, behind the header.

    Not *announced*: the address is one of loopback, and no header is sent.
    """
    made = Visit(address)
    with contextlib.closing(RawClient(port, source=None if announced else address, timeout=patience)) as client:
        try:
            if announced:
                client.send(proxyheader.v1((address, 40000), _HERE[":" in address]))
            if tls:
                client.start_tls()
            _converse(client, made, hello, sender, login)
        except (OSError, ssl.SSLError) as fault:
            made.fault = repr(fault)
        made.heard = bytes(client.received)
    return made


def visits(port: int, addresses: Sequence[str], *, apart: float = 0.0, **how: Any) -> dict[str, Visit]:
    """Let one come from each address, the next *apart* seconds later, and return their visits by address."""
    return each(port, {address: {"address": address, **how} for address in addresses}, apart=apart)


def each(port: int, who: Mapping[str, Mapping[str, Any]], *, apart: float = 0.0) -> dict[str, Visit]:
    """The same with arguments of `visit` for each, by any name."""
    made: dict[str, Visit] = {}

    def come(name: str) -> None:
        made[name] = visit(port, **who[name])

    threads = []
    for name in who:
        threads.append(threading.Thread(target=come, args=(name,), daemon=True))
        threads[-1].start()
        time.sleep(apart)
    for thread in threads:
        thread.join()
    return {name: made[name] for name in who}


def _converse(client: RawClient, made: Visit, hello: str, sender: str, login: str) -> None:
    lines = {
        hello[:4]: hello.encode(),
        **({login[:4]: login.encode()} if login else {}),
        "MAIL": f"MAIL FROM:<{sender}>".encode(),
        "RCPT": f"RCPT TO:<{RECIPIENT}>".encode(),
        "DATA": b"DATA",
        "message": f"Subject: {made.address}\r\n\r\nHello.\r\n.".encode(),
    }
    began = client.connected_at
    for what in ("", *lines):
        if what:
            began = time.monotonic()
            client.send(lines[what] + b"\r\n")
        reply = client.read_reply()
        made.codes[what], made.texts[what], made.took[what] = reply.code, reply.text.decode("ascii"), reply.at - began
        if reply.code >= 400:
            break
    with contextlib.suppress(OSError):  # it may have closed already
        if made.codes[""] < 400:
            client.command(b"QUIT")
        client.sock.shutdown(socket.SHUT_WR)
        client.read_until_closed()
