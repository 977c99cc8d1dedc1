"""A check in words, under a configuration."""

from __future__ import annotations

import pytest

from tarry.checks import REGISTRY
from tarry.config.explanation import changing, explain, sections
from tarry.config.load import load
from tarry.config.schema import Config
from tarry.core.check import Settings
from tarry.core.result import Action
from tests.config.own import Greeter

PAGE = """\
pregreet - notice something.

Text before any heading.

What      One
          and two.
Why       Because: of it.
Own words  are headings too, when
 one word comes first.
"""


def test_sections_of_a_manual_page() -> None:
    """A heading is a word at the start of a line and two blanks; its lines become one."""
    assert {
        "": "Text before any heading.",
        "What": "One and two.",
        "Why": "Because: of it. Own words  are headings too, when one word comes first.",
    } == sections(PAGE)
    assert {} == sections("pregreet - notice something.")


@pytest.mark.parametrize("check", REGISTRY, ids=lambda check: check.name)
def test_every_check_is_explained(check: object) -> None:
    """With all its sections and reasons, and its keys at their defaults; and the lines that change it change nothing yet."""
    name = next(one.name for one in REGISTRY if one is check)
    explained = explain(Config(), name)
    assert {"What", "Why", "Mistaken", "Source", "Since"} <= set(explained.sections)
    assert [*Config().checks[name].check.codes] == [told.code for told in explained.reasons]
    assert "" == explained.file
    assert all(key.default == value for key, value in explained.keys)
    loaded = load(None, text="\n".join(changing(explained)))
    assert (Config(), ()) == (loaded.config, loaded.problems)
    for told in explained.reasons:
        changed = load(None, text="\n".join(changing(explained, told.code)))
        assert () == changed.errors
        assert told.action is changed.config.checks[name].settings.action_for(told.code)


@pytest.mark.parametrize(
    ("settings", "effect", "reply"),
    [
        ('action = "ignore"', "recorded, and nothing follows", ""),
        ('action = "tag"', "the message passes, and only the record tells, while headers.insert is false", ""),
        ('action = "tag"\n[headers]\ninsert = true', "the message passes, and a header line names it", ""),
        ('action = "delay"', "held at rcpt until 60s..290s have gone by since the client came", ""),
        ('action = "discard"', "the message is taken, answered 250 and thrown away", ""),
        ('action = "defer"', "told at mail to come again", "450 4.7.1 Your name is not wanted, try again later [ID]"),
        ('action = "reject"', "refused at mail", "550 5.7.1 Your name is not wanted [ID]"),
        ('action = "drop"', "refused at mail, and the connection closed", "521 5.7.1 Your name is not wanted [ID]"),
        ('action = "reject"\nat = ""', "refused where it is found", "550 5.7.1 Your name is not wanted [ID]"),
        ('reply = "554 No {reason} [{id}]"', "refused at mail", "554 No greeter.word [ID]"),
        (
            "weight = 2\n[score]\ndelay = 0\nreject = 1",
            "refused at mail; +2 to the score, which asks for reject from 1 on",
            "550 5.7.1 Your name is not wanted [ID]",
        ),
        ("weight = -2", "speaks for the client: its weight counts against the other reasons", ""),
        ('action = "ignore"\nweight = -2', "recorded, and nothing follows", ""),
        (
            '[smtp]\nhelp_url = "https://example.org/x"',
            "refused at mail",
            "550 5.7.1 Your name is not wanted [ID] https://example.org/x",
        ),
    ],
)
def test_what_comes_of_a_reason(settings: str, effect: str, reply: str) -> None:
    """In words, and in the reply that the judge gives."""
    config = load(None, text=f"[checks.greeter]\n{settings}", checks=[Greeter()]).checked()
    (told,) = explain(config, "greeter").reasons
    assert (effect, reply) == (told.effect, told.reply)


def test_the_weights_of_lists_are_told() -> None:
    """A list may only tag, and its weight delay all the same."""
    zones = '[{ zone = "a.example", weight = 3 }, { zone = "b.example" }, { zone = "c.example", weight = -1 }]'
    listed, allowed = explain(Config.from_toml(f'[checks.dnslists]\naction = "tag"\nzones = {zones}'), "dnslists").reasons
    assert listed.effect.endswith("; +1 to +3 to the score, which asks for delay from 1 on")
    assert "score, which" not in allowed.effect


def test_a_greeting_is_refused_otherwise() -> None:
    """A 554 or 421 in its place."""
    config = Config.from_toml('[checks.pregreet]\naction = "defer"\nat = "mail"\ncodes = { tls = "reject" }')
    replies = {told.code: told.reply[:3] for told in explain(config, "pregreet").reasons}
    assert {"spoke": "450", "tls": "550", "http": "450", "proxy": "450"} == replies
    assert "554" == explain(Config(), "pregreet").reasons[0].reply[:3]


class _Allowing(Greeter):
    """allowing - speak for a client."""

    name = "allowing"
    settings = Settings(action=Action.TAG)
    allows = frozenset({"word"})


def test_an_own_check_has_its_file() -> None:
    """And codes that speak for a client are told as such."""
    explained = explain(Config.from_toml("", checks=[_Allowing()]), "allowing")
    assert explained.file.endswith("test_explanation.py")
    assert explained.reasons[0].effect.startswith("speaks for the client")


def test_no_such_check() -> None:
    """Whoever asks looks first."""
    with pytest.raises(KeyError):
        explain(Config(), "greeter")


def test_a_code_that_is_not_looked_for() -> None:
    """It says so, and how to change that: the action of what is never found would change nothing."""
    explained = explain(Config.from_toml(""), "helo")
    (told,) = [one for one in explained.reasons if one.code == "mixed"]
    assert (False, "not looked for: checks.helo.tests does not name it") == (told.is_looked_for, told.effect)
    assert 'tests = ["usual", "mixed"]' in changing(explained, "mixed")
    assert [] == [line for line in changing(explained, "literal") if line.startswith("tests")]


def test_changing_shows_what_is_set() -> None:
    """Own keys always, the others where they have a value."""
    config = Config.from_toml('[checks.greeter]\nwords = []\nweight = 2\nheader = "X-Y: z"', checks=[Greeter()])
    assert [
        "[checks.greeter]",
        'action = "reject"    # ignore, tag, delay, discard, defer, reject, drop',
        'at = "mail"',
        "weight = 2",
        'header = "X-Y: z"',
        "words = []",
    ] == changing(explain(config, "greeter"))
