"""breaches - what the rules between keys say about a few settings."""

from __future__ import annotations

from collections.abc import Mapping

from tarry.config.keys import build, keys
from tarry.config.origin import DEFAULT, Origin, Problem
from tarry.config.problems import find

PASS = {"handoff.mode": "pass"}
PROXY = {"handoff.mode": "proxy", "handoff.announce": "proxy-v2"}


def problems(settings: Mapping[str, object], *, alone: bool = False) -> list[Problem]:
    """Return what the rules say about settings, as if the operator had written them."""
    values = {name: keys()[name].kind.read(value) for name, value in settings.items()}
    origins = {name: Origin("file", "t.toml", 1) if name in settings else DEFAULT for name in keys()}
    return list(find(build(values), origins, alone=alone))
