"""conclusion - what a play comes to: how it ended, in one word and in one sentence.

What      `ending_of` says whether the client got through to the MTA, and `conclude` tells the whole in a sentence.
Promises  Both look at nothing but the play's records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from tarry.core.admission import Admitted
from tarry.core.result import Action
from tarry.record import schema
from tarry.rehearsal.play import Play
from tarry.rehearsal.scene import Did

_FATAL = frozenset(action.word for action in Action if action.refuses or action is Action.DISCARD)
_DOOR = {
    Admitted.DENIED: "it is on the deny list",
    Admitted.TOO_MANY: "there are too many clients",
    Admitted.TOO_MANY_FROM_CLIENT: "it has too many connections",
    Admitted.TOO_MANY_FROM_NETWORK: "its network has too many connections",
}
MOMENT = 1e-6
"""Seconds: what is nearer than this is the same moment."""
_VERBS = frozenset({"tarpit.rcpt", "tarpit.rset", "tarpit.noop", "tarpit.mail"})


class Ending(Enum):
    """How a visit ends."""

    DELIVERED = "delivered"
    GIVEN = "given to the MTA"
    HEARD = "heard by the MTA"
    DISCARDED = "discarded"
    REFUSED = "refused"
    LEFT = "left"

    @property
    def is_through(self) -> bool:
        """True where the client got through to the MTA."""
        return self in (Ending.DELIVERED, Ending.GIVEN, Ending.HEARD)


def ending_of(played: Play) -> Ending:
    """Return how a play ended. A refusal of tarry's own is one also where the MTA had been asked before."""
    if played.gave_away:
        return Ending.GIVEN
    if played.messages:
        return Ending.DELIVERED
    replies = [one.event for one in played.happened if isinstance(one.event, schema.Reply)]
    if any(reply.to == "message" and reply.code < 400 for reply in replies):
        return Ending.DISCARDED
    if any(reply.code >= 400 and reply.by != "mta" for reply in replies):
        return Ending.REFUSED
    if played.gone_at is not None:
        return Ending.LEFT
    return Ending.HEARD if played.rcpts else Ending.REFUSED


def conclude(played: Play) -> str:
    """Return what happened, in one sentence without a full stop."""
    parts = [*_before_the_greeting(played), *_holds(played), *_end(played)]
    return ", ".join(parts)


def sentence(played: Play) -> str:
    """Return the same as a whole sentence."""
    told = conclude(played)
    return f"{told[:1].upper()}{told[1:]}."


def reasons_of(played: Play, names: Iterable[str] = (), *, is_for: bool = False) -> str:
    """Return the reasons of a play that speak against the client (*is_for*: for it), or those called *names*, with who says so."""
    wanted = tuple(names)
    found: dict[str, str] = {}
    for happened in played.happened:
        event = happened.event
        if isinstance(event, schema.Reason):
            name = f"{event.check}.{event.code}"
            if (name in wanted) if wanted else (event.weight < 0) is is_for:
                found[f"{name} ({event.subject})" if event.subject else name] = name
    return ", ".join(sorted(found, key=lambda told: wanted.index(found[told]) if wanted else 0))


def _before_the_greeting(played: Play) -> Iterator[str]:
    spoke = next((one.at for one in played.happened if isinstance(one.event, Did) and one.event.is_early), None)
    greeted = next((one.at for one in played.happened if isinstance(one.event, schema.Greet)), None)
    if played.admitted is Admitted.EXEMPT:
        yield "exempt"
    if spoke is not None and (greeted is None or spoke <= greeted):
        yield f"spoke after {spoke:.1f} s"
    if greeted is not None and (played.gone_at is None or played.gone_at > greeted):
        is_early = greeted < played.hold_until - MOMENT and spoke is None
        allowed = reasons_of(played, is_for=True) if is_early else ""
        when = f"after {greeted:.1f} s" if greeted else "at once"
        yield f"greeted {when} for {allowed}" if allowed else f"greeted {when}"


def _holds(played: Play) -> Iterator[str]:
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    verdict: schema.Verdict | None = None
    for happened in played.happened:
        match happened.event:
            case schema.Verdict() as verdict:
                pass
            case schema.Hold(why="residual", phase=phase):
                names = reasons_of(played, verdict.reasons if verdict else ())
                yield f"delayed to {happened.at:.0f} s at {phase.upper()}{f' for {names}' if names else ''}"
            case schema.Hold(why=why, held=held, phase=phase) if held > MOMENT:
                count, total = sums.get((why, phase), (0, 0.0))
                sums[why, phase] = count + 1, total + held
    for (why, phase), (count, total) in sums.items():
        replies = f"{count:,} replies" if count > 1 else "one reply"
        where = f"to {why.removeprefix('tarpit.').upper()}" if why in _VERBS else f"at {phase.upper()}"
        reason = {"answers": "DNS", "data_wait": "hold.data_wait", "reply_pace": "delay.reply_pace"}.get(why, why)
        yield f"{replies} {where} held for {total:,.1f} s by {reason}"


def _end(played: Play) -> Iterator[str]:
    match ending_of(played):
        case Ending.DELIVERED:
            yield "then handed to the MTA"
        case Ending.GIVEN:
            at = played.happened[-1].at
            yield f"given to the MTA {f'after {at:.1f} s' if at else 'at once'}, which greets it"
        case Ending.HEARD:
            yield "then refused by the MTA"
        case Ending.DISCARDED:
            yield f"its message taken and thrown away for {reasons_of(played, _last_verdict(played)) or 'no reason'}"
        case Ending.LEFT:
            is_greeted = any(isinstance(one.event, schema.Greet) and one.at < (played.gone_at or 0.0) for one in played.happened)
            yield f"hung up after {played.gone_at:.1f} s" + ("" if is_greeted else ", before it was greeted")
        case Ending.REFUSED:
            yield _refusal(played)


def _refusal(played: Play) -> str:
    refused = [
        (one.at, one.event)
        for one in played.happened
        if isinstance(one.event, schema.Reply) and one.event.code >= 400 and one.event.by != "mta"
    ]
    if not refused:
        return "then no more"
    at, reply = refused[-1]
    where = "" if reply.to in ("connect", "") else f" at {'the end of its message' if reply.to == 'message' else reply.to}"
    when = f"after {at:.1f} s" if at else "at once"
    if played.admitted in _DOOR:
        why = f": {_DOOR[played.admitted]}"
    else:
        names = reasons_of(played, _last_verdict(played))
        why = f" for {names}" if names else f": {reply.text}"
    return f"refused with {reply.code}{where} {when}{why}"


def _last_verdict(played: Play) -> tuple[str, ...]:
    """Return the names of the reasons of the last verdict that kept the client from the MTA."""
    verdicts = [one.event for one in played.happened if isinstance(one.event, schema.Verdict)]
    return next((one.reasons for one in reversed(verdicts) if one.action in _FATAL), ())
