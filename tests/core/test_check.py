"""The runner of checks, and what checks are declared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import ClassVar

import pytest

from tarry.core.border import Arrived, Due, Moment, Readable
from tarry.core.check import About, Armed, NoOptions, Seen, Settings, by_trigger, may_ask, option, questions, run
from tarry.core.client import Phase
from tarry.core.facts import Question, names_of
from tarry.core.policy import Policy
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tests.playbook import armed


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    least: int = option(3, unit="bytes", help="how many bytes fail")


class Counting:
    """Fails on *least* bytes or more, and raises on none at all."""

    name = "counting"
    complaint = "You said too much"
    codes: ClassVar[Mapping[str, str]] = {"many": "many bytes came"}
    settings = Settings(action=Action.TAG)
    options = Options
    triggers: tuple[type[Moment], ...] = (Readable,)

    def look(self, seen: Seen, options: Options) -> Outcome:
        assert isinstance(seen.moment, Readable)
        if not seen.moment.first:
            raise ZeroDivisionError("division by zero: " + "x" * 200)
        return Failed("many") if len(seen.moment.first) >= options.least else PASSED


class Listening(Counting):
    name = "listening"
    triggers = (Due, Readable)


def seen(moment: Moment, about: About | None = None) -> Seen:
    return Seen(moment, Phase.HOLD, 1.5, about or About())


@pytest.mark.parametrize(
    ("first", "least", "outcome"), [(b"ab", 3, PASSED), (b"abc", 3, Failed("many")), (b"ab", 2, Failed("many"))]
)
def test_a_check_is_asked_with_its_options(first: bytes, least: int, outcome: Outcome) -> None:
    """What it returns is the outcome."""
    assert (outcome,) == run(armed(Counting(), options=Options(least=least)), seen(Readable(first)))


def test_a_check_that_raises_is_unknown() -> None:
    """It is the check's fault and not the client's; what it raised is told, in at most 100 characters."""
    (outcome,) = run(armed(Counting()), seen(Readable(b"")))
    assert isinstance(outcome, Unknown)
    assert "the check raised ZeroDivisionError: division by zero: xxx" == outcome.why[:57]
    assert 100 == len(outcome.why)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
def test_what_is_no_fault_of_the_check_goes_on(fault: type[BaseException]) -> None:
    """The end of the process is not an outcome."""

    class Ending(Counting):
        def look(self, seen: Seen, options: Options) -> Outcome:
            raise fault

    with pytest.raises(fault):
        run(armed(Ending()), seen(Due()))


def test_checks_are_found_by_what_they_look_at() -> None:
    """In the order given; a check stands under each of its moments."""
    counting, listening = armed(Counting()), armed(Listening())
    assert {Due: (listening,), Readable: (listening, counting)} == by_trigger((listening, counting))
    assert {} == by_trigger(())


def test_an_armed_check_has_the_name_of_its_check() -> None:
    """Reasons and config tables are found by it."""
    assert "counting" == armed(Counting()).name


def test_an_option_is_a_field_that_documents_itself() -> None:
    """Its default, unit and help make the reference page."""
    (field,) = fields(Options)
    said = {name: value for name, value in field.metadata.items() if value}
    assert ("least", 3, {"unit": "bytes", "help": "how many bytes fail"}) == (field.name, field.default, said)


@pytest.mark.parametrize("value", [Settings(), NoOptions(), Options()])
def test_settings_do_not_change(value: object) -> None:
    """A session keeps the configuration that it began with."""
    with pytest.raises((FrozenInstanceError, TypeError)):
        value.action = Action.DROP  # type: ignore[attr-defined]


# Checks that ask.


class Asks(Counting):
    """Asks for the names of the client, and raises where there is none."""

    name = "asks"

    def asks(self, seen: Seen, options: Options) -> tuple[Question, ...]:
        if not seen.about.client:
            raise LookupError("who?")
        return (names_of(seen.about.client),)


class AsksFromTwo(Asks):
    def may_ask(self, options: Options) -> bool:
        return options.least >= 2


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (armed(Asks()), True),
        (armed(Asks(), action=Action.IGNORE), False),
        (armed(Asks(), action=Action.IGNORE, codes={"many": Action.TAG}), True),
        (armed(Counting()), False),
        (armed(AsksFromTwo(), options=Options(least=2)), True),
        (armed(AsksFromTwo(), options=Options(least=1)), False),
        (armed(AsksFromTwo(), options=Options(least=2), action=Action.IGNORE), False),
    ],
)
def test_who_may_ask(one: Armed, expected: bool) -> None:
    """A check that has questions, with these options, and whose findings have an effect."""
    assert expected is may_ask(one)
    assert ((one,) if expected else ()) == Policy(checks=(one,)).asking


def test_what_a_check_asks() -> None:
    """Its questions; none where it has no effect, has no questions, or raises."""
    about = About("192.0.2.7")
    assert (names_of("192.0.2.7"),) == questions(armed(Asks()), seen(Arrived(), about))
    assert () == questions(armed(Asks(), action=Action.IGNORE), seen(Arrived(), about))
    assert () == questions(armed(Counting()), seen(Arrived(), about))
    assert () == questions(armed(Asks()), seen(Arrived(), About()))
