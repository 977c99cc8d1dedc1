"""Clients that begin with TLS, from accept to QUIT: real handshakes over loopback, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.core.admission import Networks, Rules
from tarry.core.policy import Limits, Policy, Span
from tarry.core.result import Action
from tarry.net import smtps
from tarry.record import schema
from tarry.smtp.proxy_header import write_v2
from tests import shell
from tests.certificates import context, wrap
from tests.net.test_front import HOME, SERVER, House
from tests.net.test_tls_transport import Run, as_client, run
from tests.playbook import policy

__all__ = ("run",)

HOLD = 0.03


def held(action: Action = Action.REJECT, wait: float = HOLD, **changes: Any) -> Policy:
    return policy(Pregreet(), action=action, changes={"wait": Span(wait, wait), **changes})


def house_of(screening: Policy | None = None, **terms: Any) -> House:
    return House(screening or held(), tls=context(), **terms)


def enter(house: House, first: bytes = b"") -> socket.socket:
    """A client comes to listen.smtps; return its end."""
    ours, client = shell.pair()
    client.sendall(first)
    house.front.take(ours, "127.0.0.1", 40000, SERVER, has_tls=True)
    return client


async def emptied(house: House) -> None:
    async with asyncio.timeout(5):
        while house.front._door.inside:
            await asyncio.sleep(0.002)


def lines(tls: ssl.SSLSocket) -> bytes:
    """Return what comes up to the server's close_notify; any other end raises."""
    heard = b""
    while piece := tls.recv(1000):
        heard += piece
    tls.close()
    return heard


def a_message(sock: socket.socket) -> bytes:
    tls = wrap(sock)
    heard = tls.recv(100)
    for line in (b"EHLO x", b"STARTTLS", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA", b"text\r\n."):
        tls.sendall(line + b"\r\n")
        heard += tls.recv(1000)
    tls.sendall(b"QUIT\r\n")
    return heard + lines(tls)


def test_a_message_from_accept_to_quit(run: Run) -> None:
    """Held inside TLS, greeted, and in line; STARTTLS is neither offered nor taken."""

    async def scenario() -> None:
        house = house_of()
        heard = await as_client(a_message, enter(house))
        codes = [line[:4] for line in heard.splitlines()]
        assert [b"220 ", b"250-", b"250-", b"250-", b"250 ", b"503 ", b"250 ", b"250 ", b"354 ", b"250 ", b"221 "] == codes
        assert b"STARTTLS" not in heard
        await emptied(house)
        await house.leave()
        connect, tls, passed, greet, *_ = house.events()
        assert isinstance(connect, schema.Connect)
        assert isinstance(tls, schema.Tls)
        assert (True, "TLSv1.3", "localhost") == (tls.ok, tls.version, tls.sni)
        assert schema.Outcome("pregreet", "passed") == passed
        assert isinstance(greet, schema.Greet)
        assert greet.held >= HOLD
        assert b"text" in house.connector.heard
        house.check()

    run(scenario())


def test_an_announced_client(run: Run) -> None:
    """The PROXY header comes before TLS."""

    async def scenario() -> None:
        house = house_of(proxy_from=HOME, header_limit=5.0)
        header = write_v2(("203.0.113.7", 4444), ("198.51.100.1", 465))
        heard = await as_client(a_message, enter(house, header))
        assert heard.endswith(b"221 2.0.0 Bye\r\n")
        await emptied(house)
        connect = house.events()[0]
        assert isinstance(connect, schema.Connect)
        assert "203.0.113.7" == connect.client
        await house.leave()
        house.check()

    run(scenario())


def test_exempt_clients_are_greeted_at_once(run: Run) -> None:
    """And no check looks at what they say first."""

    def client(sock: socket.socket) -> bytes:
        tls = wrap(sock)
        tls.sendall(b"QUIT\r\n")
        return lines(tls)

    async def scenario() -> None:
        house = house_of(held(wait=30.0), rules=Rules(exempt=HOME))
        assert b"220 mail.example ESMTP\r\n221 2.0.0 Bye\r\n" == await as_client(client, enter(house))
        await emptied(house)
        await house.leave()
        assert [] == [event for event in house.events() if isinstance(event, schema.Reason)]
        house.check()

    run(scenario())


def test_the_teaser(run: Run) -> None:
    """It is said inside, at once."""

    def client(sock: socket.socket) -> bytes:
        tls = wrap(sock)
        heard = tls.recv(100)
        tls.close()
        return heard

    async def scenario() -> None:
        house = house_of(held(wait=30.0, teaser="{name} wait"))
        assert b"220-mail.example wait\r\n" == await as_client(client, enter(house))
        await emptied(house)
        await house.leave()

    run(scenario())


# Early talk.


def talk_early(sock: socket.socket) -> bytes:
    tls = wrap(sock)
    tls.sendall(b"EHLO early\r\n")
    return lines(tls)


@pytest.mark.parametrize("end_early", [True, False])
def test_an_early_talker_inside_tls_is_refused(run: Run, end_early: bool) -> None:
    """One reply, which arrives, and close_notify; the same records as in the waiting room."""

    async def scenario() -> None:
        house = house_of(held(end_early=end_early))
        heard = await as_client(talk_early, enter(house))
        assert (b"554 5.7.1", 1) == (heard[:9], heard.count(b"\r\n"))
        await emptied(house)
        await house.leave()
        kinds = [type(event).__name__ for event in house.events()]
        assert ["Connect", "Tls", "Readable", "Reason", "Verdict", "Reply", "Close"] == kinds
        assert [] == house.connector.heard
        house.check()

    run(scenario())


@pytest.mark.parametrize("end_early", [True, False])
@pytest.mark.parametrize("much", [1, 4000])
def test_early_talk_that_is_let_in_is_taken_by_the_session(run: Run, end_early: bool, much: int) -> None:
    """Not a byte of it is lost, also where it is more than is kept during the hold."""

    def client(sock: socket.socket) -> bytes:
        tls = wrap(sock)
        tls.sendall(b"NOOP\r\n" * much + b"QUIT\r\n")
        return lines(tls)

    async def scenario() -> None:
        house = house_of(held(Action.TAG, end_early=end_early))
        heard = await as_client(client, enter(house))
        assert (b"220 ", much, True) == (heard[:4], heard.count(b"250 2.0.0 Ok\r\n"), heard.endswith(b"221 2.0.0 Bye\r\n"))
        await emptied(house)
        await house.leave()
        assert ["pregreet"] == [event.check for event in house.events() if isinstance(event, schema.Reason)]
        house.check()

    run(scenario())


def test_the_last_look(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the socket when the hold ends counts, whether the loop has read it or not."""
    seen: list[int] = []

    def found(sock: socket.socket, size: int) -> object:
        seen.append(size)
        return object()

    monkeypatch.setattr(smtps, "peek", found)

    async def scenario() -> None:
        house = house_of()
        assert (await as_client(a_message, enter(house))).startswith(b"220 ")
        await emptied(house)
        await house.leave()
        assert smtps.LOOKS == len(seen)

    run(scenario())


# Handshakes that fail, and clients that leave.


@pytest.mark.parametrize(("first", "why"), [(b"EHLO x\r\n", "wrong version number"), (b"GET / HTTP/1.0\r\n\r\n", "http request")])
def test_clear_text_in_place_of_a_handshake(run: Run, first: bytes, why: str) -> None:
    """Nothing is said in the clear, and the session ends with a record."""

    async def scenario() -> None:
        house = house_of()
        client = enter(house, first)
        assert await as_client(shell.read_all, client) in (b"", b"\x15\x03\x01\x00\x02\x02\x46")
        client.close()
        await emptied(house)
        await house.leave()
        assert [why] == [event.why for event in house.events() if isinstance(event, schema.Tls)]
        house.check()

    run(scenario())


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02"])
def test_the_handshake_has_a_deadline(run: Run, first: bytes) -> None:
    """Silence, and a ClientHello that does not come to its end."""

    async def scenario() -> None:
        house = house_of(held(limits=Limits(handshake=0.02)))
        client = enter(house, first)
        assert b"" == await as_client(shell.read_all, client)
        client.close()
        await emptied(house)
        await house.leave()
        assert ["no handshake in time"] == [event.why for event in house.events() if isinstance(event, schema.Tls)]
        house.check()

    run(scenario())


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_client_that_leaves(run: Run, how: str, inside: bool) -> None:
    """In the handshake or in the hold: recorded, and counted out."""

    def client(sock: socket.socket) -> None:
        end: socket.socket = wrap(sock) if inside else sock
        if how == "reset":
            shell.reset(end)
        else:
            end.shutdown(socket.SHUT_WR)  # a close with unread session tickets would make the kernel send a reset
            with contextlib.suppress(OSError):
                shell.read_all(end)
            end.close()

    async def scenario() -> None:
        house = house_of(held(wait=30.0))
        await as_client(client, enter(house))
        await emptied(house)
        await house.leave()
        (hangup,) = (event for event in house.events() if isinstance(event, schema.Hangup))
        assert ("hold" if inside else "connect", how) == (hangup.phase, hangup.how)
        assert [inside] == [event.ok for event in house.events() if isinstance(event, schema.Tls)]
        house.check()

    run(scenario())


def test_a_client_that_cannot_be_attached(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was gone before its transport was made."""

    async def scenario() -> None:
        house = house_of()

        async def gone(*_: object) -> None:
            raise OSError(107, "not connected")

        monkeypatch.setattr(house.front._tls_room, "loop", Faulty(gone))
        client = enter(house)
        await emptied(house)
        assert b"" == await as_client(shell.read_all, client)
        await house.leave()
        house.check()

    run(scenario())


class Faulty:
    """A loop that cannot make a transport."""

    def __init__(self, fault: Callable[..., Any]) -> None:
        self.connect_accepted_socket = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)


# The door, and the daemon.


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (Rules(deny=Networks.of([ip_network("127.0.0.0/8")])), "not begun: denied"),
        (Rules(max_clients=0), "not begun: too many clients"),
        (Rules(max_per_client=1), "not begun: too many connections of this client"),
    ],
)
def test_who_may_not_come_in(run: Run, rules: Rules, why: str) -> None:
    """No handshake is made for them: the connection is closed, recorded and counted out."""

    async def scenario() -> None:
        house = house_of(held(wait=30.0), rules=rules)
        first = enter(house) if rules.max_per_client == 1 else None
        client = enter(house)
        assert b"" == await as_client(shell.read_all, client)
        client.close()
        assert int(first is not None) == house.front._door.inside
        await house.leave()
        await emptied(house)
        assert why in [event.why for event in house.events() if isinstance(event, schema.Tls)]
        house.check()

    run(scenario())


def test_nothing_is_known_of_the_mta(run: Run) -> None:
    """The 421 is said inside."""

    async def scenario() -> None:
        house = house_of(knows=False)
        heard = await as_client(lambda sock: lines(wrap(sock)), enter(house))
        assert heard.startswith(b"421 4.3.2 ")
        await emptied(house)
        await house.leave()
        house.check()

    run(scenario())


def test_going_down(run: Run) -> None:
    """Who is held gets 421 inside TLS; who is in the handshake, the end; a client that does not leave is cut off."""

    async def scenario() -> None:
        house = house_of(held(wait=30.0, teaser="wait"))
        shaking, silent = enter(house), enter(house)
        sock = enter(house)
        inside: list[ssl.SSLSocket] = []

        def begin() -> None:
            inside.append(wrap(sock))
            assert b"220-wait\r\n" == inside[0].recv(100)

        await as_client(begin)
        assert 3 == house.front.held
        house.front.drain(lambda: None)
        assert 0 == house.front.held
        assert b"421 4.3.2 Service is going down, try again later\r\n" == await as_client(lines, inside[0])
        assert b"" == await as_client(shell.read_all, shaking)
        house.front.close()
        await asyncio.sleep(0.01)
        with pytest.raises(OSError):
            for _ in range(2):
                silent.sendall(b"x")
                await asyncio.sleep(0.01)
        house.check()

    run(scenario())


def test_a_client_that_reset_before_its_end_was_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-close of a connection that is gone raises, and means nothing more."""

    async def scenario() -> None:
        house = house_of(held(wait=30.0))
        client = enter(house)
        await asyncio.sleep(0.01)
        (one,) = house.front._tls_room.held

        def gone() -> None:
            raise OSError(107, "not connected")

        monkeypatch.setattr(one.inside, "write_eof", gone)
        house.front.drain(lambda: None)
        assert one.inside.is_closing()
        await asyncio.sleep(0.01)
        client.close()
        house.check()

    run(scenario())
