"""pace - how long the reply to each command of a greeted client is held back.

What      Tarpits on RCPT, RSET, NOOP and MAIL, which grow with the number of the command, and the residual delay of a client that
          has given reasons for one: the longer of the two counts.
Promises  Exempt and authenticated clients wait for nothing. A residual delay is served once, and again only when one more reason
          has come to light; its target is drawn once a session.
Not here  The arithmetic (core/delay), the wait before 354 (core/conversation), and what a hold does (core/exchange).
Source    DESIGN §2 rules 2 and 9.
"""

from __future__ import annotations

from tarry.core.attention import Attention
from tarry.core.delay import residual, tarpit
from tarry.core.envelope import Envelope
from tarry.core.exchange import Exchange
from tarry.core.result import Action, Verdict

_PITS = {"RCPT": "rcpt", "RSET": "rset", "NOOP": "noop", "MAIL": "mail"}


class Pace:
    """The holds of one session."""

    __slots__ = ("_attention", "_envelope", "_target", "_x")

    def __init__(self, exchange: Exchange, envelope: Envelope, attention: Attention) -> None:
        self._x = exchange
        self._envelope = envelope
        self._attention = attention
        self._target: float | None = None

    def hold_before(self, verb: str, verdict: Verdict, now: float, *, may_delay: bool) -> tuple[float, str]:
        """Return for how many seconds this command's reply is to be held back, and why; to be asked once a command.

        ``may_delay``: a residual delay may be served at this command.
        """
        policy, screen, envelope = self._x.policy, self._x.screen, self._envelope
        seconds, why = 0.0, ""
        kind = _PITS.get(verb)
        if kind is not None and not screen.skip:
            count = envelope.rcpts if kind == "rcpt" else self._attention.count(verb)
            seconds, why = tarpit(count, getattr(policy.tarpits, kind)), f"tarpit.{kind}"
        count = len(screen.standing)
        if may_delay and verdict.action is Action.DELAY and count > envelope.delayed_for:
            envelope.delayed_for = count
            left = residual(self._draw(), self._x.setting.accepted_at, now)
            if left > seconds:
                seconds, why = left, "residual"
        return seconds, why

    def _draw(self) -> float:
        if self._target is None:
            self._target = self._x.policy.delay.target.draw(self._x.setting.random)
        return self._target
