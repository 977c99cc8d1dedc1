"""aiosmtpd_server - a private server made with aiosmtpd, in a process of its own.

What     `Aiosmtpd(...)` is a context manager that runs this module as a program: a receiving MTA for `recipients`, whose mail
         `messages()` reads back; any other recipient gets 550. Options: proxy_protocol, tls.
Promise  Several run side by side. Nothing outside its own folder is read or written, and no name is looked up.
Not      The reply to an unknown recipient and the Received line are our handler's: aiosmtpd leaves both to whoever uses it.
Source   aiosmtpd 1.4: smtp.py, and proxy_protocol.py for both versions of the header.
"""

import argparse
import asyncio
import itertools
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aiosmtpd.proxy_protocol import ProxyData
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.e2e.servers import certificate, private
from tests.e2e.servers.processes import own_environment

ROOT = Path(__file__).parents[3]
PROXY_TIMEOUT = 30.0  # seconds a client has for its header


class Aiosmtpd(private.Server):
    """A running aiosmtpd; see the module text.

    *proxy_protocol* demands a PROXY header of either version. *tls* is a certificate and its key, and turns STARTTLS on.
    A delivered message is below one Received line, its lines ending in CRLF.
    """

    name = "aiosmtpd"
    is_fetched = False

    def __init__(
        self,
        *,
        recipients: Sequence[str] = private.RECIPIENTS,
        proxy_protocol: bool = False,
        tls: tuple[Path, Path] | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__(recipients=recipients, address=address)
        self._proxy_protocol = proxy_protocol
        self._tls = tls

    def _lay_out(self) -> None:
        self._make_maildirs()

    def _command(self) -> list[str]:
        options = ["--proxy-protocol"] if self._proxy_protocol else []
        if self._tls is not None:
            options += ["--tls", *map(str, self._tls)]
        return [sys.executable, "-m", __name__, self.address, str(self.port), str(self.folder / "mail"), *options]

    def _environment(self) -> dict[str, str]:
        return own_environment(PYTHONPATH=str(ROOT))


class Mailboxes:
    """A handler that delivers to maildirs below *mail*; what has no folder there is no recipient."""

    def __init__(self, mail: Path) -> None:
        self._mail = mail
        self._numbers = itertools.count()

    async def handle_PROXY(self, server: SMTP, session: Session, envelope: Envelope, proxy: ProxyData) -> bool:
        logging.info("PROXY header of version %s for [%s]:%s", proxy.version, proxy.src_addr, proxy.src_port)
        return True

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]) -> str:
        if "/" in address or not (self._mail / address.lower()).is_dir():
            return f"550 5.1.1 <{address}>: no such user"
        envelope.rcpt_tos.append(address.lower())
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes) and session.peer is not None
        announced = session.proxy_data.src_addr if session.proxy_data else None  # a health check announces nobody
        host = str(announced or session.peer[0])
        received = f"Received: from {session.host_name} ([{host}]) by aiosmtpd.example.org\r\n".encode()
        for recipient in envelope.rcpt_tos:
            name = f"{time.time_ns()}.{next(self._numbers)}"
            whole = self._mail / recipient / "tmp" / name
            whole.write_bytes(received + envelope.content)
            whole.rename(self._mail / recipient / "new" / name)
        return "250 2.0.0 OK"


async def serve(address: str, port: int, mail: Path, proxy_protocol: bool, tls: Sequence[Path] | None) -> None:
    """Serve until killed."""
    handler = Mailboxes(mail)
    context = certificate.server_context(*tls) if tls else None

    def server() -> SMTP:
        return SMTP(
            handler,
            hostname="aiosmtpd.example.org",
            enable_SMTPUTF8=True,
            tls_context=context,
            proxy_protocol_timeout=PROXY_TIMEOUT if proxy_protocol else None,
        )

    async with await asyncio.get_running_loop().create_server(server, address, port) as listener:
        await listener.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("mail", type=Path)
    parser.add_argument("--proxy-protocol", action="store_true")
    parser.add_argument("--tls", type=Path, nargs=2)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(given.address, given.port, given.mail, given.proxy_protocol, given.tls))


if __name__ == "__main__":
    main()
