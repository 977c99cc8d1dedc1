"""The presets: each loads, compiles, ignores what it does not name, and warns of what its page says and of nothing else.

What each of them does is played in tests/presets.
"""

from __future__ import annotations

import dataclasses
import re

import pytest

from tarry.checks import REGISTRY
from tarry.config.compile import policy
from tarry.config.document import read
from tarry.config.keys import keys, tables
from tarry.config.load import load, preset_text
from tarry.config.schema import PRESETS, Config
from tarry.core.client import Phase
from tarry.core.judge import judge
from tarry.core.policy import Policy, Span
from tarry.core.result import Action, Reason
from tests import preset_pages

every_preset = pytest.mark.parametrize("name", PRESETS)


def preset(name: str) -> Policy:
    """Return the policy of a preset."""
    return policy(load(None, text=f'preset = "{name}"').checked())


@every_preset
def test_a_preset_loads(name: str) -> None:
    """Without errors, by name and as a file of its own, and compiles."""
    assert () == load(None, text=f'preset = "{name}"').errors
    assert () == load(None, text=preset_text(name)).errors
    assert preset(name)


@every_preset
def test_a_preset_warns_of_what_its_page_says(name: str) -> None:
    """In these words, and of nothing else."""
    page = (preset_pages.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    warnings = load(None, text=f'preset = "{name}"').warnings
    told = {problem.where: f"{problem.what.removesuffix(f' (by preset {name})')}." for problem in warnings}
    assert preset_pages.warnings(page) == told
    assert told or page.endswith("\n## Warnings\n\nNone.\n")


@pytest.mark.parametrize("name", PRESETS[1:])
def test_a_preset_ignores_what_it_does_not_name(name: str) -> None:
    """A check that the original did not have is ignored, so that a new check changes no preset."""
    named = read(preset_text(name)).values.get("checks", {})
    assert isinstance(named, dict)
    loaded = load(None, text=f'preset = "{name}"')
    assert {f"preset {name}"} == {str(loaded.origins[f"checks.{check.name}.action"]) for check in REGISTRY}
    others = [check.name for check in REGISTRY if "action" not in named.get(check.name, {})]
    assert {Action.IGNORE} == {loaded.config.checks[other].settings.action for other in others}


def test_a_check_that_a_preset_ignores_can_be_switched_on() -> None:
    """The file wins over the preset, also where that says nothing of a check."""
    for check in REGISTRY:
        loaded = load(None, text=f'preset = "carraway-2003"\n[checks.{check.name}]\naction = "tag"')
        assert Action.TAG is loaded.config.checks[check.name].settings.action


@pytest.mark.parametrize(
    ("name", "acting"),
    [
        ("carraway-2003", {"pregreet"}),
        ("qpsmtpd-earlytalker", {"pregreet"}),
        ("sendwrap-2004", {"pregreet"}),
        ("flavell-2004", {"helo", "dynamic_name", "dnslists"}),
        ("zmailer-1997", {"many_rcpt"}),
        ("postscreen", {"pregreet", "dnslists", "pipelining", "non_smtp", "bare_newline"}),
        ("spamd", {"dnslists", "many_errors"}),
    ],
)
def test_a_preset_looks_for_what_its_original_looked_for(name: str, acting: set[str]) -> None:
    """And for nothing else; only Flavell's tests ask name servers, and lists are asked by none."""
    armed = preset(name)
    assert acting == {one.name for one in armed.checks if one.settings.action is not Action.IGNORE}
    assert ({"helo", "dynamic_name"} if name == "flavell-2004" else set()) == {one.name for one in armed.asking}


# The preset tarry.


def test_the_preset_tarry_is_the_defaults() -> None:
    """presets/tarry.toml writes out the defaults: every table in use, every check with its own keys, and nothing that differs."""
    loaded = load(None, text=preset_text("tarry"))
    assert (Config(), ()) == (loaded.config, loaded.problems)
    written = {name for name, origin in loaded.origins.items() if origin.is_set}
    expected = {key.name for table in tables() if not table.name.startswith("checks.") for key in table.keys}
    expected |= {f"checks.{check.name}.{one.name}" for check in REGISTRY for one in dataclasses.fields(check.options)}
    expected |= {f"checks.{check.name}.action" for check in REGISTRY}
    assert expected - {"preset", "plugins"} <= written


def test_every_number_of_the_preset_tarry_is_explained() -> None:
    """A number other than 0 stands there with a comment, unless the same key was explained a few lines up."""
    unexplained = []
    for line in preset_text("tarry").splitlines():
        setting, _, comment = line.partition("#")
        name, _, value = setting.partition("=")
        if (
            any(digit in value for digit in "123456789")
            and not comment
            and name.strip() not in ("data", "backend", "free", "cap", "{ on")
        ):
            unexplained.append(line)
    assert [] == unexplained


def test_every_check_of_the_preset_tarry_is_explained() -> None:
    """Beside its heading, or beside its keys; of two alike the first one."""
    tables_of_checks = preset_text("tarry").split("\n[checks.")[1:]
    assert ["rhsbl", "dynamic_name"] == [one.partition("]")[0] for one in tables_of_checks if "#" not in one]


# All of them.


@pytest.mark.parametrize(
    ("name", "wait", "code"),
    [
        ("carraway-2003", 1.0, 550),
        ("qpsmtpd-earlytalker", 1.0, 550),
        ("sendwrap-2004", 35.0, 521),
    ],
)
def test_an_early_talker_gets_one_reply(name: str, wait: float, code: int) -> None:
    """The historic presets wait as the original did, refuse at connect, and answer once."""
    compiled = preset(name)
    verdict = judge([Reason("pregreet", "spoke")], compiled, Phase.HOLD, client="192.0.2.1", id="x")
    assert (Span(wait, wait), True, Span(0.0, 0.0)) == (compiled.wait, compiled.end_early, compiled.data_wait)
    assert verdict.reply is not None
    assert (code, 1) == (verdict.reply.code, len(verdict.reply.lines))


@every_preset
def test_keys_of_presets_are_told_with_lines(name: str) -> None:
    """A preset is plain TOML that the loader knows."""
    doc = read(preset_text(name))
    assert () == doc.problems
    assert all(doc.line((part,)) for part in doc.values)
    assert set(doc.values) <= {name.partition(".")[0] for name in keys()}


@every_preset
def test_a_preset_is_told_in_lines_that_can_be_read(name: str) -> None:
    """It begins with what it is, and no line is longer than those of the sources."""
    lines = preset_text(name).splitlines()
    assert lines[0].startswith(f"# {name}: ")
    assert [] == [line for line in lines if len(line) > 132]


@every_preset
def test_what_a_page_advises_can_be_written(name: str) -> None:
    """Below the preset, the keys of each paragraph of "Change today" together; and no new warning comes of it."""
    page = (preset_pages.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    advice = page.partition("\n## Change today\n")[2].partition("\n## ")[0]
    for paragraph in re.split(r"\n(?=- |\n)", advice):
        toml = "\n".join([f'preset = "{name}"', *re.findall(r"`([a-z_.]+ = [^`]+)`", paragraph)])
        assert set(load(None, text=toml).problems) <= set(load(None, text=f'preset = "{name}"').problems), toml
