"""The runner of checks, and what checks are declared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any, ClassVar

import pytest

from tarry.core.border import Arrived, Due, Moment, Readable
from tarry.core.check import About, Armed, NoOptions, Seen, Settings, by_trigger, may_ask, option, questions, run
from tarry.core.client import Phase
from tarry.core.facts import Kind, Question, names_of
from tarry.core.policy import Policy
from tarry.core.result import PASSED, Action, Failed, Outcome, Skipped, Unknown
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


class Raising(Counting):
    """Raises what it is told to."""

    def __init__(self, fault: BaseException) -> None:
        self.fault = fault

    def look(self, seen: Seen, options: Options) -> Outcome:
        raise self.fault

    def asks(self, seen: Seen, options: Options) -> tuple[Question, ...]:
        raise self.fault


def test_what_is_no_fault_of_the_check_goes_on() -> None:
    """Ctrl-C is not an outcome."""
    with pytest.raises(KeyboardInterrupt):
        run(armed(Raising(KeyboardInterrupt())), seen(Due()))


def test_a_check_cannot_end_the_process() -> None:
    """An operator's check that calls sys.exit raises like any other."""
    assert (Unknown("the check raised SystemExit: 3"),) == run(armed(Raising(SystemExit(3))), seen(Due()))
    assert () == questions(armed(Raising(SystemExit(3))), seen(Due()))


class _Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_a_fault_without_a_text_is_told_by_its_name() -> None:
    """Also where the text itself raises."""
    assert (Unknown("the check raised _Mute"),) == run(armed(Raising(_Mute())), seen(Due()))


class Returning(Counting):
    """Returns, and asks, what it is told to."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def look(self, seen: Seen, options: Options) -> Any:
        return self.found

    def asks(self, seen: Seen, options: Options) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "the check returned NoneType, which is no outcome"),
        ("failed", "the check returned str, which is no outcome"),
        ([PASSED], "the check returned list, which is no outcome"),
        (Failed, "the check returned StructMeta, which is no outcome"),
        (Failed("none\n"), "the check found none\\n, which is none of its codes"),
        (Failed(["many"]), "the check found ['many'], which is none of its codes"),  # type: ignore[arg-type]
        (Failed("many", weight="1"), "the check found many with a weight that is no number"),  # type: ignore[arg-type]
        (Failed("many", weight=math.nan), "the check found many with a weight that is no number"),
    ],
)
def test_what_is_no_outcome_is_unknown(found: object, why: str) -> None:
    """It refuses nobody, and a sentence says what it was."""
    (outcome,) = run(armed(Returning(found)), seen(Due()))
    assert isinstance(outcome, Unknown)
    assert outcome.why.startswith(why[:60])
    assert (PASSED, outcome) == run(armed(Returning((PASSED, found))), seen(Due()))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Failed("many", "a\r\nb", "é"), Failed("many", "a\\r\\nb", "\\xc3\\xa9")),
        (Failed("many", 7), Failed("many", "7")),  # type: ignore[arg-type]
        (Failed("many", "x" * 101, weight=-2), Failed("many", "x" * 100, weight=-2)),
        (Skipped("a\nb"), Skipped("a\\nb")),
        (Unknown(None), Unknown("None")),  # type: ignore[arg-type]
        (Unknown("why"), Unknown("why")),
        (Skipped("why"), Skipped("why")),
    ],
)
def test_text_of_a_check_fits_a_record_and_a_reply(found: Outcome, expected: Outcome) -> None:
    """One line of printable ASCII of at most 100 characters, whatever it gave."""
    assert (expected,) == run(armed(Returning(found)), seen(Due()))


def test_only_questions_are_asked() -> None:
    """Of what a check returns; what is none is left out, and what cannot be gone through is nothing."""
    asked = names_of("192.0.2.7")
    wrong = (
        "192.0.2.7",
        Question("names", "192.0.2.7"),  # type: ignore[arg-type]
        Question(Kind.NAMES, b"192.0.2.7"),  # type: ignore[arg-type]
        Question(Kind.LISTED, "2.0.0.127.bl.example"),
        Question(Kind.NAMES, "192.0.2.7", "bl.example"),
    )
    assert (asked,) == questions(armed(Returning((*wrong, asked))), seen(Due()))
    assert () == questions(armed(Returning(None)), seen(Due()))


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


class AsksMaybe(Asks):
    def may_ask(self, options: Options) -> bool:
        raise ValueError


def test_who_cannot_say_whether_it_asks_may_ask() -> None:
    """Whatever it raises."""
    assert may_ask(armed(AsksMaybe()))


def test_what_a_check_asks() -> None:
    """Its questions; none where it has no effect, has no questions, or raises."""
    about = About("192.0.2.7")
    assert (names_of("192.0.2.7"),) == questions(armed(Asks()), seen(Arrived(), about))
    assert () == questions(armed(Asks(), action=Action.IGNORE), seen(Arrived(), about))
    assert () == questions(armed(Counting()), seen(Arrived(), about))
    assert () == questions(armed(Asks()), seen(Arrived(), About()))
