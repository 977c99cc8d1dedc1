"""Who takes the clients of a worker that is away; with the supervisor around it: test_supervisor."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tarry.sockets import Open
from tarry.workers.channel import Adopt, AnyOrder, Channel, Release, make_pair
from tarry.workers.keepers import Keepers


class Workers:
    """Some workers with *sockets* each, and what each is told."""

    def __init__(self, stack: ExitStack, sockets: Sequence[tuple[Open, ...]]) -> None:
        self.keepers = Keepers(dict(enumerate(sockets, 1)))
        self._ours: dict[int, Channel] = {}
        self._theirs: dict[int, Channel] = {}
        for number in range(1, len(sockets) + 1):
            self._ours[number], self._theirs[number] = make_pair()
            stack.callback(self._ours[number].close)
            stack.callback(self._theirs[number].close)

    def serve(self, *numbers: int) -> dict[int, list[AnyOrder]]:
        """These serve now, and no others; return what is said to whom. The sockets come with it."""
        self.keepers.arrange({number: self._ours[number] for number in numbers})
        told = {number: channel.orders() for number, channel in self._theirs.items()}
        for number, orders in told.items():
            lent = sum(len(order.sockets) for order in orders if isinstance(order, Adopt))
            came = self._theirs[number].take_sockets(99)
            assert lent == len(came)
            for one in came:
                one.close()
        return {number: orders for number, orders in told.items() if orders}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def opened(stack: ExitStack, name: str) -> Open:
    return Open(stack.enter_context(socket.create_server(("127.0.0.1", 0))), False, name)


def lent(number: int) -> Adopt:
    return Adopt(number, ((False, str(number)),))


def test_lent_and_taken_back(stack: ExitStack) -> None:
    """And nothing is said twice."""
    workers = Workers(stack, [(opened(stack, "1"),), (opened(stack, "2"),)])
    assert {} == workers.serve(1, 2)
    assert {2: [lent(1)]} == workers.serve(2)
    assert {} == workers.serve(2)
    assert {2: [Release(1)]} == workers.serve(1, 2)
    assert {} == workers.serve(1, 2)


def test_a_keeper_that_goes_itself(stack: ExitStack) -> None:
    """Both are taken by the next one; with none left they wait for who comes first."""
    workers = Workers(stack, [(opened(stack, str(number)),) for number in (1, 2, 3)])
    (keeper,) = workers.serve(2, 3)
    other = 5 - keeper
    assert {other: [lent(1), lent(keeper)]} == workers.serve(other)
    assert {} == workers.serve()
    assert {1: [lent(2), lent(3)]} == workers.serve(1)


def test_nobody_takes_those_of_two_while_another_takes_none(stack: ExitStack) -> None:
    """Of four two are away."""
    workers = Workers(stack, [(opened(stack, str(number)),) for number in (1, 2, 3, 4)])
    assert {3: [lent(1)], 4: [lent(2)]} == workers.serve(3, 4)


def test_where_all_share_one_socket_there_is_nothing_to_take(stack: ExitStack) -> None:
    """As with sockets of systemd: the others listen there already."""
    shared = (opened(stack, "1"), opened(stack, "2"))
    workers = Workers(stack, [shared, shared])
    assert {} == workers.serve(2)
    assert {} == workers.serve(1, 2)
