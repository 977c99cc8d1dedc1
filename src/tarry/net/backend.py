"""backend - the MTA: how to reach it, and what it says of itself.

What      Opens connections for sessions, announces the client to the MTA, and keeps what the MTA's EHLO reply offers:
          asked at start, again every REFRESH seconds, every RETRY seconds while there is no answer, soon when a session could
          not reach it, and learned from each session that does.
Promises  A held client costs no connection. The probe is a session of its own (greeting, EHLO, QUIT) and never carries a client.
Source    The PROXY protocol's LOCAL command for the probe under version 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from tarry.core.border import CloseMta, Learn, Outbox, Relay, SecureMta
from tarry.core.client import OURSELVES, Client
from tarry.core.login import Way
from tarry.core.starttls import Established
from tarry.core.upstream import Answered, Broken, TurnedAway, Upstream
from tarry.net.mta_tls import MtaTls, secure
from tarry.smtp.extensions import Capabilities, read_capabilities
from tarry.smtp.proxy_header import SSL, UNIQUE_ID, ssl_value, write_v1, write_v2
from tarry.smtp.reply import Reply

REFRESH = 300.0
RETRY = 5.0


class Connector(Protocol):
    """A way to the MTA."""

    @property
    def where(self) -> str:
        """The MTA's address, for records."""

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        """Open a connection for *client*; None is tarry itself. Raises OSError."""


class TcpConnector:
    """The MTA behind host and port."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    @property
    def where(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        try:
            await asyncio.get_running_loop().create_connection(factory, self._host, self._port)
        except UnicodeError as fault:
            # A name that IDNA does not take (an empty label, one of 64 octets) is to everyone else a name with no address.
            raise OSError(f"no host name: {self._host}: {fault}") from None


class UnixConnector:
    """The MTA behind a Unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def where(self) -> str:
        return f"unix:{self._path}"

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        await asyncio.get_running_loop().create_unix_connection(factory, self._path)


class Backend:
    """The MTA of one configuration.

    ``announce`` is that of the configuration; ``own_name`` what tarry calls itself ("" for the MTA's own name);
    ``without`` EHLO keywords that are not offered; ``tls`` how TLS is spoken to the MTA, if at all. ``on_health`` is told when the
    MTA begins or ceases to answer. ``way`` is the login that follows of that.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        mode: str,
        announce: str,
        own_name: str,
        host_name: str,
        without: frozenset[str],
        timeout: float,
        on_health: Callable[[bool, str], None],
        tls: MtaTls | None = None,
    ) -> None:
        self.connector = connector
        self.mode = mode
        self.announce = announce
        self.without = without
        self.tls = tls
        by_xclient = mode == "proxy" and announce == "xclient"
        # Not `name`: before the MTA has answered once that is another, and some MTAs refuse to hear their own.
        self.way = Way(own_name or host_name, xclient=by_xclient, tls=tls is not None) if by_xclient or tls is not None else None
        self.capabilities: Capabilities | None = None
        self._own_name = own_name
        self._host_name = host_name
        self._timeout = timeout
        self._on_health = on_health
        self._known = b""
        self._is_taught = False
        self._healthy: bool | None = None
        self._answered = asyncio.Event()
        self._doubted = asyncio.Event()
        self.trouble = ""
        """Why the last probe got no answer."""

    @property
    def is_answering(self) -> bool:
        """True when the MTA answered when it was last asked; before it has been asked, when it did under the last configuration."""
        return self.capabilities is not None if self._healthy is None else self._healthy

    @property
    def name(self) -> str:
        """What tarry calls itself to clients."""
        return self._own_name or (self.capabilities.name if self.capabilities else "") or self._host_name

    @property
    def knows_client(self) -> bool:
        """True when the MTA is told who the client is."""
        return self.announce != "none" or self.mode == "exec"

    def announcement(self, client: Client, *, id: str = "", tls: Established | None = None) -> bytes:
        """Return what is written to the MTA before it greets: who the client is, and what TLS it has with tarry."""
        source = (client.endpoint.host, client.endpoint.port)
        destination = (client.server.host, client.server.port)
        match self.announce:
            case "proxy-v1":
                return write_v1(source, destination)
            case "proxy-v2":
                told = ((UNIQUE_ID, id.encode("ascii")),) if id else ()
                if tls is not None:
                    told = (*told, (SSL, ssl_value(tls.version, tls.cipher)))
                return write_v2(source, destination, told)
            case _:
                return b""

    def learn(self, ehlo: Reply, *, by_probe: bool = False) -> None:
        """Keep what an EHLO reply of the MTA offers. An MTA that is told its clients may offer tarry itself more or less than them,
        so what a session was told is not changed by a probe, unless the MTA was away meanwhile."""
        if ehlo.raw != self._known and not (by_probe and self._is_taught and self._healthy):
            self._known = ehlo.raw
            self._is_taught = not by_probe
            self.capabilities = read_capabilities(ehlo, without=self.without)
        if self._healthy is False:
            self._on_health(True, "")
        self._healthy = True

    async def wait_for_answer(self, limit: float) -> None:
        """Return when the first probe is over, or after *limit* seconds."""
        try:
            async with asyncio.timeout(limit):
                await self._answered.wait()
        except TimeoutError:
            self.trouble = self.trouble or "no answer in time"

    async def probe(self) -> str:
        """Ask the MTA once; return "" or why there was no answer."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asking: list[_Probe] = []

        def factory() -> _Probe:
            asking.append(_Probe(self, done))
            return asking[-1]

        try:
            async with asyncio.timeout(self._timeout):
                await self.connector.connect(factory, None)
                why = await done
        except TimeoutError:
            why = "no answer in time"
        except OSError as fault:
            why = str(fault)
        finally:
            for one in asking:
                one.end()
        self.trouble = why
        self._answered.set()
        if why and self._healthy is not False:
            self._healthy = False
            self._on_health(False, why)
        return why

    async def keep_asking(self) -> None:
        """Probe for as long as the daemon runs."""
        while True:
            self._doubted.clear()
            why = await self.probe()
            await asyncio.sleep(RETRY)
            if not why:
                with suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH - RETRY):
                        await self._doubted.wait()

    def doubt(self) -> None:
        """A session could not reach the MTA: ask it soon, so that its state is known, and its return."""
        self._doubted.set()

    def probe_announcement(self) -> bytes:
        """Return what the probe writes before the MTA greets: it is nobody's client."""
        here = (OURSELVES.endpoint.host, OURSELVES.endpoint.port)
        match self.announce:
            case "proxy-v1":
                return write_v1(here, here)  # Postfix refuses UNKNOWN
            case "proxy-v2":
                return write_v2(None, None)
            case _:
                return b""

    @property
    def probe_helo(self) -> bytes:
        return b"EHLO " + self._host_name.encode("ascii", "replace")


class _Probe(asyncio.Protocol):
    """Greeting, EHLO, QUIT: the login that sessions use, with QUIT for a command and without XCLIENT."""

    def __init__(self, backend: Backend, done: asyncio.Future[str]) -> None:
        self._backend = backend
        self._done = done
        self._outbox = Outbox()
        self._mta = Upstream(self._outbox, knows_client=False, way=backend.way)
        self._mta.helo = backend.probe_helo
        self._transport: asyncio.Transport | None = None
        self._securing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not subclasses
        announcement = self._backend.probe_announcement()
        if announcement:
            self._transport.write(announcement)
        self._mta.ask(b"QUIT")
        self._mta.opened()
        self._outbox.take()

    def data_received(self, data: bytes) -> None:
        event = self._mta.receive(data)
        self._carry_out()
        match event:
            case Answered():
                self._finish("")
            case TurnedAway(reply=reply):
                self._finish(f"it refused EHLO with {reply.code}")
            case Broken(why=why):
                self._finish(why)
            case None:
                pass

    def _carry_out(self) -> None:
        for effect in self._outbox.take():
            match effect:
                case Learn(ehlo=ehlo):
                    self._backend.learn(ehlo, by_probe=True)
                case Relay(data=out) if self._transport is not None:
                    self._transport.write(out)
                case SecureMta() if self._transport is not None:
                    self._securing = asyncio.get_running_loop().create_task(self._secure(self._transport))
                case CloseMta():
                    self.end()
                case _:
                    pass

    async def _secure(self, transport: asyncio.Transport) -> None:
        assert self._backend.tls is not None
        secured, tls = await secure(self._backend.tls, transport, self)
        if secured is None:
            self._finish(f"no TLS: {tls.why}")
        else:
            self._transport = secured
            self._mta.secured()
            self._carry_out()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._securing is not None and not self._securing.done():
            return  # how a handshake ended is told by itself
        # Some MTAs close without a 221; the EHLO reply is all that was wanted.
        self._finish("" if self._mta.ehlo is not None else "it closed the connection")

    def end(self) -> None:
        if self._securing is not None:
            self._securing.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, why: str) -> None:
        if not self._done.done():
            self._done.set_result(why)
