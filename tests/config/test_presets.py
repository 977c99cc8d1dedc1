"""The presets: each loads, compiles, and does what its original did."""

from __future__ import annotations

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


def preset(name: str) -> Policy:
    """Return the policy of a preset."""
    return policy(load(None, text=f'preset = "{name}"').checked())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads(name: str) -> None:
    """Each preset loads without errors, by name and as a file of its own, and compiles."""
    assert () == load(None, text=f'preset = "{name}"').errors
    assert () == load(None, text=preset_text(name)).errors
    assert preset(name)


@pytest.mark.parametrize("name", PRESETS[1:])
def test_a_historic_preset_ignores_what_it_does_not_name(name: str) -> None:
    """A check that the original did not have is ignored, so that a new check changes no historic preset."""
    named = read(preset_text(name)).values["checks"]
    assert isinstance(named, dict)
    loaded = load(None, text=f'preset = "{name}"')
    assert {f"preset {name}"} == {str(loaded.origins[f"checks.{check.name}.action"]) for check in REGISTRY}
    others = [check.name for check in REGISTRY if "action" not in named.get(check.name, {})]
    assert {Action.IGNORE} >= {loaded.config.checks[other].settings.action for other in others}


def test_a_check_that_a_preset_ignores_can_be_switched_on() -> None:
    """The file wins over the preset, also where that says nothing of a check."""
    for check in REGISTRY:
        loaded = load(None, text=f'preset = "carraway-2003"\n[checks.{check.name}]\naction = "tag"')
        assert Action.TAG is loaded.config.checks[check.name].settings.action


def test_the_preset_tarry_is_the_defaults() -> None:
    """presets/tarry.toml writes out the defaults: every table in use, and nothing that differs."""
    loaded = load(None, text=preset_text("tarry"))
    assert (Config(), ()) == (loaded.config, loaded.problems)
    written = {name for name, origin in loaded.origins.items() if origin.is_set}
    expected = {
        key.name
        for table in tables()
        if not table.later and not table.name.startswith("checks.")
        for key in table.keys
        if not key.later
    }
    assert expected - {"preset", "plugins"} <= written


def test_every_number_of_the_preset_tarry_is_explained() -> None:
    """A number other than 0 stands there with a comment, unless the same key was explained a few lines up."""
    unexplained = []
    for line in preset_text("tarry").splitlines():
        setting, _, comment = line.partition("#")
        name, _, value = setting.partition("=")
        if any(digit in value for digit in "123456789") and not comment and name.strip() not in ("data", "backend", "free", "cap"):
            unexplained.append(line)
    assert [] == unexplained


@pytest.mark.parametrize(
    ("name", "wait", "code"), [("carraway-2003", 1.0, 550), ("qpsmtpd-earlytalker", 1.0, 550), ("sendwrap-2004", 35.0, 521)]
)
def test_an_early_talker_gets_one_reply(name: str, wait: float, code: int) -> None:
    """The historic presets wait as the original did, refuse at connect, and answer once."""
    compiled = preset(name)
    verdict = judge([Reason("pregreet", "spoke")], compiled, Phase.HOLD, client="192.0.2.1", id="x")
    assert (Span(wait, wait), True, Span(0.0, 0.0)) == (compiled.wait, compiled.end_early, compiled.data_wait)
    assert verdict.reply is not None
    assert (code, 1) == (verdict.reply.code, len(verdict.reply.lines))


@pytest.mark.parametrize(
    ("address", "is_exempt"), [("10.0.1.7", True), ("127.0.0.1", True), ("10.0.2.7", False), ("192.10.0.1", False)]
)
def test_sendwrap_exempts_by_pattern(address: str, is_exempt: bool) -> None:
    """The patterns of the script exempt its networks."""
    patterns = load(None, text='preset = "sendwrap-2004"').config.exempt.patterns
    assert is_exempt == any(pattern.search(address) for pattern in patterns)


@pytest.mark.parametrize(
    "word", ["reject 0", "reject 1", "reject_type temp", "reject_type perm", "defer-reject 1", "check-at DATA", "action"]
)
def test_the_plugins_settings_are_explained(word: str) -> None:
    """Each setting of the plugin has a line that says which key does it."""
    assert f"#   {word}" in preset_text("qpsmtpd-earlytalker")


@pytest.mark.parametrize("name", PRESETS)
def test_keys_of_presets_are_told_with_lines(name: str) -> None:
    """A preset is plain TOML that the loader knows."""
    doc = read(preset_text(name))
    assert () == doc.problems
    assert all(doc.line((part,)) for part in doc.values)
    assert set(doc.values) <= {name.partition(".")[0] for name in keys()}
