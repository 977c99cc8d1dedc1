"""exchange - one command at a time: who must speak next, and until when.

What      The mechanics under a conversation: answer the client, ask the MTA, hold a reply back, park, give up, end.
Promises  Each command gets exactly one reply. Whatever the MTA fails to do becomes a 421 and the end of the session, never a 5xx.
          A refusal that drops, and a failure, end both connections; a message under way is aborted and not ended with a dot.
          No question reaches an MTA that has not heard again what was parked; what it answers to that is nobody's reply.
Not here  What a command means (core/conversation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tarry.core import replies
from tarry.core.border import Close, Emit, Erred, Outbox
from tarry.core.check import About
from tarry.core.client import Client, Phase
from tarry.core.facts import Answer
from tarry.core.login import Way
from tarry.core.policy import Policy, Random
from tarry.core.result import Action, Reason, Verdict
from tarry.core.screen import Screen
from tarry.core.transaction import TAKEN, Transaction
from tarry.core.upstream import Stage, Upstream
from tarry.record import schema
from tarry.smtp.extensions import Capabilities
from tarry.smtp.reply import Reply
from tarry.smtp.text import escape

_ERRORS = frozenset({500, 501, 502, 503, 504, 555})
FOR_ANSWERS = "answers"
"""Why a reply is held back until what was asked about the client is known."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation begins with.

    ``capabilities`` is None while nothing is known of the MTA; ``reasons`` are those of the hold before the greeting;
    ``knows_client`` says that the MTA is told who the client is; ``mode`` and ``to`` name the hand-off in the records;
    ``without`` are EHLO keywords not to offer whatever the MTA does; ``away`` says why the MTA cannot be used at all; ``login``
    is what it needs to hear first, if anything; ``ends_tls`` says that STARTTLS is tarry's own and ends here;
    ``in_tls`` that the client came with TLS from its first byte on; ``answers`` are what the hold was told about it, and
    ``resolves`` says that the shell looks things up.
    """

    id: str
    client: Client
    accepted_at: float
    policy: Policy
    capabilities: Capabilities | None
    name: str
    random: Random
    reasons: tuple[Reason, ...] = ()
    is_exempt: bool = False
    knows_client: bool = False
    mode: str = "proxy"
    to: str = ""
    without: frozenset[str] = frozenset()
    away: str = ""
    login: Way | None = None
    ends_tls: bool = False
    in_tls: bool = False
    answers: tuple[Answer, ...] = ()
    resolves: bool = False


class Waiting(Enum):
    """What must happen before the next command is taken."""

    NOTHING = "nothing"
    MTA = "mta"
    HOLD = "hold"
    HANDSHAKE = "handshake"
    END = "end"


class Exchange:
    """The state of one session's give and take. ``asked`` names what the next reply to the client answers."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.policy: Policy = setting.policy
        self.outbox = Outbox()
        self.mta = Upstream(self.outbox, knows_client=setting.knows_client, way=setting.login, client=setting.client)
        self.transaction = Transaction()
        self.screen = Screen(
            setting.policy,
            self.outbox,
            about=About(
                setting.client.address,
                setting.client.server.host,
                setting.name,
                facts={answer.question: answer for answer in setting.answers},
            ),
            id=setting.id,
            accepted_at=setting.accepted_at,
            reasons=setting.reasons,
            skip=setting.is_exempt,
            resolves=setting.resolves,
        )
        self.phase = Phase.GREETED  # the furthest reached: a verdict that was due once stays due
        self.waiting = Waiting.NOTHING
        self.wake_at = math.inf
        self.asked = ""
        self.asked_at = 0.0
        self.is_authenticated = False
        self._errors = 0
        self._then: Callable[[float], None] | None = None
        self._hold = ("", 0.0, 0.0)  # why, how long, since when
        self._restored: Callable[[float], None] | None = None  # what waits until the MTA has heard the transaction again
        self._restore_by = math.inf

    def answer(self, reply: Reply, now: float, *, by: str = "tarry", size: int = 0) -> None:
        """Send the reply to what the client asked. An error too many is answered by the refusal that it earns, and the end."""
        dropped = False
        if reply.code in _ERRORS:
            self._errors += 1
            self.screen.look(Erred(self._errors), self.phase, now)
            verdict = self.screen.verdict(self.phase)
            if verdict.action is Action.DROP and verdict.reply is not None:
                reply, by, dropped = verdict.reply, "tarry", True
        self.outbox.put(Emit(schema.Reply(reply.code, escape(reply.last_line), self.asked, by, size)))
        self.outbox.send(reply.raw)
        self.waiting = Waiting.NOTHING
        self.wake_at = now + self.policy.limits.command
        if dropped or (reply.code == 421 and by == "mta"):
            self.end()

    def refuse(self, verdict: Verdict, now: float, *, end: bool) -> None:
        """Answer with the verdict's reply; *end* ends the session even where the verdict alone would not."""
        assert verdict.reply is not None
        self.answer(verdict.reply, now)
        if end or verdict.action is Action.DROP:
            self.end()

    def relay_reply(self, reply: Reply, now: float) -> None:
        """Pass the MTA's reply on, unless something came to light meanwhile that refuses the command."""
        verdict = self.screen.verdict(self.phase)
        if verdict.action.refuses:
            self.refuse(verdict, now, end=False)
        else:
            self.answer(reply, now, by="mta")

    def answer_unless_refused(self, reply: Reply, now: float) -> None:
        """Answer with tarry's own reply, unless the verdict of now has another."""
        verdict = self.screen.verdict(self.phase)
        if verdict.action.refuses:
            self.refuse(verdict, now, end=False)
        else:
            self.answer(reply, now)

    def end_with(self, reply: Reply, now: float, *, to: str = "", size: int = 0) -> None:
        """Answer and end."""
        self.asked = to
        self.answer(reply, now, size=size)
        self.end()

    def ask(self, asked: str, line: bytes, now: float) -> None:
        """Put a command to the MTA, behind the transaction if that was parked; its reply will answer *asked*."""
        if self.is_authenticated and self.mta.is_closed:
            # Another connection would not know the login, and refuse for good what this client may do.
            self.fail(now, "it went away, and the client's login with it")
            return
        self.asked = asked
        if self.transaction.refusal is not None:
            self.answer(self.transaction.refusal, now)
        elif self.transaction.is_parked:
            self.restore(lambda later: self.ask(asked, line, later), now)
        else:
            self._put(line, now)

    def restore(self, then: Callable[[float], None], now: float) -> None:
        """Give the MTA the parked transaction again, then go on with *then*, which has to look whether it was taken.

        All of it has the time of one command: else an MTA that is slow with each line keeps a client that gave up long ago.
        """
        self._restored = then
        self._restore_by = now + self.policy.limits.command
        self._put(self.transaction.next_line, now)

    def restored(self, reply: Reply, now: float) -> bool:
        """Take the MTA's answer when it is one to the transaction that is given again, or to the connection for it."""
        then, transaction = self._restored, self.transaction
        if then is None:
            return False
        if reply.code == 421 or (reply.code < 400 and reply.code not in TAKEN):
            self.fail(now, f"{reply.code} is no answer to what it had accepted before the hold")
            return True
        if reply.code < 400:
            transaction.accepted()
        else:
            what = transaction.next_line[:4].decode("ascii") if self.mta.is_ready else "the client"
            why = f"after the hold it refuses {what}: {reply.code} {escape(reply.last_line)}"
            self.outbox.put(Emit(schema.Handoff(self.setting.mode, self.setting.to, False, why=why)))
            # What it has taken again is a part of what the client was told, and must come to nothing.
            self.mta.close(abort=False)
            transaction.spoil(replies.taken_back(self.setting.id))
        if transaction.is_parked:
            self._put(transaction.next_line, now)
        else:
            self._restored = None
            self.waiting = Waiting.NOTHING
            then(now)
        return True

    def await_mta(self, now: float, limit: float) -> None:
        """Take no command before the MTA has replied, or *limit* seconds are over."""
        self.waiting = Waiting.MTA
        self.wake_at = now + limit

    def logged_on(self, now: float) -> None:
        """The MTA has taken a step on the way to its first command: it has its time anew, and is handed over at the last."""
        limits = self.policy.limits
        self.wake_at = now + (limits.handshake if self.mta.stage is Stage.SECURING else limits.backend)
        if self.mta.is_ready:
            ms = round((now - self.asked_at) * 1000, 3)
            self.outbox.put(Emit(schema.Handoff(self.setting.mode, self.setting.to, True, ms)))

    def secured(self, tls: schema.Tls, now: float) -> None:
        """The TLS handshake with the MTA is over, well or not."""
        if self.waiting is Waiting.MTA and self.mta.stage is Stage.SECURING:
            self.outbox.put(Emit(tls))
            if tls.ok:
                self.mta.secured()
                self.logged_on(now)
            else:
                self.fail(now, f"no TLS: {tls.why}")

    def be_late(self, now: float) -> None:
        """The MTA's time is over."""
        if self.mta.stage is Stage.SECURING:
            self.secured(schema.Tls("mta", False, why="no handshake in time"), now)
        else:
            self.fail(now, "no reply in time")

    def hold(self, seconds: float, why: str, then: Callable[[float], None], now: float) -> None:
        """Hold the reply back for *seconds*, then go on with *then*. Where that is long the MTA is not kept waiting."""
        if seconds > self.policy.park_after:
            self._park()
        self.waiting = Waiting.HOLD
        self.wake_at = now + seconds
        self._then = then
        self._hold = (why, seconds, now)

    @property
    def holds_for_answers(self) -> bool:
        """True during a hold that only waits for what is being looked up."""
        return self.waiting is Waiting.HOLD and self._hold[0] == FOR_ANSWERS

    def release(self, now: float, ended: str) -> Callable[[float], None]:
        """End the hold under way (``ended`` is due, left or answered), record it, and return what it held back."""
        why, asked, since = self._hold
        held = max(0.0, round(now - since, 6))
        self.outbox.put(Emit(schema.Hold(why, round(asked, 3), held, ended, self.phase.word)))
        then, self._then = self._then, None
        self.waiting = Waiting.NOTHING
        assert then is not None
        return then

    def fail(self, now: float, why: str) -> None:
        """The MTA cannot be used: the client is told to come again, and the session ends."""
        self.outbox.put(Emit(schema.Handoff(self.setting.mode, self.setting.to, False, why=why)))
        if self.waiting is not Waiting.END:
            self.answer(replies.unavailable(self.setting.id), now)
            self.end()

    def end(self, *, linger: bool = True) -> None:
        """Close both sides; an MTA that was not told QUIT drops what was under way."""
        if self.waiting is not Waiting.END:
            self.mta.close(abort=True)
            self.outbox.put(Close(linger))
            self.waiting = Waiting.END
            self.wake_at = math.inf

    def stop(self) -> None:
        """The conversation is over, and the connections are not: from here on they are pumped."""
        self.waiting = Waiting.END
        self.wake_at = math.inf

    def _put(self, line: bytes, now: float) -> None:
        if self.mta.is_ready and self.mta.has_unread:
            early = self.mta.early
            self.fail(now, f"it ended the session with {early.code}" if early is not None else "it speaks unasked")
            return
        self.asked_at = now
        self.mta.ask(line)
        limit = self.policy.limits.backend
        self.await_mta(now, limit if self._restored is None else min(limit, max(0.0, self._restore_by - now)))

    def _park(self) -> None:
        """Give the MTA's connection up for the time of a hold, if it can be had again as it is."""
        # A login cannot: another connection would not know it.
        if self.mta.is_ready and self.transaction.can_park and not self.is_authenticated:
            self.outbox.put(Emit(schema.Parked(self.phase.word, self.transaction.rcpts)))
            self.transaction.park()
            self.mta.close(abort=False)
