"""What cannot be taken is taken out and told."""

from __future__ import annotations

from tarry.config.imports import written
from tarry.config.imports.found import Found, Source
from tarry.config.imports.settle import settle
from tarry.config.load import load

HERE = Source("main.cf", 3, "x")


def settled(**settings: object) -> Found:
    """Return an import of some keys, with __ for the dot, after it settled."""
    found = Found("Postfix")
    for name, value in settings.items():
        key = name.replace("__", ".")
        for one in value if isinstance(value, list) else ():
            found.add(key, one, HERE)
        if not isinstance(value, list):
            found.set(key, value, HERE)
    settle(found)
    assert () == load(None, text=written.toml(found, ())).errors
    return found


def test_what_is_right_stays() -> None:
    """Nothing is told about it."""
    found = settled(hold__wait="6s", exempt__networks=["192.0.2.1"])
    assert (["hold.wait", "exempt.networks"], []) == ([one.key for one in found.all()], found.missing)


def test_a_value_out_of_range_is_told_in_the_loaders_words() -> None:
    """It is not in the file then."""
    found = settled(limits__recipients=1_000_000, hold__wait="6s")
    assert ["hold.wait"] == [one.key for one in found.all()]
    assert ["limits.recipients: 1000000 is out of range"] == [one.why for one in found.missing]
    assert ["write a number from 1 to 100000"] == [one.instead for one in found.missing]


def test_one_wrong_element_leaves_the_others() -> None:
    """And a list of wrong ones only is left out."""
    found = settled(exempt__networks=["192.0.2.1", "example.org"], deny__networks=["x"])
    assert [("exempt.networks", "192.0.2.1")] == [(one.key, one.value) for one in found.all()]
    assert 2 == len(found.missing)


def test_a_rule_between_keys_counts_too() -> None:
    """Ten minutes is a duration, and no hold."""
    found = settled(hold__wait="10m", handoff__mode="pass", checks__pregreet__action="reject", checks__pregreet__at="rcpt")
    assert {"handoff.mode", "checks.pregreet.action"} == {one.key for one in found.all()}
    assert 2 == len(found.missing)


def test_a_key_that_is_not_there_is_told() -> None:
    """With every element of its list."""
    found = settled(nothing__such=["a", "b"], hold__nothing="1")
    assert [] == list(found.all())
    assert 3 == len(found.missing)


def test_what_is_missing_stands_in_the_order_of_the_files() -> None:
    """What is said of a whole file comes last."""
    found = Found("Postfix")
    for file, line in (("main.cf", 0), ("main.cf", 9), ("access", 1), ("main.cf", 2)):
        found.miss(Source(file, line, ""), "", "", "")
    settle(found)
    assert [("main.cf", 2), ("main.cf", 9), ("main.cf", 0), ("access", 1)] == [
        (one.source.file, one.source.line) for one in found.missing
    ]
