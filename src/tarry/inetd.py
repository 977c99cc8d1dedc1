"""inetd - wiring: one client on descriptor 0, held, and then given to a command.

What      `serve`: who the client is, may it come in, the hold, and what comes after it: a refusal, or the command in our place.
Promises  Nothing is decided here, and nothing but a peek touches what the client has sent. What goes wrong on our side is a 421, so
          that the client comes again. A record that cannot be written is lost, and no client with it.
Records   As the daemon's, with ``handoff`` before the command is run and ``close`` behind it. The lines of one moment are one
          write to a file opened with O_APPEND, which many processes may share. ``record.path = "-"`` would be the client: then
          the one `close` line goes to standard error, where that is not the client too.
Imports   No event loop, no click: this starts anew for each client (docs/performance.md).
Source    J. Rudd's sendwrap, 2004; features.md, section 2.5.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tarry.clocks import SystemClock
from tarry.config.compile import door_rules, fingerprint, policy
from tarry.config.lists import marked
from tarry.config.load import Loaded, load
from tarry.core import replies
from tarry.core.admission import Admitted, Door
from tarry.core.border import Forget, Refuse
from tarry.core.client import Client
from tarry.core.hold import Held, class_of, wait_of
from tarry.net import alone, ids, peer, stdio, ucspi
from tarry.net.alone import Stopped, Waiter
from tarry.net.linger import say
from tarry.net.stdio import StandardError
from tarry.record import schema
from tarry.record.journal import Journal
from tarry.smtp.reply import Reply

if TYPE_CHECKING:
    from tarry.lookups import OneClient
    from tarry.sinks import Renderer

OK, INVALID, EX_USAGE, EX_TEMPFAIL = 0, 1, 2, 75
_CLOCK = SystemClock()


def serve(command: Sequence[str], config_file: str, *, observe: bool, stderr: StandardError) -> int:
    """Serve the client; return the exit status, or not at all, when the process has become *command*."""
    accepted_at = time.monotonic()
    try:
        sock, client = peer.take(0, os.environ)
    except peer.Unusable as fault:
        stderr.tell(f"tarry inetd: {fault}")
        return EX_USAGE
    if client is None:
        return OK  # it came and went before anybody looked, and nobody knows who it was
    waiter = Waiter()
    waiter.listen(signal.SIGTERM, signal.SIGINT)
    path = Path(config_file) if config_file else None
    loaded = load(path, alone=True, lines=False)
    session_id = ids.of_process(time.time(), os.getpid())
    if loaded.errors:
        for problem in load(path, alone=True).errors:
            stderr.tell(f"tarry: {problem}")
        _send_off(sock, replies.not_started(session_id), waiter)
        return INVALID
    visit = _Visit(sock, client, loaded, waiter, stderr, session_id, accepted_at, observe)
    try:
        return visit.run(command)
    finally:
        visit.log.flush()


class _Visit:
    """The one client of this process."""

    def __init__(
        self,
        sock: socket.socket,
        client: Client,
        loaded: Loaded,
        waiter: Waiter,
        stderr: StandardError,
        session_id: str,
        accepted_at: float,
        observe: bool,
    ) -> None:
        self._sock = sock
        self._client = client
        self._config = config = loaded.config
        self._lists = loaded.lists
        self._policy = policy(config, observe=observe)
        self._waiter = waiter
        self._stderr = stderr
        self._id = session_id
        self._accepted_at = accepted_at
        self._packed = socket.inet_pton(socket.AF_INET6 if ":" in client.address else socket.AF_INET, client.address)
        self._lookups: OneClient | None = None
        self.log = _Log(config.record.path, config.record.style, stderr)
        self._journal = Journal(
            session_id,
            accepted_at=accepted_at,
            accepted_wall=time.time() - (time.monotonic() - accepted_at),
            write=self.log.put,
            all_records=self._policy.record_all and self.log.takes_all,
        )

    def run(self, command: Sequence[str]) -> int:
        """Take the client from the door to its end. Returns the exit status, or never."""
        teaser = ""
        door = Door(door_rules(self._config))
        door.marked = marked(self._lists.words, time.time())
        match door.admit(self._packed, self._client.address, self._accepted_at):
            case Admitted.EXEMPT:
                self._emit(self._connect(0.0, "exempt"), self._accepted_at)
            case Admitted.DENIED:
                self._emit(self._connect(0.0, ""), self._accepted_at)
                return self._refuse(replies.denied(self._id))
            case _:  # held; it is alone, so there are never too many
                teaser = self._policy.teaser
                try:
                    end = self._hold(teaser)
                except Stopped:
                    return self._refuse(replies.GOING_DOWN)
                match end:
                    case Refuse(reply=reply):
                        return self._refuse(reply)
                    case Forget():
                        self._journal.close(time.monotonic())
                        return OK
        if self._waiter.is_stopped:
            return self._refuse(replies.GOING_DOWN)  # a command that is run now would not hear of it
        return self._hand_off(command, teaser)

    def _hold(self, teaser: str) -> alone.End:
        share, address = _random(), self._client.address
        wait_class = class_of(address, self._packed, (), self._policy)
        wait, name = wait_of(wait_class, self._policy).at(share), wait_class.name if wait_class else ""
        self._emit(self._connect(wait, "", name), self._accepted_at)
        if teaser:
            say(self._sock, replies.teaser(teaser, self._name))
        if self._policy.asking:
            from tarry.lookups import OneClient  # an event loop and a resolver, which are there only for who has lists

            self._lookups = OneClient(_CLOCK, self._config, self._policy, address)
        try:
            return alone.hold_client(
                self._sock,
                Held(self._id, address, self._accepted_at, share=share, wait_class=name, packed=self._packed),
                self._policy,
                until=self._accepted_at + wait,
                clock=_CLOCK,
                wait=self._wait,
                emit=self._emit,
                answers=self._lookups.take if self._lookups is not None else tuple,
            )
        finally:
            if self._lookups is not None:
                self._lookups.close()
                self._lookups = None

    def _wait(self, sock: socket.socket, mask: int, seconds: float) -> int:
        self.log.flush()  # what is known so far can be read while the client waits
        if self._lookups is None:
            return self._waiter(sock, mask, seconds)
        return self._waiter(sock, mask, min(seconds, self._lookups.SLICE), self._lookups.fd)

    def _hand_off(self, command: Sequence[str], teaser: str) -> int:
        """Become the command."""
        words = ucspi.fill(command, self._client)
        environ = ucspi.environment(self._client, os.environ)
        path, why = stdio.find(words, environ)
        if path:
            now = time.monotonic()
            self._emit(schema.Handoff("exec", words[0], ok=True, ms=0.0), now)
            self._journal.close(now)
            self.log.flush()
            why = stdio.become(path, words, environ, self._stderr)
        # Still here.
        self._emit(schema.Handoff("exec", words[0], ok=False, why=why), time.monotonic())
        self._stderr.tell(f"tarry inetd: {words[0]} cannot be run ({why}); the client was told to come again")
        refusal = replies.not_started(self._id)
        try:
            if teaser:
                greeting = replies.greeting(self._name)
                said = alone.apologise(self._sock, greeting, refusal, clock=_CLOCK, wait=self._wait)
            else:
                said = refusal
                alone.send_off(self._sock, refusal.raw, clock=_CLOCK, wait=self._waiter)
        except Stopped:
            said = refusal
        self._close_with(said)
        return EX_TEMPFAIL

    @property
    def _name(self) -> str:
        """The name in the greeting."""
        return self._config.smtp.name or socket.gethostname() or "localhost"

    def _refuse(self, reply: Reply) -> int:
        self._close_with(reply)
        self.log.flush()
        _send_off(self._sock, reply, self._waiter)
        return OK

    def _close_with(self, reply: Reply) -> None:
        now = time.monotonic()
        self._emit(replies.at_connect(reply), now)
        self._journal.close(now)

    def _emit(self, event: schema.SessionEvent, now: float) -> None:
        self._journal.emit(event, now)

    def _connect(self, wait: float, exempt: str, hold_class: str = "") -> schema.Connect:
        client = self._client
        name = fingerprint(self._config) if self.log.takes_all else ""
        return schema.Connect(
            client.address, client.endpoint.port, str(client.server), round(wait, 3), "", exempt, name, hold_class
        )


class _Log:
    """Where the records of one client go. ``takes_all``: a file; else only the closing line is wanted, or nothing."""

    def __init__(self, path: str, style: str, stderr: StandardError) -> None:
        self.takes_all = path != "-"
        self._path = path
        self._style = style
        self._renderer: Renderer | None = None  # one for the whole session, since it remembers what came before
        self._stderr = stderr
        self._lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        self._lines.append(line)

    def flush(self) -> None:
        """Write what was put, in one piece."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        if self._style == "json" and not self.takes_all:
            for line in lines:
                self._stderr.write(line)
            return
        from tarry.sinks import Rendered, ending_of, open_writer, renderer_of  # a client without records needs none of them

        renderer = self._renderer = self._renderer or renderer_of(self._style)
        if renderer is not None and not self.takes_all:
            for line in lines:
                for shown in (renderer.render(line) or b"").splitlines(keepends=True):
                    self._stderr.write(shown)
            return
        writer = open_writer(self._path, wall=time.time, waits=False, ending=ending_of(self._style))
        if renderer is not None:
            writer = Rendered(renderer, writer)
        failure = writer.write(lines)
        writer.close()
        if failure is not None:
            self._stderr.tell(f"tarry inetd: {failure.count} record(s) could not be written to {self._path} ({failure.why})")


def _send_off(sock: socket.socket, reply: Reply, waiter: Waiter) -> None:
    try:
        alone.send_off(sock, reply.raw, clock=_CLOCK, wait=waiter)
    except Stopped:
        pass  # the reply has gone out, and nobody waits for us any more


def _random() -> float:
    """Return a number in [0, 1). The random module takes 0.7 ms to import, for a state that is used once."""
    return int.from_bytes(os.urandom(6), "big") / (1 << 48)
