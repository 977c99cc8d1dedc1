"""Any mail server behind the door: each real server by each way that tarry has to it.

In every cell a message is delivered byte for byte, the server knows the true client wherever the way can carry it, an early talker
never comes to it, and its own refusal reaches the client unchanged.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.servers import proxyheader
from tests.e2e.servers.ahead import Ahead
from tests.e2e.servers.aiosmtpd_server import Aiosmtpd
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.haraka import Haraka
from tests.e2e.servers.mailfront import Mailfront
from tests.e2e.servers.need import need
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.qpsmtpd import Qpsmtpd
from tests.e2e.servers.sendmail import Sendmail
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENT = "127.9.8.7"
UNKNOWN = "nobody@example.org"
HEADER = b"From: <sender@client.example>\r\nTo: <alice@example.org>\r\nSubject: one of many\r\nMessage-Id: <1@client.example>\r\n"
BODY = (
    b"A line.\r\n..two dots, of which the client sent three\r\n.\tone dot\r\n\r\n  blanks before and behind  \r\n\ttab\t\r\n"
    + b"x" * 990
    + b"\r\nquoted =3D, caf\xc3\xa9, \xff\xfe\r\nFrom here on\r\n\r\n\r\nthe end\r\n"
)


class Server(Protocol):
    """What each of the servers can be asked."""

    port: int

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return what was delivered."""

    def log_text(self) -> str:
        """Return what it logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One server by one way.

    ``handoff`` gives the lines of [handoff]; ``announced`` makes the PROXY header for asking the server itself; ``knows_client``:
    the way carries the client's address. ``families``: which clients it can serve.
    """

    needs: str
    server: Callable[[], AbstractContextManager[Server]]
    handoff: Callable[[Server], str]
    announced: Callable[..., bytes] | None = None
    knows_client: bool = True
    families: tuple[str, ...] = (CLIENT, "::1")


def proxy(announce: str) -> Callable[[Server], str]:
    return lambda server: f'mode = "proxy"\naddress = "127.0.0.1:{server.port}"\nannounce = "{announce}"'


def pass_to(server: Server) -> str:
    assert isinstance(server, Postfix)
    return f'mode = "pass"\nsocket = "{server.pass_socket}"'


def announce_pass(server: Server) -> str:
    assert isinstance(server, Postfix)
    return f'mode = "proxy"\nannounce = "pass"\naddress = "unix:{server.pass_socket}"'


def command(server: Server) -> str:
    assert isinstance(server, Exim | Sendmail | Qpsmtpd | Mailfront)
    words = server.inetd_command
    if any("\n" in word for word in words):  # Sendmail's come with a whole script
        wrapper = server.folder / "inetd"
        wrapper.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        wrapper.chmod(0o755)
        words = (str(wrapper),)
    return f'mode = "exec"\ncommand = {quoted(words)}'


def pipe(server: Server) -> str:
    assert isinstance(server, Exim | Qpsmtpd)
    words = server.pipe_command if isinstance(server, Exim) else server.inetd_command
    return f'mode = "exec"\nstdio = "pipe"\ncommand = {quoted(words)}'


def quoted(words: tuple[str, ...]) -> str:
    return json.dumps(words)  # TOML's strings and lists have this form, too


CELLS = {
    "postfix-pass": Cell(needs="postfix", server=Postfix, handoff=pass_to),
    "postfix-proxy-pass": Cell(needs="postfix", server=Postfix, handoff=announce_pass),
    "postfix-proxy-v1": Cell(
        needs="postfix", server=lambda: Postfix(proxy_protocol=True), handoff=proxy("proxy-v1"), announced=proxyheader.v1
    ),
    "postfix-proxy-v2": Cell(
        needs="postfix", server=lambda: Postfix(proxy_protocol=True), handoff=proxy("proxy-v2"), announced=proxyheader.v1
    ),
    "postfix-xclient": Cell(needs="postfix", server=lambda: Postfix(trust=["127.0.0.0/8"]), handoff=proxy("xclient")),
    "postfix-plain": Cell(needs="postfix", server=Postfix, handoff=proxy("none"), knows_client=False),
    "exim-proxy-v1": Cell(
        needs="exim", server=lambda: Exim(proxy_protocol=True), handoff=proxy("proxy-v1"), announced=proxyheader.v1
    ),
    "exim-proxy-v2": Cell(
        needs="exim", server=lambda: Exim(proxy_protocol=True), handoff=proxy("proxy-v2"), announced=proxyheader.v1
    ),
    "exim-exec": Cell(needs="exim", server=Exim, handoff=command),
    "exim-exec-pipe": Cell(needs="exim", server=Exim, handoff=pipe),
    "sendmail-exec": Cell(needs="sendmail", server=Sendmail, handoff=command),
    "sendmail-plain": Cell(needs="sendmail", server=Sendmail, handoff=proxy("none"), knows_client=False),
    "opensmtpd-proxy-v2": Cell(
        needs="opensmtpd", server=lambda: OpenSmtpd(proxy_protocol=True), handoff=proxy("proxy-v2"), announced=proxyheader.v2
    ),
    "opensmtpd-plain": Cell(needs="opensmtpd", server=OpenSmtpd, handoff=proxy("none"), knows_client=False),
    "haraka-proxy-v1": Cell(
        needs="haraka", server=lambda: Haraka(proxy_protocol=True), handoff=proxy("proxy-v1"), announced=proxyheader.v1
    ),
    "haraka-xclient": Cell(needs="haraka", server=lambda: Haraka(trust=["127.0.0.1"]), handoff=proxy("xclient")),
    "qpsmtpd-exec": Cell(needs="qpsmtpd", server=Qpsmtpd, handoff=command),
    "qpsmtpd-exec-pipe": Cell(needs="qpsmtpd", server=Qpsmtpd, handoff=pipe),
    "qpsmtpd-plain": Cell(needs="qpsmtpd", server=Qpsmtpd, handoff=proxy("none"), knows_client=False),
    "mailfront-exec": Cell(needs="mailfront", server=Mailfront, handoff=command),
    "aiosmtpd-plain": Cell(needs="", server=Aiosmtpd, handoff=proxy("none"), knows_client=False),
    "aiosmtpd-proxy-v1": Cell(
        needs="", server=lambda: Aiosmtpd(proxy_protocol=True), handoff=proxy("proxy-v1"), announced=proxyheader.v1
    ),
    "aiosmtpd-proxy-v2": Cell(
        needs="", server=lambda: Aiosmtpd(proxy_protocol=True), handoff=proxy("proxy-v2"), announced=proxyheader.v1
    ),
}


def client_of(tarry: Tarry, address: str) -> RawClient:
    """Connect as a client with that address."""
    return RawClient(tarry.port, address, timeout=20) if address == "::1" else RawClient(tarry.port, source=address, timeout=20)


CASES = [(name, each) for name, cell in CELLS.items() for each in cell.families]


@pytest.fixture(scope="module")
def played() -> Iterator[Ahead[tuple[str, str], None]]:
    with Ahead(play, CASES) as ahead:
        yield ahead


@pytest.mark.parametrize(("name", "address"), CASES)
def test_a_server_behind_the_door(name: str, address: str, played: Ahead[tuple[str, str], None]) -> None:
    """The four things that the module text promises, over IPv4 and IPv6."""
    played.of((name, address))


def play(case: tuple[str, str]) -> None:
    """Start that server, and the door before it; fail where it does not do all four."""
    name, address = case
    cell = CELLS[name]
    if cell.needs:
        need(cell.needs)
    if address == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this host has no IPv6")
    with cell.server() as server:
        config = f"[handoff]\n{cell.handoff(server)}\n"
        with Tarry(config, wait="0.3s", address="::1" if address == "::1" else "127.0.0.1") as door:
            door.wait_records(ev="start")

            is_refused_early(door, address)
            was_refused = delivers(door, address, server)
            assert own_refusal(cell, server) == was_refused
            if cell.knows_client:
                assert_shown(server, address)
            assert "early.example" not in server.log_text()
            assert [False, True] == [each["mta"] for each in door.wait_records(2, ev="close")]


def is_refused_early(door: Tarry, address: str) -> None:
    """A client that speaks before the greeting gets one refusal; what it said goes nowhere."""
    with client_of(door, address) as client:
        client.send(b"EHLO early.example\r\nMAIL FROM:<early.example@client.example>\r\n")
        assert 554 == client.read_reply().code
        assert b"" == client.read_until_closed()


def delivers(door: Tarry, address: str, server: Server) -> bytes:
    """Send a message, which must arrive as it is; return the reply to an unknown recipient on the way."""
    with client_of(door, address) as client:
        offered = client.greeted(b"EHLO patient.example").raw
        parameter = b" BODY=8BITMIME" if b"8BITMIME" in offered else b""
        assert 250 == client.command(b"MAIL FROM:<sender@client.example>" + parameter).code
        refused = client.command(f"RCPT TO:<{UNKNOWN}>".encode()).raw
        assert 250 == client.command(b"RCPT TO:<alice@example.org>").code
        assert 354 == client.command(b"DATA").code
        sent = (HEADER + b"\r\n" + BODY).replace(b"\r\n.", b"\r\n..")
        assert 250 == client.command(sent + b".").code
        assert 221 == client.command(b"QUIT").code
    delivered = server.wait_messages(1)
    assert 1 == len(delivered)
    head, _, body = delivered[0].replace(b"\r\n", b"\n").partition(b"\n\n")
    assert BODY.replace(b"\r\n", b"\n") == body
    assert [] == [line for line in HEADER.splitlines() if line not in head.splitlines()]
    return refused


def own_refusal(cell: Cell, server: Server) -> bytes:
    """Ask the server itself, as tarry's client was asking it."""
    with RawClient(server.port, timeout=20) as client:
        if cell.announced is not None:
            client.send(cell.announced((CLIENT, 40000), ("127.0.0.1", 25)))
        client.greeted(b"EHLO patient.example")
        client.command(b"MAIL FROM:<sender@client.example>")
        return client.command(f"RCPT TO:<{UNKNOWN}>".encode()).raw


def assert_shown(server: Server, address: str) -> None:
    """The server's Received line has the client's address, in whichever of the ways to write it."""
    ways = "|".join(
        re.escape(way) for way in (address, ip_address(address).exploded, "0:0:0:0:0:0:0:1") if (":" in way) == (":" in address)
    )
    head = server.wait_messages(1)[0].replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("latin-1")
    assert re.search(rf"(?<![0-9a-f.])({ways})(?![0-9.])", head), head
