"""Connections to servers: what was certainly not done, what nobody knows, and what is sent again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tarry.store import Away, Failed, valkey_nodes
from tarry.store.places import Server, parsed
from tarry.store.valkey_nodes import Nodes
from tests import certificates
from tests.e2e.servers.processes import free_port
from tests.store.resp import Answer, Reply, Resp, resp

pytestmark = pytest.mark.e2e

GET = ("GET", "tarry:c:x")


def asked(answer: Answer, talk: Callable[[Nodes, Resp], Awaitable[Any]], url: str = "valkey://:s3cret@127.0.0.1:{port}/0") -> Any:
    """Return what *talk* comes to with a server that answers so."""

    async def run() -> Any:
        async with resp(answer) as server:
            place = parsed(url.format(port=server.port))
            assert isinstance(place, Server)
            nodes = Nodes(place)
            try:
                return await talk(nodes, server)
            finally:
                await nodes.close()

    return asyncio.run(run())


def normal_but(**replies: bytes | None) -> Answer:
    """Answer commands by their first word, and all others with OK."""

    def answer(words: list[str]) -> Reply:
        return replies.get(words[0], b"+OK\r\n")

    return answer


async def two(nodes: Nodes, server: Resp) -> Any:
    return await nodes.ask([GET, ("SET", "k", "v")], ["tarry:c:x", "k"])


def test_replies_come_in_their_order() -> None:
    """One connection serves again and again; it logs in and is greeted once."""

    async def talk(nodes: Nodes, server: Resp) -> Any:
        return [await two(nodes, server), await two(nodes, server), [words[0] for words in server.asked], server.connections]

    first, second, words, connections = asked(normal_but(GET=b"$1\r\nx\r\n", SET=b"+OK\r\n"), talk)
    assert [b"x", b"OK"] == first == second
    assert (["AUTH", "PING", "GET", "SET", "GET", "SET"], 1) == (words, connections)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "is out of memory: raise its maxmemory"),
        (b"-ERR Error running script: @user_script:9: -OOM command not allowed\r\n", "is out of memory"),
        (b"-READONLY You can't write against a read only replica.\r\n", "is a replica, which cannot be written"),
        (b"-ERR s3cret is no  command\r\n", ": \\(password\\) is no command"),
        (b"-NOPERM this user has no permissions\r\n", "this user has no permissions"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "Hash slot not served"),
        (b"-MOVED 7 127.0.0.1:1\r\n", "is a part of a cluster: add \\?cluster=true to store.url"),
    ],
)
def test_what_the_server_refuses_is_certainly_not_done(error: bytes, expected: str) -> None:
    """And is told in a sentence that says what to do, without the password; the other commands are not touched by it."""
    failed, other = asked(normal_but(GET=error, SET=b"+OK\r\n"), two)
    assert isinstance(failed, Failed)
    assert (True, b"OK") == (failed.is_undone, other)
    with pytest.raises(AssertionError, match=expected):
        raise AssertionError(failed.why)
    assert "s3cret" not in failed.why


@pytest.mark.parametrize(
    ("error", "expected"),
    [(b"-LOADING Redis is loading\r\n", "still reading its file"), (b"-NOAUTH who?\r\n", "wants another login")],
)
def test_a_server_that_serves_nobody_has_done_nothing(error: bytes, expected: str) -> None:
    """None of the commands; the connection is given up."""
    failed = asked(normal_but(GET=error), two)
    assert [True, True] == [each.is_undone for each in failed]
    assert expected in failed[0].why


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n"])
def test_what_is_not_answered_may_have_been_done(reply: bytes) -> None:
    """The connection ends, or there is no sense in it, after the command went out. It is not sent again."""
    (first, second), sent = asked(normal_but(GET=b"$-1\r\n", SET=reply), sending)
    assert (None, False, 1) == (first, second.is_undone, sent)


def test_what_is_not_answered_in_time_may_have_been_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are the commands behind it."""
    monkeypatch.setattr(valkey_nodes, "REPLY_WAIT", 0.3)
    (first, second), sent = asked(normal_but(PING=b"+PONG\r\n", GET=None, SET=None), sending)
    assert ([False, False], True) == ([first.is_undone, second.is_undone], sent <= 1)
    assert "does not answer" in first.why


async def sending(nodes: Nodes, server: Resp) -> Any:
    """Ask, and count what was sent."""
    replies = await two(nodes, server)
    return replies, [words[0] for words in server.asked].count("SET")


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"AUTH": b"-WRONGPASS invalid username-password pair\r\n"}, "wants another login \\(invalid username-password pair"),
        ({"PING": b"-LOADING Redis is loading\r\n"}, "still reading its file"),
        ({"PING": b""}, "valkey://127.0.0.1:"),
        ({"PING": None}, "does not answer"),
        ({"AUTH": None}, "does not answer"),
        ({"PING": b"-NOPERM no\r\n"}, "no"),
        ({"PING": b"HTTP/1.1 400 Bad Request\r\n"}, "valkey://127.0.0.1:"),
    ],
)
def test_a_server_that_does_not_greet_gets_nothing(
    replies: dict[str, bytes | None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away, and nothing was sent that could be done."""
    if None in replies.values():
        monkeypatch.setattr(valkey_nodes, "CONNECT_WAIT", 0.3)

    async def talk(nodes: Nodes, server: Resp) -> Any:
        with pytest.raises(Away, match=expected) as told:
            await two(nodes, server)
        return str(told.value), {words[0] for words in server.asked}

    said, words = asked(normal_but(**replies), talk)
    assert "s3cret" not in said
    assert words <= {"AUTH", "PING"}


def test_a_connection_that_was_ended_is_noticed() -> None:
    """Before a command is sent on it: a server that was started anew costs nothing."""
    goes_on = {"GET": b"$-1\r\n", "SET": b"+OK\r\n"}

    async def talk(nodes: Nodes, server: Resp) -> Any:
        await two(nodes, server)
        goes_on["SET"] = b""
        await two(nodes, server)
        goes_on["SET"] = b"+OK\r\n"
        await asyncio.sleep(0.05)
        return await two(nodes, server)

    assert [None, b"OK"] == asked(lambda words: goes_on.get(words[0], b"+OK\r\n"), talk)


def test_who_gives_up_takes_the_connection_with_him() -> None:
    """The reply that comes late is nobody else's."""

    async def talk(nodes: Nodes, server: Resp) -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await nodes.ask([GET], ["x"])
        return await nodes.ask([("SET", "k", "v")], ["k"]), server.connections

    assert ([b"OK"], 2) == asked(normal_but(GET=None), talk)


def test_a_port_where_nobody_listens_is_told() -> None:
    """With the place, as it stands in the configuration."""
    port = free_port()

    async def talk(nodes: Nodes, server: Resp) -> None:
        with pytest.raises(Away, match=f"valkey://127.0.0.1:{port}/0: .*onnect"):
            await nodes.ask([GET], ["x"])

    asked(normal_but(), talk, f"valkey://127.0.0.1:{port}/0")


@pytest.mark.parametrize("url", ["valkey+unix:///nowhere/socket", "valkeys://127.0.0.1:{port}", "valkey://nobody.invalid"])
def test_a_place_that_is_not_there_is_told(url: str) -> None:
    """A socket without a file, TLS where there is none, a name that nobody has."""

    async def talk(nodes: Nodes, server: Resp) -> None:
        with pytest.raises(Away):
            await nodes.ask([GET], ["x"])

    asked(normal_but(), talk, url)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """And one that the file of `ca` has is taken, for the name in the URL."""
    certificate, key = certificates.pair()
    other, _ = certificates.make(tmp_path, "other")
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(certificate, key)

    async def run() -> None:
        made = Resp(lambda words: b"+OK\r\n")
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=terms)
        port = server.sockets[0].getsockname()[1]
        for ca, is_taken in ((other, False), (certificate, True)):
            place = parsed(f"valkeys://localhost:{port}/0?ca={ca}")
            assert isinstance(place, Server)
            nodes = Nodes(place)
            if is_taken:
                assert [b"OK", b"OK"] == await two(nodes, made)
            else:
                with pytest.raises(Away, match=r"certificate|CERTIFICATE"):
                    await two(nodes, made)
            await nodes.close()
        server.close()
        await made.end()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"CLUSTER": b"-ERR This instance has cluster support disabled\r\n"}, "Cluster mode is not enabled"),
        ({"CLUSTER": b""}, "valkey://"),
        ({"CLUSTER": None}, "does not answer"),
    ],
)
def test_a_cluster_that_is_none_is_told(replies: dict[str, bytes | None], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or does not say who has what."""
    if None in replies.values():
        monkeypatch.setattr(valkey_nodes, "CONNECT_WAIT", 0.3)

    async def talk(nodes: Nodes, server: Resp) -> None:
        with pytest.raises(Away, match=expected):
            await two(nodes, server)

    asked(normal_but(**replies), talk, "valkey://127.0.0.1:{port}?cluster=true")


def test_closed_connections_are_away() -> None:
    """Of one server and of a cluster."""

    async def talk(nodes: Nodes, server: Resp) -> None:
        await nodes.close()
        with pytest.raises(Away, match="closed"):
            await two(nodes, server)

    for url in ("valkey://127.0.0.1:{port}", "valkey://127.0.0.1:{port}?cluster=true"):
        asked(normal_but(), talk, url)
