"""An import as TOML, as text about what is missing, and as JSON."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports import written
from tarry.config.imports.found import Found, Missing, Source

HERE = Source("main.cf", 3, "x")


def an_import() -> Found:
    found = Found("Postfix")
    found.add("exempt.networks", "192.0.2.0/24", HERE)
    found.add("exempt.networks", "2001:db8::/32", HERE)
    found.add("deny.networks", "203.0.113.1", HERE, "reject")
    found.set("hold.wait", "6s", HERE)
    found.set("preset", "tarry", HERE)
    found.miss(HERE, "1", "nothing does this", "leave it out")
    return found


def test_keys_stand_in_the_order_of_the_reference() -> None:
    """Each with its origin; a list of several goes over several lines, and one of one does not."""
    assert """\
# Made by a test

preset = "tarry"  # main.cf:3 x

[hold]
wait = "6s"  # main.cf:3 x

[exempt]
networks = [
    "192.0.2.0/24",   # main.cf:3 x
    "2001:db8::/32",  # main.cf:3 x
]

[deny]
networks = ["203.0.113.1"]  # main.cf:3 x: reject

# What has no counterpart:
#
# main.cf:3 x = 1
#     nothing does this; leave it out.
""" == written.toml(an_import(), ["Made by a test"])


def test_a_class_is_a_table_of_its_own() -> None:
    """Behind the keys of the other tables, in the order in which they were found."""
    found = Found("Sendmail")
    found.add("hold.class", {"name": "a", "networks": ["192.0.2.1"], "wait": "0s"}, HERE)
    found.add("hold.class", {"name": "b", "networks": [], "wait": "1s"}, HERE)
    read = tomllib.loads(written.toml(found, ()))
    assert ["a", "b"] == [one["name"] for one in read["hold"]["class"]]


@given(st.text(), st.text(), st.text())
def test_no_text_of_theirs_ends_a_comment(name: str, value: str, note: str) -> None:
    """Whatever stands in an old file, the new one is TOML and says the same."""
    found = Found("Postfix")
    source = Source("main.cf", 1, name)
    found.set("hold.teaser", value, source, note)
    found.miss(source, value, note, name)
    assert {"hold": {"teaser": value}} == tomllib.loads(written.toml(found, [name]))


def test_a_long_value_is_cut() -> None:
    """In the list of what is missing."""
    assert f"main.cf:3 x = {'y' * 117}..." == written.subject(Missing(HERE, "y" * 500, "", ""))


def test_a_sentence_ends_once() -> None:
    """With a full stop, or with the question mark that it has."""
    assert ["a; b.", "a.", "a; b?"] == [written.sentence(Missing(HERE, "", "a", instead)) for instead in ("b", "", "b?")]


def test_the_report_holds_everything() -> None:
    """As JSON: where from, what to, and the file itself."""
    found = an_import()
    report = written.report(found, ["main.cf"], "text")
    assert (1, "Postfix", ["main.cf"], "text") == (report["v"], report["from"], report["files"], report["toml"])
    settings, missing = report["settings"], report["missing"]
    assert isinstance(settings, list)
    assert ["preset", "hold.wait", "exempt.networks", "exempt.networks", "deny.networks"] == [one["key"] for one in settings]
    origin = {"file": "main.cf", "line": 3, "name": "x", "default": False}
    assert {"key": "hold.wait", "value": "6s", "note": "", **origin} == settings[1]
    assert [{"value": "1", "why": "nothing does this", "instead": "leave it out", **origin}] == missing
