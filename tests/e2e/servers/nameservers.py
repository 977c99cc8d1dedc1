"""nameservers - name servers for the tests: a real rbldnsd, and one that answers however a test wants.

What     `rbldnsd` runs Debian's with zones written by the test. `NameServer` is a UDP and a TCP socket on one port of loopback and
         a thread; a function of the test gets each question and sends what it likes, when and from where it likes.
Promise  Everything stays on 127.0.0.0/8. What was asked is kept: name, type, id, source port, and whether over TCP.
"""

import contextlib
import selectors
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

from tests.e2e.servers import install
from tests.e2e.servers.processes import NotStarted, Program, free_port, wait_until

_SOA = "$SOA 3000 ns.{zone}. admin.{zone}. 1 600 300 86400 {negative}\n$NS 3000 ns.{zone}.\n"
_PATIENCE = 10.0


@contextlib.contextmanager
def rbldnsd(zones: Mapping[str, tuple[str, str]], negative_ttl: int = 120) -> Iterator[int]:
    """Run rbldnsd with *zones*, name -> (dataset type, entries), and yield its port."""
    with tempfile.TemporaryDirectory(prefix="tarry-rbldnsd-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # it reads its zones as nobody
        served = []
        for number, (zone, (kind, entries)) in enumerate(zones.items()):
            file = folder / f"zone{number}"
            file.write_text("$TTL 300\n" + _SOA.format(zone=zone, negative=negative_ttl) + entries)
            served.append(f"{zone}:{kind}:{file}")
        port = free_port()
        command: list[str | Path] = [
            install.folder("rbldnsd") / "usr/sbin/rbldnsd",
            "-n",
            "-u",
            "nobody",
            "-b",
            f"127.0.0.1/{port}",
            *served,
        ]
        program = Program(command, output=folder / "output", folder=folder)
        try:
            first = next(iter(zones))
            if not wait_until(lambda: program.status is not None or _answers(port, first), _PATIENCE) or program.status is not None:
                raise NotStarted(f"rbldnsd, status {program.status}:\n{program.printed()}")
            yield port
        finally:
            program.end()


def _answers(port: int, zone: str) -> bool:
    """Say whether a name server on *port* serves *zone*."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        asking.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError, dns.exception.DNSException):  # ECONNREFUSED, a timeout: not yet
            asking.send(dns.message.make_query(zone, "SOA").to_wire())
            return dns.message.from_wire(asking.recv(4096)).rcode() == dns.rcode.NOERROR
        return False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a name server was asked."""

    name: str
    kind: str
    id: int
    port: int
    over_tcp: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and the ways to answer it."""

    message: dns.message.Message
    asked: Asked
    server_port: int
    _send: Callable[[bytes], None]
    _peer: tuple[str, int]
    _late: "list[tuple[float, Callable[[], None]]]"

    def reply(
        self, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: dns.flags.Flag | int = 0
    ) -> dns.message.Message:
        """Return an honest reply with *records* in its answer section: ``name ttl type data``, @ for the name that was asked."""
        reply = dns.message.make_response(self.message, recursion_available=True)
        reply.flags |= flags
        reply.set_rcode(rcode)
        for record in records:
            name, ttl, kind, data = record.split(" ", 3)
            owner = self.message.question[0].name if name == "@" else dns.name.from_text(name)
            reply.answer.append(dns.rrset.from_rdata(owner, int(ttl), _rdata(kind, data)))
        return reply

    def send(self, what: dns.message.Message | bytes) -> None:
        """Send that."""
        self._send(what if isinstance(what, bytes) else what.to_wire(max_size=65535))

    def send_later(self, seconds: float, what: dns.message.Message | bytes) -> None:
        """Send that after *seconds*; others are answered meanwhile."""
        self._late.append((time.monotonic() + seconds, lambda: self.send(what)))

    def send_from(self, address: str, port: int, what: dns.message.Message) -> None:
        """Send that by UDP, but from elsewhere; port 0 is any."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind((address, port))
            elsewhere.sendto(what.to_wire(), self._peer)


@cache
def _rdata(kind: str, data: str) -> dns.rdata.Rdata:
    """Return what a record says: that of 4,000 takes a while to read, and is asked for by UDP and again by TCP."""
    return dns.rdata.from_text("IN", kind, data)


Behaviour = Callable[[Query], None]


class NameServer:
    """A name server on 127.0.0.1 that does what *behave* does with each question. A context manager."""

    def __init__(self, behave: Behaviour, *, tcp: bool = True, keep: bool = True) -> None:
        self._behave = behave
        self._keep = keep
        self.asked: list[Asked] = []
        self._late: list[tuple[float, Callable[[], None]]] = []
        self._udp, self._tcp = _sockets(tcp)
        self.port: int = self._udp.getsockname()[1]
        self._is_over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over = True
        self._thread.join(_PATIENCE)
        self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._udp, selectors.EVENT_READ, self._on_udp)
            if self._tcp is not None:
                ready.register(self._tcp, selectors.EVENT_READ, self._on_tcp)
            while not self._is_over:
                for key, _ in ready.select(0.02):
                    key.data()
                now = time.monotonic()
                due = [call for at, call in self._late if at <= now]
                self._late[:] = [each for each in self._late if each[0] > now]
                for call in due:
                    with contextlib.suppress(OSError):  # who asked has gone
                        call()

    def _on_udp(self) -> None:
        for _ in range(100):
            try:
                wire, peer = self._udp.recvfrom(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionRefusedError:  # an earlier reply met nobody
                continue
            self._take(wire, peer, partial(self._send_to, peer), over_tcp=False)

    def _send_to(self, peer: tuple[str, int], data: bytes) -> None:
        self._udp.sendto(data, peer)

    def _on_tcp(self) -> None:
        """Serve a connection in a thread of its own: who asked may keep it open, and others are answered meanwhile."""
        assert self._tcp is not None
        talking, peer = self._tcp.accept()
        threading.Thread(target=self._talk, args=(talking, peer), daemon=True).start()

    def _talk(self, talking: socket.socket, peer: tuple[str, int]) -> None:
        with talking, contextlib.suppress(OSError):  # it was reset, or says nothing
            talking.settimeout(1.0)
            stream = talking.makefile("rb")
            while len(head := stream.read(2)) == 2:
                wire = stream.read(struct.unpack("!H", head)[0])
                self._take(wire, peer, lambda data: talking.sendall(struct.pack("!H", len(data)) + data), over_tcp=True)

    def _take(self, wire: bytes, peer: tuple[str, int], send: Callable[[bytes], None], *, over_tcp: bool) -> None:
        message = dns.message.from_wire(wire)
        (question,) = message.question
        name = question.name.to_text(omit_final_dot=True)
        asked = Asked(name, dns.rdatatype.to_text(question.rdtype), message.id, peer[1], over_tcp)
        if self._keep:
            self.asked.append(asked)
        self._behave(Query(message, asked, self.port, send, peer, self._late))


def _sockets(tcp: bool) -> tuple[socket.socket, socket.socket | None]:
    """Return a UDP socket and, if wanted, a TCP one that listens on the same port. Without TCP, the port is refused there."""
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind(("127.0.0.1", 0))
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(udp.getsockname())
        except OSError:  # EADDRINUSE: another's
            udp.close()
            listening.close()
            continue
        if not tcp:
            listening.close()
            return udp, None
        listening.listen(16)
        return udp, listening
    raise RuntimeError("no port is free for both UDP and TCP")
