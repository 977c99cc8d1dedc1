"""others - the checks that an old program does not have, switched off: an import does what the old program did, and no more.

Promises  Of the checks that would do something by themselves none is forgotten, also none that comes later: the registry is asked.
"""

from __future__ import annotations

from dataclasses import fields

from tarry.checks import REGISTRY
from tarry.config.imports.found import Found, Source
from tarry.core.result import Action


def switch_off(found: Found, program: str) -> None:
    """Give every check that is not mentioned, and that acts unless it is told otherwise, the action ignore."""
    for check in REGISTRY:
        key = f"checks.{check.name}.action"
        asks_lists = any(one.name == "zones" for one in fields(check.options))  # without zones it asks nobody
        if check.settings.action > Action.IGNORE and not asks_lists and not found.has(key):
            found.set(key, "ignore", Source("", 0, f"{program} does not look for this"))
