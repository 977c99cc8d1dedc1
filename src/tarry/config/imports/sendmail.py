"""sendmail - sendmail.mc and the access file as a configuration of tarry.

What      `read_sendmail` takes any number of texts, tells by their content which is which, and gives one `Found`.
Promises  Nothing but ImportProblem is raised. FEATUREs and confs that screen clients become keys or are told as missing; the many
          that have nothing to do with it are passed over.
Source    cf/README and cf/feature/*.m4 of Sendmail 8.17: greet_pause, dnsbl, enhdnsbl, rhsbl, conncontrol, ratecontrol,
          block_bad_helo, require_rdns, delay_checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from tarry.config.imports.found import Found, ImportProblem, Source
from tarry.config.imports.others import switch_off
from tarry.config.imports.sendmail_access import entries, read_access
from tarry.config.imports.sendmail_mc import Call, calls
from tarry.config.values import write_duration
from tarry.core.policy import LONGEST_HOLD

_MC = re.compile(r"^\s*(dnl|divert|FEATURE|define|OSTYPE|MAILER|VERSIONID|include|DOMAIN)\b", re.MULTILINE)
_ZONES = {"dnsbl": "dnslists", "enhdnsbl": "dnslists", "rhsbl": "rhsbl"}
_FIRST_ANSWER = 3  # enhdnsbl: zone, message, message for failures, then up to six answers
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_RATE = ("tarry counts connections at one time, not in a second or minute", "leave the rate to the firewall")
_LOAD = ("tarry holds clients in one process, which no load brings down", "set listen.max_clients")
_CONF_WITHOUT: Mapping[str, tuple[str, str]] = {
    "confCONNECTION_RATE_THROTTLE": _RATE,
    "confCONNECTION_RATE_WINDOW_SIZE": _RATE,
    "confDELAY_LA": _LOAD,
    "confREFUSE_LA": _LOAD,
    "confREJECT_LA": _LOAD,
}


class _Case:
    def __init__(self) -> None:
        self.found = Found("Sendmail")
        self.file = ""
        self.delays = False
        self.has_access_db = False
        self.replies: dict[str, list[tuple[Source, str, str]]] = {}  # of each zone of a check: as it was, and as a reply


def read_sendmail(texts: Iterable[tuple[str, str]]) -> Found:
    """Return what some files come to. *texts* are pairs of name and content."""
    case = _Case()
    has_mc = False
    for file, text in sorted(texts, key=lambda pair: not is_mc(pair[1])):  # what access says of everybody wins over the FEATURE
        if is_mc(text):
            has_mc = True
            _read_mc(case, text, file)
        else:
            _must_be_access(text, file)
            read_access(text, file, case.found)
    found = case.found
    _tell_replies(case)
    if not found.has("hold.wait") and has_mc:
        found.set("hold.wait", "0s", found.default(), "no greet_pause, no wait")
    if has_mc:
        if not found.has("checks.pregreet.action"):
            found.set("checks.pregreet.action", "ignore", found.default(), "no greet_pause, no look")
        switch_off(found, "Sendmail")
        why = "tarry.toml says nothing yet of where mail goes"
        instead = (
            'with Sendmail behind it is handoff.mode = "exec" (docs/guides/sendmail.md), and then Sendmail itself does what comes '
            "after the greeting: take those keys out"
        )
        found.miss(Source("sendmail.mc", 0, ""), "", why, instead)
    return found


def is_mc(text: str) -> bool:
    """True for a sendmail.mc; anything else is taken for an access file."""
    return _MC.search(text) is not None


def _must_be_access(text: str, file: str) -> None:
    for number, key, _ in entries(text, file):
        if not re.fullmatch(r"[!-~]+", key):
            raise ImportProblem(file, number, "this is neither sendmail.mc nor access", "name one of the two")


def _read_mc(case: _Case, text: str, file: str) -> None:
    case.file = file
    made = list(calls(text, file))
    case.delays = any(_feature(call) == "delay_checks" for call in made)
    for call in made:
        if call.name == "define":
            name = call.argument(0)
            source = Source(file, call.line, name)
            if name in _CONFS:
                _CONFS[name](case, call.argument(1), source)
            elif name in _CONF_WITHOUT:
                case.found.miss(source, call.argument(1), *_CONF_WITHOUT[name])
        elif (feature := _feature(call)) in _FEATURES:
            _FEATURES[feature](case, call, Source(file, call.line, f"FEATURE({feature})"))
        elif feature == "access_db":
            case.has_access_db = True


def _feature(call: Call) -> str:
    return call.argument(0) if call.name == "FEATURE" else ""


def _greet_pause(case: _Case, call: Call, source: Source) -> None:
    found = case.found
    value = call.argument(1)
    if not case.has_access_db:
        why = "it stands before FEATURE(access_db), so Sendmail does not look for GreetPause: lines"
        found.miss(source, value, why, "if you import an access file too, take the [[hold.class]] tables out")
    found.set("checks.pregreet.action", "reject", source, "554 to an early talker")
    found.set("checks.pregreet.at", "connect", source)
    if not re.fullmatch(r"[0-9]{1,9}", value):
        if value:
            found.miss(source, value, "a pause is a number of milliseconds", "set hold.wait")
        found.set("hold.wait", "0s", source, "only those whom access names")
        return
    seconds = min(int(value) / 1000, LONGEST_HOLD)
    if int(value) > LONGEST_HOLD * 1000:
        why = "Sendmail pauses 300 s at most, and tarry 295 s: clients give up after 5 minutes (RFC 5321)"
        found.miss(source, value, why, "hold.wait is cut to that")
    found.set("hold.wait", write_duration(seconds), source, f"{value} ms")


def _zone(case: _Case, call: Call, source: Source) -> None:
    feature = call.argument(0)
    check = _ZONES[feature]
    zone = call.argument(1).strip().rstrip(".")
    if not zone:
        case.found.miss(source, feature, "no zone is named", "add one to checks.dnslists.zones")
        return
    answers = [_answer(one) for one in call.arguments[1 + _FIRST_ANSWER :] if one.strip()] if feature == "enhdnsbl" else []
    made: dict[str, object] = {"zone": zone}
    if None in answers:
        why = "an answer is not four numbers, of which $- is any"
        case.found.miss(source, ", ".join(call.arguments[1 + _FIRST_ANSWER :]), why, "write it as answers of the zone")
    elif answers:
        made["answers"] = ", ".join(one for one in answers if one)
    case.found.add(f"checks.{check}.zones", {**made, "weight": 0}, source)
    action = call.argument(2).strip().lower()
    if call.argument(3).strip():
        why = "a list that does not answer refuses nobody here"
        case.found.miss(source, call.argument(3), why, "nothing is lost: what is not known counts for the client")
    if action == "quarantine":
        case.found.miss(source, action, "there is no quarantine", "checks that only tag add a header: set headers.insert = true")
    elif action != "discard":
        case.replies.setdefault(check, []).append((source, call.argument(2).strip(), _reply(case, check, call.argument(2), source)))
    key = f"checks.{check}.action"
    word = {"quarantine": "tag", "discard": "discard"}.get(action, "reject")
    if case.found.has(key) and case.found.settings[key].value != word:
        case.found.miss(source, action or "reject", "all zones of a check have one action", f"see {key}")
        return
    case.found.set(key, word, source)
    case.found.set(f"checks.{check}.at", "rcpt" if case.delays else "mail" if check == "rhsbl" else "connect", source, _when(case))


def _when(case: _Case) -> str:
    return "delay_checks" if case.delays else ""


def _answer(text: str) -> str | None:
    """Return an answer of enhdnsbl in our form, None for one that has none."""
    parts = text.strip().rstrip(".").replace("$-", "[0..255]").split(".")
    if re.fullmatch(r"\$\+", text.strip()):
        return "127.[0..255].[0..255].[0..255]"
    joined = ".".join(parts)
    return joined if re.fullmatch(r"(?:[0-9]{1,3}|\[0\.\.255\])(?:\.(?:[0-9]{1,3}|\[0\.\.255\])){3}", joined) else None


def _reply(case: _Case, check: str, text: str, source: Source) -> str:
    """Return a message as a reply, "" where there is none or it cannot be one."""
    plain = re.sub(r"\$`?'?&\{client_addr\}", "{client}", text.replace("`'", ""))
    plain = re.sub(r"\s+", " ", plain.replace('"', "")).strip()
    if re.search(r"[$`']\W*&|\$", plain):
        why = "its macros have no counterpart"
        case.found.miss(source, text, why, f"write checks.{check}.reply; it may hold {{client}} and {{id}}")
        return ""
    return plain if not plain or re.match(r"[45][0-9][0-9] ", plain) else f"550 {plain}"


def _tell_replies(case: _Case) -> None:
    """Take the zones' message as the reply where they have one and the same: none is told another list's words."""
    for check, told in case.replies.items():
        if len({reply for _, _, reply in told}) == 1:
            if told[0][2]:
                case.found.set(f"checks.{check}.reply", told[0][2], told[0][0])
            continue
        for source, text, reply in told:
            if reply:
                why = "all zones of a check have one reply, and these have several; tarry's own words name the list"
                case.found.miss(source, text, why, f"see checks.{check}.reply, which may hold {{list}}")


def _bad_helo(case: _Case, call: Call, source: Source) -> None:
    at = "rcpt" if case.delays else "mail"
    case.found.set("checks.helo.tests", ["unqualified", "own_name"], source)
    case.found.set("checks.helo.action", "reject", source)
    case.found.set("checks.helo.at", at, source, _when(case))


def _require_rdns(case: _Case, call: Call, source: Source) -> None:
    case.found.set("checks.ptr.action", "reject", source, "none: 550")
    case.found.set("checks.ptr.codes", {"unconfirmed": "defer"}, source, "forged: 451")
    case.found.set("checks.ptr.at", "rcpt" if case.delays else "connect", source, _when(case))


def _conncontrol(case: _Case, call: Call, source: Source) -> None:
    """Its numbers are in access; only that nothing else counts connections is to be told."""
    if not case.has_access_db:
        case.found.miss(source, "", "it needs FEATURE(access_db) before it", "set listen.max_per_client")


def _ratecontrol(case: _Case, call: Call, source: Source) -> None:
    case.found.miss(source, "", *_RATE)


def _throttle(case: _Case, value: str, source: Source) -> None:
    if number := _whole(case, value, source):
        case.found.set("tarpit.refused.free", number, source, "recipients that the MTA refused")
        case.found.set("tarpit.refused.start", "1s", source, "each further one waits a second")
        case.found.set("tarpit.refused.factor", 1, source)
        case.found.set("tarpit.refused.cap", "1s", source)


def _recipients(case: _Case, value: str, source: Source) -> None:
    if number := _whole(case, value, source):
        case.found.set("limits.recipients", number, source)


def _children(case: _Case, value: str, source: Source) -> None:
    if number := _whole(case, value, source):
        case.found.set("listen.max_clients", number, source, "one more gets 421 here; Sendmail let it wait")


def _command_time(case: _Case, value: str, source: Source) -> None:
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", value.strip(), re.ASCII)
    if match is None:
        case.found.miss(source, value, "this is no time of Sendmail", "set limits.command")
    elif int(match[1]):
        case.found.set("limits.command", write_duration(float(int(match[1]) * _UNITS[match[2] or "m"])), source)


def _whole(case: _Case, value: str, source: Source) -> int:
    """Return a number; 0, which switches a limit off in Sendmail, for what is none."""
    if not re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
        case.found.miss(source, value, "this is no number", "write one")
        return 0
    return int(value)


_FEATURES: Mapping[str, Callable[[_Case, Call, Source], None]] = {
    "greet_pause": _greet_pause,
    "dnsbl": _zone,
    "enhdnsbl": _zone,
    "rhsbl": _zone,
    "block_bad_helo": _bad_helo,
    "require_rdns": _require_rdns,
    "conncontrol": _conncontrol,
    "ratecontrol": _ratecontrol,
}

_CONFS: Mapping[str, Callable[[_Case, str, Source], None]] = {
    "confBAD_RCPT_THROTTLE": _throttle,
    "confMAX_RCPTS_PER_MESSAGE": _recipients,
    "confMAX_DAEMON_CHILDREN": _children,
    "confTO_COMMAND": _command_time,
}
