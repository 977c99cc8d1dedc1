"""judge - reasons in, a verdict out.

What      The only place where weights, scores, actions and phases meet.
Promises  Pure. One more reason never softens the verdict, unless its weight is negative (an allow list), and a later
          phase never does either. Both are property tests. The order in which reasons came does not matter.
How       Each reason asks for the action of its check and code from its check's phase on (``at``, or where it was found). A reason
          with a negative weight asks for nothing, and where it outweighs the others of its check these ask for no more than a tag.
          The sum of the weights may ask for an action as well, from ``score.at`` on. The strongest that is due now is the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tarry.core import replies
from tarry.core.client import Phase
from tarry.core.policy import Policy, Score
from tarry.core.result import CLEAR, Action, Reason, Verdict
from tarry.smtp.reply import Reply, reply

LONGEST_REPLY: Final = 512
"""Octets of a reply line, with its code and CR LF (RFC 5321 §4.5.3.1.5)."""
PLACEHOLDERS: Final = ("client", "reason", "code", "list", "id", "help_url", "detail")
"""What `fill` puts into an operator's text."""
_TEXT: Final = LONGEST_REPLY - len("550 \r\n")


def judge(reasons: Sequence[Reason], policy: Policy, phase: Phase, *, client: str = "", id: str = "") -> Verdict:
    """Return what is to be done about *reasons* at *phase*.

    *client* and *id* stand in the reply. With ``policy.observe`` the verdict is the same: not to carry it out is the caller's part.
    """
    if not reasons:
        return CLEAR
    counted = _counted(reasons, policy)
    due = [(action, reason) for action, reason in counted if action > Action.IGNORE and _due_at(action, reason, policy) <= phase]
    by_score = Action.IGNORE
    if phase >= policy.score.at:
        by_score = _action_by_score(sum(reason.weight for _, reason in counted), policy.score)
    action = max((by_score, *(action for action, _ in due)))
    if action is Action.IGNORE:
        return CLEAR
    against = [reason for _, reason in counted if reason.weight >= 0]
    ranked = [reason for _, reason in sorted(due, key=lambda pair: -pair[0])]
    if all(asked < action for asked, _ in due):  # the score alone: what makes it up decides, and is told
        heavy = sorted((one for one in against if one.weight > 0), key=lambda one: -one.weight)
        ranked = heavy + [one for one in ranked if one not in heavy]
    delaying: list[Reason] = []
    if not action.refuses and phase >= policy.delay.at:
        delaying = [reason for asked, reason in due if asked is Action.DELAY]
        if not delaying and by_score is Action.DELAY:
            delaying = [reason for reason in against if reason.weight > 0]
    return Verdict(
        action,
        tuple(ranked),
        _reply(action, ranked[0], policy, phase, client, id) if action >= Action.DISCARD else None,
        tuple(delaying),
    )


def is_allowed(reasons: Sequence[Reason], policy: Policy) -> bool:
    """True when the allow lists outweigh all else by what ``score.allow`` asks for: the client need not wait."""
    threshold = policy.score.allow
    if threshold >= 0 or all(reason.weight >= 0 for reason in reasons):
        return False
    return sum(reason.weight for _, reason in _counted(reasons, policy)) <= threshold


def has_any_against(reasons: Sequence[Reason], policy: Policy) -> bool:
    """True when something that is more than recorded speaks against the client."""
    return any(reason.weight >= 0 and asked_for(reason, policy) is not Action.IGNORE for reason in reasons)


def refusal_ahead(reasons: Sequence[Reason], policy: Policy) -> bool:
    """True when the reasons so far refuse the client at RCPT at the latest: the MTA need not be opened at all."""
    return bool(reasons) and judge(reasons, policy, Phase.RCPT).action.refuses


def _counted(reasons: Sequence[Reason], policy: Policy) -> list[tuple[Action, Reason]]:
    """Return the reasons that are more than recorded, each with the action that it asks for."""
    asked = [(asked_for(reason, policy), reason) for reason in reasons]
    counted = [pair for pair in asked if pair[0] is not Action.IGNORE]
    if all(reason.weight >= 0 for _, reason in counted):
        return counted
    outweighed = {
        one.check for _, one in counted if one.weight < 0 and sum(r.weight for _, r in counted if r.check == one.check) <= 0
    }
    return [
        (Action.IGNORE if one.weight < 0 else min(action, Action.TAG) if one.check in outweighed else action, one)
        for action, one in counted
    ]


def asked_for(reason: Reason, policy: Policy) -> Action:
    """Return the action that a reason asks for: that of its check and code, ignore where its check is not there."""
    armed = policy.armed.get(reason.check)
    return armed.settings.action_for(reason.code) if armed else Action.IGNORE


def _due_at(action: Action, reason: Reason, policy: Policy) -> Phase:
    if action is Action.DELAY:
        return policy.delay.at
    at = policy.armed[reason.check].settings.at
    return at if at is not None else reason.phase


def _action_by_score(score: float, thresholds: Score) -> Action:
    for action, threshold in (
        (Action.DROP, thresholds.drop),
        (Action.REJECT, thresholds.reject),
        (Action.DEFER, thresholds.defer),
        (Action.DELAY, thresholds.delay),
    ):
        if 0 < threshold <= score:
            return action
    return Action.IGNORE


def _reply(action: Action, reason: Reason, policy: Policy, phase: Phase, client: str, id: str) -> Reply:
    armed = policy.armed[reason.check]
    own = armed.settings.reply
    if own and armed.settings.action_for(reason.code) is action and own.startswith("250") is (action is Action.DISCARD):
        # The text says what that action does, not what the score asks. No refusal is a 250, and nothing else a discard.
        text = fill(own, reason, client, id, policy.help_url)
        return reply(int(text[:3]), text[4:][:_TEXT].rstrip())
    if action is Action.DISCARD:
        return replies.ACCEPTED
    what = armed.check.complaint + (f" ({reason.subject})" if reason.subject else "")
    tail = f"[{id}] {policy.help_url}".rstrip()
    greeting = phase <= Phase.HOLD
    match action:
        case Action.DEFER:
            return reply(421 if greeting else 450, _said(f"4.7.1 {what}", f", try again later {tail}"))
        case Action.REJECT:
            return reply(554 if greeting else 550, _said(f"5.7.1 {what}", f" {tail}"))
        case _:
            return reply(521, _said(f"5.7.1 {what}", f" {tail}"))


def _said(what: str, tail: str) -> str:
    """Return both as one text that fits into a reply: where it is too long, the first is cut, since the other leads further."""
    return what[: max(0, _TEXT - len(tail))] + tail


def fill(text: str, reason: Reason, client: str, id: str, help_url: str = "") -> str:
    """Put the session's facts into an operator's text; unknown braces stay as they are."""
    facts = {"client": client, "reason": reason.name, "code": reason.code, "list": reason.subject, "id": id, "help_url": help_url}
    for name, value in facts.items():
        text = text.replace("{" + name + "}", value)
    return text.replace("{detail}", reason.detail)  # the last, since braces in it are the client's
