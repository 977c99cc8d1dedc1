"""What a worker and its supervisor say to each other."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

import pytest

from tarry.workers.channel import Abort, Adopt, Alive, AnyOrder, Channel, Drain, Failed, Ready, Reload, Retire, make_pair


def test_orders_and_reports_arrive_in_order() -> None:
    """As they were said, also several at once."""
    ours, theirs = make_pair()
    with closing(ours), closing(theirs):
        orders: list[AnyOrder] = [Reload('[hold]\nwait = "3s"\n'), Retire("upgrade"), Drain("SIGTERM"), Abort()]
        for order in orders:
            ours.send(order)
        assert orders == theirs.orders()
        assert [] == theirs.orders()
        theirs.send(Ready((("127.0.0.1", 25), ("::1", 25)), ("a note",)))
        theirs.send(Alive())
        assert [Ready((("127.0.0.1", 25), ("::1", 25)), ("a note",)), Alive()] == ours.reports()


def test_what_is_too_much_at_once_waits() -> None:
    """A configuration of any size; the sender does not."""
    ours, theirs = make_pair()
    with closing(ours), closing(theirs):
        ours.send(Reload("x" * 3_000_000))
        ours.send(Abort())
        assert ours.is_behind
        found: list[AnyOrder] = []
        for _ in range(1000):
            found += theirs.orders()
            ours.flush()
            if len(found) == 2:
                break
        assert [3_000_000, Abort()] == [len(found[0].text), found[1]]  # type: ignore[union-attr]
        assert not ours.is_behind


@pytest.mark.parametrize("is_unread", [False, True])
def test_the_other_side_is_gone(is_unread: bool) -> None:
    """Its last words are heard, then its end; what is said to it goes nowhere."""
    ours, theirs = make_pair()
    with closing(ours):
        theirs.send(Alive())
        if is_unread:
            ours.send(Abort())
        theirs.close()
        heard = ours.reports()
        assert [Alive()] == heard
        assert ours.has_ended
        for _ in range(2):
            ours.send(Abort())
        assert not ours.is_behind
        assert [] == ours.reports()


@pytest.mark.parametrize(
    ("fault", "number", "file"),
    [
        (OSError(errno.EADDRINUSE, "in use"), errno.EADDRINUSE, None),
        (PermissionError(errno.EACCES, "denied", "/mail"), errno.EACCES, "/mail"),
        (OSError("no such socket was handed over"), None, None),
    ],
)
def test_a_fault_is_raised_again_as_it_was(fault: OSError, number: int | None, file: str | None) -> None:
    """So that the operator is told the same, and the exit status is the same."""
    told = Failed(fault.errno or 0, fault.strerror or str(fault), str(fault.filename or "")).fault()
    assert (type(fault), str(fault), number, file) == (type(told), str(told), told.errno, told.filename)


def test_sockets_come_with_their_message() -> None:
    """Copies, in order, that no program inherits; who sent them may close its own at once."""
    ours, theirs = make_pair()
    with closing(ours), closing(theirs):
        ours.send(Reload("x" * 3_000_000))
        for number in (1, 2):
            pair = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
            names = tuple((False, str(one.getsockname()[1])) for one in pair)
            ours.send(Adopt(number, names), pair)
            for one in pair:
                one.close()
        found: list[AnyOrder] = []
        while len(found) < 3:
            found += theirs.orders()
            ours.flush()
        for order in found[1:]:
            assert isinstance(order, Adopt)
            came = theirs.take_sockets(order.number)
            assert [(False, str(one.getsockname()[1])) for one in came] == list(order.sockets)
            assert [False] * order.number == [one.get_inheritable() for one in came]
            for one in came:
                one.close()


def test_sockets_that_nobody_takes_are_closed() -> None:
    """Those that came, and those that could not be sent."""
    server = socket.create_server(("127.0.0.1", 0))
    address = server.getsockname()
    ours, theirs = make_pair()
    with closing(ours), closing(theirs):
        ours.send(Adopt(1, ((False, ""),)), [server])
        assert [Adopt(1, ((False, ""),))] == theirs.orders()
        ours.send(Reload("x" * 3_000_000))
        ours.send(Adopt(1, ((False, ""),)), [server])
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_channels_do_not_block() -> None:
    """Neither side waits for the other."""
    ours, theirs = make_pair()
    with closing(ours), closing(theirs):
        assert ([], []) == (ours.reports(), theirs.orders())
        assert isinstance(ours, Channel)
