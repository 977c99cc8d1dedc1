"""front - the way of one client through the shell: accepted, announced, admitted, held, greeted, in line.

What      Joins the listeners, the PROXY header desk, the door's rules, the waiting rooms (with and without TLS) and the sessions.
Promises  Every client that was accepted gets exactly one `connect` and one `close` record, and is counted at the door
          from the one to the other. A reload changes what later clients meet; running sessions keep what they began with.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tarry.core import replies
from tarry.core.admission import REFUSALS, Admitted, Door, Networks, Rules
from tarry.core.border import Close, Emit, Send
from tarry.core.census import Census
from tarry.core.client import Client, Endpoint, normal
from tarry.core.clock import Clock
from tarry.core.conversation import Conversation
from tarry.core.counts import Elsewhere
from tarry.core.facts import Resolver
from tarry.core.hold import class_of, wait_of
from tarry.core.marked import Marked
from tarry.core.policy import Policy, Random
from tarry.core.setting import Setting
from tarry.core.starttls import failure
from tarry.core.stress import Load, Relief
from tarry.net import census as memory
from tarry.net.backend import Backend
from tarry.net.children import Children, RunFor
from tarry.net.giveaway import GiveAway
from tarry.net.ids import SessionIds
from tarry.net.linger import Linger, say
from tarry.net.openings import Openings
from tarry.net.passing import PassTo
from tarry.net.proxied import HeaderDesk
from tarry.net.session import Session
from tarry.net.sides import ClientSide
from tarry.net.slow import Slow
from tarry.net.smtps import TlsRoom
from tarry.net.tls_transport import TlsTransport
from tarry.net.waiting_room import Guest, Place, WaitingRoom
from tarry.record import schema
from tarry.record.journal import Journal, OnClose, Write
from tarry.smtp.proxy_header import Header, HeaderFault
from tarry.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client that comes in now meets; a reload replaces it whole. ``tls`` is None where TLS is nobody's or the MTA's;
    ``ends_tls`` says that STARTTLS is tarry's own."""

    policy: Policy
    rules: Rules
    proxy_from: Networks
    backend: Backend
    fingerprint: str
    header_limit: float
    give: PassTo | RunFor | None = None
    """To whom clients are given at the greeting; None where tarry stays in line."""
    tls: ssl.SSLContext | None = None
    ends_tls: bool = False
    resolver: Resolver | None = None
    """Who looks things up; None where nothing needs to be."""
    relief: Relief = Relief()


class Front:
    """All clients of one process.

    ``on_close`` is told each session's closing line, ``on_load`` when stress begins and ends, and why. ``census`` counts clients
    together with those of other processes of this host, ``elsewhere`` says what other hosts have.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        terms: Terms,
        random: Random,
        write: Write,
        children: Children | None = None,
        ids: SessionIds | None = None,
        on_close: OnClose | None = None,
        census: Census | None = None,
        elsewhere: Elsewhere | None = None,
        on_load: Callable[[bool, str], None] = lambda on, why: None,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._terms = terms
        self._random = random
        self._write = write
        self._on_close = on_close
        self._ids = ids or SessionIds(clock.wall())
        self._number = 0
        self._door = Door(terms.rules, census or memory.alone(), elsewhere)
        self.heavy = self._door.heavy
        """What other hosts are to know of this one's clients."""
        self._load = Load(terms.policy, terms.relief, terms.rules.max_clients, on_load)
        self._linger = Linger(loop, clock)
        self._openings = Openings(loop, clock)
        self._desk = HeaderDesk(loop)
        self._room = WaitingRoom(
            loop, clock, linger=self._linger, open_journal=self._open_journal, greet=self._greet, leave=self._leave
        )
        self._giving = GiveAway(
            loop,
            clock,
            children=children or Children(),
            linger=self._linger,
            serve=self._serve,
            leave=self._leave,
            on_fewer=self._tell_if_empty,
        )
        self._tls_room = TlsRoom(loop, clock, greet=self._greet_inside, leave=self._leave)
        self._slow = Slow()
        self._sessions: set[Session] = set()
        self._on_empty: Callable[[], None] | None = None

    @property
    def held(self) -> int:
        """How many clients have not been greeted yet."""
        return len(self._room) + len(self._tls_room)

    @property
    def in_session(self) -> int:
        """How many clients are in line, on their way to the MTA, or with a command of their own."""
        return len(self._sessions) + len(self._giving)

    @property
    def all_in(self) -> int:
        """How many clients there are, those of whom a proxy has told nothing yet among them."""
        return len(self._desk) + self.held + self.in_session

    @property
    def max_clients(self) -> int:
        """How many clients may be in at once."""
        return self._terms.rules.max_clients

    def change(self, terms: Terms) -> None:
        """Take new terms for the clients that come from now on."""
        self._terms = terms
        self._door.change(terms.rules)
        self._load.change(terms.policy, terms.relief, terms.rules.max_clients, self._door.inside)

    def mark(self, marked: Marked) -> None:
        """Let clients in, or turn them away, as the operator has said by hand; for those that come from now on."""
        self._door.marked = marked

    def take(self, sock: socket.socket, host: str, port: int, server: Endpoint, *, has_tls: bool = False) -> None:
        """A client was accepted; *has_tls*: it begins with TLS."""
        now = self._clock.monotonic()
        packed = _pack(host)
        if packed in self._terms.proxy_from:
            if not (self._door.expect() or (self._room.release_one_that_left() and self._door.expect())):
                admitted, proxy = self._door.admit(packed, host, now), Client(Endpoint(host, port), server)
                if has_tls:
                    self._admit_inside(sock, proxy, packed, now, admitted)
                else:
                    self._turn_away(sock, proxy, packed, now, replies.too_many_clients)
                return
            self._desk.read(
                sock, self._terms.header_limit, partial(self._announced, Endpoint(host, port), server, packed, now, has_tls)
            )
        else:
            self._admit(sock, Client(Endpoint(host, port), server), packed, now, has_tls)

    def relieve(self) -> None:
        """Descriptors are short: let go of those who have been sent away, and of the held ones that have closed their side."""
        self._linger.release()
        while self._room.release_one_that_left():
            pass

    def drain(self, on_empty: Callable[[], None]) -> None:
        """Send the held ones away, let transactions finish, and call *on_empty* when the last session has ended."""
        self._desk.close()
        self._room.close(replies.GOING_DOWN)
        self._tls_room.drain(replies.GOING_DOWN)
        self._on_empty = on_empty
        self._giving.drain()
        for session in list(self._sessions):
            session.drain()
        self._tell_if_empty()

    def abort(self) -> None:
        """End every session at once."""
        self._giving.abort()
        for session in list(self._sessions):
            session.abort()

    def close(self) -> None:
        """Let go of what lingers. Call after `drain`."""
        self._giving.close()
        self._linger.close()
        self._tls_room.close()

    def _announced(
        self,
        peer: Endpoint,
        server: Endpoint,
        packed: bytes,
        accepted_at: float,
        has_tls: bool,
        sock: socket.socket,
        header: Header | HeaderFault,
    ) -> None:
        self._door.arrived()
        if isinstance(header, Header):
            if header.source is None or header.destination is None:
                self._admit(sock, Client(peer, server), packed, accepted_at, has_tls)
                return
            client = Client(Endpoint(*header.source), Endpoint(*header.destination), via=peer)
            self._admit(sock, client, _pack(header.source[0]), accepted_at, has_tls)
            return
        now = self._clock.monotonic()
        journal = self._journal(accepted_at)
        journal.emit(self._connect(Client(peer, server), 0.0, ""), accepted_at)
        journal.emit(schema.Outcome("proxy_header", "failed", header.why), now)
        sock.close()
        journal.close(now)

    def _admit(self, sock: socket.socket, client: Client, packed: bytes, accepted_at: float, has_tls: bool) -> None:
        admitted = self._door.admit(packed, client.address, accepted_at)
        if admitted is Admitted.TOO_MANY and self._room.release_one_that_left():
            self._door.leave(packed)
            admitted = self._door.admit(packed, client.address, accepted_at)
        self._load.weigh(self._door.inside)
        if has_tls:
            self._admit_inside(sock, client, packed, accepted_at, admitted)
            return
        terms, policy = self._terms, self._load.policy
        match admitted:
            case Admitted.HELD:
                share = self._random()
                wait_class = class_of(client.address, packed, (), policy)
                wait, name = wait_of(wait_class, policy).at(share), wait_class.name if wait_class else ""
                self._number += 1
                if policy.record_all:
                    line = self._connect(client, wait, "", name)
                    self._write(schema.write_line(line, t=self._wall(accepted_at), dt=0.0, id=self._ids.text(self._number), n=1))
                if policy.teaser:
                    say(sock, replies.teaser(policy.teaser, terms.backend.name))
                place = Place(share, wait, name, terms.resolver)
                self._room.enter(sock.detach(), self._number, packed, client, policy, accepted_at, place)
            case Admitted.EXEMPT:
                journal = self._journal(accepted_at)
                journal.emit(self._connect(client, 0.0, "exempt"), accepted_at)
                self._greet(Guest(sock, client, packed, journal, accepted_at, policy, is_exempt=True))
            case _:
                self._turn_away(sock, client, packed, accepted_at, REFUSALS[admitted])

    def _admit_inside(self, sock: socket.socket, client: Client, packed: bytes, accepted_at: float, admitted: Admitted) -> None:
        terms, policy = self._terms, self._load.policy
        journal = self._journal(accepted_at)
        is_exempt = admitted is Admitted.EXEMPT
        if terms.tls is not None and admitted in (Admitted.HELD, Admitted.EXEMPT):
            wait_class = class_of(client.address, packed, (), policy)
            wait = 0.0 if is_exempt else wait_of(wait_class, policy).draw(self._random)
            name = wait_class.name if wait_class and not is_exempt else ""
            journal.emit(self._connect(client, wait, "exempt" if is_exempt else "", name), accepted_at)
            guest = Guest(sock, client, packed, journal, accepted_at, policy, is_exempt=is_exempt)
            self._tls_room.enter(guest, terms.tls, wait, terms.backend.name)
            return
        # Without TLS there are no words that the client would understand, and a handshake for those who may not stay costs
        # more than they do: the connection is closed.
        journal.emit(self._connect(client, 0.0, ""), accepted_at)
        journal.emit(failure(f"not begun: {admitted.value}"), accepted_at)
        self._linger.send_off(sock, b"")
        journal.close(accepted_at)
        self._leave(packed)

    def _turn_away(
        self, sock: socket.socket, client: Client, packed: bytes, accepted_at: float, reply_for: Callable[[str, str], Reply]
    ) -> None:
        journal = self._journal(accepted_at)
        reply = reply_for(journal.id, self._terms.policy.help_url)
        journal.emit(self._connect(client, 0.0, ""), accepted_at)
        journal.emit(replies.at_connect(reply), accepted_at)
        self._linger.send_off(sock, reply.raw)
        journal.close(accepted_at)
        self._leave(packed)

    def _greet(self, guest: Guest) -> None:
        """The hold is over."""
        give = self._terms.give
        if give is None or guest.left:
            self._serve(guest)
        else:
            guest.client = self._seen_by_server(guest)
            self._giving.give(guest, give)

    def _serve(self, guest: Guest, away: str = "") -> None:
        """Greet, and put the client in line. *away* says why the MTA could not take it: then it is only told so."""
        session, words = self._begin(guest, away=away)
        if session is not None and say(guest.sock, words):
            self._sessions.add(session)
            guest.sock.setblocking(False)
            session.attaching = self._loop.create_task(self._attach(session, guest.sock))
            return
        now = self._clock.monotonic()
        if session is None:
            self._linger.send_off(guest.sock, words)
        else:
            guest.journal.emit(schema.Hangup("greeted", "reset"), now)
            guest.sock.close()
        guest.journal.close(now)
        self._leave(guest.packed)

    def _greet_inside(self, guest: Guest, inside: TlsTransport, early: bytes) -> bool:
        """The hold inside TLS is over: the same, with what the client has said already. False where it ends here."""
        session, words = self._begin(guest, in_tls=True)
        inside.write(words)
        if session is None:
            return False
        self._sessions.add(session)
        inside.set_protocol(ClientSide(session))
        session.client_made(inside)
        if early:
            session.client_data(early)
        return True

    def _begin(self, guest: Guest, *, in_tls: bool = False, away: str = "") -> tuple[Session | None, bytes]:
        """Return the client's session, None where it ends with its first words, and these words."""
        terms, backend = self._terms, self._terms.backend
        setting = Setting(
            id=guest.journal.id,
            client=self._seen_by_server(guest),
            accepted_at=guest.accepted_at,
            policy=guest.policy,
            capabilities=backend.capabilities,
            name=backend.name,
            random=self._random,
            reasons=guest.reasons,
            is_exempt=guest.is_exempt,
            knows_client=backend.knows_client,
            mode=backend.mode,
            to=backend.connector.where,
            without=backend.without,
            away=away,
            login=backend.way,
            ends_tls=terms.ends_tls,
            in_tls=in_tls,
            answers=guest.answers,
            resolves=terms.resolver is not None,
            slow=self._slow,
        )
        conversation = Conversation(setting)
        now = self._clock.monotonic()
        words, ended = b"", guest.left  # it has closed its side in silence: it is greeted as any other, and can say nothing more
        for effect in conversation.begin(now):
            match effect:
                case Emit(event=event):
                    guest.journal.emit(event, now)
                case Send(data=data):
                    words += data
                case Close():
                    ended = True
                case _:
                    pass  # nothing else is ordered before the client has spoken
        if ended:
            return None, words
        session = Session(
            self._loop,
            self._clock,
            conversation=conversation,
            setting=setting,
            journal=guest.journal,
            backend=backend,
            on_end=partial(self._ended, guest.packed, setting.id),
            tls=terms.tls,
            resolver=terms.resolver,
            openings=self._openings,
        )
        return session, words

    async def _attach(self, session: Session, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: ClientSide(session), sock)
        except OSError:
            # ENOTCONN, EBADF: the client was gone before its transport was made.
            sock.close()
            session.client_lost(None)

    def _ended(self, packed: bytes, id: str, session: Session) -> None:
        self._sessions.discard(session)
        self._slow.end(id)  # also where a fault of tarry itself ended it
        self._leave(packed)
        self._tell_if_empty()

    def _leave(self, packed: bytes) -> None:
        self._door.leave(packed)
        self._load.weigh(self._door.inside)

    def _tell_if_empty(self) -> None:
        if self._on_empty is not None and not self._sessions and not self._giving:
            self._on_empty()

    def _seen_by_server(self, guest: Guest) -> Client:
        """The client with the address it connected to, where the MTA is told of it: a listener on 0.0.0.0 does not know it."""
        client = guest.client
        terms = self._terms
        if client.via is not None or not (terms.give or terms.backend.knows_client) or client.server.host not in ("0.0.0.0", "::"):
            return client
        try:
            host, port = guest.sock.getsockname()[:2]
        except OSError:
            return client  # ENOTCONN: it is gone
        return Client(client.endpoint, Endpoint(normal(host), port))

    def _connect(self, client: Client, wait: float, exempt: str, hold_class: str = "") -> schema.Connect:
        via = str(client.via) if client.via is not None else ""
        return schema.Connect(
            client.address,
            client.endpoint.port,
            str(client.server),
            round(wait, 3),
            via,
            exempt,
            self._terms.fingerprint,
            hold_class,
        )

    def _wall(self, at: float) -> float:
        """Return a point on the monotonic clock as UTC epoch seconds."""
        return self._clock.wall() - self._clock.monotonic() + at

    def _journal(self, accepted_at: float) -> Journal:
        self._number += 1
        return self._open_journal(self._number, accepted_at, self._terms.policy)

    def _open_journal(self, number: int, accepted_at: float, policy: Policy) -> Journal:
        return Journal(
            self._ids.text(number),
            accepted_at=accepted_at,
            accepted_wall=self._wall(accepted_at),
            write=self._write,
            all_records=policy.record_all,
            on_close=self._on_close,
        )


def _pack(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
