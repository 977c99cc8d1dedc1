"""postfix_access - postscreen_access_list as exempt.networks and deny.networks.

What      The list is ordered and its first match counts; tarry's two lists are sets, of which deny wins. Earlier lines are cut
          out of later ones where they say something else, so that each address fares as before.
"""

from __future__ import annotations

from tarry.config.imports.found import Found, Source
from tarry.config.imports.networks import Rule, TooLong, disjoint, spelled
from tarry.config.imports.postfix_case import Case
from tarry.config.imports.postfix_files import words
from tarry.config.imports.postfix_tables import DUNNO, PERMIT, REJECT, AccessList

_DENIED = "deny.networks"
_LINES_TOLD = 5


def access(case: Case) -> None:
    """Read the list with its tables."""
    value = case.value("postscreen_access_list")
    if value is None:
        return
    followed = AccessList(case.found, case.read, _mynetworks(case, value))
    missed = len(case.found.missing)
    followed.follow([(word, case.source("postscreen_access_list", word)) for word in words(value)])
    try:
        rules = disjoint(followed.rules)
    except TooLong:
        case.miss("postscreen_access_list", "its lines overlap too much to be put in order", "write the networks by hand")
        return
    action = case.action("postscreen_denylist_action")
    for rule in rules:
        if rule.verdict == PERMIT:
            case.found.add("exempt.networks", spelled(rule.network), rule.source)
        elif rule.verdict == REJECT and action != "ignore":
            case.found.add(_DENIED, spelled(rule.network), rule.source)
    _tell_denied(case, rules, action, is_whole=len(case.found.missing) == missed)
    for sources in followed.without_word.values():
        _tell_dunno(case.found, sources)


def _mynetworks(case: Case, value: str) -> list[tuple[str, Source]] | None:
    if not case.is_set("mynetworks") or "permit_mynetworks" not in value.lower():
        return None
    networks = case.value("mynetworks")
    return None if networks is None else [(word, case.source("mynetworks", word)) for word in words(networks)]


def _tell_denied(case: Case, rules: list[Rule], action: str, *, is_whole: bool) -> None:
    rejected = [rule for rule in rules if rule.verdict == REJECT]
    name = "postscreen_denylist_action"
    if not rejected:
        if case.is_set(name) and not is_whole:
            why = "no line of postscreen_access_list that could be read here says reject"
            case.miss(case.name(name), why, "what the others reject belongs into deny.networks")
        elif case.is_set(name):
            case.miss(case.name(name), "no line of postscreen_access_list says reject", "it had no effect in Postfix either")
        return
    if action == "ignore":
        first: Source = rejected[0].source
        count = f"{len(rejected)} network{'' if len(rejected) == 1 else 's'}"
        why = f"postscreen_denylist_action is ignore, so the {count} of its reject lines were only recorded"
        case.found.miss(first, "reject", why, "to refuse them, put them into deny.networks")
    elif action == "enforce":
        why = "it refused each recipient with 550; deny.networks refuses at once with 554, and no sender is recorded"
        case.miss(case.name(name), why, "if you want the senders recorded, take these networks out and leave them to the checks")


def _tell_dunno(found: Found, sources: list[Source]) -> None:
    lines = list(dict.fromkeys(source.line for source in sources))
    told = ", ".join(map(str, lines[:_LINES_TOLD])) + (f" and {len(lines) - _LINES_TOLD} more" if len(lines) > _LINES_TOLD else "")
    why = f"{DUNNO} (line{'' if len(lines) == 1 else 's'} {told}) has no word of its own"
    found.miss(sources[0], DUNNO, why, "nothing is lost: these addresses were cut out of the networks of later lines")
