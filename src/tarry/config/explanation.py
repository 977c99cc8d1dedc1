"""explanation - a check in words: what it looks for, whom it hurts by mistake, and what comes of it under a configuration.

What      `explain` takes a check of a configuration apart: its manual page by sections, its reasons with what each leads to and
          what the client is told, its keys with their values. `changing` writes the lines that change them. For `tarry explain`
          and for docs/checks.
Promises  Everything follows from the declaration and the configuration; the replies are those that the judge gives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

import msgspec

from tarry.config.keys import CHECKS, SETTINGS, Key, flat, keys_of, manual, summary
from tarry.config.schema import CheckConfig, Config
from tarry.config.spelling import spell
from tarry.config.values import write_span
from tarry.core.border import (
    Answered,
    Due,
    Hello,
    Moment,
    PreData,
    Readable,
    Recipient,
    RecipientAnswered,
    Sender,
)
from tarry.core.check import Allowing, Armed
from tarry.core.client import Phase
from tarry.core.judge import judge
from tarry.core.policy import Policy, Score
from tarry.core.result import Action, Reason

ID = "ID"
"""What stands for a session's id in the replies shown."""

_HEADING = re.compile(r"([A-Z][A-Za-z]*) {2,}(\S.*)")
_FOUND_AT: Mapping[type[Moment], Phase] = {
    Readable: Phase.HOLD,
    Due: Phase.HOLD,
    Answered: Phase.HOLD,
    Hello: Phase.HELO,
    Sender: Phase.MAIL,
    Recipient: Phase.RCPT,
    RecipientAnswered: Phase.RCPT,
    PreData: Phase.DATA,
}
"""Where each moment comes; the others come anywhere after the greeting."""


class Told(msgspec.Struct, frozen=True):
    """One reason: its ``code`` and meaning, the action that it leads to, what that does, and the reply that the client gets.

    ``reply`` is "" where no refusal is sent; ``is_looked_for`` is False where the check's own keys leave the code out.
    """

    code: str
    meaning: str
    action: Action
    effect: str
    reply: str
    is_looked_for: bool = True


class Explanation(msgspec.Struct, frozen=True):
    """A check under a configuration.

    ``sections`` are those of its manual page, by heading; what stands below none is under "". ``file`` is that of the operator's
    own check, "" for a built-in one. ``keys`` come with their values, without those that have no effect in this version.
    """

    name: str
    title: str
    sections: Mapping[str, str]
    complaint: str
    file: str
    reasons: tuple[Told, ...]
    keys: tuple[tuple[Key, object], ...]


def explain(config: Config, name: str) -> Explanation:
    """Return a check in words. Raises KeyError where the configuration has none of this name."""
    one = config.checks[name]
    check = one.check
    values = flat(config)
    return Explanation(
        name=name,
        title=summary(check),
        sections=sections(manual(check)),
        complaint=check.complaint,
        file=_file_of(one),
        reasons=tuple(_told(config, one, code, meaning) for code, meaning in check.codes.items()),
        keys=tuple((key, values[key.name]) for key in keys_of(CHECKS + name, config.registry)),
    )


def sections(page: str) -> dict[str, str]:
    """Return the sections of a manual page, each as one paragraph; the first line, its title, is not among them."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in page.splitlines()[1:]:
        begun = _HEADING.fullmatch(line.rstrip())
        if begun:
            heading = begun[1]
        text = begun[2] if begun else line.strip()
        if text:
            found.setdefault(heading, []).append(text)
    return {heading: " ".join(lines) for heading, lines in found.items()}


def changing(explained: Explanation, code: str = "") -> list[str]:
    """Return the lines of TOML that a change of the check, or of what one *code* leads to, begins with: as it is now."""
    words = ", ".join(action.word for action in Action)
    lines = [f"[{CHECKS}{explained.name}]"]
    if code:
        told = next(one for one in explained.reasons if one.code == code)
        tests = [value for key, value in explained.keys if key.last == "tests" and not told.is_looked_for]
        lines += [f"tests = {spell([*value, code])}" for value in tests if isinstance(value, tuple)]
        return [*lines, f"codes = {spell({code: told.action.word})}    # {words}"]
    for key, value in explained.keys:
        if key.last not in SETTINGS or value not in (None, "", {}, 0):
            lines.append(f"{key.last} = {spell(key.kind.write(value))}" + (f"    # {words}" if key.last == "action" else ""))
    return lines


def _told(config: Config, one: CheckConfig, code: str, meaning: str) -> Told:
    settings = one.settings
    action = settings.action_for(code)
    if not one.looks_for(code):
        effect = f"not looked for: {CHECKS}{one.check.name}.tests does not name it"
        return Told(code, meaning, action, effect, "", is_looked_for=False)
    if settings.has_effect and action is not Action.IGNORE and _speaks_for(one, code):
        return Told(code, meaning, action, "speaks for the client: its weight counts against the other reasons", "")
    found_at = _FOUND_AT.get(one.check.triggers[0], Phase.HELO)
    at = settings.at if settings.at is not None else found_at
    # The score may ask for more, with reasons of other checks; here it is this one alone.
    policy = Policy(
        checks=(Armed(one.check, settings, one.options),), score=Score(delay=0.0, allow=0.0), help_url=config.smtp.help_url
    )
    reason = Reason(one.check.name, code, weight=max(0.0, settings.weight), phase=found_at)
    verdict = judge((reason,), policy, max(at, found_at), id=ID) if action.refuses else None
    reply = verdict.reply.raw.decode("ascii").strip() if verdict is not None and verdict.reply is not None else ""
    where = f"at {settings.at.word}" if settings.at is not None else "where it is found"
    return Told(code, meaning, action, _effect(config, action, where) + _by_score(config, one), reply)


def _speaks_for(one: CheckConfig, code: str) -> bool:
    return one.settings.weight < 0 or (isinstance(one.check, Allowing) and code in one.check.allows)


def _effect(config: Config, action: Action, where: str) -> str:
    match action:
        case Action.IGNORE:
            return "recorded, and nothing follows"
        case Action.TAG:
            told = "a header line names it" if config.headers.insert else "only the record tells, while headers.insert is false"
            return f"the message passes, and {told}"
        case Action.DELAY:
            return f"held at {config.delay.at.word} until {write_span(config.delay.target)} have gone by since the client came"
        case Action.DISCARD:
            return "the message is taken, answered 250 and thrown away"
        case Action.DEFER:
            return f"told {where} to come again"
        case Action.REJECT:
            return f"refused {where}"
        case Action.DROP:
            return f"refused {where}, and the connection closed"


def _by_score(config: Config, one: CheckConfig) -> str:
    weights = {row.weight for row in getattr(one.options, "zones", ()) if row.weight > 0} or {one.settings.weight} - {0.0}
    if not weights or not one.settings.has_effect:
        return ""
    low, high = min(weights), max(weights)
    added = f"{high:+g}" if low == high else f"{low:+g} to {high:+g}"
    asked = {word: getattr(config.score, word) for word in ("delay", "defer", "reject", "drop")}
    leads_to = [f"{word} from {threshold:g} on" for word, threshold in asked.items() if threshold > 0]
    return f"; {added} to the score" + (f", which asks for {', '.join(leads_to)}" if leads_to and high > 0 else "")


def _file_of(one: CheckConfig) -> str:
    name = type(one.check).__module__
    module = sys.modules.get(name)
    return "" if name.startswith("tarry.checks.") else str(getattr(module, "__file__", None) or name)
