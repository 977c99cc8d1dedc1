"""Checks that the old program does not have."""

from __future__ import annotations

from tarry.checks import REGISTRY
from tarry.config.imports import written
from tarry.config.imports.found import Found, Source
from tarry.config.imports.others import switch_off
from tarry.config.load import load
from tarry.core.result import Action


def test_nothing_acts_that_was_not_asked_for() -> None:
    """But what the old files ask for stays, and lists without zones ask nobody anyway."""
    found = Found("qpsmtpd")
    found.set("checks.pregreet.action", "drop", Source("plugins", 1, "earlytalker"))
    switch_off(found, "qpsmtpd")
    checks = load(None, text=written.toml(found, ())).checked().checks
    acting = {name for name, check in checks.items() if check.settings.action > Action.TAG}
    assert {"pregreet", "dnslists", "rhsbl"} & {check.name for check in REGISTRY} == acting
