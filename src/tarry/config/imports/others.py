"""others - the checks that an old program does not have, switched off: an import does what the old program did, and no more.

Promises  Of the checks that would hold, refuse or spare somebody by themselves none is forgotten, also none that comes later: the
          registry is asked. Those that only tag are left alone: nobody notices before headers.insert is true.
"""

from __future__ import annotations

from dataclasses import fields

from tarry.checks import REGISTRY
from tarry.config.imports.found import Found, Source
from tarry.core.check import Allowing
from tarry.core.result import Action


def switch_off(found: Found, program: str) -> None:
    """Give every check that is not mentioned, and that does more than tag by itself, the action ignore."""
    for check in REGISTRY:
        key = f"checks.{check.name}.action"
        asks_lists = any(one.name == "zones" for one in fields(check.options))  # without zones it asks nobody
        does_something = check.settings.action > Action.TAG or isinstance(check, Allowing)
        if does_something and not asks_lists and not found.has(key):
            found.set(key, "ignore", Source("", 0, f"{program} does not look for this"))
