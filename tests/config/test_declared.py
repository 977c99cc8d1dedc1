"""What an operator's check lacks, told before it is asked anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tarry.checks import REGISTRY
from tarry.config.declared import faults, name_of
from tarry.core.border import Arrived, Hello
from tarry.core.check import Check, NoOptions, Settings, option
from tarry.core.facts import Kind
from tarry.core.result import Action
from tests.config.own import Greeter, Options


def made(**parts: Any) -> object:
    """Return a check of class Mine, with these parts in place of the right ones; None takes one away."""
    cls = type("Mine", (Greeter,), {name: part for name, part in parts.items() if part is not None})
    if any(part is None for part in parts.values()):
        whole = {name: getattr(Greeter, name) for name in vars(Greeter) if not name.startswith("__")}
        cls = type("Mine", (), {name: part for name, part in whole.items() if name not in parts})
    return cls()


def told(thing: object) -> list[str]:
    return [f"{fault.what}; {fault.fix}" for fault in faults(thing)[1]]


@pytest.mark.parametrize("check", [*REGISTRY, Greeter()], ids=lambda check: check.name)
def test_a_whole_check_has_no_faults(check: Check) -> None:
    """An own one is held to what the built-in ones are."""
    assert (check, ()) == faults(check)


@pytest.mark.parametrize("part", ["name", "complaint", "codes", "settings", "options", "triggers", "look"])
def test_a_missing_part_is_named(part: str) -> None:
    """And what to write."""
    (what,) = told(made(**{part: None}))
    assert what.startswith(f"Mine has no {part}; give it ")


@pytest.mark.parametrize(
    ("part", "value", "what"),
    [
        ("kinds", 5, "Mine.kinds: 5 is no set of kinds of questions; write frozenset({Kind.LISTED}) or another"),
        (
            "kinds",
            ("listed",),
            "Mine.kinds: ('listed',) is no set of kinds of questions; write frozenset({Kind.LISTED}) or another",
        ),
        (
            "is_awaited",
            "no",
            "Mine.is_awaited: 'no' is neither True nor False; leave it out where commands may wait for the answers",
        ),
    ],
)
def test_a_part_that_it_need_not_have_is_looked_at_too(part: str, value: object, what: str) -> None:
    """And is fine where it is right, or not there."""
    assert [what] == told(made(**{part: value}))
    assert [] == told(made(kinds=frozenset({Kind.LISTED}), is_awaited=False))


@pytest.mark.parametrize("thing", [7, None, object(), Options])
def test_something_else_lacks_everything(thing: object) -> None:
    """Whatever stands in CHECKS."""
    assert 7 == len(told(thing))
    assert None is faults(thing)[0]


class _Odd(Greeter):
    """Its name cannot be had."""

    def __getattribute__(self, part: str) -> Any:
        if part == "name":
            raise RuntimeError
        return super().__getattribute__(part)


def test_a_part_that_raises_is_missing() -> None:
    """A property may do anything."""
    assert ["_Odd has no name"] == [what.partition(";")[0] for what in told(_Odd())]


def frozen(**fields: Any) -> type[Any]:
    """Return a dataclass of these fields, as options are declared."""
    return dataclasses.make_dataclass("Keys", [(name, Any, field) for name, field in fields.items()], frozen=True, kw_only=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Undefaulted:
    count: int


@dataclasses.dataclass
class _Open:
    count: int = option(3, unit="n", help="a count")


async def _later(self: object, seen: object, options: object) -> None: ...


def _generator(self: object, seen: object, options: object) -> Any:
    yield


class _Unshowable:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"name": "Two words"}, "Mine.name: 'Two words' is no word"),
        ({"name": "x" * 41}, f"Mine.name: '{'x' * 39}... is no word"),
        ({"name": 7}, "Mine.name: 7 is no word"),
        ({"name": _Unshowable()}, "Mine.name: _Unshowable is no word"),
        ({"name": "listed"}, "Mine.name: listed has a meaning of its own in hold.class.who"),
        ({"complaint": ""}, "Mine.complaint: '' is no text"),
        ({"complaint": "a\r\nb"}, "Mine.complaint: it cannot stand in a reply"),
        ({"complaint": "é"}, "Mine.complaint: it cannot stand in a reply"),
        ({"codes": ("word",)}, "Mine.codes: ('word',) is no table of codes"),
        ({"codes": {}}, "Mine.codes: {} is no table of codes"),
        ({"codes": {"A": "x"}}, "Mine.codes: 'A' is no word"),
        ({"codes": {"a": ""}}, "Mine.codes: 'a' has no meaning"),
        ({"settings": Settings}, "Mine.settings: Settings is no Settings"),
        ({"settings": Settings(action="tag")}, "Mine.settings: action: 'tag' is no Action"),  # type: ignore[arg-type]
        ({"settings": Settings(reply="hello")}, 'Mine.settings: reply: "hello" is neither a reply'),
        ({"settings": Settings(at="mail")}, "Mine.settings: at: 'mail' is of the wrong type"),  # type: ignore[arg-type]
        ({"settings": Settings(codes={"none": Action.TAG})}, 'Mine.settings: codes: no such code: "none"'),
        ({"settings": Settings(weight=2e9)}, "Mine.settings: weight: 2000000000 is out of range"),
        ({"options": Options()}, "Mine.options: Options(words=('dyn',)) is no dataclass"),
        ({"options": dict}, "Mine.options: dict is no dataclass"),
        ({"options": _Open}, "Mine.options: the dataclass can be changed"),
        ({"options": _Undefaulted}, "Mine.options: count: it has no default"),
        ({"options": frozen(count=3)}, "Mine.options: count: it does not say what it is for"),
        ({"options": frozen(action=option("x", help="x"))}, "Mine.options: action: every check has a key of this name"),
        ({"options": frozen(Count=option(1, help="x"))}, "Mine.options: Count: it is no word"),
        ({"options": frozen(one=option(None, help="x"))}, "Mine.options: one: its default None cannot stand in a file"),
        ({"options": frozen(one=option(-1, help="x"))}, "Mine.options: one: its default: -1 is out of range"),
        ({"options": frozen(one=option("x", help="x", choices=("y",)))}, 'Mine.options: one: its default: there is no "x"'),
        ({"options": frozen(one=option(True, help="x", read=str.upper, example="x"))}, "Mine.options: one: its default True reads"),
        ({"triggers": Hello}, "Mine.triggers: Hello is no tuple of moments"),
        ({"triggers": ()}, "Mine.triggers: () is no tuple of moments"),
        ({"triggers": (str,)}, "Mine.triggers: str is no moment"),
        ({"triggers": (Arrived,)}, "Mine.triggers: Arrived is a moment to ask at"),
        ({"look": "x"}, "Mine.look: 'x' cannot be called"),
        ({"look": lambda self: None}, "Mine.look: it does not take what it is called with"),
        ({"look": _later}, "Mine.look: it is asynchronous or a generator"),
        ({"look": _generator}, "Mine.look: it is asynchronous or a generator"),
        ({"asks": _generator}, "Mine.asks: it is asynchronous or a generator"),
        ({"asks": lambda self, seen: ()}, "Mine.asks: it does not take what it is called with"),
        ({"may_ask": lambda self: True}, "Mine.may_ask: it does not take what it is called with"),
        ({"__eq__": lambda self, other: True, "__hash__": lambda self: {}[0]}, "Mine cannot be told from other checks"),
    ],
)
def test_what_is_wrong_is_told(parts: Mapping[str, Any], what: str) -> None:
    """One sentence for each fault, and one for its remedy."""
    (found,) = told(made(**parts))
    assert found.startswith(what)
    assert "; " in found


def test_all_faults_are_told_at_once() -> None:
    """In the order of a declaration."""
    found = told(made(name="A", complaint="", codes={}, triggers=(), options=NoOptions))
    assert ["name", "complaint", "codes", "triggers"] == [what[5:].partition(":")[0] for what in found]


def test_a_check_has_the_name_of_its_class() -> None:
    """Also where the class itself was offered."""
    assert "Greeter" == name_of(Greeter()) == name_of(Greeter)
