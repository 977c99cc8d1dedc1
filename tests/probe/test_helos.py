from collections.abc import Callable

import pytest

from tarry.probe.helos import bare_helo, forged_helo, local_helo, own_helo
from tarry.probe.steps import Habit, Hear, Kind, Options, Say
from tarry.probe.trace import GREETING, Seconds

OPTIONS = Options(sender="me@example.org", recipient="you@example.org", reply_patience=Seconds(7.0))
ALL = (forged_helo, own_helo, local_helo, bare_helo)
every_name = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)


def said(made: Habit) -> list[bytes]:
    return [step.data.removesuffix(b"\r\n") for step in made.steps if isinstance(step, Say)]


@every_name
def test_all_but_the_name_is_proper(make: Callable[[Options], Habit]) -> None:
    """It waits for the greeting and for each reply, and its envelope is the user's, so what it gets, it gets for the name."""
    made = make(OPTIONS)

    assert [b"MAIL FROM:<me@example.org>", b"RCPT TO:<you@example.org>", b"RSET", b"QUIT"] == said(made)[1:]
    assert [isinstance(step, Hear) for step in made.steps[:-1]] == [True] + [False, True] * 5
    assert (Kind.BOT, "rcpt", True) == (made.kind, made.goal, made.gives_up)


@every_name
def test_none_waits_longer_than_it_is_told(make: Callable[[Options], Habit]) -> None:
    """Some servers make such clients wait for minutes at RCPT."""
    bounds = {step.what: step.within for step in make(OPTIONS).steps if isinstance(step, Hear)}

    assert bounds.pop(GREETING) is None
    assert {"helo": 7.0, "mail": 7.0, "rcpt": 7.0} == {name: bounds[name] for name in ("helo", "mail", "rcpt")}


def test_the_names() -> None:
    """One that is often forged, the server's own, localhost, and one without a dot."""
    assert [b"HELO aol.com", b"HELO {server}", b"HELO localhost", b"HELO probe-pc"] == [said(make(OPTIONS))[0] for make in ALL]
    assert [False, True, False, False] == [
        step.as_server for make in ALL for step in make(OPTIONS).steps[1:2] if isinstance(step, Say)
    ]
