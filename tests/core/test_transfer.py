"""Message data on its way: what is passed on, counted, or only read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core import replies
from tarry.core.border import Outbox, Relay
from tarry.core.transfer import SLOWEST, Transfer
from tarry.core.upstream import Upstream
from tarry.smtp.grammar import Chunk
from tarry.smtp.reply import reply


class Mta:
    """An MTA that is written to, and what was written."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.upstream = Upstream(self.outbox, knows_client=False)

    def heard(self) -> bytes:
        return b"".join(effect.data for effect in self.outbox.take() if isinstance(effect, Relay))


@given(blocks=st.lists(st.binary(min_size=1, max_size=20), max_size=8), headers=st.sampled_from((b"", b"X: y\r\n")))
def test_a_message_goes_out_as_it_came(blocks: list[bytes], headers: bytes) -> None:
    """Behind its header lines, which go out once; and its own octets are counted."""
    mta, transfer = Mta(), Transfer()
    transfer.begin_message(headers, 5.0)
    for block in blocks:
        transfer.take(block, mta.upstream)
    assert headers + b"".join(blocks) == mta.heard() + transfer.headers_left()
    assert sum(map(len, blocks)) == transfer.octets
    assert b"" == transfer.headers_left()


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_the_octets_of_chunks_add_up(sizes: list[int]) -> None:
    """What the BDAT commands announce is what follows, header lines included."""
    mta, transfer = Mta(), Transfer()
    told = 0
    written = b""
    for number, size in enumerate(sizes):
        last = number == len(sizes) - 1
        transfer.begin_chunk(Chunk(size, last), b"X: y\r\n", mta.upstream, 5.0)
        transfer.take(b"x" * size, mta.upstream)
        mta.upstream.pass_on(transfer.withheld())
        command, _, data = mta.heard().partition(b"\r\n")
        assert last == transfer.is_last == command.endswith(b" LAST")
        told += int(command.split()[1])
        written += data
    assert (told, b"X: y\r\n" + b"x" * sum(sizes)) == (len(written), written)


def test_an_early_answer_stops_the_flow_and_not_the_count() -> None:
    """The MTA has made up its mind; the client's octets are still the message's."""
    mta, transfer = Mta(), Transfer()
    transfer.begin_message(b"", 5.0)
    mta.upstream.early = reply(552, "too big")
    transfer.take(b"text", mta.upstream)
    assert (b"", 4) == (mta.heard(), transfer.octets)


def test_discarded_octets_are_neither_passed_on_nor_counted() -> None:
    """They are no message's."""
    mta, transfer = Mta(), Transfer()
    transfer.begin_discarded(replies.MAIL_FIRST, 5.0)
    transfer.take(b"text", mta.upstream)
    assert (b"", 0, replies.MAIL_FIRST) == (mta.heard(), transfer.octets, transfer.discarded)


@pytest.mark.parametrize(("octets", "expected"), [(0, 605.0), (1024, 606.0), (1024 * 3600, 4205.0)])
def test_the_deadline_moves_with_what_has_come(octets: int, expected: float) -> None:
    """By a second for each kilobyte."""
    mta, transfer = Mta(), Transfer()
    transfer.begin_message(b"", 5.0)
    transfer.take(b"x" * octets, mta.upstream)
    assert expected == transfer.deadline(600.0)


@given(seconds=st.integers(1, 10_000))
def test_a_fair_sender_never_meets_the_deadline(seconds: int) -> None:
    """At SLOWEST octets a second it is always as far away as it was at first."""
    transfer = Transfer()
    transfer.begin_message(b"", 0.0)
    transfer.octets = int(SLOWEST) * seconds
    assert 600.0 == transfer.deadline(600.0) - seconds


def test_reset_forgets_everything() -> None:
    """The next message has header lines again, and counts from nothing."""
    mta, transfer = Mta(), Transfer()
    transfer.begin_chunk(Chunk(1, True), b"X: y\r\n", mta.upstream, 5.0)
    transfer.take(b"x", mta.upstream)
    transfer.reset()
    assert (False, False, 0, None, b"") == (
        transfer.is_open, transfer.is_last, transfer.octets, transfer.discarded, transfer.headers_left(),
    )  # fmt: skip
    mta.heard()
    transfer.begin_chunk(Chunk(1, False), b"X: y\r\n", mta.upstream, 5.0)
    assert b"BDAT 7\r\nX: y\r\n" == mta.heard()
