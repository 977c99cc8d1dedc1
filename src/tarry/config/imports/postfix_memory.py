"""postfix_memory - what postscreen remembers of clients: passes, each test with its own time, and no karma.

Source    postscreen(8): postscreen_greet_ttl, postscreen_dnsbl_max_ttl and the times of the tests after the greeting.
"""

from __future__ import annotations

from tarry.config.imports.found import Source
from tarry.config.imports.postfix_case import Case
from tarry.config.values import write_duration

_DEEP = ("postscreen_pipelining_ttl", "postscreen_non_smtp_command_ttl", "postscreen_bare_newline_ttl")
_GREET, _DNSBL = "postscreen_greet_ttl", "postscreen_dnsbl_max_ttl"


def memory(case: Case) -> None:
    """Let passes be remembered for as long as postscreen does."""
    found = case.found
    _remember(case, _GREET, "d", "checks.pregreet")
    if found.has("checks.dnslists.zones"):
        _remember(case, _DNSBL, "h", "checks.dnslists")
    for name in _DEEP:
        if case.is_set(name):
            why = "a client that passes these tests need not come back here, so they are made in every session"
            case.miss(name, why, "nothing is lost")
    if not any(found.has(f"checks.{check}.remember") for check in ("pregreet", "dnslists")):
        found.set("checks.karma.action", "ignore", found.default(), "nothing is remembered")
        return
    asks = Source("", 0, "it asks for the passes that are remembered")
    found.set("checks.karma.action", "tag", asks)
    found.set("karma.rules", [], found.default(), "there is no karma")
    found.set("karma.by_domain", False, found.default())


def _remember(case: Case, name: str, unit: str, check: str) -> None:
    length = case.time(name, unit)
    if case.found.settings[f"{check}.action"].value == "ignore":
        if case.is_set(name):
            case.miss(name, "nothing comes of a failure, so that nothing would come of a pass", "let the test refuse first")
    elif length is not None:
        case.found.set(f"{check}.remember", write_duration(float(length)), case.source(name))
