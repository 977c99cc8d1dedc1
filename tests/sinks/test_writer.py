"""A renderer in front of a writer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tarry.sinks.writer import Failure, Rendered


class Upper:
    """Shows every line but those with a dash, in capitals."""

    def render(self, line: bytes) -> bytes | None:
        return None if b"-" in line else line.upper()


class Fails:
    """Writes all but the last ``count`` lines."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.calls: list[object] = []

    def prepare(self) -> str:
        return "ENOENT"

    def write(self, lines: Sequence[bytes]) -> Failure | None:
        self.calls.append(list(lines))
        return Failure(self.count, "ENOSPC") if self.count else None

    def reopen(self) -> None:
        self.calls.append("reopen")

    def close(self) -> None:
        self.calls.append("close")


def test_lines_are_written_in_their_other_form() -> None:
    """What the renderer makes of a line is written, and nothing where it makes nothing."""
    writer = Fails()

    assert Rendered(Upper(), writer).write([b"a\n", b"-\n", b"b\n"]) is None
    assert writer.calls == [[b"A\n", b"B\n"]]


def test_where_nothing_is_to_be_shown_nothing_is_written() -> None:
    """So nobody waits for a turn at standard output with nothing to say there."""
    writer = Fails(1)

    assert Rendered(Upper(), writer).write([b"-\n"]) is None
    assert writer.calls == []


@pytest.mark.parametrize(("count", "expected"), [(1, 2), (2, 4)])
def test_a_failure_is_counted_in_records(count: int, expected: int) -> None:
    """All from the first record that was lost on are lost, those that would have shown nothing included."""
    assert Rendered(Upper(), Fails(count)).write([b"a\n", b"-\n", b"b\n", b"-\n"]) == Failure(expected, "ENOSPC")


def test_everything_else_goes_to_the_writer() -> None:
    """Opening and closing are the writer's affair."""
    writer = Fails()
    rendered = Rendered(Upper(), writer)
    rendered.reopen()
    rendered.close()

    assert (rendered.prepare(), writer.calls) == ("ENOENT", ["reopen", "close"])
