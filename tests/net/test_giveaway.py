"""Clients that leave tarry at the greeting: through a whole front, over real sockets, to an smtpd of our own or a command."""

from __future__ import annotations

import asyncio
import re
import select
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.core.admission import Rules
from tarry.core.client import Endpoint
from tarry.core.policy import Policy, Span
from tarry.core.result import Action
from tarry.net import passing
from tarry.net.children import RunFor
from tarry.net.passing import PassTo
from tarry.record import schema
from tarry.smtp.proxy_header import write_v1
from tests import shell, smtpd
from tests.asking import Answers, Listed
from tests.net.test_front import HOME, NO_WAIT, SERVER, House, hear, say
from tests.playbook import policy
from tests.side import descriptors, until
from tests.smtpd import Smtpd, Taken

PASS = PassTo("smtpd", 100, 30.0)
TEASED = replace(NO_WAIT, teaser="wait")
AWAY = rb"421 4.3.2 Service not available, try again later \[[0-9A-Z]+-[0-9A-F]+\]\r\n"
DOWN = b"421 4.3.2 Service is going down, try again later\r\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # the path of a Unix socket is short
    monkeypatch.setattr(passing, "RETRY", 0.001)
    yield
    smtpd.close_all()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario; it leaves no descriptor."""

    async def counted() -> None:
        before = descriptors()
        await scenario()
        await asyncio.sleep(0)
        smtpd.close_all()
        shell.close_all()
        await until(lambda: descriptors() <= before)

    asyncio.run(counted())


def let_through(action: Action = Action.IGNORE) -> Policy:
    return policy(Pregreet(), action=action, changes={"wait": Span(0.0, 0.0)})


def house(give: PassTo | RunFor = PASS, screening: Policy = NO_WAIT, **terms: Any) -> House:
    return House(screening, give=give, **terms)


async def taken(server: Smtpd) -> Taken:
    """Return the next client that smtpd gets."""
    await until(lambda: select.select([server._listening], [], [], 0)[0])
    return server.take()


async def gone(house: House, closed: int = 1) -> None:
    """Return when so many sessions are closed, and all have left the door; check their records."""
    await until(lambda: len(of(house, schema.Close)) == closed)
    house.check()
    assert (0, 0, 0) == (house.front._door.inside, house.front.held, house.front.in_session)
    assert {} == house.front._door._clients._own


def of(house: House, kind: type[Any]) -> list[Any]:
    return [event for event in house.events() if isinstance(event, kind)]


def closing(house: House, port: int = 40000) -> tuple[str, bool, bool]:
    """Return how the last session of a client ended: by whom, whether it was greeted, whether the MTA had it."""
    return [(close.ended, close.greeted, close.mta) for close in of(house, schema.Close) if close.port == port][-1]


# To smtpd.


@pytest.mark.parametrize("server", [SERVER, Endpoint("0.0.0.0", 25)], ids=["one address", "all addresses"])
def test_a_client_is_given_to_smtpd(server: Endpoint) -> None:
    """It hears smtpd's own greeting; tarry has one record of it and nothing more to do with it."""

    async def scenario() -> None:
        service, front = Smtpd(), house(rules=Rules(max_per_client=1))
        client = front.take(server=server)
        got = await taken(service)
        await gone(front)
        host, port = client.getpeername() if server.host == "0.0.0.0" else ("127.0.0.1", 25)
        assert ["127.0.0.1", "40000", host, str(port)] == list(got.attributes.values())
        got.sock.sendall(b"220 postfix\r\n")
        assert b"220 postfix\r\n" == await hear(client)
        (handoff,) = of(front, schema.Handoff)
        assert ("pass", "unix:smtpd", True, "") == (handoff.mode, handoff.to, handoff.ok, handoff.why)
        assert ("handoff", True, True) == closing(front)
        await front.leave()

    run(scenario)


def test_an_announced_client_is_given_in_its_own_name() -> None:
    """That of the PROXY header, and what it said behind the header is unread."""

    async def scenario() -> None:
        service = Smtpd()
        front = house(screening=let_through(), proxy_from=HOME)
        client = front.take()
        await say(client, write_v1(("2001:db8::7", 4711), ("2001:db8::1", 25)) + b"EHLO early\r\n")
        got = await taken(service)
        assert ["2001:db8::7", "4711", "2001:db8::1", "25"] == list(got.attributes.values())
        assert b"EHLO early\r\n" == got.sock.recv(100)
        await gone(front)
        await front.leave()

    run(scenario)


async def queued(front: House, count: int = 1) -> tuple[socket.socket, list[socket.socket]]:
    """Let one client occupy the only smtpd, and *count* more wait; return their ends."""
    first = front.take(port=39999)
    await until(lambda: front.front._giving._desk._under_way)
    waiting = [front.take(port=40000 + number) for number in range(count)]
    await until(lambda: len(front.front._giving) == 1 + count)
    return first, waiting


@pytest.mark.parametrize("end_early", [True, False])
def test_early_talk_while_waiting_for_an_smtpd(end_early: bool) -> None:
    """It counts to the last moment: one reply, whole, and smtpd never sees the client."""

    async def scenario() -> None:
        service, front = Smtpd(backlog=0), house(screening=replace(NO_WAIT, end_early=end_early))
        _, (talker, _) = await queued(front, 2)
        await say(talker, b"EHLO early\r\nMAIL FROM:<a@b.example>\r\n")
        assert "39999" == (await taken(service)).attributes["client_port"]
        reply = await hear(talker, b"")
        assert reply.startswith(b"554 5.7.1 You spoke before the greeting [")
        assert 1 == reply.count(b"\r\n")
        assert "40001" == (await taken(service)).attributes["client_port"]
        await gone(front, 3)
        (refused,) = [close for close in of(front, schema.Close) if close.port == 40000]
        assert ("reject", False, ("pregreet.spoke",)) == (refused.action, refused.mta, refused.reasons)
        await front.leave()

    run(scenario)


@pytest.mark.parametrize("action", [Action.IGNORE, Action.TAG])
@pytest.mark.parametrize("end_early", [True, False])
def test_early_talk_that_is_let_through(action: Action, end_early: bool) -> None:
    """The client is given with its bytes unread, and what it did is recorded once."""

    async def scenario() -> None:
        service, front = Smtpd(backlog=0), house(screening=replace(let_through(action), end_early=end_early))
        _, (talker, other) = await queued(front, 2)
        await say(other, b"EHLO early\r\n")
        await say(talker, b"EHLO early\r\n")
        await asyncio.sleep(0)
        talker.shutdown(socket.SHUT_WR)
        await taken(service)
        got = await taken(service)
        assert ("40000", b"EHLO early\r\n") == (got.attributes["client_port"], got.sock.recv(100))
        await taken(service)
        await gone(front, 3)
        assert 2 == len(of(front, schema.Readable))
        assert 2 * (action is Action.TAG) == len(of(front, schema.Verdict))
        await front.leave()

    run(scenario)


def test_what_had_no_answer_is_told_once() -> None:
    """At the end of the hold, and not again for who talks while it waits for an smtpd."""

    async def scenario() -> None:
        asking = policy(Pregreet(), Listed(), action=Action.TAG, changes={"wait": Span(0.0, 0.0), "end_early": False})
        service, front = Smtpd(backlog=0), house(screening=asking, resolver=Answers())
        _, (talker, _) = await queued(front, 2)
        await say(talker, b"EHLO early\r\n")
        for _ in range(3):
            await taken(service)
        await gone(front, 3)
        assert 1 == len(of(front, schema.Readable))
        assert 3 == sum(outcome.result == "unknown" for outcome in of(front, schema.Outcome))
        await front.leave()

    run(scenario)


def test_an_exempt_client_may_talk_while_it_waits() -> None:
    """It is not checked, there as elsewhere."""

    async def scenario() -> None:
        service, front = Smtpd(backlog=0), house(rules=Rules(exempt=HOME))
        _, (talker,) = await queued(front)
        await say(talker, b"EHLO early\r\n")
        await taken(service)
        assert b"EHLO early\r\n" == (await taken(service)).sock.recv(100)
        await gone(front, 2)
        await front.leave()

    run(scenario)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_that_goes_while_it_waits(how: str) -> None:
    """It is recorded as one that left, and smtpd never hears of it."""

    async def scenario() -> None:
        service, front = Smtpd(backlog=0), house()
        _, (goer, stayer) = await queued(front, 2)
        if how == "fin":
            goer.close()
        else:
            shell.reset(goer)
        await taken(service)
        assert "40001" == (await taken(service)).attributes["client_port"]
        await gone(front, 3)
        assert [schema.Hangup("hold", how)] == of(front, schema.Hangup)
        assert ("client", False, False) == closing(front)
        stayer.close()
        await front.leave()

    run(scenario)


def test_who_closed_its_side_in_the_room_is_not_given() -> None:
    """It can say nothing, so no smtpd is spent on it: it is greeted by tarry, as any other."""

    async def scenario() -> None:
        front = house(screening=replace(NO_WAIT, wait=Span(0.02, 0.02)))
        client = front.take()
        client.shutdown(socket.SHUT_WR)
        assert b"220 mail.example ESMTP\r\n" == await hear(client, b"")
        await gone(front)
        assert [] == of(front, schema.Handoff)
        await front.leave()

    run(scenario)


# Where the MTA does not take it.


def dies() -> None:
    """A service takes the connection, and dies."""
    service = Smtpd()

    def end() -> None:
        asyncio.get_running_loop().remove_reader(service._listening)
        service.accept().close()

    asyncio.get_running_loop().add_reader(service._listening, end)


CANNOT: dict[str, tuple[PassTo | RunFor, Callable[[], None], str]] = {
    "no service": (PASS, lambda: None, "cannot be reached: No such file or directory"),
    "smtpd dies": (PASS, dies, "smtpd ended before it had the client: Connection reset by peer"),
    "no command": (RunFor(("/no/such/mta",), 9), lambda: None, "cannot be run: No such file or directory"),
    "too many commands": (RunFor(("/bin/cat",), 0), lambda: None, "cannot be run: 0 commands run already"),
}


@pytest.mark.parametrize(("give", "prepare", "why"), CANNOT.values(), ids=CANNOT)
def test_a_client_that_the_mta_does_not_take(give: PassTo | RunFor, prepare: Callable[[], None], why: str) -> None:
    """One 421, which arrives, and the record says why."""

    async def scenario() -> None:
        prepare()
        front = house(give, rules=Rules(max_per_client=1))
        client = front.take()
        assert re.fullmatch(AWAY, await hear(client, b""))
        await gone(front)
        assert [(False, why)] == [(event.ok, event.why) for event in of(front, schema.Handoff)]
        assert ("mta", False, False) == closing(front)
        await front.leave()

    run(scenario)


@pytest.mark.parametrize(("give", "prepare", "why"), CANNOT.values(), ids=CANNOT)
@pytest.mark.parametrize("line", [b"EHLO x\r\n", b"QUIT\r\n", b""], ids=["EHLO", "QUIT", "FIN"])
def test_where_a_teaser_has_gone_out(give: PassTo | RunFor, prepare: Callable[[], None], why: str, line: bytes) -> None:
    """The greeting is finished, the first command gets the 421, and QUIT its 221."""

    async def scenario() -> None:
        prepare()
        front = house(give, TEASED, rules=Rules(max_per_client=1))
        client = front.take()
        assert b"220-wait\r\n220 mail.example ESMTP\r\n" == await hear(client, b"ESMTP\r\n")
        if line:
            await say(client, line)
        else:
            client.shutdown(socket.SHUT_WR)
        reply = await hear(client, b"")
        assert {b"EHLO": b"421", b"QUIT": b"221", b"": b""}[line[:4]] == reply[:3]
        assert bool(line) == reply.count(b"\r\n")
        client.close()
        await gone(front)
        assert [(False, why)] == [(event.ok, event.why) for event in of(front, schema.Handoff)]
        await front.leave()

    run(scenario)


def test_nothing_is_said_to_a_client_that_smtpd_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """No end in time: it is let go in silence, and its place is free; smtpd may take it yet."""
    monkeypatch.setattr(passing, "GIVE_UP", 0.001)

    async def scenario() -> None:
        service, front = Smtpd(), house(screening=TEASED)
        client = front.take()
        await gone(front)
        assert [(False, "no smtpd took it in 0 s")] == [(event.ok, event.why) for event in of(front, schema.Handoff)]
        assert ("mta", False, False) == closing(front)
        (await taken(service)).sock.sendall(b"220 postfix\r\n")
        assert b"220-wait\r\n220 postfix\r\n" == await hear(client, b"postfix\r\n")
        await front.leave()

    run(scenario)


# To a command.

TALK = 'printf "220 %s\\r\\n" "$TCPREMOTEIP"; read line; printf "221 %s\\r\\n" "$line"; exit 7'


def command(script: str = TALK, *, max_children: int = 10) -> RunFor:
    return RunFor(("/bin/sh", "-c", script), max_children)


@pytest.mark.parametrize("talks", [False, True], ids=["silent", "talks early"])
def test_a_client_is_given_to_a_command(talks: bool) -> None:
    """Which has the socket, and what is unread in it; the place at the door is free when it ends."""

    async def scenario() -> None:
        front = house(command(), let_through(), rules=Rules(max_per_client=1))
        client = front.take()
        if talks:
            await say(client, b"early\n")
        said = await hear(client)
        assert b"220 127.0.0.1\r\n" == said[:15]
        if not talks:
            assert (1, 0) == (front.front.in_session, front.front.held)
            assert (await hear(front.take(port=40001), b"")).startswith(b"421 4.7.0 Too many connections from your address")
            await say(client, b"hello\n")
        assert said[15:] + await hear(client, b"") == (b"221 early\r\n" if talks else b"221 hello\r\n")
        await gone(front, 2 - talks)
        (handoff,) = of(front, schema.Handoff)
        assert ("exec", "/bin/sh", True) == (handoff.mode, handoff.to, handoff.ok)
        assert [7] == [event.status for event in of(front, schema.Exit)]
        assert ("handoff", True, True) == closing(front)
        await front.leave()

    run(scenario)


# Going down.


async def drained(front: House, then: Callable[[], Awaitable[None]]) -> None:
    """Drain, do what is to be done meanwhile, and return when nobody is left."""
    empty = asyncio.Event()
    front.front.drain(empty.set)
    assert not empty.is_set()
    await then()
    await until(empty.is_set)
    front.front.close()
    await gone(front, len(of(front, schema.Connect)))


@pytest.mark.parametrize("screening", [NO_WAIT, TEASED], ids=["no teaser", "teaser"])
def test_going_down(screening: Policy) -> None:
    """Who waits is told to come again, in a way that it can read; who is under way is given."""

    async def scenario() -> None:
        service, front = Smtpd(backlog=0), house(screening=screening)
        _, (client,) = await queued(front)

        async def meanwhile() -> None:
            reply = await hear(client, b"")
            if screening is TEASED:
                assert b"220-wait\r\n220 mail.example ESMTP\r\n" + DOWN == reply
            else:
                assert reply.startswith(b"421 4.3.2 ")
            client.close()
            await taken(service)

        await drained(front, meanwhile)
        assert [True, False] == sorted((event.ok for event in of(front, schema.Handoff)), reverse=True)

    run(scenario)


def test_an_smtpd_that_dies_while_tarry_goes_down() -> None:
    """Its client is told to come again, and nothing is left to wait for."""

    async def scenario() -> None:
        service, front = Smtpd(), house()
        client = front.take()
        await until(lambda: front.front._giving)

        async def meanwhile() -> None:
            service.stop()
            assert (await hear(client, b"")).startswith(b"421 ")

        await drained(front, meanwhile)

    run(scenario)


def test_going_down_waits_for_commands() -> None:
    """They may go on until they end."""

    async def scenario() -> None:
        front = house(command())
        client = front.take()
        await hear(client)

        async def meanwhile() -> None:
            await say(client, b"hello\n")
            assert b"221 hello\r\n" == await hear(client, b"")

        await drained(front, meanwhile)
        assert [7] == [event.status for event in of(front, schema.Exit)]

    run(scenario)


def test_going_down_at_once() -> None:
    """Nobody is waited for; commands and what smtpd may have go on by themselves."""

    async def scenario() -> None:
        service, front = Smtpd(backlog=0), house()
        first, (client,) = await queued(front)
        front.front.change(replace(front.terms, give=command("echo $$; read line; echo bye")))
        commanded = front.take(port=40009)
        pid = int(await hear(commanded, b"\n"))

        async def meanwhile() -> None:
            front.front.abort()
            assert (await hear(client, b"")).startswith(b"421 ")

        await drained(front, meanwhile)
        (await taken(service)).sock.sendall(b"220 postfix\r\n")
        assert b"220 postfix\r\n" == await hear(first)
        lines = len(front.lines)
        await say(commanded, b"x\n")
        assert b"bye\n" == await hear(commanded, b"")
        await until(lambda: not front.front._giving._children._running)
        assert lines == len(front.lines)
        assert not Path(f"/proc/{pid}").exists()

    run(scenario)
