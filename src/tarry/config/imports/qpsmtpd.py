"""qpsmtpd - config/plugins and the files beside it as a configuration of tarry.

What      `read_qpsmtpd` takes the text of config/plugins: the plugins that screen clients become keys, with dnsbl_zones,
          rhsbl_zones, badhelo, hosts_allow and relayclients read beside it. earlytalker has a file of its own.
Promises  Nothing but ImportProblem is raised. Plugins that screen and have no counterpart are told; those that only serve mail
          (auth, queue, content filters) are told in one line, since they stay where they are.
Source    qpsmtpd 0.94 and df5b04d: the plugins of the same names, lib/Qpsmtpd.pm _load_plugin, lib/Qpsmtpd/Config.pm. What the
          code does counts, not what its manual says: helo always disconnects, fcrdns defers and does not reject by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from tarry.config.imports import earlytalker
from tarry.config.imports.earlytalker import outcome, reject_word, type_word
from tarry.config.imports.found import Found, ImportProblem, ReadFile, Source
from tarry.config.imports.networks import Rule, TooLong, disjoint, read_network, read_prefix, spelled
from tarry.config.imports.others import switch_off
from tarry.config.spelling import printable

_HELO_TESTS = {
    "lenient": ("spoofed", "localhost", "literal", "bare_address"),
    "rfc": ("spoofed", "localhost", "literal", "bare_address", "unqualified", "no_dns"),
    "strict": ("spoofed", "localhost", "literal", "bare_address", "unqualified", "no_dns", "no_match"),
}
_REGEX = re.compile(r"[{}\[\]()^$|*+?\\!]")
WITHOUT: Mapping[str, tuple[str, str]] = {
    "greylisting": ("tarry does not greylist", "let the MTA or its filter do it"),
    "dns_whitelist_soft": ("", "add the zone to checks.dnslists.zones with a weight below 0, and set score.allow"),
    "whitelist": ("only networks can be exempted here", "put the addresses of whitelisthosts into exempt.networks"),
    "ident/p0f": ("tarry does not look at the client's TCP", ""),
    "ident/geoip": ("tarry does not look up where a client is", ""),
    "loadcheck": ("tarry's bound is a number of clients", "set listen.max_clients"),
    "resolvable_fromhost": ("tarry does not look up senders' domains", "reject_unknown_sender_domain in Postfix does it"),
    "connection_time": ("the event log has the time of each session", ""),
    "naughty": ("", ""),
}


class _Case:
    def __init__(self, read: ReadFile, naughty: str) -> None:
        self.found = Found("qpsmtpd")
        self.naughty = naughty
        self._read = read

    def beside(self, name: str, source: Source) -> list[tuple[Source, str]] | None:
        """Return the lines of a file beside config/plugins, None where it is not there or cannot be read."""
        try:
            text = self._read(name)
        except FileNotFoundError:
            return None  # for qpsmtpd that is an empty one
        except OSError as fault:
            self.found.miss(source, name, f"the file cannot be read: {fault.strerror or fault}", "write what it says by hand")
            return None
        except ImportProblem as problem:
            self.found.miss(source, name, problem.what, "write what it says by hand")
            return None
        return [(Source(name, number, ""), line) for number, line in config_lines(text)]


def config_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield what a file of qpsmtpd says, with line numbers: comments and empty lines are left out."""
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            yield number, bare


def read_qpsmtpd(text: str, file: str, read: ReadFile) -> Found:
    """Return what a config/plugins comes to. *read* finds the files beside it by their bare names."""
    said = list(config_lines(text))
    for number, line in said:
        if re.search(r"[^ -~\t]", line):  # where qpsmtpd dies too
            raise ImportProblem(file, number, f"unsafe characters: {printable(line[:40])}", "a plugin's line is printable ASCII")
    plugins = [(number, _name(line.split()[0]), line.split()[1:]) for number, line in said]
    case = _Case(read, _naughty(plugins))
    elsewhere = []
    for number, name, arguments in plugins:
        source = Source(file, number, name)
        if name == "earlytalker":
            earlytalker.apply(case.found, arguments, source, case.naughty)
        elif name in _PLUGINS:
            _PLUGINS[name](case, arguments, source)
        elif name in WITHOUT:
            if any(WITHOUT[name]):
                why = WITHOUT[name][0] or "it is part of checks.dnslists here"
                case.found.miss(source, " ".join(arguments), why, WITHOUT[name][1])
        else:
            elsewhere.append((source, name))
    if not any(name == "earlytalker" for _, name, _ in plugins):
        case.found.set("hold.wait", "0s", case.found.default(), "no earlytalker, no wait")
        case.found.set("checks.pregreet.action", "ignore", case.found.default())
    switch_off(case.found, "qpsmtpd")
    if elsewhere:
        names = ", ".join(dict.fromkeys(name for _, name in elsewhere))
        why = "these do not screen clients before the message, or keep the mail"
        instead = "leave them to the MTA behind tarry, and name it in [handoff]: docs/guides/qmail.md for qpsmtpd itself"
        case.found.miss(Source(file, elsewhere[0][0].line, "other plugins"), names, why, instead)
    return case.found


def _name(word: str) -> str:
    """Return the plugin that a word means: relay:0 is relay, and older versions had check_ before some names."""
    return re.sub(r":\d+$", "", word).removeprefix("check_") if word != "check_loop" else "loop"


def _naughty(plugins: Sequence[tuple[int, str, Sequence[str]]]) -> str:
    """Return the phase at which the plugin naughty refuses, "" where there is none."""
    for _, name, arguments in plugins:
        if name == "naughty":
            phase = _options(arguments).get("reject", "rcpt").lower()
            return {"data_post": "message", "hook_queue_post": "message"}.get(phase, phase)
    return ""


def _karma(case: _Case, arguments: Sequence[str], source: Source) -> None:
    """Karma as far as earlytalker has to do with it: early talk costs one, and who has more than 5 is not held."""
    settings: tuple[tuple[str, object, str], ...] = (
        ("checks.karma.action", "tag", ""),
        ("karma.skip_above", 5, "earlytalker: karma_history > 5"),
        ("karma.by_domain", False, ""),
        ("karma.rules", [{"on": "delivered", "points": 1}, {"on": "pregreet", "points": -1}, {"on": "predata", "points": -1}], ""),
    )
    for key, value, note in settings:
        case.found.set(key, value, source, note)
    if arguments:
        why = "tarry adds up karma over sessions, lets it fade, and has no days of penalty"
        case.found.miss(source, " ".join(arguments), why, "set karma.bad_below, and checks.karma.codes for what it leads to")


def _options(arguments: Sequence[str]) -> dict[str, str]:
    return dict(zip(arguments[::2], arguments[1::2], strict=False))


def _act(case: _Case, check: str, source: Source, reject: str, kind: str, where: str) -> None:
    """Set action and phase of a check from reject and reject_type. *where* is the phase of the plugin's own hook."""
    if reject == "naughty":
        if not case.naughty:
            case.found.set(f"checks.{check}.action", "tag", source, "reject naughty, and no plugin naughty refuses")
            return
        where = case.naughty
    action, _ = outcome(reject, kind, where)
    if action == "ignore":
        case.found.set(f"checks.{check}.action", "tag", source, "reject 0: looked up, and nothing more")
        return
    case.found.set(f"checks.{check}.action", action, source, f"reject {reject}, reject_type {kind}")
    case.found.set(f"checks.{check}.at", where, source, "naughty" if reject == "naughty" else "")


def _dnsbl(case: _Case, arguments: Sequence[str], source: Source) -> None:
    if len(arguments) % 2:
        given = {"reject_type": arguments[0]}  # the old form had one word
    else:
        given = _options(arguments)
    zones = case.beside("dnsbl_zones", source)
    for where, line in zones or ():
        zone, colon, text = line.partition(":")
        case.found.add("checks.dnslists.zones", {"zone": zone.strip(), "weight": 0}, where)
        if colon:
            why = "a zone has no text of its own"
            case.found.miss(where, text, why, "write checks.dnslists.reply; it may hold {client} and {id}")
    if zones is None:
        case.found.miss(source, "", "there is no dnsbl_zones beside it, so the plugin asks nobody", "")
    if case.found.has("checks.dnslists.zones"):
        reject, kind = reject_word(given.get("reject", "1")), type_word(given.get("reject_type", "perm"))
        _act(case, "dnslists", source, reject, kind, "connect")


def _rhsbl(case: _Case, arguments: Sequence[str], source: Source) -> None:
    given = {"reject_type": arguments[0]} if len(arguments) == 1 else _options(arguments)
    zones = case.beside("rhsbl_zones", source)
    for where, line in zones or ():
        zone, *text = line.split(None, 1)
        case.found.add("checks.rhsbl.zones", {"zone": zone, "weight": 0}, where)
        if text:
            case.found.miss(where, text[0], "a zone has no text of its own", "write checks.rhsbl.reply")
    if case.found.has("checks.rhsbl.zones"):
        reject, kind = reject_word(given.get("reject", "1")), type_word(given.get("reject_type", ""))
        _act(case, "rhsbl", source, reject, kind, "mail")
    elif zones is None:
        case.found.miss(source, "", "there is no rhsbl_zones beside it, so the plugin asks nobody", "")


def _helo(case: _Case, arguments: Sequence[str], source: Source) -> None:
    given = _options(arguments)
    policy = given.get("policy", "lenient")
    tests = _HELO_TESTS.get(policy, _HELO_TESTS["lenient"])
    for where, line in case.beside("badhelo", source) or ():
        if _REGEX.search(line):
            case.found.miss(where, line, "forged names are names here, not patterns", "write a check of your own (plugins)")
        else:
            case.found.add("checks.helo.spoofed_names", line.lower(), where, "here its own hosts may use it")
    if not case.found.has("checks.helo.spoofed_names"):
        tests = tuple(one for one in tests if one != "spoofed")
    case.found.set("checks.helo.tests", list(tests), source, f"policy {policy}")
    reject = reject_word(given.get("reject", "1"))
    _act(case, "helo", source, reject, "disconnect", "helo")
    if policy in ("rfc", "strict"):
        only_tags = case.found.settings["checks.helo.action"].value == "tag"
        case.found.set("checks.ptr.action", "tag" if only_tags else "drop", source, f"policy {policy}: no_reverse_dns")
        case.found.set("checks.ptr.codes", {"unconfirmed": "ignore"}, source)
        if not only_tags:
            case.found.set("checks.ptr.at", case.found.settings["checks.helo.at"].value, source)
    if policy == "strict":
        why = "is_address_literal refuses every address in brackets; checks.helo knows the false ones only"
        case.found.miss(source, "policy strict", why, "leave it: RFC 5321 allows them")


def _fcrdns(case: _Case, arguments: Sequence[str], source: Source) -> None:
    reject = reject_word(_options(arguments).get("reject", "0"))
    _act(case, "ptr", source, reject, "temp", "connect")
    why = "the plugin also takes a neighbour (the same first three numbers, the same domain) for the client itself"
    case.found.miss(source, " ".join(arguments), why, "look through what checks.ptr finds before you let it refuse")


def _unrecognized(case: _Case, arguments: Sequence[str], source: Source) -> None:
    limit = int(earlytalker.number(arguments[0])) if arguments else 0
    limit = limit or 4  # as in the plugin, 0 is no number
    case.found.set("checks.many_errors.action", "drop", source, "DENY_DISCONNECT")
    case.found.set("checks.many_errors.limit", max(0, limit - 1), source, f"the {limit}th is one too many; here all errors count")


def _noops(case: _Case, arguments: Sequence[str], source: Source) -> None:
    limit = int(arguments[0]) if arguments and re.fullmatch(r"[0-9]{1,9}", arguments[0]) and int(arguments[0]) else 3
    case.found.set("checks.many_noop.action", "drop", source, "DENY_DISCONNECT")
    case.found.set("checks.many_noop.limit", max(0, limit - 1), source, f"the {limit}th is one too many; here all count")
    why = "the plugin counts NOOPs in a row, and tarry those of the session"
    case.found.miss(source, " ".join(arguments), why, "set checks.many_noop.limit higher if honest clients send some")


def _hosts_allow(case: _Case, arguments: Sequence[str], source: Source) -> None:
    rules = []
    for where, line in case.beside("hosts_allow", source) or ():
        network, *rest = line.split(None, 2)
        if not rest:
            continue
        try:
            rules.append(Rule(read_network(network), rest[0], where))
        except ValueError:
            case.found.miss(where, line, "the plugin never finds this: it is no network in its normal form", "")
            continue
        if rest[0].startswith("DENYSOFT"):
            case.found.miss(where, line, "deny.networks refuses for good, with 554", "take it out if that is too much")
    _networks(case, source, [Rule(one.network, one.verdict[:4], one.source) for one in rules], "DENY", "deny.networks")


def _relay(case: _Case, arguments: Sequence[str], source: Source) -> None:
    rules = []
    for name, verdict in (("norelayclients", "no"), ("relayclients", "relay")):
        for where, line in case.beside(name, source) or ():
            try:
                rules.append(Rule(read_prefix(line), verdict, where))
            except ValueError:
                case.found.miss(where, line, "this is no address or network", "")
    _networks(case, source, rules, "relay", "exempt.networks")


def _networks(case: _Case, source: Source, rules: Sequence[Rule], verdict: str, key: str) -> None:
    """Add the networks of one verdict to a key."""
    try:
        ordered = disjoint(rules)
    except TooLong:
        case.found.miss(source, "", "the lines overlap too much to be put in order", f"write {key} by hand")
        return
    for rule in ordered:
        if rule.verdict == verdict:
            case.found.add(key, spelled(rule.network), rule.source)


_PLUGINS: Mapping[str, Callable[[_Case, Sequence[str], Source], None]] = {
    "count_unrecognized_commands": _unrecognized,
    "dnsbl": _dnsbl,
    "fcrdns": _fcrdns,
    "helo": _helo,
    "spamhelo": _helo,
    "hosts_allow": _hosts_allow,
    "karma": _karma,
    "noop_counter": _noops,
    "relay": _relay,
    "rhsbl": _rhsbl,
}
