"""session_account - one session as an account: what happened, each reason and what it led to, every wait and why, karma.

What      `account_of` makes it of the session's records and of the configuration as it is now.
Promises  What happened is read from the records alone, what follows from keys is read from the configuration of today; where the
          session ran under another one, that is said.
Not here  How it is told: explain_session.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tarry.cli.recorded import Session
from tarry.config.compile import fingerprint, karma_rules, policy
from tarry.config.explanation import Explanation, explain
from tarry.config.load import Loaded
from tarry.core.karma import EVENTS, Rule, points
from tarry.record.schema import PASSED_BEFORE, Close, Greet, Hold, Outcome, Reason, Reply, Verdict, Wait
from tarry.record.summary import Summary
from tarry.rehearsal.keys import Keys, LineOf
from tarry.sinks.story import Said, tell
from tarry.sinks.story import Session as Told

WHERE = {
    "hold": "before the greeting",
    "helo": "at EHLO",
    "mail": "at MAIL",
    "rcpt": "at RCPT",
    "data": "at DATA",
    "message": "in the message",
    "greeted": "after the greeting",
}
_KEY_OF_HOLD = {
    "residual": "delay.target",
    "data_wait": "hold.data_wait",
    "answers": "dns.timeout",
    "reply_pace": "delay.reply_pace",
}
_WHY_HELD = {
    "residual": "delayed",
    "data_wait": "held before the 354",
    "answers": "waited for DNS",
    "reply_pace": "was told its reply an octet at a time",
}
_SLACK = 0.25
"""Seconds by which a hold may be shorter than was drawn without a cause: none is."""


class Found(msgspec.Struct, frozen=True):
    """One reason of the session. ``after`` is when it was found, None where only the closing line is recorded.

    ``action`` is what it led to then, ``now`` what it would lead to, by the key in ``key``. ``karma`` are the rules that it meets.
    ``advice`` tells who is found by mistake, and what helps; ``way_out`` what the client has to do, where it is not up to us.
    """

    name: str
    subject: str
    detail: str
    phase: str
    after: float | None
    action: str
    meaning: str
    effect: str
    now: str
    key: str
    weight: float
    karma: tuple[Rule, ...]
    advice: str
    way_out: str


class Account(msgspec.Struct, frozen=True):
    """All that is told of a session."""

    session: Session
    close: Close
    story: tuple[tuple[float, Said], ...]
    reasons: tuple[Found, ...]
    waits: tuple[str, ...]
    karma: tuple[Rule, ...]
    points: float
    karma_place: str
    notes: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """False while it is under way."""
        return self.session.close is not None

    @property
    def turned_away(self) -> str:
        """What it was told where it was not let in for what tarry is, or for what the operator said of it, and not for what it
        did: a deny list, a limit, a server that goes down. "" where it was not."""
        if self.reasons or self.close.greeted:
            return ""
        said = [one.event for one in self.session.records if isinstance(one.event, Reply)]
        return next((f"{one.code} {one.text}" for one in said if one.to == "connect" and one.code >= 400), "")


def account_of(session: Session, loaded: Loaded, line_of_row: LineOf | None) -> Account:
    """Make the account of a session under a configuration."""
    config = loaded.config
    close = session.close or _so_far(session)
    keys = Keys(loaded, policy(config), line_of_row)
    rules = karma_rules(config)
    met, brought = points(close, rules)
    return Account(
        session=session,
        close=close,
        story=tuple(_story(session)),
        reasons=tuple(_reasons(session, close, loaded, keys, rules)),
        waits=tuple(_waits(session, close, keys)),
        karma=met,
        points=brought,
        karma_place=str(loaded.origins["karma.rules"]),
        notes=tuple(_notes(session, loaded)),
    )


def _so_far(session: Session) -> Close:
    summary = Summary()
    for one in session.records:
        summary.add(one.event, one.dt)
    return summary.close()


def _story(session: Session) -> Iterator[tuple[float, Said]]:
    so_far = Told()
    for one in session.records:
        yield from ((one.dt, said) for said in tell(so_far, one.event, one.dt))


# Reasons.


def _reasons(session: Session, close: Close, loaded: Loaded, keys: Keys, rules: tuple[Rule, ...]) -> Iterator[Found]:
    recorded = [(one.dt, one.event) for one in session.records if isinstance(one.event, Reason)]
    if not recorded:
        for name in close.reasons:
            check, _, code = name.partition(".")
            yield _reason(None, Reason(check, code, ""), loaded, keys, rules)
    told: set[tuple[str, str]] = set()
    for dt, event in recorded:
        which = (f"{event.check}.{event.code}", event.subject)
        if which not in told:
            told.add(which)
            yield _reason(dt, event, loaded, keys, rules)


def _reason(dt: float | None, event: Reason, loaded: Loaded, keys: Keys, rules: tuple[Rule, ...]) -> Found:
    name = f"{event.check}.{event.code}"
    met = tuple(rule for rule in rules if rule.on in (event.check, name) and rule.on not in EVENTS)
    meaning = effect = now = advice = way_out = key = ""
    if event.check in loaded.config.checks:
        explained = explain(loaded.config, event.check)
        told = next((one for one in explained.reasons if one.code == event.code), None)
        if told is not None:
            meaning, effect, now = told.meaning, told.effect, told.action.word
            key = str(keys.check(event.check, event.code))
            advice, way_out = _advice(explained, event)
    else:
        meaning = "this configuration has no such check"
    return Found(
        name,
        event.subject,
        event.detail,
        event.phase,
        dt,
        event.action,
        meaning,
        effect,
        now,
        key,
        event.weight,
        met,
        advice,
        way_out,
    )


def _advice(explained: Explanation, event: Reason) -> tuple[str, str]:
    """Return how a client comes by this reason without deserving it, which its manual page knows, and what it has to do."""
    if event.weight < 0:
        return "", ""
    has_lists = any(key.last == "zones" for key, _ in explained.keys)
    listed = f"{event.subject} takes it off when its operator is asked to; here that counts within dns.max_ttl"
    return explained.sections.get("Mistaken", "").replace("``", ""), listed if has_lists and event.subject else ""


# How long it was held, and why so long.


def _waits(session: Session, close: Close, keys: Keys) -> Iterator[str]:
    yield from _before_the_greeting(session, close, keys)
    sums: dict[tuple[str, str], list[Hold]] = {}
    for one in session.records:
        if isinstance(one.event, Hold):
            sums.setdefault((one.event.why, one.event.phase), []).append(one.event)
    for (why, phase), holds in sums.items():
        took = sum(one.held for one in holds)
        times = f" in {len(holds):,} replies" if len(holds) > 1 else ""
        reasons = dict.fromkeys(name for one in holds for name in one.reasons)
        whose = f" for {', '.join(reasons)}" if reasons else ""
        cut = "" if holds[-1].ended == "due" else f", and {_CUT[holds[-1].ended]}" if holds[-1].ended in _CUT else ""
        by = f"[{why}]" if why.startswith("tarpit.") else str(keys.because(_KEY_OF_HOLD[why])) if why in _KEY_OF_HOLD else why
        yield f"{_WHY_HELD.get(why, 'held')} {took:.1f} s {WHERE.get(phase, f'at {phase}')}{times}{whose}{cut}: {by}"
    if close.mta_ms is not None and close.mta_ms >= 1000:
        yield f"waited {close.mta_ms / 1000:.1f} s for the MTA to take the connection"


_CUT = {"left": "it hung up before that was over", "answered": "went on when the answers were there", "cut": "it was cut short"}


def _before_the_greeting(session: Session, close: Close, keys: Keys) -> Iterator[str]:
    connect = session.connect
    if connect is None:
        yield f"held {close.held:.1f} s before {'the greeting' if close.greeted else 'it was over'}"
        return
    if connect.exempt:
        yield "not held: it is exempt"
        return
    if not connect.wait and session.close is not None and not close.greeted and close.hangup is None:
        yield "not held: it was turned away as it came"
        return
    greeted = next((one.event.held for one in session.records if isinstance(one.event, Greet)), None)
    asked = connect.wait
    yield f"to be held {asked:.1f} s before the greeting: {keys.hold(connect.hold_class)}"
    for one in session.records:
        if isinstance(one.event, Wait):
            asked = one.event.wait
            whose = f"one of {one.event.name}" if one.event.name else "one of no class"
            yield f"after {one.dt:.1f} s it turned out to be {whose}, to be held {asked:.1f} s in all: {keys.hold(one.event.name)}"
    if greeted is not None:
        yield f"greeted after {greeted:.1f} s{_why_sooner(session, asked - greeted, keys)}"
    elif session.close is None:
        yield "not greeted yet"
    elif close.hangup is not None:
        yield f"it hung up after {close.hangup:.1f} s, before the greeting"
    else:
        yield f"not greeted: it was refused after {close.held:.1f} s{_why_sooner(session, asked - close.held, keys)}"


def _why_sooner(session: Session, saved: float, keys: Keys) -> str:
    """Return why a hold ended before its time, "" where it did not."""
    if saved <= _SLACK:
        return ""
    speak_for = [one.event for one in session.records if isinstance(one.event, Reason) and one.event.weight < 0]
    if speak_for:
        return f", sooner than that for {', '.join(f'{one.check}.{one.code}' for one in speak_for)}"
    passed = [
        one.event.check
        for one in session.records
        if isinstance(one.event, Outcome) and one.event.result == "skipped" and one.event.why == PASSED_BEFORE
    ]
    if passed:
        by = ", ".join(str(keys.because(f"checks.{check}.remember")) for check in passed if check in keys.config.checks)
        return f", sooner than that since it passed {', '.join(passed)} before{f': {by}' if by else ''}"
    acted = any(isinstance(one.event, Verdict) and one.event.phase == "hold" for one in session.records)
    return f", sooner than that since it was decided: {keys.because('hold.end_early')}" if acted else ", sooner than that"


def _notes(session: Session, loaded: Loaded) -> Iterator[str]:
    connect = session.connect
    now = fingerprint(loaded.config)
    if connect is not None and connect.config and connect.config != now:
        yield (
            f"It ran under the configuration {connect.config}, and this one is {now}: what is said of keys is as they are in this "
            "one. (-c names another.)"
        )
    if session.close is None:
        if session.is_lost:
            yield "It has no closing line, and tarry was started anew since: its process ended before it did."
        else:
            yield "It has no closing line: it is under way, or its process was killed. All is told as far as it has come."
    elif connect is None:
        yield 'Only its closing line is recorded (record.detail = "close"): what happened when is not known.'
    if any(isinstance(one.event, Verdict) and one.event.observed for one in session.records):
        yield "tarry only observed: what was decided was not carried out."
