"""waiting_room - held clients: bare descriptors, one epoll instance, one timer.

What      Holds accepted clients until their hold is over, tells core/hold what happens to them, and does what it orders.
Promises  A held client that does nothing is a row of numbers: no socket object, no transport, no timer, no task. Early
          bytes are peeked at and never read. Bytes that come in the last millisecond count: the socket is looked at once
          more before the greeting. Every refusal is one reply that arrives.
Facts     The room's epoll descriptor is itself registered with the event loop, so the loop watches one descriptor for
          the whole room. Peeked bytes stay in the socket, so a level-triggered epoll would report them for ever: every
          descriptor is one-shot and is armed again only for what is still of interest. Descriptors are reused at once
          after close, so a deadline carries the session's number and is stale when the row's number differs. A
          descriptor is unregistered before it is closed or given away. A FIN is not known to be a hang-up rather than a
          half-close, so the client stays; a RST is.
Measured  docs/performance.md: bytes and CPU a held client.
Not here  Accepting (net/listener), the session after the greeting (net/session), lingering after a refusal (net/linger).
"""

from __future__ import annotations

import select
import socket
from array import array
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tarry.core import hold, replies
from tarry.core.border import Answered, Due, Emit, Forget, Greet, HoldInput, HungUp, Refuse, Wait
from tarry.core.check import About
from tarry.core.client import Client, Endpoint
from tarry.core.clock import Clock
from tarry.core.facts import Answer, Kind, Question, Resolver, State
from tarry.core.finding import first_questions
from tarry.core.hold import Held
from tarry.core.policy import Policy
from tarry.core.result import Reason
from tarry.net.linger import Linger
from tarry.net.peek import peek
from tarry.net.places import Places
from tarry.net.wheel import FD_BITS, FD_MASK, Wheel
from tarry.record import schema
from tarry.record.journal import Journal
from tarry.smtp.reply import Reply

_SILENT = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
_TALKED = select.EPOLLRDHUP | select.EPOLLONESHOT
_GONE = select.EPOLLERR | select.EPOLLHUP
_MEMORIES = (Kind.HISTORY, Kind.DOMAIN_HISTORY)
ASK_LATER = 0.3
"""Seconds after which the domain of a client is asked for: half of those who speak early have done so by then, and a flood of them
would ask the name servers about each address, which costs more than all the rest."""


@dataclass(slots=True)
class Guest:
    """A client that leaves the room: its socket, now the taker's to close, and what is known of it.

    ``left``: it closed its side and had said nothing, so nothing of its is to be read. ``talked``: its early bytes have been
    judged.
    """

    sock: socket.socket
    client: Client
    packed: bytes
    journal: Journal
    accepted_at: float
    policy: Policy
    reasons: tuple[Reason, ...] = ()
    left: bool = False
    is_exempt: bool = False
    talked: bool = False
    answers: tuple[Answer, ...] = ()


class Place(NamedTuple):
    """How a client is to be held: for ``wait`` seconds at first, at ``share`` (0 to 1) of the range for its ``wait_class``.

    ``resolver`` looks up what the checks ask about it.
    """

    share: float
    wait: float
    wait_class: str = ""
    resolver: Resolver | None = None


class WaitingRoom:
    """All held clients of one process."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        clock: Clock,
        *,
        linger: Linger,
        open_journal: Callable[[int, float, Policy], Journal],
        greet: Callable[[Guest], None],
        leave: Callable[[bytes], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._linger = linger
        self._open_journal = open_journal
        self._greet = greet
        self._leave = leave
        self._epoll = select.epoll()
        self._wheel = Wheel(loop, clock, self._on_due)
        self._count = 0
        self._policies: Places[Policy] = Places()
        # The columns, one place a descriptor. A row is free when its number is 0.
        self._number = array("Q")
        self._accepted_at = array("d")
        self._due_at = array("d")
        self._share = array("f")
        self._port = array("H")
        self._server = array("H")
        self._policy = array("H")
        self._width = bytearray()
        self._unheard = bytearray()  # of whom nothing is remembered: a bit for each of `_MEMORIES`
        self._address = bytearray()
        self._servers: Places[Endpoint] = Places()
        self._via: dict[int, Client] = {}  # clients that a PROXY header announced
        self._active: dict[int, tuple[Held, Journal, Client]] = {}  # clients that have done something
        self._answers: dict[int, list[Answer]] = {}  # what is known of those that have not, and makes no difference yet
        self._class: dict[int, str] = {}  # clients that have a wait of their own
        self._later: dict[int, tuple[Question, Resolver]] = {}  # what is asked about those who are still in after `ASK_LATER`
        self._left: dict[int, None] = {}  # those that have closed their side, the first one first
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return self._count

    def enter(self, fd: int, number: int, packed: bytes, client: Client, policy: Policy, accepted_at: float, place: Place) -> None:
        """Hold a client as *place* says, from *accepted_at* on. Takes the descriptor over; *number* is above 0 and used once."""
        while fd >= len(self._number):
            self._grow()
        self._number[fd] = number
        self._accepted_at[fd] = accepted_at
        self._due_at[fd] = accepted_at + place.wait
        self._share[fd] = place.share
        self._port[fd] = client.endpoint.port
        self._policy[fd] = self._policies.take(policy)
        self._width[fd] = len(packed)
        self._address[fd * 16 : fd * 16 + len(packed)] = packed
        if client.via is not None:
            self._via[fd] = client  # whole: the address that it came to is of its header, and so another object for each
        else:
            self._server[fd] = self._servers.take(client.server)
        self._count += 1
        if place.wait_class:
            self._class[fd] = place.wait_class
        self._epoll.register(fd, _SILENT)
        entry = number << FD_BITS | fd
        self._wheel.add(accepted_at + place.wait, entry)
        if policy.asking and place.resolver is not None:
            on_answer = partial(self._on_answer, entry)
            for question in first_questions(policy.asking, About(client.address)):
                if question.kind is Kind.DOMAIN_HISTORY and place.wait > ASK_LATER:
                    self._later[fd] = question, place.resolver
                    self._wheel.add(accepted_at + ASK_LATER, entry)
                else:
                    place.resolver.ask(question, on_answer)

    def release_one_that_left(self) -> bool:
        """Close the client that closed its side first, and so has most likely gone; False where there is none.

        They are held like the others, since a FIN may be a half-close, but they are the first to go when there is no place left.
        """
        fd = next(iter(self._left), None)
        if fd is None:
            return False
        _, journal, _ = self._active[fd]
        self._forget(fd, _borrow(fd), journal, self._clock.monotonic())
        return True

    def close(self, reply: Reply) -> None:
        """Send everyone away with *reply* (the daemon is going down)."""
        for fd in range(len(self._number)):
            if self._number[fd]:
                now = self._clock.monotonic()
                _, journal, _ = self._activate(fd)
                journal.emit(replies.at_connect(reply), now)
                packed = self._take_out(fd)
                journal.close(now)
                self._leave(packed)
                self._linger.send_off(_borrow(fd), reply.raw)
        self._wheel.close()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    # What the kernel and the clock say.

    def _on_ready(self) -> None:
        for fd, mask in self._epoll.poll(0, 512):
            now = self._clock.monotonic()
            sock = _borrow(fd)
            active = self._active.get(fd)
            if mask & _GONE:
                found: HoldInput | None = HungUp(reset=True)
            elif active is not None and active[0].talked:
                # Only its hang-up is listened for. A peek would show the early bytes again and not the FIN behind them.
                found = HungUp(reset=False)
            else:
                found = peek(sock)
            if found is None:
                sock.detach()
                self._epoll.modify(fd, _SILENT)
            elif self._step(fd, sock, found, now):
                sock.detach()
                self._rearm(fd)

    def _on_due(self, entry: int) -> None:
        fd = entry & FD_MASK
        if fd >= len(self._number) or self._number[fd] != entry >> FD_BITS:
            return
        now = self._clock.monotonic()
        if fd in self._later:
            question, resolver = self._later.pop(fd)
            resolver.ask(question, partial(self._on_answer, entry))
        if now < self._due_at[fd]:
            return  # that was all, or its hold has become longer since, and has another entry
        sock = _borrow(fd)
        active = self._active.get(fd)
        if active is None or not active[0].talked:
            found = peek(sock)
            if found is not None and not self._step(fd, sock, found, now):
                return
        if self._step(fd, sock, Due(), now):
            sock.detach()

    def _on_answer(self, entry: int, answer: Answer) -> None:
        fd = entry & FD_MASK
        if fd >= len(self._number) or self._number[fd] != entry >> FD_BITS:
            return  # it has left
        policy = self._policies[self._policy[fd]]
        if fd not in self._active and hold.can_wait(answer, policy):
            if answer.state is State.NOTHING and answer.question.kind in _MEMORIES and not answer.domain:
                self._unheard[fd] |= 1 << _MEMORIES.index(answer.question.kind)
            else:
                self._answers.setdefault(fd, []).append(answer)
            return
        now = self._clock.monotonic()
        sock = _borrow(fd)
        active = self._active.get(fd)
        if active is None or not active[0].talked:
            # The answer may let the client in, and early bytes count to the last moment.
            found = peek(sock)
            if found is not None:
                if not self._step(fd, sock, found, now):
                    return
                self._rearm(fd)
        if self._step(fd, sock, Answered(answer), now):
            sock.detach()

    def _rearm(self, fd: int) -> None:
        """Listen to a client that has talked for its hang-up, to one that has left for its reset, which epoll always reports."""
        held = self._active[fd][0]
        self._epoll.modify(fd, select.EPOLLONESHOT if held.left else _TALKED)

    # What the core orders.

    def _step(self, fd: int, sock: socket.socket, happened: HoldInput, now: float) -> bool:
        """Advance a client; return whether it is still in the room. *sock* goes to the taker when it is not."""
        try:
            return self._advance(fd, sock, happened, now)
        except (
            Exception
        ) as fault:  # our bug: its descriptor would be closed with *sock*, and its row be that of the next who has it
            self._loop.call_exception_handler({"message": "a hold ends in a fault of tarry itself", "exception": fault})
            if self._number[fd]:
                _, journal, _ = self._activate(fd)
                journal.emit(replies.at_connect(replies.FAULT), now)
                packed = self._take_out(fd)
                self._linger.send_off(sock, replies.FAULT.raw)
                journal.close(now)
                self._leave(packed)
            return False

    def _advance(self, fd: int, sock: socket.socket, happened: HoldInput, now: float) -> bool:
        held, journal, client = self._active.get(fd) or self._activate(fd)
        policy = self._policies[self._policy[fd]]
        held, effects = hold.step(held, happened, now, policy)
        self._active[fd] = (held, journal, client)
        if held.left:
            self._left[fd] = None
        for effect in effects:
            match effect:
                case Emit(event=event):
                    journal.emit(event, now)
                case Wait(seconds=seconds):
                    self._due_at[fd] = self._accepted_at[fd] + seconds
                    self._wheel.add(max(now, self._due_at[fd]), self._number[fd] << FD_BITS | fd)
                case Greet():
                    self._greet_out(fd, sock, held, journal, client)
                    return False
                case Refuse(reply=reply):
                    journal.emit(replies.at_connect(reply), now)
                    packed = self._take_out(fd)
                    self._linger.send_off(sock, reply.raw)
                    journal.close(now)
                    self._leave(packed)
                    return False
                case Forget():
                    self._forget(fd, sock, journal, now)
                    return False
        return True

    def _greet_out(self, fd: int, sock: socket.socket, held: Held, journal: Journal, client: Client) -> None:
        accepted_at, policy = self._accepted_at[fd], self._policies[self._policy[fd]]
        packed = self._take_out(fd)
        left = held.left and not held.talked
        guest = Guest(
            sock, client, packed, journal, accepted_at, policy, held.reasons, left, talked=held.talked, answers=held.answers
        )
        self._greet(guest)

    def _forget(self, fd: int, sock: socket.socket, journal: Journal, now: float) -> None:
        packed = self._take_out(fd)
        sock.close()
        journal.close(now)
        self._leave(packed)

    def _activate(self, fd: int) -> tuple[Held, Journal, Client]:
        """Make a session out of a row of numbers: its client has done something, or its time has come."""
        active = self._active.get(fd)
        if active is None:
            accepted_at = self._accepted_at[fd]
            journal = self._open_journal(self._number[fd], accepted_at, self._policies[self._policy[fd]])
            client = self._client(fd)
            journal.resume(schema.Connect(client.address, client.endpoint.port, str(client.server)))
            held = Held(
                journal.id,
                client.address,
                accepted_at,
                share=self._share[fd],
                wait_class=self._class.get(fd, ""),
                packed=self._packed(fd),
            )
            now = self._clock.monotonic()
            for answer in (*self._nothing_remembered(fd, client.address), *self._answers.pop(fd, ())):
                held, effects = hold.step(held, Answered(answer), now, self._policies[self._policy[fd]])
                for effect in effects:
                    if isinstance(effect, Emit):  # nothing else comes of what did not matter when it came
                        journal.emit(effect.event, now)
            active = self._active[fd] = (held, journal, client)
        return active

    def _nothing_remembered(self, fd: int, address: str) -> list[Answer]:
        """Make the answers again that were kept as a bit: most clients come for the first time."""
        bits = self._unheard[fd]
        return [Answer(Question(kind, address), State.NOTHING) for bit, kind in enumerate(_MEMORIES) if bits >> bit & 1]

    def _client(self, fd: int) -> Client:
        via = self._via.get(fd)
        if via is not None:
            return via
        packed = self._packed(fd)
        host = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
        return Client(Endpoint(host, self._port[fd]), self._servers[self._server[fd]])

    def _packed(self, fd: int) -> bytes:
        return bytes(self._address[fd * 16 : fd * 16 + self._width[fd]])

    def _take_out(self, fd: int) -> bytes:
        """Clear a row and return the client's address; the descriptor is the caller's."""
        self._epoll.unregister(fd)
        packed = self._packed(fd)
        self._number[fd] = self._unheard[fd] = 0
        self._policies.give_back(self._policy[fd])
        if self._via.pop(fd, None) is None:
            self._servers.give_back(self._server[fd])
        self._active.pop(fd, None)
        self._left.pop(fd, None)
        self._answers.pop(fd, None)
        self._class.pop(fd, None)
        self._later.pop(fd, None)
        self._count -= 1
        return packed

    def _grow(self) -> None:
        places = max(256, len(self._number))
        for column in (self._number, self._accepted_at, self._due_at, self._share, self._port, self._server, self._policy):
            column.frombytes(bytes(places * column.itemsize))
        self._width.extend(bytes(places))
        self._unheard.extend(bytes(places))
        self._address.extend(bytes(places * 16))


def _borrow(fd: int) -> socket.socket:
    """Return a socket object for a descriptor. Family and type are given so that Python need not ask; for what is done
    here (recv, send, shutdown) they do not matter, and asyncio asks the kernel itself."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
