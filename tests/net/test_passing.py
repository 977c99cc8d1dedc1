"""Clients that are given to smtpd: a receiver of our own does what smtpd does, over a Unix socket in the file system."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tarry.core.client import OURSELVES, Client, Endpoint
from tarry.net import passing
from tarry.net.passing import GIVE_UP, RETRY, PassConnector, PassDesk, PassTo, attributes, hand_over
from tests import smtpd
from tests.shell import close_all, pair
from tests.side import RUNNERS, Run, Side, descriptors, until
from tests.smtpd import TO, Desk, Smtpd, receive

IPV4 = Client(Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 25))
IPV6 = Client(Endpoint("2001:db8::7", 1), Endpoint("2001:db8::1", 65535), via=Endpoint("127.0.0.1", 9))
WIRE = {
    IPV4: b"client_address\x00192.0.2.7\x00client_port\x0040000\x00server_address\x00198.51.100.1\x00server_port\x0025\x00\x00",
    IPV6: b"client_address\x002001:db8::7\x00client_port\x001\x00server_address\x002001:db8::1\x00server_port\x0065535\x00\x00",
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # the path of a Unix socket is short
    yield
    smtpd.close_all()


# On the wire.


@pytest.mark.parametrize(("client", "wire"), WIRE.items(), ids=["IPv4", "IPv6"])
def test_what_is_on_the_wire(client: Client, wire: bytes) -> None:
    """A NUL with the descriptor, readable by itself, the four attributes, and nothing behind them."""
    server = Smtpd()
    ours, _ = pair()
    with hand_over("smtpd", ours.fileno(), client) as control:
        there = server.accept()
        assert wire == attributes(client) == receive(there).raw
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)
        with pytest.raises(BlockingIOError):
            control.recv(1)
        there.close()
        assert b"" == control.recv(1)


def test_the_descriptor_is_the_clients(desk: Desk) -> None:
    """What it said too early is still unread in it, and it hears what smtpd says."""
    server = Smtpd()
    client = desk.give()
    client.send(b"EHLO early\r\n")
    taken = server.take()
    desk.guests[0].sock.close()
    assert b"EHLO early\r\n" == taken.sock.recv(100)
    taken.sock.send(b"220 postfix\r\n")
    assert b"220 postfix\r\n" == client.recv(100)


# The desk.


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    if desk.loop.readers:
        desk.desk.close()
    assert (0, {}, []) == (len(desk.desk), desk.loop.readers, desk.loop.waiting)


def test_a_client_is_given_when_smtpd_has_closed(desk: Desk) -> None:
    """Not when it has accepted, and not when it has read; its own copy of the socket is the teller's."""
    server = Smtpd()
    desk.give()
    control = server.accept()
    assert ([], 1) == (desk.hears(), len(desk.desk))
    receive(control)
    assert [] == desk.hears()
    desk.loop.advance(0.25)
    control.close()
    assert ([("given", 0, "250 ms")], 0) == (desk.hears(), len(desk.desk))
    assert desk.guests[0].sock.fileno() >= 0
    assert [] == desk.asked


def refused() -> None:
    """Leave a socket at which nobody listens."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("smtpd")


@pytest.mark.parametrize(
    ("prepare", "path", "why"),
    [
        (refused, "smtpd", "Connection refused"),
        (lambda: Path("smtpd").touch(), "smtpd", "Connection refused"),
        (lambda: None, "smtpd", "No such file or directory"),
        (lambda: None, "x" * 108, "AF_UNIX path too long"),
    ],
)
def test_a_service_that_is_not_there(desk: Desk, prepare: Callable[[], None], path: str, why: str) -> None:
    """The client is not given, at once, and the reason is what the kernel says."""
    prepare()
    desk.give(PassTo(path, 100, 30.0))
    assert [("not given", 0, f"cannot be reached: {why}")] == desk.told
    assert 0 == len(desk.desk)


def test_a_service_that_may_not_be_reached(desk: Desk) -> None:
    """EACCES: tarry runs as another user than Postfix wants."""
    Smtpd()
    Path("smtpd").chmod(0o600)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            desk.give()
        finally:
            os.seteuid(0)
    else:
        Path("smtpd").chmod(0)
        desk.give()
    assert [("not given", 0, "cannot be reached: Permission denied")] == desk.told


def test_while_all_are_busy_clients_wait_in_order(desk: Desk) -> None:
    """EAGAIN: the first goes when a place comes free, and nobody passes it."""
    server = Smtpd(backlog=0)
    for _ in range(3):
        desk.give()
    assert (3, []) == (len(desk.desk), desk.told)
    control = server.accept()  # a place is free, and nothing has ended
    desk.loop.advance(RETRY)
    with control:
        order = [receive(control).attributes["client_port"]]
    assert [("given", 0, "100 ms")] == desk.hears()
    order.append(server.take().attributes["client_port"])
    assert [("given", 1, "100 ms")] == desk.hears()  # and with its end the next one went: no retry was awaited
    order.append(server.take().attributes["client_port"])
    assert [("given", 2, "100 ms")] == desk.hears()
    assert ["0", "1", "2"] == order


def test_waiting_has_its_time(desk: Desk) -> None:
    """Who has waited for as long as the MTA has is told; who came later has its own time."""
    server = Smtpd(backlog=0)
    desk.give()
    desk.give()
    desk.loop.advance(10.0)
    desk.give()
    desk.loop.advance(19.95)
    assert [] == desk.hears()
    desk.loop.advance(2 * RETRY)
    assert [("not given", 1, "all its smtpds are busy")] == desk.hears()
    server.take()
    assert [("given", 0)] == [one[:2] for one in desk.hears()]
    server.take()
    assert [("given", 2)] == [one[:2] for one in desk.hears()]


@pytest.mark.parametrize("how", ["stopped", "busy"])
def test_a_crowd_is_told_in_slices(desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """So that the other clients have their turn."""
    monkeypatch.setattr(passing, "SLICE", 2)
    server = Smtpd(backlog=0)
    for _ in range(6):
        desk.give()
    if how == "stopped":
        server.stop()
        assert 1 + 2 == len(desk.hears())
    else:
        desk.loop.advance(TO.timeout - RETRY)
        assert [] == desk.hears()
    for _ in range(8):
        desk.loop.advance(RETRY)
        assert len(desk.hears()) <= 2
    assert int(how == "busy") == len(desk.desk)


def test_no_more_than_max_waiting_are_under_way(desk: Desk) -> None:
    """Although the service has room for more."""
    server = Smtpd()
    for _ in range(3):
        desk.give(PassTo("smtpd", 2, 30.0))
    first, second = server.accept(), server.accept()
    desk.loop.advance(5 * RETRY)
    server._listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.accept()
    for control in (second, first):
        with control:
            receive(control)
    assert {("given", 0), ("given", 1)} == {one[:2] for one in desk.hears()}
    server.take()
    assert [("given", 2)] == [one[:2] for one in desk.hears()]


def test_who_had_to_wait_is_looked_at_once_more(desk: Desk) -> None:
    """Also one that came behind another and has never been tried; one that has talked is not given."""
    server = Smtpd(backlog=0)
    for _ in range(4):
        desk.give()
    desk.talkers = {1, 2}
    assert [] == desk.asked
    server.take()
    assert [("given", 0)] == [one[:2] for one in desk.hears()]
    assert [1, 2, 3] == desk.asked
    assert "3" == server.take().attributes["client_port"]
    assert [("given", 3)] == [one[:2] for one in desk.hears()]


def die_unread(server: Smtpd) -> None:
    server.accept().close()


def die_half_read(server: Smtpd) -> None:
    control = server.accept()
    control.recvmsg(1, 0)
    control.close()


@pytest.mark.parametrize("die", [die_unread, die_half_read, Smtpd.stop], ids=["unread", "half read", "not accepted"])
def test_an_smtpd_that_dies_before_it_has_all(desk: Desk, die: Callable[[Smtpd], None]) -> None:
    """A reset: the client is not given, and its connection is whole."""
    server = Smtpd()
    client = desk.give()
    die(server)
    assert [("not given", 0, "smtpd ended before it had the client: Connection reset by peer")] == desk.hears()
    desk.guests[0].sock.send(b"421\r\n")
    assert b"421\r\n" == client.recv(100)


def test_what_speaks_is_no_pass_service(desk: Desk) -> None:
    """Such as an smtpd of the type unix: the client is not given."""
    server = Smtpd()
    desk.give()
    server.accept().send(b"220 postfix\r\n")
    assert [("not given", 0, "it is no pass service: it spoke")] == desk.hears()


def test_an_smtpd_that_does_not_end_is_let_go(desk: Desk) -> None:
    """After GIVE_UP seconds, in silence: it may take the client yet, and does."""
    server = Smtpd()
    client = desk.give()
    desk.loop.advance(GIVE_UP - 0.01)
    assert [] == desk.told
    desk.loop.advance(0.02)
    assert [("let go", 0, "no smtpd took it in 100 s")] == desk.told
    desk.guests[0].sock.close()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    server.take().sock.send(b"220 late\r\n")
    assert b"220 late\r\n" == client.recv(100)


def test_each_has_its_own_time_to_be_taken(desk: Desk) -> None:
    """Also one that came later; who was taken meanwhile is forgotten."""
    server = Smtpd()
    desk.give()
    desk.loop.advance(40.0)
    desk.give()
    server.take()
    assert [("given", 0)] == [one[:2] for one in desk.hears()]
    desk.loop.advance(20.0)
    desk.give()
    desk.loop.advance(GIVE_UP - 20.1)
    assert [] == desk.told
    desk.loop.advance(0.2)
    assert [("let go", 1)] == [one[:2] for one in desk.told]
    desk.loop.advance(20.0)
    assert [("let go", 1), ("let go", 2)] == [one[:2] for one in desk.told]


def test_a_reused_descriptor_does_not_get_the_old_ones_deadline(desk: Desk) -> None:
    """Each is given its own time."""
    server = Smtpd()
    for _ in range(2):
        desk.give(PassTo("smtpd", 1, 500.0))
    first = list(desk.desk._under_way)
    desk.loop.advance(GIVE_UP - 1)
    server.take()
    assert [("given", 0)] == [one[:2] for one in desk.hears()]
    assert first == list(desk.desk._under_way)
    desk.loop.advance(2)
    assert ([], 1) == (desk.told, len(desk.desk))


def test_going_down(desk: Desk) -> None:
    """Who waits is told; who is under way goes on, and is given."""
    server = Smtpd(backlog=0)
    for _ in range(3):
        desk.give()
    desk.desk.drain()
    assert [("not given", number, "tarry is going down") for number in (1, 2)] == desk.told
    desk.told.clear()
    server.take()
    assert [("given", 0, "0 ms")] == desk.hears()


@pytest.mark.parametrize("how", [PassDesk.abort, PassDesk.close])
def test_going_down_at_once(desk: Desk, how: Callable[[PassDesk], None]) -> None:
    """Who is under way is let go: smtpd may have it."""
    Smtpd(backlog=0)
    for _ in range(2):
        desk.give()
    how(desk.desk)
    assert [("not given", 1, "tarry is going down"), ("let go", 0, "tarry went down before smtpd had taken it")] == desk.told
    assert 0 == len(desk.desk)


def test_no_descriptor_is_left(desk: Desk) -> None:
    """Whatever becomes of a client."""
    server = Smtpd(backlog=0)
    before = descriptors()
    for die in (Smtpd.take, die_unread, Smtpd.accept):
        desk.give()
        desk.give()
        with suppress(AttributeError):
            die(server).sock.close()  # type: ignore[func-returns-value]
        desk.loop.settle()
        desk.desk.abort()
        close_all()
    server.stop()
    desk.give()
    close_all()
    smtpd.close_all()
    assert before - 1 == descriptors()


# In line: one end of a socketpair is given.


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize("client", [IPV4, IPV6, None], ids=["IPv4", "IPv6", "ourselves"])
def test_a_connection_in_a_clients_name(client: Client | None, run: Run) -> None:
    """It carries a conversation both ways; smtpd's end of it closes it; and nothing is left."""
    server = Smtpd()
    connector = PassConnector("smtpd", 5.0)
    assert "unix:smtpd" == connector.where

    async def converse() -> None:
        side = Side()
        await connector.connect(lambda: side, client)
        taken = server.take()
        assert attributes(client or OURSELVES) == taken.raw
        taken.sock.sendall(b"220 postfix\r\n")
        assert b"220 postfix\r\n" == await side.hears()
        side.transport.write(b"EHLO x\r\n")
        await until(lambda: select.select([taken.sock], [], [], 0)[0])
        assert b"EHLO x\r\n" == taken.sock.recv(100)
        taken.sock.close()
        assert b"" == await side.hears()

    async def scenario() -> None:
        await converse()  # uvloop opens a descriptor of its own for the first connection
        before = descriptors()
        await converse()
        await until(lambda: descriptors() == before)

    run(scenario())


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
def test_a_connection_that_cannot_be_had(run: Run) -> None:
    """Nobody there, all busy until the time is over, given up while it waits: an OSError, and no descriptor is left."""

    async def scenario() -> None:
        await asyncio.sleep(0)
        before = descriptors()
        with pytest.raises(FileNotFoundError):
            await PassConnector("smtpd", 5.0).connect(Side, None)
        assert before == descriptors()
        Smtpd(backlog=0)
        ours, _ = pair()
        with hand_over("smtpd", ours.fileno(), IPV4):
            before = descriptors()
            with pytest.raises(OSError, match="all its smtpds are busy"):
                await PassConnector("smtpd", 0.0).connect(Side, None)
            waiting = asyncio.create_task(PassConnector("smtpd", 5.0).connect(Side, None))
            await until(lambda: descriptors() > before)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert before == descriptors()

    run(scenario())


def test_a_connection_waits_for_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until an smtpd is free."""
    monkeypatch.setattr(passing, "RETRY", 0.0)
    server = Smtpd(backlog=0)

    async def scenario() -> None:
        ours, _ = pair()
        side = Side()
        with hand_over("smtpd", ours.fileno(), IPV4):
            connecting = asyncio.create_task(PassConnector("smtpd", 5.0).connect(lambda: side, IPV6))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not connecting.done()
            server.take()
            await connecting
        assert WIRE[IPV6] == server.take().raw
        side.transport.close()

    asyncio.run(scenario())


def test_an_smtpd_that_dies_ends_the_connection() -> None:
    """The end that it was given dies with it."""
    server = Smtpd()

    async def scenario() -> None:
        before, side = descriptors(), Side()
        await PassConnector("smtpd", 5.0).connect(lambda: side, IPV4)
        server.accept().close()
        assert b"" == await side.hears()
        await until(lambda: descriptors() == before)

    asyncio.run(scenario())


def test_a_receipt_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control socket is kept for GIVE_UP seconds and no longer; the connection goes on."""
    monkeypatch.setattr(passing, "GIVE_UP", 0.001)
    server = Smtpd()

    async def scenario() -> None:
        side = Side()
        await PassConnector("smtpd", 5.0).connect(lambda: side, IPV4)
        control = server.accept()
        taken = receive(control)
        await until(lambda: select.select([control], [], [], 0)[0])
        assert b"" == control.recv(1)
        taken.sock.sendall(b"220 postfix\r\n")
        assert b"220 postfix\r\n" == await side.hears()
        side.transport.close()

    asyncio.run(scenario())
