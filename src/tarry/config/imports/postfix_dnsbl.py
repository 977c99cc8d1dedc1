"""postfix_dnsbl - postscreen_dnsbl_sites and what belongs to them.

What      Zones with their filters and weights, the threshold as a score, and the lifetimes of answers.
Source    postconf(5) postscreen_dnsbl_sites; postfix's postscreen_dnsbl.c: a zone may stand there several times with different
          filters, each counts once however many of a zone's answers match, and a weight below zero allows.
"""

from __future__ import annotations

import re

from tarry.config.imports.found import Source
from tarry.config.imports.postfix_case import Case
from tarry.config.imports.postfix_files import words
from tarry.config.imports.postfix_tables import pairs
from tarry.config.values import write_duration

ZONES = "checks.dnslists.zones"
_SITE = re.compile(r"([A-Za-z0-9_.-]+)(?:=([^*]+))?(?:\*([+-]?[0-9]{1,9}))?", re.ASCII)
_WITHOUT_ZONES = "there are no zones to which it could apply"


def dnsbl(case: Case) -> None:
    """Turn the zones, the threshold and the action into keys."""
    sites = words(case.value("postscreen_dnsbl_sites") or "")
    names = _public_names(case)
    for site in sites:
        source = case.source("postscreen_dnsbl_sites", site)
        match = _SITE.fullmatch(site)
        if match is None:
            case.found.miss(source, site, "this is no zone[=filter][*weight]", "write it as an element of checks.dnslists.zones")
            continue
        zone, answers, weight = match[1], match[2], match[3]
        made: dict[str, object] = {"zone": zone}
        if answers:
            made["answers"] = answers
        made["weight"] = int(weight or 1)
        if zone in names:
            made["name"] = names[zone]
        case.found.add(ZONES, made, source)
    if case.found.has(ZONES):
        _score(case)
    else:
        for name in ("postscreen_dnsbl_threshold", "postscreen_dnsbl_action", "postscreen_dnsbl_allowlist_threshold"):
            if case.is_set(name):
                case.miss(case.name(name), _WITHOUT_ZONES, "it had no effect in Postfix either")
    _times(case)


def _public_names(case: Case) -> dict[str, str]:
    """Return what postscreen_dnsbl_reply_map says, as far as it can be read."""
    value = (case.value("postscreen_dnsbl_reply_map") or "").strip()
    kind, _, name = value.partition(":")
    if not value:
        return {}
    if kind not in ("inline", "texthash", "hash", "btree", "lmdb", "cdb"):
        why = f"a table of type {kind} cannot be read here"
        case.miss("postscreen_dnsbl_reply_map", why, "give each zone that holds a key its public name in checks.dnslists.zones")
        return {}
    found = pairs(kind, name, case.source("postscreen_dnsbl_reply_map"), case.read)
    if isinstance(found, str):
        instead = "give each zone that holds a key its public name in checks.dnslists.zones"
        case.miss("postscreen_dnsbl_reply_map", found, instead)
        return {}
    return {key: public for key, public, _ in found if public}


def _score(case: Case) -> None:
    """The threshold and what is done from there on: sums of weights decide, and nothing else gives any."""
    action = case.action("postscreen_dnsbl_action")
    decided = case.source("postscreen_dnsbl_action")
    case.found.set("checks.dnslists.action", "tag", decided, "the sum of the weights decides, see [score]")
    case.found.set("score.delay", 0, decided, "postscreen delays nobody")
    threshold = case.number("postscreen_dnsbl_threshold")
    source = case.source("postscreen_dnsbl_threshold")
    if action != "ignore" and threshold is not None:
        if threshold < 1:
            why = "from a sum of 0 on it would refuse everybody"
            case.miss("postscreen_dnsbl_threshold", why, f"set score.{'reject' if action == 'enforce' else 'drop'}")
        else:
            case.found.set("score.reject" if action == "enforce" else "score.drop", threshold, source)
            case.found.set("score.at", "rcpt" if action == "enforce" else "connect", decided, action)
            case.in_line = case.in_line or action == "enforce"
    elif action == "ignore" and case.is_set("postscreen_dnsbl_threshold"):
        why = "postscreen_dnsbl_action is ignore, so a listed client is only recorded"
        case.miss("postscreen_dnsbl_threshold", why, f"to refuse from there on, set score.reject = {threshold}")
    allowed = case.number("postscreen_dnsbl_allowlist_threshold")
    if allowed is not None:
        case.found.set("score.allow", min(allowed, 0), case.source("postscreen_dnsbl_allowlist_threshold"))


def _times(case: Case) -> None:
    for name, key, unit in (
        ("postscreen_dnsbl_timeout", "dns.timeout", "s"),
        ("postscreen_dnsbl_min_ttl", "dns.min_ttl", "s"),
        ("postscreen_dnsbl_max_ttl", "dns.max_ttl", "h"),
    ):
        if case.is_set(name):
            length = case.time(case.name(name), unit)
            if length is not None:
                source: Source = case.source(name)
                case.found.set(key, write_duration(float(length)), source)
