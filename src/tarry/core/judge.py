"""judge - reasons in, a verdict out.

What      The only place where weights, scores, actions and phases meet.
Promises  Pure. One more reason never softens the verdict, unless its weight is negative (an allow list), and a later
          phase never does either. Both are property tests.
How       Each reason asks for its check's action from its check's phase on (``at``, or where it was found). The sum of the weights
          may ask for delay or reject as well, at RCPT. The strongest that is due now is the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.core.client import Phase
from tarry.core.policy import Policy
from tarry.core.result import CLEAR, Action, Reason, Verdict
from tarry.smtp.reply import Reply, reply

_SCORE_PHASE = Phase.RCPT


def judge(reasons: Sequence[Reason], policy: Policy, phase: Phase, *, client: str = "", id: str = "") -> Verdict:
    """Return what is to be done about *reasons* at *phase*.

    *client* and *id* stand in the reply. With ``policy.observe`` the verdict is the same: not to carry it out is the caller's part.
    """
    if not reasons:
        return CLEAR
    counted = [(action, reason) for reason in reasons if (action := _action(reason, policy)) is not Action.IGNORE]
    due = [(action, reason) for action, reason in counted if _due_at(reason, policy) <= phase]
    action = max((action for action, _ in due), default=Action.IGNORE)
    if phase >= _SCORE_PHASE:
        action = max(action, _action_by_score(sum(reason.weight for _, reason in counted), policy))
    if action is Action.IGNORE:
        return CLEAR
    ranked = [reason for _, reason in sorted(due, key=lambda pair: -pair[0])] or [reason for _, reason in counted]
    return Verdict(action, tuple(ranked), _refusal(action, ranked[0], policy, phase, client, id) if action.refuses else None)


def is_delay_certain(reasons: Sequence[Reason], policy: Policy) -> bool:
    """True when the reasons so far will hold the client at ``delay.at``: the MTA need not be opened before that."""
    return bool(reasons) and judge(reasons, policy, max(policy.delay.at, _SCORE_PHASE)).action is Action.DELAY


def refusal_ahead(reasons: Sequence[Reason], policy: Policy) -> bool:
    """True when the reasons so far refuse the client at RCPT at the latest: the MTA need not be opened at all."""
    return bool(reasons) and judge(reasons, policy, Phase.RCPT).action.refuses


def _action(reason: Reason, policy: Policy) -> Action:
    armed = policy.armed.get(reason.check)
    return armed.settings.action if armed else Action.IGNORE


def _due_at(reason: Reason, policy: Policy) -> Phase:
    settings = policy.armed[reason.check].settings
    if settings.action is Action.DELAY:
        return policy.delay.at
    return settings.at if settings.at is not None else reason.phase


def _action_by_score(score: float, policy: Policy) -> Action:
    if 0 < policy.score.reject <= score:
        return Action.REJECT
    if 0 < policy.score.delay <= score:
        return Action.DELAY
    return Action.IGNORE


def _refusal(action: Action, reason: Reason, policy: Policy, phase: Phase, client: str, id: str) -> Reply:
    armed = policy.armed[reason.check]
    if armed.settings.reply and armed.settings.action is action:  # the text says what that action does, not what the score asks
        text = fill(armed.settings.reply, reason, client, id)
        return reply(int(text[:3]), text[4:])
    what = armed.check.complaint
    greeting = phase <= Phase.HOLD
    match action:
        case Action.DEFER:
            return reply(421 if greeting else 450, f"4.7.1 {what}, try again later [{id}]")
        case Action.REJECT:
            return reply(554 if greeting else 550, f"5.7.1 {what} [{id}]")
        case _:
            return reply(521, f"5.7.1 {what} [{id}]")


def fill(text: str, reason: Reason, client: str, id: str) -> str:
    """Put the session's facts into an operator's text; unknown braces stay as they are."""
    for name, value in (("client", client), ("reason", reason.name), ("code", reason.code), ("id", id)):
        text = text.replace("{" + name + "}", value)
    return text
