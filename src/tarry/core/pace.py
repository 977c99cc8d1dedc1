"""pace - how long the reply to each command of a greeted client is held back.

What      Tarpits on RCPT, RSET, NOOP and MAIL, which grow with the number of the command, and the residual delay of a client that
          has given reasons for one: the longer of the two counts.
Promises  Exempt and authenticated clients wait for nothing, nor does anybody while tarry only observes. What the record of a
          residual delay tells is what a postmaster looks for: all reasons, sender and recipient.
Not here  The arithmetic (core/delay), for which reasons (core/residual), the wait before 354 (core/commands), what a hold does
          and the tarpits for what only an answer tells (core/exchange).
Source    DESIGN §2 rules 2 and 9; A. Flavell's log line, exim-users, 2004-03-02.
"""

from __future__ import annotations

from tarry.core.attention import Attention
from tarry.core.delay import tarpit
from tarry.core.envelope import Envelope
from tarry.core.exchange import NO_PAUSE, Exchange, Pause
from tarry.core.result import Verdict

_PITS = {"RCPT": "rcpt", "RSET": "rset", "NOOP": "noop", "MAIL": "mail"}


class Pace:
    """The holds of one session that are imposed before a command is handled."""

    __slots__ = ("_attention", "_envelope", "_x")

    def __init__(self, exchange: Exchange, envelope: Envelope, attention: Attention) -> None:
        self._x = exchange
        self._envelope = envelope
        self._attention = attention

    def before(self, verb: str, verdict: Verdict, now: float, *, may_delay: bool) -> Pause:
        """Return for how long this command is to be held, and why; to be asked once a command.

        ``may_delay``: a residual delay may be served at this command.
        """
        x = self._x
        pause = NO_PAUSE
        kind = _PITS.get(verb)
        if kind is not None and not x.screen.is_spared:
            count = self._envelope.rcpts if kind == "rcpt" else self._attention.count(verb)
            seconds = tarpit(count, getattr(x.policy.tarpits, kind))
            if seconds > 0:
                pause = Pause(seconds, f"tarpit.{kind}")
        if may_delay and verdict.delaying:
            left = x.residual.take(verdict, now)
            if left > pause.seconds:
                x.residual.spend(left)
                names = tuple(dict.fromkeys(reason.name for reason in x.residual.reasons))
                pause = Pause(left, "residual", names, self._attention.sender, self._attention.rcpt)
        return pause
