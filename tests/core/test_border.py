"""The unions that cross between core and shell, and the outbox."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks import REGISTRY
from tarry.core.border import (
    Answered,
    Arrived,
    Close,
    Due,
    HoldEffect,
    HoldInput,
    HungUp,
    Moment,
    Outbox,
    Readable,
    Relay,
    Send,
    SessionEffect,
)


@pytest.mark.parametrize("union", [HoldInput, Moment, HoldEffect, SessionEffect])
def test_what_crosses_the_border_is_a_plain_value(union: object) -> None:
    """Every member is a frozen struct, or a frozen dataclass with slots: it can be compared, kept and replayed."""
    for member in get_args(union):
        if issubclass(member, msgspec.Struct):
            assert member.__struct_config__.frozen
        else:
            assert "__slots__" in vars(member) and vars(member)["__dataclass_params__"].frozen


def test_a_value_cannot_be_changed() -> None:
    """What happened has happened."""
    with pytest.raises(AttributeError):
        HungUp().reset = True  # type: ignore[misc]


def test_what_happens_to_a_held_client_is_seen_by_checks_but_for_its_leaving() -> None:
    """A hang-up is the survival event: no check may punish it."""
    assert {Readable, Due, Answered} == set(get_args(HoldInput)) & set(get_args(Moment))


def test_every_moment_is_looked_at() -> None:
    """No kind of moment is made for nobody; when the client arrives there is only something to ask."""
    assert {moment for check in REGISTRY for moment in check.triggers} == set(get_args(Moment)) - {Arrived}


# The outbox.

_orders = st.lists(st.tuples(st.sampled_from(("send", "relay", "close")), st.binary(min_size=1, max_size=3)), max_size=20)


def filled(orders: list[tuple[str, bytes]]) -> Outbox:
    outbox = Outbox()
    for order, data in orders:
        match order:
            case "send":
                outbox.send(data)
            case "relay":
                outbox.relay(data)
            case _:
                outbox.put(Close())
    return outbox


def test_writes_to_one_side_become_one() -> None:
    """Bytes for the same side that follow each other are one write; anything between parts them."""
    outbox = filled(
        [("send", b"a"), ("send", b"b"), ("relay", b"c"), ("relay", b"d"), ("send", b"e"), ("close", b""), ("send", b"f")]
    )
    assert [Send(b"ab"), Relay(b"cd"), Send(b"e"), Close(), Send(b"f")] == outbox.take()


@given(orders=_orders)
def test_the_outbox_loses_nothing(orders: list[tuple[str, bytes]]) -> None:
    """Each side gets its bytes in order, and taking empties it."""
    outbox = filled(orders)
    effects = outbox.take()
    assert b"".join(data for order, data in orders if order == "send") == b"".join(e.data for e in effects if isinstance(e, Send))
    assert b"".join(data for order, data in orders if order == "relay") == b"".join(e.data for e in effects if isinstance(e, Relay))
    assert [] == outbox.take()
