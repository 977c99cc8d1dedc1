"""play - be one client for one connection.

What     `play` connects, carries out the habit's steps and returns a Trace; it raises for nothing that the server or the
         network does. `perform` is the part without a socket: it sees the server through a Wire.
Times    Every reply is stamped when it arrives, not when the habit gets round to it: a task reads all the time.
Sockets  Bare non-blocking sockets, not streams: asyncio.StreamReader gives up what it has buffered when a reset follows, and
         a refusal followed by a reset is what this program is looking for.
Bounds   `timeout` covers the whole habit, connecting included. At most 1000 replies are read.
Since    0.1
"""

import asyncio
import contextlib
import errno
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from tarry.probe.replies import ReplyReader
from tarry.probe.steps import GOODBYE, SERVER, Habit, HalfClose, Hear, Listen, Pause, Say
from tarry.probe.target import Address, Endpoint
from tarry.probe.trace import Ending, Reply, Seconds, Trace
from tarry.smtp.text import TEXT_LIMIT, escape

Clock = Callable[[], float]
MAX_REPLIES = 1000
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)


class Wire(Protocol):
    """The server as `perform` sees it."""

    @property
    def replies(self) -> Sequence[Reply]:
        """All replies so far."""

    @property
    def is_open(self) -> bool:
        """Whether the server may still send."""

    async def send(self, data: bytes) -> None:
        """Send all of *data*; a server that has gone is no error."""

    async def half_close(self) -> None:
        """Send nothing more."""

    async def wait(self, count: int, within: Seconds | None) -> None:
        """Return when there are *count* replies in all, the server has closed, or the time is over."""


@dataclass(slots=True)
class Said:
    """What a client has done so far; kept outside `perform` so that a time-out does not lose it."""

    beginning: bytes = b""
    length: int = 0
    lines: int = 0
    quit: bool = False
    heard: list[str] = field(default_factory=list)  # what each reply was the answer to, in order

    def add(self, data: bytes) -> None:
        """Note that *data* was sent."""
        self.beginning = (self.beginning + data)[:TEXT_LIMIT]
        self.length += len(data)
        self.lines += data.count(b"\n")
        self.quit = self.quit or data.endswith((b"QUIT\r\n", b"QUIT\n"))


async def perform(habit: Habit, wire: Wire, said: Said) -> None:
    """Carry out the steps of *habit* until they are done, the server closes, or an awaited reply stays away."""
    steps = list(habit.steps)
    refused = False
    while steps and wire.is_open:
        match steps.pop(0):
            case Say() as say:
                if refused or not say.only_if_refused:
                    await _say(say, wire, said)
            case Hear(what=what, within=within, bears_refusal=bears_refusal):
                number = len(said.heard)
                await wire.wait(number + 1, within)
                if len(wire.replies) <= number:
                    return
                said.heard.append(what)
                if not (wire.replies[number].is_positive or bears_refusal):
                    if habit.polite and not refused:
                        steps = list(GOODBYE)
                    refused = True
            case Listen(quiet=quiet):
                before = -1
                while wire.is_open and len(wire.replies) > before:
                    before = len(wire.replies)
                    await wire.wait(before + 1, quiet)
            case Pause(length=length):
                await wire.wait(MAX_REPLIES + 1, length)
            case HalfClose():
                await wire.half_close()
            case _ as unreachable:
                assert_never(unreachable)
    # Replies that came together with the end of the connection are still answers to what was asked.
    dues = [step.what for step in steps if isinstance(step, Hear)]
    said.heard += dues[: len(wire.replies) - len(said.heard)]


async def play(
    habit: Habit,
    endpoints: Sequence[Endpoint],
    *,
    clock: Clock,
    timeout: Seconds,
    source: Address | None = None,
) -> Trace:
    """Be that client once, at the first of *endpoints* that takes the connection, and return what happened."""
    began_at = clock()
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(timeout):
            sock = await _connect(endpoints, source)
    except TimeoutError:
        return _unreachable(habit, f"no answer within {timeout:g} s", Seconds(clock() - began_at))
    except OSError as error:
        words = os.strerror(error.errno) if error.errno else str(error)
        return _unreachable(habit, words, Seconds(clock() - began_at), error.errno == errno.ECONNREFUSED)
    connected_at = clock()
    left = timeout - (connected_at - began_at)
    said = Said()
    with sock:
        wire = SocketWire(sock, clock, connected_at)
        ended = Ending.CLIENT
        try:
            async with asyncio.timeout(left):
                await perform(habit, wire, said)
        except TimeoutError:
            ended = Ending.TIMEOUT
        finally:
            await wire.stop()
    return Trace(
        habit=habit.name,
        sent=escape(said.beginning),
        sent_bytes=said.length,
        sent_lines=said.lines,
        replies=labelled(wire.replies, said.heard),
        ended=wire.ended or ended,
        ended_after=wire.ended_after if wire.ended_after is not None else Seconds(clock() - connected_at),
        quit_sent=said.quit,
    )


class SocketWire:
    """A connected socket as a Wire. It does not own the socket; `stop` ends its reading."""

    def __init__(self, sock: socket.socket, clock: Clock, connected_at: float) -> None:
        self.replies: list[Reply] = []
        self.ended: Ending | None = None  # once there is nothing more to read, and why
        self.ended_after: Seconds | None = None
        self._sock = sock
        self._clock = clock
        self._connected_at = connected_at
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._can_send = True
        self._reading = asyncio.create_task(self._read())

    @property
    def is_open(self) -> bool:
        return self.ended is None

    async def send(self, data: bytes) -> None:
        if not self._can_send:
            return
        try:
            await self._loop.sock_sendall(self._sock, data)
        except BrokenPipeError:
            self._can_send = False  # EPIPE: the server had closed; what it said before is still to be read
        except OSError:
            # ECONNRESET; ETIMEDOUT or EHOSTUNREACH when the way is gone. Reported once only: the read would see a clean end.
            self._can_send = False
            self._end(Ending.RESET)

    async def half_close(self) -> None:
        self._can_send = False
        with contextlib.suppress(OSError):  # ENOTCONN: the server was faster, and the reader sees it
            self._sock.shutdown(socket.SHUT_WR)

    async def wait(self, count: int, within: Seconds | None) -> None:
        try:
            async with asyncio.timeout(within):
                while self.is_open and len(self.replies) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def stop(self) -> None:
        """End the reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        reader = ReplyReader()
        while len(self.replies) < MAX_REPLIES:
            try:
                data = await self._loop.sock_recv(self._sock, 65536)
            except OSError:  # ECONNRESET; ETIMEDOUT or EHOSTUNREACH when the way is gone
                self._note(reader.finish())
                self._end(Ending.RESET)
                return
            if not data:
                self._note(reader.finish())
                self._end(Ending.SERVER)
                return
            self._note(reader.feed(data))
        self._end(Ending.CLIENT)  # enough is enough

    def _note(self, found: Sequence[tuple[int, str]]) -> None:
        after = Seconds(self._clock() - self._connected_at)
        room = MAX_REPLIES - len(self.replies)
        self.replies += [Reply(code, text, after) for code, text in found[:room]]
        self._news.set()

    def _end(self, ended: Ending) -> None:
        if self.ended is None:
            self.ended, self.ended_after = ended, Seconds(self._clock() - self._connected_at)
        self._news.set()


async def _say(say: Say, wire: Wire, said: Said) -> None:
    data = say.data.replace(SERVER, _name_of(wire)) if say.as_server else say.data
    pieces = [data[at : at + 1] for at in range(len(data))] if say.pace else [data]
    for piece in pieces:
        if not wire.is_open:
            return
        said.add(piece)
        await wire.send(piece)
        if say.pace:
            await wire.wait(MAX_REPLIES + 1, Seconds(say.pace / len(pieces)))


def _name_of(wire: Wire) -> bytes:
    """Return what the server calls itself in its greeting, which RFC 5321 §4.2 has begin with that name."""
    name = wire.replies[0].text.partition(" ")[0] if wire.replies else ""
    return (name if _HOST_NAME.fullmatch(name) else "localhost").encode("ascii")


async def _connect(endpoints: Sequence[Endpoint], source: Address | None) -> socket.socket:
    """Return a connected socket; raises the last endpoint's OSError when none takes the connection."""
    problem = OSError("no address of the same kind as the source address")
    for endpoint in endpoints:
        if source is not None and source.version != endpoint.address.version:
            continue
        sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # Each byte of the slow writer, and each piece of a pile, must leave at once.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source is not None:
                sock.bind((str(source), 0))
            await asyncio.get_running_loop().sock_connect(sock, endpoint.sockaddr)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise problem


def _unreachable(habit: Habit, problem: str, after: Seconds, refused: bool = False) -> Trace:
    return Trace(habit=habit.name, ended=Ending.UNREACHABLE, ended_after=after, problem=problem, refused_connection=refused)


def labelled(replies: Sequence[Reply], heard: Sequence[str]) -> tuple[Reply, ...]:
    """Return *replies* with the names of what they answer, as far as somebody waited for them."""
    labels = [*heard, *[""] * (len(replies) - len(heard))]
    return tuple(Reply(reply.code, reply.text, reply.after, to) for reply, to in zip(replies, labels, strict=True))
