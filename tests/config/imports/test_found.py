"""What an import gathers: sources, settings in their order, elements once, and problems with their place."""

from __future__ import annotations

import pytest

from tarry.config.imports.found import Found, ImportProblem, Setting, Source


@pytest.mark.parametrize(
    ("source", "told", "is_default"),
    [
        (Source("main.cf", 12, "postscreen_greet_wait"), "main.cf:12 postscreen_greet_wait", False),
        (Source("master.cf", 0, ""), "master.cf", False),
        (Source("hosts_allow", 3, ""), "hosts_allow:3", False),
        (Source("", 0, "Postfix's default"), "Postfix's default", True),
    ],
)
def test_a_source_says_where(source: Source, told: str, is_default: bool) -> None:
    """File and line, then the old word; a default has neither file nor line."""
    assert (told, is_default) == (str(source), source.is_default)


@pytest.mark.parametrize(("line", "told"), [(7, "access:7: no value; write one"), (0, "access: no value; write one")])
def test_a_problem_says_where(line: int, told: str) -> None:
    """With the line, where there is one."""
    assert told == str(ImportProblem("access", line, "no value", "write one"))


def test_the_last_value_counts_and_elements_are_kept_once() -> None:
    """As in the files that are read."""
    found = Found("Postfix")
    here = Source("main.cf", 1, "x")
    found.set("hold.wait", "1s", here)
    found.set("hold.wait", "2s", here, "again")
    for network in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        found.add("exempt.networks", network, here)
    assert ["2s", "192.0.2.1", "192.0.2.2"] == [one.value for one in found.all()]
    assert "main.cf:1 x: again" == found.settings["hold.wait"].comment
    assert (True, True, False) == (found.has("hold.wait"), found.has("exempt.networks"), found.has("deny.networks"))


def test_a_default_names_the_program() -> None:
    """And a note may follow."""
    found = Found("Sendmail")
    assert ("Sendmail's default", "Sendmail's default: off") == (found.default().name, found.default("off").name)
    assert "Sendmail's default" == Setting("hold.wait", "0s", found.default()).comment
