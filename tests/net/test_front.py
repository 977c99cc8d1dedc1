"""The way of one client through the shell: real connections over loopback, in a loop of their own."""

from __future__ import annotations

import asyncio
import os
import re
import select
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, cast

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.clocks import SystemClock
from tarry.core.admission import Door, Networks, Rules
from tarry.core.client import Client, Endpoint
from tarry.core.counts import Limit
from tarry.core.policy import Limits, Policy, Span
from tarry.core.stress import Relief
from tarry.net import census
from tarry.net.backend import Backend
from tarry.net.front import Front, Terms
from tarry.record import schema
from tarry.record.summary import fold
from tarry.smtp.proxy_header import UNIQUE_ID, write_v1, write_v2
from tests.certificates import context, wrap
from tests.playbook import policy
from tests.shell import await_mask, pair, reset
from tests.talk import EHLO

HOME = Networks.of([ip_network("127.0.0.0/8")])
NO_WAIT = policy(Pregreet(), changes={"wait": Span(0.0, 0.0)})
SERVER = Endpoint("127.0.0.1", 25)


class Agreeable(asyncio.Protocol):
    """An MTA that agrees to everything, and keeps what it heard."""

    def __init__(self, heard: list[bytes], header: int) -> None:
        self._heard = heard
        self._header = header
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses
        self._transport.write(b"220 mta\r\n")

    def data_received(self, data: bytes) -> None:
        if self._header:
            self._heard.append(data[: self._header])
            data, self._header = data[self._header :], 0
        for line in data.splitlines():
            self._heard.append(line)
            if self._in_data and line != b".":
                continue
            self._in_data = line == b"DATA"
            verb = line[:4]
            replies = {b"EHLO": EHLO.raw, b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}
            self._transport.write(replies.get(verb, b"250 ok\r\n"))


class Connector:
    """A way to an agreeable MTA, over a socketpair."""

    where = "127.0.0.1:10025"

    def __init__(self, header: int = 0) -> None:
        self.heard: list[bytes] = []
        self._header = header

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        for end in (ours, theirs):
            end.setblocking(False)
        await loop.connect_accepted_socket(lambda: Agreeable(self.heard, self._header), theirs)
        await loop.create_unix_connection(factory, sock=ours)


class House:
    """A front with an MTA behind it, in the running loop."""

    def __init__(self, screening: Policy = NO_WAIT, *, knows: bool = True, announce: str = "none", **terms: Any) -> None:
        self.connector = Connector(len(write_v1(("127.0.0.1", 40000), ("127.0.0.1", 25))) if announce == "proxy-v1" else 0)
        backend = Backend(
            self.connector,
            mode="proxy",
            announce=announce,
            own_name="mail.example",
            host_name="host.example",
            without=frozenset(),
            timeout=1.0,
            on_health=lambda good, why: None,
        )
        if knows:
            backend.learn(EHLO)
        self.lines: list[bytes] = []
        known: dict[str, Any] = {"proxy_from": Networks(), "fingerprint": "f00", "header_limit": 0.02}
        own = {name: terms.pop(name) for name in ("census", "elsewhere", "on_load") if name in terms}
        self.terms = Terms(policy=screening, backend=backend, **{"rules": Rules(), **known, **terms})
        self.front = Front(
            asyncio.get_running_loop(), SystemClock(), terms=self.terms, random=lambda: 0.0, write=self.lines.append, **own
        )

    def take(self, host: str = "127.0.0.1", port: int = 40000, server: Endpoint = SERVER) -> socket.socket:
        """A client comes; return its end of the connection."""
        ours, client = pair()
        self.front.take(ours, host, port, server)
        client.setblocking(False)
        return client

    async def leave(self) -> None:
        """Close the front when its last session is over."""
        empty = asyncio.Event()
        self.front.drain(empty.set)
        async with asyncio.timeout(5):
            await empty.wait()
        await asyncio.sleep(0)
        self.front.close()

    def events(self) -> list[schema.AnyEvent]:
        return [schema.read_line(line).event for line in self.lines]

    def check(self) -> None:
        """Each session has one connect and one close, which is the sum of the rest."""
        records = [schema.read_line(line) for line in self.lines]
        for id in {record.stamp.id for record in records}:
            own = [record for record in records if record.stamp.id == id]
            assert isinstance(own[0].event, schema.Connect)
            assert list(range(1, len(own) + 1)) == [record.stamp.n for record in own]
            assert [True] == [isinstance(record.event, schema.Close) for record in own[-1:]]
            assert 2 == sum(isinstance(record.event, schema.Connect | schema.Close) for record in own)
            assert fold(own[:-1]) == own[-1].event


async def hear(client: socket.socket, end: bytes = b"\r\n") -> bytes:
    """Return what comes, up to *end* at the end of it, or to the end of the connection for b""."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(5):
        while not (end and data.endswith(end)):
            piece = await loop.sock_recv(client, 65536)
            if not piece:
                break
            data += piece
    return data


async def say(client: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client, data)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


MESSAGE = b"EHLO x\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"text\r\n.\r\n", b"QUIT\r\n"


async def send(client: socket.socket) -> list[bytes]:
    """Send a message; return the codes of the replies."""
    codes = [(await hear(client))[:3]]
    for line in MESSAGE:
        await say(client, line)
        codes.append((await hear(client))[:3])
    return codes


ACCEPTED = [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]


def test_a_client_from_accept_to_quit() -> None:
    """Held, greeted, in line with the MTA; counted from the one to the other, and recorded in full."""

    async def scenario() -> None:
        house = House()
        client = house.take()
        assert (1, 0) == (house.front.held, house.front.in_session)
        assert ACCEPTED == await send(client)
        assert b"" == await hear(client, b"")
        client.close()
        await asyncio.sleep(0.002)
        assert (0, 0, 0) == (house.front.held, house.front.in_session, house.front._door.inside)
        await house.leave()
        assert b"text" in house.connector.heard
        assert schema.Connect("127.0.0.1", 40000, "127.0.0.1:25", 0.0, "", "", "f00") == house.events()[0]
        house.check()

    run(scenario())


def test_only_the_closing_record() -> None:
    """Where the operator wants no more, each session has one line."""

    async def scenario() -> None:
        house = House(replace(NO_WAIT, record_all=False))
        client = house.take()
        await send(client)
        client.close()
        denied = House(replace(NO_WAIT, record_all=False), rules=Rules(deny=HOME))
        denied.take()
        for one in (house, denied):
            await one.leave()
            assert ["Close"] == [type(event).__name__ for event in one.events()]

    run(scenario())


def test_a_full_house_lets_go_of_who_has_closed_its_side() -> None:
    """A held client that sent a FIN gives its place to one that comes, and is recorded as the one that left."""

    async def scenario() -> None:
        house = House(replace(NO_WAIT, wait=Span(9.0, 9.0)), rules=Rules(max_clients=2))
        first, second = house.take(), house.take(port=40001)
        first.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.01)
        house.take(port=40002)
        assert 2 == house.front.held
        assert b"" == first.recv(100)
        (left,) = [event for event in house.events() if isinstance(event, schema.Close)]
        assert (40000, "client", False) == (left.port, left.ended, left.greeted)
        house.take(port=40003)  # one too many: it is sent away
        second.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.01)
        assert 1 == len(house.front._linger)
        house.front.relieve()
        assert (1, 0) == (house.front.held, len(house.front._linger))
        await house.leave()

    run(scenario())


def test_exempt_clients_are_greeted_at_once() -> None:
    """They are never in the room."""

    async def scenario() -> None:
        house = House(policy(Pregreet(), changes={"wait": Span(60.0, 60.0)}), rules=Rules(exempt=HOME))
        client = house.take()
        assert (0, 1) == (house.front.held, house.front.in_session)
        assert ACCEPTED == await send(client)
        client.close()
        await house.leave()
        assert ["exempt"] == [event.exempt for event in house.events() if isinstance(event, schema.Connect)]
        house.check()

    run(scenario())


@pytest.mark.parametrize(
    ("rules", "pattern"),
    [
        (Rules(deny=HOME), rb"554 5\.7\.1 Not accepted from this address \[[0-9A-F]+-0001\]\r\n"),
        (Rules(max_clients=0), rb"421 4\.7\.0 Too many connections, try again later \[[0-9A-F]+-0001\]\r\n"),
        (
            Rules(max_per_client=1),
            rb"421 4\.7\.0 Too many connections from your address, try again later \[[0-9A-F]+-000[0-9]\]\r\n",
        ),
        (
            Rules(max_per_network=1),
            rb"421 4\.7\.0 Too many connections from your network, try again later \[[0-9A-F]+-000[0-9]\]\r\n",
        ),
        (
            Rules(rate_per_client=1),
            rb"421 4\.7\.0 Too many connections in a minute from your address, try again later \[[0-9A-F]+-000[0-9]\]\r\n",
        ),
        (
            Rules(rate_per_network=1),
            rb"421 4\.7\.0 Too many connections in a minute from your network, try again later \[[0-9A-F]+-000[0-9]\]\r\n",
        ),
    ],
)
def test_who_may_not_come_in(rules: Rules, pattern: bytes) -> None:
    """One reply that arrives, and the place is given back."""

    async def scenario() -> None:
        house = House(rules=rules)
        is_second = 1 in (rules.max_per_client, rules.max_per_network, rules.rate_per_client, rules.rate_per_network)
        if is_second:
            first = house.take()
        inside = house.front._door.inside
        client = house.take()
        await say(client, b"EHLO x\r\n")
        assert re.fullmatch(pattern, await hear(client, b""))
        assert inside == house.front._door.inside
        if is_second:
            first.close()
        await house.leave()
        house.check()

    run(scenario())


def test_processes_and_hosts_count_together() -> None:
    """What another process and another host have counts here; other hosts are told of who comes near a limit."""

    async def scenario() -> None:
        fd = census.make(2)
        other = Door(Rules(), census.attach(fd, 2))
        for _ in range(2):
            other.admit(bytes((127, 0, 0, 1)), "127.0.0.1", time.monotonic())
        held = {(Limit.CLIENT, bytes((127, 0, 0, 2))): 4}
        house = House(
            rules=Rules(max_per_client=4), census=census.attach(fd, 1), elsewhere=lambda limit, key: held.get((limit, key), 0)
        )
        clients = [house.take() for _ in range(3)] + [house.take("127.0.0.2")]
        said = [(await hear(client))[:3] for client in clients]
        assert [b"220", b"220", b"421", b"421"] == said
        assert {bytes((127, 0, 0, 1)): 4} == {
            key: count for key, count in house.front.heavy(0.0)[Limit.CLIENT].items() if key[-1] == 1
        }
        for client in clients:
            client.close()
        await house.leave()
        os.close(fd)

    run(scenario())


def test_under_stress() -> None:
    """New clients are held for less and have less patience, those who are in keep theirs; and it ends at the lower mark."""

    async def scenario() -> None:
        calm = policy(Pregreet(), changes={"wait": Span(60.0, 60.0), "limits": Limits(command=300.0)})
        told: list[tuple[bool, str]] = []
        house = House(
            calm,
            rules=Rules(max_clients=10),
            relief=Relief(high=0.5, low=0.2, wait=Span(0.0, 0.0), command=0.05),
            on_load=lambda on, why: told.append((on, why)),
        )
        held = [house.take() for _ in range(4)]
        assert ([], False, 4) == (told, house.front._load.is_high, house.front.held)
        fifth = house.take()
        assert ([(True, "5 of 10 clients are in")], True) == (told, house.front._load.is_high)
        assert (await hear(fifth)).startswith(b"220 ")
        assert b"421 4.4.2 Timeout" in await hear(fifth, b"")
        assert 4 == house.front.held
        for client in held[:2]:
            reset(client)
        fifth.close()
        async with asyncio.timeout(5):
            while house.front._load.is_high:
                await asyncio.sleep(0)
        assert ([True, False], False) == ([on for on, _ in told], house.front._load.is_high)
        held.append(house.take())
        assert 3 == house.front.held
        await house.leave()
        house.check()
        waits = [event.wait for event in house.events() if isinstance(event, schema.Connect)]
        assert [60.0] * 4 + [0.0, 60.0] == waits

    run(scenario())


def test_a_reload_is_weighed() -> None:
    """With fewer places the same clients are too many, and their policy under stress is the new one's."""

    async def scenario() -> None:
        house = House(policy(Pregreet(), changes={"wait": Span(60.0, 60.0)}), rules=Rules(max_clients=10))
        held = [house.take() for _ in range(2)]
        house.front.change(replace(house.terms, rules=Rules(max_clients=2)))
        assert house.front._load.is_high
        house.front.change(replace(house.terms, rules=Rules(max_clients=3)))
        assert not house.front._load.is_high
        for client in held:
            client.close()
        await house.leave()

    run(scenario())


def test_the_teaser() -> None:
    """It is sent at once, and the greeting ends it."""

    async def scenario() -> None:
        house = House(replace(NO_WAIT, teaser="{name} wait for it"))
        client = house.take()
        assert b"220-mail.example wait for it\r\n" == client.recv(100)
        assert b"220 mail.example ESMTP\r\n" == await hear(client)
        client.close()
        await house.leave()

    run(scenario())


def test_an_early_talker_is_refused() -> None:
    """It is never in line."""

    async def scenario() -> None:
        house = House(replace(NO_WAIT, wait=Span(9.0, 9.0)))
        client = house.take()
        await say(client, b"EHLO x\r\n")
        assert (await hear(client, b"")).startswith(b"554 5.7.1 You spoke before the greeting [")
        assert (0, 0) == (house.front.held, house.front._door.inside)
        await house.leave()
        house.check()

    run(scenario())


# PROXY headers.


@pytest.mark.parametrize(
    ("header", "client", "via"),
    [
        (write_v2(("192.0.2.7", 4711), ("198.51.100.1", 25)), ("192.0.2.7", 4711, "198.51.100.1:25"), "127.0.0.1:40000"),
        (write_v2(("2001:db8::7", 4711), ("2001:db8::1", 25)), ("2001:db8::7", 4711, "[2001:db8::1]:25"), "127.0.0.1:40000"),
        (write_v2(None, None), ("127.0.0.1", 40000, "127.0.0.1:25"), ""),
    ],
)
def test_an_announced_client(header: bytes, client: tuple[str, int, str], via: str) -> None:
    """It is known by its own address; the proxy's health check by the proxy's."""

    async def scenario() -> None:
        house = House(proxy_from=HOME)
        end = house.take()
        await say(end, header)
        assert b"220 mail.example ESMTP\r\n" == await hear(end)
        end.close()
        await house.leave()
        (connect,) = [event for event in house.events() if isinstance(event, schema.Connect)]
        assert (*client, via) == (connect.client, connect.port, connect.server, connect.via)
        house.check()

    run(scenario())


@pytest.mark.parametrize(
    ("data", "why"), [(b"EHLO x\r\n", "no PROXY header"), (b"", "no PROXY header in time"), (b"PROXY", "no PROXY header in time")]
)
def test_a_proxy_that_does_not_announce(data: bytes, why: str) -> None:
    """It is closed without a word, and that is recorded."""

    async def scenario() -> None:
        house = House(proxy_from=HOME)
        end = house.take()
        await say(end, data)
        with suppress(ConnectionResetError):
            assert b"" == await hear(end, b"")
        await house.leave()
        (outcome,) = [event for event in house.events() if isinstance(event, schema.Outcome)]
        assert ("proxy_header", "failed") == (outcome.check, outcome.result)
        house.check()

    run(scenario())


def test_going_down_at_the_proxy_desk() -> None:
    """Who was accepted is recorded."""

    async def scenario() -> None:
        house = House(proxy_from=HOME)
        house.take()
        await house.leave()
        assert ["Connect", "Outcome", "Close"] == [type(event).__name__ for event in house.events()]
        house.check()

    run(scenario())


@pytest.mark.parametrize("has_tls", [False, True])
def test_a_proxy_without_headers_takes_no_more_than_all_places(has_tls: bool) -> None:
    """Who waits for a header is counted: above max_clients the next is turned away, and a place that comes free is used."""

    async def scenario() -> None:
        house = House(proxy_from=HOME, rules=Rules(max_clients=2), header_limit=9.0)
        house.take(port=40001), house.take(port=40002)
        assert 2 == house.front._door.inside
        ours, third = pair()
        third.setblocking(False)
        house.front.take(ours, "127.0.0.1", 40003, SERVER, has_tls=has_tls)
        assert (b"" if has_tls else b"421 4.7.0 Too many connections, try again later [") == (await hear(third, b""))[:49]
        await house.leave()
        assert 0 == house.front._door.inside
        house.check()

    run(scenario())


def test_a_client_whose_header_has_come_has_one_place() -> None:
    """That of its connection; one that has closed its side in the room makes room for a proxy's connection as for any other."""

    async def scenario() -> None:
        house = House(replace(NO_WAIT, wait=Span(9.0, 9.0)), proxy_from=HOME, rules=Rules(max_clients=1), header_limit=9.0)
        first = house.take(port=40001)
        await say(first, write_v1(("192.0.2.7", 4711), ("198.51.100.1", 25)))
        async with asyncio.timeout(5):
            while not house.front.held:
                await asyncio.sleep(0)
        assert 1 == house.front._door.inside
        first.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(5):
            while not house.front._room._left:
                await asyncio.sleep(0)
        house.take(port=40002)
        assert (0, 1, 1) == (house.front.held, len(house.front._desk), house.front._door.inside)
        await house.leave()
        house.check()

    run(scenario())


# What the MTA is told.


@pytest.mark.parametrize(
    ("server", "told"), [(Endpoint("0.0.0.0", 25), None), (Endpoint("198.51.100.1", 25), ("198.51.100.1", 25))]
)
def test_the_mta_is_told_which_address_was_called(server: Endpoint, told: tuple[str, int] | None) -> None:
    """The connection's own where the listener is for all."""

    async def scenario() -> None:
        house = House(announce="proxy-v2")
        id = house.front._ids.text(1).encode()
        house.connector._header = len(write_v2(("127.0.0.1", 1), ("127.0.0.1", 1), ((UNIQUE_ID, id),)))
        client = house.take(server=server)
        port = client.getpeername()[1]
        await send(client)
        client.close()
        await house.leave()
        assert write_v2(("127.0.0.1", 40000), told or ("127.0.0.1", port), ((UNIQUE_ID, id),)) == house.connector.heard[0]

    run(scenario())


def test_a_client_that_is_gone_has_no_address_of_ours() -> None:
    """Then the listener's must do."""

    async def scenario() -> None:
        house = House(rules=Rules(exempt=HOME), announce="proxy-v2")
        ours, client = pair()
        client.close()
        ours.close()
        house.front.take(ours, "127.0.0.1", 40000, Endpoint("0.0.0.0", 25))
        assert 0 == house.front._door.inside
        await house.leave()
        house.check()

    run(scenario())


def test_nothing_is_known_of_the_mta() -> None:
    """The client is told to come again."""

    async def scenario() -> None:
        house = House(knows=False)
        client = house.take()
        assert (await hear(client, b"")).startswith(b"421 4.3.2 Service not available")
        await house.leave()
        house.check()

    run(scenario())


# Who leaves when.


def test_a_silent_client_that_has_closed_its_side() -> None:
    """It is greeted, and there is no session: it can say nothing."""

    async def scenario() -> None:
        house = House()
        client = house.take()
        client.shutdown(socket.SHUT_WR)
        assert b"220 mail.example ESMTP\r\n" == await hear(client, b"")
        assert (0, 0) == (house.front.in_session, house.front._door.inside)
        await house.leave()
        house.check()

    run(scenario())


def test_an_early_talker_that_has_closed_its_side_is_served() -> None:
    """Where it is let through, what it said is answered: its FIN came behind it."""

    async def scenario() -> None:
        from tarry.core.result import Action

        house = House(policy(Pregreet(), action=Action.TAG, changes={"wait": Span(0.03, 0.03), "end_early": False}))
        client = house.take()
        await say(client, b"EHLO x\r\nQUIT\r\n")
        await asyncio.sleep(0.005)
        client.shutdown(socket.SHUT_WR)
        replies = await hear(client, b"")
        assert replies.startswith(b"220 mail.example ESMTP\r\n250-")
        assert replies.endswith(b"221 2.0.0 Bye\r\n")
        await asyncio.sleep(0.002)
        await house.leave()
        house.check()

    run(scenario())


def test_a_client_that_resets_before_the_greeting() -> None:
    """An exempt one, which is in no room: it is let go and recorded."""

    async def scenario() -> None:
        house = House(rules=Rules(exempt=HOME))
        ours, client = pair()
        reset(client)
        await_mask(ours, select.POLLHUP)
        house.front.take(ours, "127.0.0.1", 40000, SERVER)
        assert (0, 0) == (house.front.in_session, house.front._door.inside)
        await house.leave()
        assert [schema.Hangup("greeted", "reset")] == [event for event in house.events() if isinstance(event, schema.Hangup)]
        house.check()

    run(scenario())


def test_a_client_that_cannot_be_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transport cannot be made, since it is gone: the session ends."""

    async def scenario() -> None:
        house = House()

        async def refuse(factory: object, sock: socket.socket) -> None:
            raise OSError(107, "not connected")

        monkeypatch.setattr(asyncio.get_running_loop(), "connect_accepted_socket", refuse)
        client = house.take()
        assert b"220 mail.example ESMTP\r\n" == await hear(client, b"")
        await asyncio.sleep(0.002)
        assert (0, 0) == (house.front.in_session, house.front._door.inside)
        await house.leave()
        house.check()

    run(scenario())


def test_a_reload_changes_what_later_clients_meet() -> None:
    """Who is held keeps what it began with."""

    async def scenario() -> None:
        house = House(replace(NO_WAIT, wait=Span(0.01, 0.01)))
        first = house.take()
        house.front.change(replace(house.terms, fingerprint="f01", rules=Rules(deny=HOME)))
        second = house.take()
        assert (await hear(second, b"")).startswith(b"554 ")
        assert b"220 mail.example ESMTP\r\n" == await hear(first)
        first.close()
        await house.leave()
        assert ["f00", "f01"] == [event.config for event in house.events() if isinstance(event, schema.Connect)]
        house.check()

    run(scenario())


def test_going_down() -> None:
    """Who is held or idle gets 421; who sends a message may end it, unless it is aborted."""

    async def scenario() -> None:
        house = House()
        idle, busy = house.take(), house.take()
        await hear(idle)
        await hear(busy)
        for line in MESSAGE[:4]:
            await say(busy, line)
            await hear(busy)
        house.front.change(replace(house.terms, policy=replace(NO_WAIT, wait=Span(9.0, 9.0))))
        held = house.take()
        empty = asyncio.Event()
        house.front.drain(empty.set)
        down = b"421 4.3.2 Service is going down, try again later\r\n"
        assert [down, down] == [await hear(held, b""), await hear(idle, b"")]
        idle.close()
        await say(busy, MESSAGE[4])
        assert b"250 ok\r\n" + down == await hear(busy, b"")
        busy.close()
        async with asyncio.timeout(5):
            await empty.wait()
        house.front.close()
        house.check()

    run(scenario())


def test_aborting() -> None:
    """Nobody may go on."""

    async def scenario() -> None:
        house = House()
        client = house.take()
        await hear(client)
        await say(client, MESSAGE[0] + MESSAGE[1])
        await hear(client)
        await hear(client)
        empty = asyncio.Event()
        house.front.drain(empty.set)
        assert not empty.is_set()
        house.front.abort()
        async with asyncio.timeout(5):
            await empty.wait()
        house.front.close()
        with suppress(ConnectionResetError):
            await hear(client, b"")
        house.check()

    run(scenario())


@pytest.mark.parametrize("ends_tls", [True, False])
def test_starttls_may_be_tarrys_own(ends_tls: bool) -> None:
    """With a certificate it is done here; otherwise it is what the MTA makes of it."""

    def client(sock: socket.socket) -> bytes:
        sock.settimeout(5.0)
        heard = sock.recv(1000)
        for line in (b"EHLO x\r\n", b"STARTTLS\r\n"):
            sock.sendall(line)
            heard += sock.recv(1000)
        if not ends_tls:
            sock.close()
            return heard
        with wrap(sock) as tls:
            tls.sendall(b"EHLO x\r\n")
            heard += b"--" + tls.recv(1000)
        return heard

    async def scenario() -> None:
        house = House(tls=context() if ends_tls else None, ends_tls=ends_tls)
        heard = await asyncio.to_thread(client, house.take())
        clear, _, inside = heard.partition(b"--")
        assert b"250 STARTTLS\r\n" in clear
        if ends_tls:
            assert clear.endswith(b"220 2.0.0 Ready to start TLS\r\n")
            assert inside.startswith(b"250-mail.example\r\n")
            assert b"STARTTLS" not in inside
        async with asyncio.timeout(5):
            while house.front._door.inside:
                await asyncio.sleep(0.002)
        await house.leave()
        assert int(ends_tls) == sum(isinstance(event, schema.Tls) for event in house.events())
        house.check()

    run(scenario())
