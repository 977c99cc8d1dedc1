"""earlytalker - a line `earlytalker ...` or `check_earlytalker ...` of qpsmtpd, as the plugin's code treats it.

What      `read_line` gives the options as they come out, `apply` turns them into keys.
Quirks    An odd number of words: the plugin says so in the log and does nothing. check-at in any case of letters, and a value that
          is neither CONNECT nor DATA switches every look off. Without reject, `action` counts as reject 1 where it begins with
          "deny", else as 0. Where defer-reject is named at all and reject_type is not, the type is temp: the code compares
          `action` with the word denysoft as numbers, so that any word, and none, is equal. defer-reject is on for every value
          but 0 and nothing: "no" is on. With defer-reject the refusal comes at MAIL; a look at DATA refuses there anyway.
Source    qpsmtpd's plugins/earlytalker (0.94 and df5b04d) and lib/Qpsmtpd/Plugin.pm get_reject, get_reject_type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tarry.config.imports.found import Found, Source
from tarry.config.values import write_duration
from tarry.core.policy import LONGEST_HOLD

_TEXT = "Connecting host started transmitting before SMTP greeting"
_KNOWN = frozenset({"wait", "reject", "reject_type", "defer-reject", "check-at", "loglevel", "action"})


class Options(msgspec.Struct, frozen=True):
    """What the plugin works with. ``reject`` is 0, 1 or naughty; ``reject_type`` one of perm, temp, disconnect, temp_disconnect."""

    wait: float = 1.0
    reject: str = "1"
    reject_type: str = "perm"
    defers: bool = False
    at_connect: bool = True
    at_data: bool = False
    unknown: tuple[str, ...] = ()


def read_line(arguments: Sequence[str]) -> Options | None:
    """Return the options, None for a line with which the plugin does nothing."""
    if len(arguments) % 2:
        return None
    pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
    given = dict(pairs)
    places = {value.upper() for name, value in pairs if name.lower() == "check-at"} or {"CONNECT"}
    action, reject = given.get("action"), given.get("reject")
    if reject is None:
        reject = "1" if action is None or action.lower().startswith("deny") else "0"
    kind = given.get("reject_type")
    if kind is None:
        kind = "temp" if "defer-reject" in given and number(action or "") == 0 else "perm"
    return Options(
        wait=max(0.0, number(given.get("wait", "1"))),
        reject=reject_word(reject),
        reject_type=type_word(kind),
        defers=is_true(given.get("defer-reject", "")),
        at_connect="CONNECT" in places,
        at_data="DATA" in places,
        unknown=tuple(name for name in given if name not in _KNOWN and name.lower() != "check-at"),
    )


def number(text: str) -> float:
    """Return the number that Perl reads at the beginning of a text: 0 where there is none."""
    match = re.match(r"\s*[+-]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})", text, re.ASCII)
    return float(match[0]) if match else 0.0


def is_true(text: str) -> bool:
    """Return what Perl takes a text for: everything but nothing and "0" is true."""
    return text not in ("", "0")


def reject_word(text: str) -> str:
    """Return 0, 1 or naughty."""
    return text if text == "naughty" else "1" if is_true(text) else "0"


def type_word(text: str) -> str:
    """Return what a reject_type comes to."""
    if text.lower() in ("temp", "soft"):
        return "temp"
    return text if text in ("disconnect", "temp_disconnect") else "perm"


def apply(found: Found, arguments: Sequence[str], source: Source, naughty: str) -> None:
    """Turn a line into keys. *naughty* is the phase at which the plugin of that name refuses, "" without it."""
    said = " ".join(arguments)
    options = read_line(arguments)
    if options is None:
        why = "the number of words is odd, so the plugin logs an error and does nothing"
        found.miss(source, said, why, 'give each option a value; nothing is held before the greeting now (hold.wait = "0s")')
        found.set("hold.wait", "0s", source, "it did nothing")
        found.set("checks.pregreet.action", "ignore", source, "it did nothing")
        return
    wait = write_duration(min(options.wait, LONGEST_HOLD))
    if options.wait > LONGEST_HOLD:
        found.miss(source, f"wait {options.wait:g}", "clients give up after 5 minutes (RFC 5321)", "the holds are cut to 295s")
    if options.at_connect:
        found.set("hold.wait", wait, source, "wait")
        _connect(found, options, source, naughty)
    else:
        found.set("hold.wait", "0s", source, "check-at has no CONNECT")
        found.set("checks.pregreet.action", "ignore", source, "check-at has no CONNECT")
    if options.at_data:
        found.set("hold.data_wait", wait, source, "check-at DATA, wait")
        action = "ignore" if options.reject == "0" else "defer" if options.reject_type == "temp" else "reject"
        found.set("checks.predata.action", action, source, f"reject {options.reject}, reject_type {options.reject_type}")
    else:
        found.set("checks.predata.action", "ignore", source, "check-at has no DATA")
    if not (options.at_connect or options.at_data):
        found.miss(source, said, "check-at is neither CONNECT nor DATA, so nothing is looked for", "write check-at CONNECT")
    for name in options.unknown:
        found.miss(source, name, "the plugin has no such option and ignores it", "look for a slip of the pen")


def _connect(found: Found, options: Options, source: Source, naughty: str) -> None:
    where = "mail" if options.defers else "connect"
    if options.reject == "naughty":
        if not naughty:
            found.set("checks.pregreet.action", "tag", source, "reject naughty, and no plugin naughty refuses")
            return
        where = naughty
    action, reply = outcome(options.reject, options.reject_type, where)
    found.set("checks.pregreet.action", action, source, f"reject {options.reject}, reject_type {options.reject_type}")
    found.set("checks.pregreet.at", where, source, "defer-reject" if options.defers else "")
    if action != "ignore":
        found.set("checks.pregreet.reply", f"{reply} {_TEXT}", source, "the plugin's own words")


def outcome(reject: str, kind: str, where: str) -> tuple[str, int]:
    """Return the action here and the code that qpsmtpd answers with."""
    if reject == "0":
        return "ignore", 0
    if where == "connect":  # whatever is refused there is also closed
        return ("defer", 450) if kind.startswith("temp") else ("reject", 550)
    return {"temp": ("defer", 450), "temp_disconnect": ("drop", 421), "disconnect": ("drop", 550)}.get(kind, ("reject", 550))
