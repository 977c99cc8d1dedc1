"""Changes that wait for the store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tarry.core.history import Change
from tarry.store.backlog import Backlog


def change(key: str, at: float = 0.0) -> Change:
    return Change(key, at)


def test_a_batch_is_the_oldest_keys() -> None:
    """All that waits for a key goes together, in its order, so that a batch may be a little longer."""
    backlog = Backlog(10)
    backlog.add([change("a", 1), change("b", 2), change("a", 3), change("c", 4)])
    assert [change("a", 1), change("a", 3)] == backlog.take(1)
    assert (4, 2, 1) == (len(backlog), backlog.queue_length, backlog.batches)
    assert {"a"} == backlog.keys_under_way
    assert {"a": [change("a", 1), change("a", 3)]} == backlog.end()
    assert [change("b", 2), change("c", 4)] == backlog.take(2)
    assert {"b": [change("b", 2)], "c": [change("c", 4)]} == backlog.end()
    assert ([], 0, 0) == (backlog.take(5), len(backlog), backlog.lost)


def test_what_was_not_done_goes_before_what_came_since() -> None:
    """Also within a key; what was written does not come back, and what is lost is counted."""
    backlog = Backlog(10)
    backlog.add([change("a", 1), change("b", 2), change("c", 3), change("c", 4)])
    backlog.take(10)
    backlog.add([change("d", 5), change("b", 6)])
    assert {"a": [change("a", 1)]} == backlog.end(undone={"b"}, lost={"c"})
    assert [change("b", 2), change("b", 6), change("d", 5)] == backlog.take(10)
    assert 2 == backlog.lost


def test_the_oldest_make_room() -> None:
    """And are counted; a key that goes on waiting is no longer the oldest."""
    backlog = Backlog(3)
    backlog.add([change("a", 1), change("a", 2), change("b", 3)])
    backlog.add([change("c", 4)])
    assert (3, 1) == (len(backlog), backlog.lost)
    backlog.add([change("d", 5)])
    assert (3, 2) == (len(backlog), backlog.lost)
    assert [change("c", 4), change("a", 2), change("d", 5)] == backlog.take(10)


def test_what_comes_back_makes_room_too() -> None:
    """The bound is for what waits, wherever it comes from."""
    backlog = Backlog(2)
    backlog.add([change("a", 1), change("b", 2)])
    backlog.take(10)
    backlog.add([change("c", 3), change("d", 4)])
    backlog.end(undone={"a", "b"})
    assert (2, 2) == (len(backlog), backlog.lost)
    assert [change("c", 3), change("d", 4)] == backlog.take(10)


def test_clear_gives_up_what_waits() -> None:
    """It is counted."""
    backlog = Backlog(5)
    backlog.add([change("a"), change("b")])
    backlog.clear()
    assert (0, 2, []) == (len(backlog), backlog.lost, backlog.take(5))


def test_after_tells_what_an_answer_cannot_have() -> None:
    """What waits, and the batch under way where it was begun after the question."""
    backlog = Backlog(10)
    backlog.add([change("a", 1), change("b", 1)])
    asked = backlog.batches
    backlog.take(10)
    backlog.add([change("a", 2)])
    assert [change("a", 1), change("a", 2)] == backlog.after("a", asked)
    assert [change("a", 2)] == backlog.after("a", backlog.batches)
    assert [] == backlog.after("b", backlog.batches)


_steps = st.lists(
    st.tuples(st.just("add"), st.lists(st.sampled_from("abcd"), max_size=6))
    | st.tuples(st.sampled_from(["take", "end"]), st.sets(st.sampled_from("abcd")).map(sorted)),
    max_size=30,
)


@given(_steps, st.integers(1, 8))
def test_every_change_is_written_once_or_lost_or_waits(steps: list[tuple[str, list[str]]], most: int) -> None:
    """Whatever becomes of the batches."""
    backlog, added, written, is_under_way = Backlog(most), 0, [], False
    for what, keys in steps:
        if what == "add":
            backlog.add([change(key, added + number) for number, key in enumerate(keys)])
            added += len(keys)
        elif what == "take" and not is_under_way:
            backlog.take(3)
            is_under_way = True
        elif what == "end" and is_under_way:
            lost = backlog.keys_under_way & set(keys[:1])
            done = backlog.end(undone=backlog.keys_under_way & set(keys[1:]), lost=lost)
            written += [one.at for changes in done.values() for one in changes]
            is_under_way = False
        assert backlog.queue_length <= most
        assert added == len(written) + backlog.lost + len(backlog)
    assert len(written) == len(set(written))
