"""A list of tables as one value."""

from __future__ import annotations

import pytest

from tarry.config.load import load
from tarry.config.origin import ConfigError
from tarry.config.schema import Config
from tarry.config.waits import HoldClass
from tarry.core.policy import Span

TWO = """
[[hold.class]]
name = "ours"
networks = ["192.0.2.0/24"]
wait = "0s"

[[hold.class]]
name = "dubious"
who = ["listed"]
wait = "9s..10s"
"""


def test_each_table_is_a_row() -> None:
    """In the order of the file; what a row does not say has its default."""
    one, two = Config.from_toml(TWO).hold.class_
    assert HoldClass(name="dubious", who=("listed",), wait=Span(9.0, 10.0)) == two
    assert ("ours", "192.0.2.0/24", ()) == (one.name, str(one.networks[0]), one.who)


def test_inline_tables_are_the_same() -> None:
    """TOML has two ways to write it."""
    text = 'hold.class = [{ name = "a", wait = "1s" }]'
    assert Config.from_toml(text).hold == Config.from_toml('[[hold.class]]\nname = "a"\nwait = "1s"').hold


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hold.class = 3", "1: error: hold.class: 3 is no list of tables"),
        ('[hold.class]\nname = "a"', "1: error: hold.class: one table is no list of tables; put its heading into [[ and ]]"),
        ('hold.class = [\n"a"]', '2: error: hold.class: "a" is no table; write {'),
        ('[[hold.class]]\nname = "a"', "1: error: hold.class: wait is missing"),
        ('[[hold.class]]\nname = "a"\nwiat = "1s"\nwait = "1s"', "3: error: hold.class: no such key: "),
        ('[[hold.class]]\nname = "a"\nwait = "1x"', '3: error: hold.class: wait: "1x" is not a duration'),
        ('[[hold.class]]\nname = "a"\nwait = "1s"\nnetworks = ["x"]', "4: error: hold.class: networks: "),
    ],
)
def test_a_mistake_is_told_where_it_is(text: str, told: str) -> None:
    """With the line of the row's own key."""
    (problem,) = load(None, text=text).errors
    assert str(problem).removeprefix("error: ").startswith(told.partition("error: ")[2])
    assert int(told.partition(":")[0]) == problem.line


def test_all_mistakes_of_a_list_are_told() -> None:
    """Of a plain one as of one of tables, and of a list in a table."""
    text = '[dns]\nservers = ["::1", "x", "y"]\n[[hold.class]]\nname = "a"\nwait = "1s"\nnetworks = ["x", "y"]'
    assert 4 == len(load(None, text=text).errors)


def test_all_mistakes_are_told() -> None:
    """Of all rows, at once."""
    with pytest.raises(ConfigError) as raised:
        Config.from_toml('[[hold.class]]\nname = ""\nwait = "1x"\n[[hold.class]]\nwait = "1s"')
    assert 3 == str(raised.value).count("hold.class")
