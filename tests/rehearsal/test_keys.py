"""Which key decided, and where it was set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarry.config import document
from tarry.config.compile import policy
from tarry.config.load import load
from tarry.core.client import Phase
from tarry.core.result import Action, Reason
from tarry.rehearsal.keys import Because, Keys, named

TEXT = """preset = "sendwrap-2004"
hold.data_wait = "1s..2s"
[checks.pregreet]
codes = { tls = "tag" }
[score]
defer = 2
[[hold.class]]
name = "a"
wait = "9s"
[[hold.class]]
name = "b"
wait = "9s..11s"
[[checks.dnslists.zones]]
zone = "one.example"
weight = 2
[[checks.dnslists.zones]]
zone = "two.example"
weight = -3
name = "Two"
"""
SPOKE = Reason("pregreet", "spoke", weight=0.0)
LISTED = Reason("dnslists", "listed", weight=2.0, subject="one.example")
ALLOWED = Reason("dnslists", "allowed", weight=-3.0, subject="Two")


def keys(text: str = TEXT, *, with_lines: bool = True) -> Keys:
    loaded = load(Path("t.toml"), text=text)
    assert () == loaded.errors
    return Keys(loaded, policy(loaded.config), document.read(text).line if with_lines else None)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("hold.data_wait", 'hold.data_wait = "1s..2s" (t.toml:2)'),
        ("hold.wait", 'hold.wait = "35s" (preset sendwrap-2004)'),
        ("listen.max_clients", "listen.max_clients = 15000 (default)"),
    ],
)
def test_a_key_is_told_with_its_value_and_origin(key: str, told: str) -> None:
    """File and line, preset, or default."""
    assert told == str(keys().because(key))


def test_a_range_is_drawn() -> None:
    """And a single value is not."""
    assert [True, False] == [keys().because(key).drawn for key in ("hold.data_wait", "hold.wait")]


def test_words_come_before_the_key() -> None:
    """Either may be missing."""
    assert ["a", "k = 1 (f)", "a, by k = 1 (f)", ""] == [
        str(one) for one in (Because("a"), Because("", "k", "1", "f"), Because("a", "k", "1", "f"), Because())
    ]


@pytest.mark.parametrize(
    ("name", "told", "drawn"),
    [
        ("a", 'hold.class "a" wait = "9s" (t.toml:9)', False),
        ("b", 'hold.class "b" wait = "9s..11s" (t.toml:12)', True),
        ("", 'hold.wait = "35s" (preset sendwrap-2004)', False),
    ],
)
def test_a_class_has_its_own_line(name: str, told: str, drawn: bool) -> None:
    """That of its wait; who is of none waits as all do."""
    assert (told, drawn) == (str(because := keys().hold(name)), because.drawn)


def test_without_lines_of_rows_the_lists_own_is_told() -> None:
    """As far as the loader knows it."""
    assert 'hold.class "b" wait = "9s..11s" (t.toml:7)' == str(keys(with_lines=False).hold("b"))


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (LISTED, "weight 2 (t.toml:15)"),
        (ALLOWED, "weight -3 (t.toml:18)"),
        (Reason("pregreet", "spoke", weight=1.5), "weight 1.5"),
        (SPOKE, ""),
    ],
)
def test_a_list_has_its_weight_in_its_row(reason: Reason, told: str) -> None:
    """Other checks have one weight, and many none."""
    assert told == keys().weight(reason)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("spoke", 'checks.pregreet.action = "drop" (preset sendwrap-2004)'),
        ("tls", 'checks.pregreet.codes = { tls = "tag" } (t.toml:4)'),
    ],
)
def test_a_code_may_have_its_own_action(code: str, told: str) -> None:
    """Otherwise the check's counts."""
    assert told == str(keys().check("pregreet", code))


def test_a_check_without_keys_is_told_in_words() -> None:
    """Nothing is made up for it."""
    assert Because("words") == keys().check("nothing", "code", "words")


def test_a_verdict_is_by_the_check_or_by_the_score() -> None:
    """The one that alone asks for less is not it."""
    (by_check,) = keys().verdict(Action.DROP, [SPOKE, LISTED], Phase.RCPT)
    assert 'pregreet.spoke, by checks.pregreet.action = "drop" (preset sendwrap-2004)' == str(by_check)
    text = TEXT.replace("sendwrap-2004", "tarry")
    (by_score,) = keys(text).verdict(Action.DEFER, [LISTED], Phase.RCPT)
    assert "dnslists.listed (one.example): a score of 2, by score.defer = 2 (t.toml:6)" == str(by_score)


def test_who_is_allowed_is_so_by_the_score() -> None:
    """With the lists that speak for it."""
    told = keys().score_allow([LISTED, ALLOWED])
    assert "dnslists.allowed (Two): a score of -1, by score.allow = -1 (default)" == str(told)


def test_a_reason_is_named_with_who_says_so() -> None:
    """Where somebody does."""
    assert ["pregreet.spoke", "dnslists.allowed (Two)"] == [named(SPOKE), named(ALLOWED)]
