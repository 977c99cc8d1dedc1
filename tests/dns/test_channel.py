"""Queries by c-ares: a loop that turns when told, and name servers that are plain sockets of the test."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pycares
import pytest

from tarry.core.clock import ManualClock
from tarry.core.facts import State
from tarry.dns import channel
from tarry.dns.channel import AAAA, LIFE, MOST_VALUES, OVERDUE, PTR, SOA, TICK, A, Channel, Reply
from tests.dns.asking import TurningLoop


def twins() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port; the latter refuses until it is told to listen."""
    for _ in range(50):
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:  # another process has it
            udp.close()
            tcp.close()
        else:
            return udp, tcp
    raise OSError("no port was free for UDP and TCP")


class Server:
    """A name server that answers when told."""

    def __init__(self) -> None:
        self.sock, self.tcp = twins()
        self.sock.settimeout(1.0)
        self.ports: list[int] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.sock.getsockname()[1]}"

    def reply(self, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: int = 0) -> str:
        """Answer the next query with *records*, ``type data``, and return the name that was asked for."""
        wire, peer = self.sock.recvfrom(4096)
        self.ports.append(peer[1])
        query = dns.message.from_wire(wire)
        reply = answer_to(query, *records)
        reply.set_rcode(rcode)
        reply.flags |= flags
        self.sock.sendto(reply.to_wire(), peer)
        return query.question[0].name.to_text(omit_final_dot=True)

    def drop(self) -> None:
        """Take the next query and say nothing."""
        self.ports.append(self.sock.recvfrom(4096)[1][1])


def answer_to(query: dns.message.Message, *records: str) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    for record in records:
        kind, data = record.split(" ", 1)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", kind, data))
    return reply


class Asking:
    """A channel to one or two name servers."""

    def __init__(self, servers: int = 1) -> None:
        self.clock = ManualClock(1000.0)
        self.loop = TurningLoop(self.clock)
        self.servers = [Server() for _ in range(servers)]
        self.channel = Channel(self.loop.loop, self.clock, [server.address for server in self.servers], 3.0)
        self.replies: list[Reply] = []

    @property
    def server(self) -> Server:
        return self.servers[0]

    def query(self, name: str = "h.example", kind: int = A) -> None:
        self.channel.query(name, kind, self.replies.append)

    def settle(self) -> None:
        self.loop.settle()

    def close(self) -> None:
        self.channel.close()
        for server in self.servers:
            server.sock.close()
            server.tcp.close()


@pytest.fixture
def asking() -> Iterator[Asking]:
    made = Asking()
    yield made
    made.close()


@pytest.fixture
def asking_two() -> Iterator[Asking]:
    made = Asking(2)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("kind", "records", "expected"),
    [
        (A, ["A 127.0.0.2", "A 127.0.0.4"], Reply(State.FOUND, ("127.0.0.2", "127.0.0.4"), 300)),
        (A, ["A 127.0.0.2", 'TXT "listed"', "AAAA ::1"], Reply(State.FOUND, ("127.0.0.2",), 300)),
        (AAAA, ["AAAA 2001:db8::1"], Reply(State.FOUND, ("2001:db8::1",), 300)),
        (PTR, ["PTR A.example.", "PTR b.example."], Reply(State.FOUND, ("A.example", "b.example"), 300)),
        (SOA, ["SOA ns.example. admin.example. 1 600 300 86400 120"], Reply(State.FOUND, ttl=120)),
        (SOA, ["SOA ns.example. admin.example. 1 600 300 86400 7200"], Reply(State.FOUND, ttl=300)),
        (A, [], Reply(State.NOTHING)),
        (A, ["CNAME b.example."], Reply(State.NOTHING)),
        (A, ["CNAME H.example."], Reply(State.UNKNOWN, why="a loop of CNAMEs")),
        (
            A,
            [f"A 127.0.1.{last}" for last in range(60)],
            Reply(State.FOUND, tuple(f"127.0.1.{n}" for n in range(MOST_VALUES)), 300),
        ),
    ],
)
def test_a_reply_has_values_of_the_kind_that_was_asked(asking: Asking, kind: int, records: list[str], expected: Reply) -> None:
    """Each once, a bounded number; nothing else is taken."""
    asking.query(kind=kind)
    assert 1 == asking.channel.open
    assert "h.example" == asking.server.reply(*records)
    asking.settle()
    assert ([expected], 0) == (asking.replies, asking.channel.open)


def test_a_name_that_is_not_there(asking: Asking) -> None:
    """NXDOMAIN."""
    asking.query()
    asking.server.reply(rcode=dns.rcode.NXDOMAIN)
    asking.settle()
    assert [Reply(State.NOTHING)] == asking.replies


def test_a_server_that_fails_is_asked_again(asking: Asking) -> None:
    """A few times; then it is no opinion, and says why."""
    asking.query()
    for _ in range(4):
        assert [] == asking.replies
        asking.server.reply(rcode=dns.rcode.SERVFAIL)
        asking.settle()
    assert [Reply(State.UNKNOWN, why="SERVFAIL")] == asking.replies


def test_a_name_that_c_ares_does_not_take(asking: Asking) -> None:
    """It is answered all the same, once."""
    asking.query("a..b")
    assert [State.UNKNOWN] == [reply.state for reply in asking.replies]
    assert 0 == asking.channel.open


def test_a_query_that_cannot_be_sent(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether c-ares calls back or not, there is one answer, and it says why."""

    def refuse(*args: object, **named: object) -> None:
        raise pycares.AresError(pycares.errno.ARES_ENOMEM, "Out of memory")

    monkeypatch.setattr(pycares.Channel, "query", refuse)
    asking.query()
    assert [Reply(State.UNKNOWN, why="Out of memory")] == asking.replies
    assert (0, []) == (asking.channel.open, asking.loop.waiting)


def test_a_malformed_packet_costs_its_socket(asking: Asking) -> None:
    """c-ares opens another and asks there; the loop watches that one only. After a few times it is no opinion."""
    asking.query()
    for _ in range(4):
        wire, peer = asking.server.sock.recvfrom(4096)
        asking.server.ports.append(peer[1])
        asking.server.sock.sendto(wire[:2] + b"\xff" * 20, peer)
        asking.settle()
    assert 4 == len(set(asking.server.ports))
    assert [Reply(State.UNKNOWN, why="a malformed answer")] == asking.replies
    asking.query("other.example")
    assert "other.example" == asking.server.reply()
    asking.settle()
    assert 2 == len(asking.replies)
    assert 1 == len(asking.loop.readers)


def test_what_c_ares_remembers_comes_at_once(asking: Asking) -> None:
    """Before `query` has returned; the desk is made for that."""
    asking.query()
    asking.server.reply("A 127.0.0.2")
    asking.settle()
    asking.query()
    assert 2 == len(asking.replies)


def test_a_truncated_reply_is_asked_for_again_by_tcp() -> None:
    """The loop watches the socket for writing until it is connected."""
    asking = Asking()
    with asking.server.tcp as listening:
        listening.listen()
        asking.query()
        asking.server.reply(flags=dns.flags.TC)
        asking.settle()
        asking.loop.write()
        talking, _ = listening.accept()
        with talking:
            talking.settimeout(1.0)
            length = struct.unpack("!H", talking.recv(2))[0]
            wire = answer_to(dns.message.from_wire(talking.recv(length)), "A 127.0.0.2").to_wire()
            talking.sendall(struct.pack("!H", len(wire)) + wire)
            asking.settle()
    assert [Reply(State.FOUND, ("127.0.0.2",), 300)] == asking.replies
    assert {} == asking.loop.writers
    asking.close()
    assert {} == asking.loop.readers


def test_a_channel_is_renewed_after_so_many_queries(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next has another port. What is under way ends on the old one, which goes when its last query has ended."""
    monkeypatch.setattr(channel, "QUERIES", 2)
    for number in range(5):
        asking.query(f"h{number}.example")
    assert 3 == len(asking.loop.readers)
    for number in range(5):
        assert f"h{number}.example" == asking.server.reply("A 127.0.0.2")
    first, same, second, _, third = asking.server.ports
    assert (first, 3) == (same, len({first, second, third}))
    asking.settle()
    assert [State.FOUND] * 5 == [reply.state for reply in asking.replies]
    asking.loop.advance(2 * TICK)
    assert 1 == len(asking.loop.readers)
    assert [] == asking.loop.waiting


def test_a_channel_is_renewed_after_a_while(asking: Asking) -> None:
    """At the next query, so that an idle one costs nothing."""
    for seconds in (LIFE - 1, 0, 2):
        asking.query(f"{seconds}.example")
        asking.server.reply()
        asking.settle()
        asking.loop.advance(seconds)
    asking.query()
    asking.server.reply()
    asking.settle()
    ports = asking.server.ports
    assert ports[0] == ports[1] == ports[2] != ports[3]
    asking.loop.advance(100)
    assert [] == asking.loop.waiting


def test_a_query_from_within_a_reply(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it renews the channel that is calling: that is closed later."""
    monkeypatch.setattr(channel, "QUERIES", 1)

    def again(reply: Reply) -> None:
        asking.replies.append(reply)
        if len(asking.replies) < 4:
            asking.channel.query(f"h{len(asking.replies)}.example", A, again)

    asking.channel.query("h.example", A, again)
    for _ in range(4):
        asking.server.reply()
        asking.settle()
    assert [State.NOTHING] * 4 == [reply.state for reply in asking.replies]
    assert 4 == len(set(asking.server.ports))
    asking.loop.advance(2 * TICK)
    assert 1 == len(asking.loop.readers)


def test_an_old_channel_does_not_wait_for_ever(asking: Asking) -> None:
    """A query that c-ares does not end is given up with it."""
    asking.query()
    asking.server.drop()
    asking.clock.advance(LIFE + 1)
    asking.query("other.example")
    asking.server.reply()
    asking.settle()
    assert 1 == len(asking.replies)
    asking.loop.advance(OVERDUE * 3.0)
    assert [State.NOTHING, State.UNKNOWN] == [reply.state for reply in asking.replies]
    assert (0, 1, []) == (asking.channel.open, len(asking.loop.readers), asking.loop.waiting)


def test_a_new_channel_knows_which_server_has_failed(asking_two: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks first the one that the old channels had come to prefer, by the time that it was made or by their end."""
    monkeypatch.setattr(channel, "QUERIES", 1)
    bad, good = asking_two.servers
    asking_two.query("a.example")
    asking_two.query("b.example")
    for name in ("a.example", "b.example"):
        assert name == bad.reply(rcode=dns.rcode.REFUSED)
        asking_two.settle()
        assert name == good.reply()
        asking_two.settle()
    asking_two.query("c.example")
    assert "c.example" == good.reply()
    asking_two.settle()
    asking_two.loop.advance(2 * TICK)
    asking_two.query("d.example")
    assert "d.example" == good.reply()
    asking_two.settle()
    assert [State.NOTHING] * 4 == [reply.state for reply in asking_two.replies]


def test_a_fault_with_a_reply_is_told(asking: Asking) -> None:
    """To the loop; c-ares would print it."""
    asking.channel.query("h.example", A, lambda reply: 1 / 0)  # type: ignore[arg-type,return-value]
    asking.server.reply()
    asking.settle()
    assert ["a reply ends in a fault of tarry itself"] == [each["message"] for each in asking.loop.faults]
    assert 0 == asking.channel.open


def test_a_closed_channel_is_still(asking: Asking) -> None:
    """Nobody is called back, no timer and no reader is left, and it takes no more."""
    asking.query()
    asking.server.drop()
    asking.channel.close()
    asking.query()
    asking.loop.advance(100)
    assert ([], [], {}) == (asking.replies, asking.loop.waiting, asking.loop.readers)
    asking.channel.close()


def test_a_channel_that_is_closed_while_it_connects(asking: Asking) -> None:
    """No writer is left either."""
    with asking.server.tcp as listening:
        listening.listen()
        asking.query()
        asking.server.reply(flags=dns.flags.TC)
        asking.settle()
        assert 1 == len(asking.loop.writers)
        asking.channel.close()
    assert ({}, {}, []) == (asking.loop.writers, asking.loop.readers, asking.replies)


def test_a_channel_may_be_closed_by_one_who_is_called_back(asking: Asking) -> None:
    """The others are not called."""
    asking.channel.query("a.example", A, lambda reply: asking.channel.close())
    asking.query("b.example")
    asking.server.reply()
    asking.server.reply()
    asking.settle()
    asking.loop.advance(100)
    assert ([], {}) == (asking.replies, asking.loop.readers)


@pytest.mark.parametrize("servers", [["nonsense"], ["127.0.0.1:99999"], ["127.0.0.1", "x y"]])
def test_servers_that_are_none(servers: list[str]) -> None:
    """They are told at once."""
    clock = ManualClock()
    with pytest.raises(ValueError, match="not name servers"):
        Channel(TurningLoop(clock).loop, clock, servers, 3.0)


def test_without_servers_it_asks_the_systems() -> None:
    """Nothing is asked here; it can be made."""
    clock = ManualClock()
    Channel(TurningLoop(clock).loop, clock, [], 3.0).close()
