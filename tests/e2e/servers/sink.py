"""sink - a recording SMTP server of our own, with dialects and misbehaviours.

What     `Sink(...)` is a context manager that serves on a loopback port, one thread a connection. A test reads
         `connections` and `messages`, and changes `play(...)` at any time.
         `python -m tests.e2e.servers.sink` is the same in a process of its own, for SIGKILL tests and the benchmarks;
         it prints its port and runs until it gets SIGTERM or its stdin closes.
Promise  Every byte received is recorded. With *store*, a message is written and fsynced before its 250.
Not      It does not know unknown users; `Fault(at="RCPT", matching=b"nobody", reply=...)` does.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import certificate
from tests.e2e.servers.dialect import DIALECTS, STRICT, Dialect
from tests.e2e.servers.dialogue import Session
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.recorded import Connection, Message

KEYWORDS = (
    "SIZE 10485760",
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "CHUNKING",
    "AUTH PLAIN LOGIN",
    "XCLIENT NAME ADDR",
    "XFORWARD NAME",
    "PIPECONNECT",
)
BACKLOG = 1024
FILLERS = 16  # connections that fill a backlog of zero; Linux takes one or two


class Sink:
    """A running sink; see the module text.

    *faults* are looked at in order, the first that fits strikes. *tls* is a certificate and its key, and puts STARTTLS
    into EHLO. *proxy* demands a PROXY header of any version before it greets. *patience* is how long it waits for a client.
    What *token* matches in a command or message stands at the end of the reply to it, so that a test can pair them.
    """

    def __init__(
        self,
        *faults: Fault,
        dialect: Dialect = STRICT,
        keywords: Sequence[str] = KEYWORDS,
        tls: tuple[Path, Path] | None = None,
        proxy: bool = False,
        store: Path | None = None,
        banner: str = "sink.example.org ESMTP sink",
        address: str = "127.0.0.1",
        port: int = 0,
        patience: float = 60.0,
        token: re.Pattern[bytes] | None = None,
    ) -> None:
        self.dialect = dialect
        self.keywords = keywords
        self.banner = banner
        self.proxy = "any" if proxy else ""
        self.patience = patience
        self.token = token
        self.tls: ssl.SSLContext | None = certificate.server_context(*tls) if tls else None
        self.stopping = threading.Event()
        self.connections: list[Connection] = []
        self.address = address
        self.port = port
        self._store = store
        self._condition = threading.Condition()
        self._sessions: dict[int, Session] = {}
        self._threads: list[threading.Thread] = []
        self._fillers: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._faults: list[Fault] = []
        self._occasions: list[int] = []
        self.play(*faults)

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # What a test does to it

    def play(self, *faults: Fault) -> None:
        """Misbehave in these ways from now on, counting their occasions from zero. Faults at connect need `listen`."""
        with self._condition:
            self._faults, self._occasions = list(faults), [0] * len(faults)

    def listen(self) -> None:
        """Open the port: as usual, or bound and refusing, or with a backlog that is full. The port number stays."""
        self.refuse()
        fault = self.strike("connect", b"")
        what = fault.what if fault else ""
        listener = self._listener
        assert listener is not None
        if what == "drop":
            listener.listen(0)
            self._fill_backlog()
        elif what != "refuse":
            listener.listen(BACKLOG)
            thread = threading.Thread(target=self._accept, args=(listener,), name="sink", daemon=True)
            self._threads.append(thread)
            thread.start()

    def refuse(self) -> None:
        """Stop listening but keep the port bound: connections are refused. `listen` undoes it."""
        self._close_listener()
        listener = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener

    def stop(self) -> None:
        """Close the port and every connection, and wait for the threads."""
        self.stopping.set()
        self._close_listener()
        with self._condition:
            for session in self._sessions.values():
                session.interrupt()
        for thread in self._threads:
            thread.join(10)

    # What a test reads

    @property
    def messages(self) -> list[Message]:
        """All messages that came to their end, whatever the reply, in the order of connections."""
        return [message for connection in list(self.connections) for message in list(connection.messages)]

    @property
    def lines(self) -> list[bytes]:
        """All command lines of all connections."""
        return [line for connection in list(self.connections) for line in list(connection.lines)]

    @property
    def open(self) -> list[Connection]:
        """The connections that are not yet closed."""
        return [connection for connection in list(self.connections) if not connection.ended]

    def wait(self, condition: Callable[["Sink"], object], timeout: float = 10.0) -> bool:
        """Return True as soon as *condition* holds for this sink, False if it does not within *timeout* seconds."""

        def holds() -> bool:
            try:
                return bool(condition(self))
            except IndexError:  # it speaks of a connection or a message that is not there yet
                return False

        with self._condition:
            return self._condition.wait_for(holds, timeout)

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[Message]:
        """Return the messages once there are *count* whose reply is decided, or what there is after *timeout* seconds."""
        self.wait(lambda sink: sum(bool(each.reply) for each in sink.messages) >= count, timeout)
        return self.messages

    def wait_connections(self, count: int, timeout: float = 10.0) -> list[Connection]:
        """Return the connections once there are *count*, or what there is after *timeout* seconds."""
        self.wait(lambda sink: len(sink.connections) >= count, timeout)
        return list(self.connections)

    def wait_closed(self, timeout: float = 10.0) -> bool:
        """Say whether all connections end within *timeout* seconds."""
        return self.wait(lambda sink: not sink.open, timeout)

    # What a session asks

    def strike(self, at: str, line: bytes) -> Fault | None:
        with self._condition:
            for number, fault in enumerate(self._faults):
                if fault.at != at or not _found(fault.matching, line):
                    continue
                occasion = self._occasions[number]
                self._occasions[number] += 1
                if occasion >= fault.skip and (fault.times is None or occasion < fault.skip + fault.times):
                    return fault
        return None

    def keep(self, message: Message) -> None:
        if self._store is None:
            return
        record = {
            "sender": message.sender.decode("latin-1"),
            "recipients": [each.decode("latin-1") for each in message.recipients],
            "text": message.text.decode("latin-1"),
        }
        with self._condition, self._store.open("ab") as store:
            store.write(json.dumps(record).encode("ascii") + b"\n")
            store.flush()
            os.fsync(store.fileno())

    def changed(self) -> None:
        with self._condition:
            self._condition.notify_all()

    # Listening

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:  # closed by refuse or stop
                return
            with self._condition:
                connection = Connection(len(self.connections), (peer[0], peer[1]), time.monotonic())
                self.connections.append(connection)
                session = self._sessions[connection.number] = Session(sock, connection, self)
                thread = threading.Thread(target=self._serve, args=(session, connection.number), name="sink", daemon=True)
                self._threads.append(thread)
            thread.start()
            self.changed()

    def _serve(self, session: Session, number: int) -> None:
        try:
            session.run()
        finally:
            with self._condition:
                del self._sessions[number]

    def _close_listener(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        if self._listener is not None:
            with contextlib.suppress(OSError):  # it did not listen
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not
            self._listener.close()
            self._listener = None

    def _fill_backlog(self) -> None:
        for _ in range(FILLERS):
            filler = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
            filler.settimeout(0.1)
            self._fillers.append(filler)
            try:
                filler.connect((self.address, self.port))
            except TimeoutError:  # full: this one's SYN got no answer
                return


def stored(path: Path) -> list[dict[str, object]]:
    """Return the messages in a store file; text and addresses are latin-1 readings of their bytes."""
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def _found(pattern: bytes, line: bytes) -> bool:
    return not pattern or re.search(pattern, line) is not None


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.e2e.servers.sink", description="a recording SMTP sink on loopback")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path, help="append accepted messages to this file, fsynced before the 250")
    parser.add_argument("--dialect", choices=DIALECTS, default="strict")
    parser.add_argument("--proxy", action="store_true", help="demand a PROXY header")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Sink(dialect=DIALECTS[options.dialect], store=options.store, proxy=options.proxy, port=options.port) as sink:
        print(sink.port, flush=True)
        while sys.stdin.readline():
            pass


if __name__ == "__main__":
    main()
