"""exchange - one command at a time: who must speak next, and until when.

What      The mechanics under a conversation: answer the client, ask the MTA, hold a reply back, say it slowly, park, give up, end.
Promises  Each command gets exactly one reply. Whatever the MTA fails to do becomes a 421 and the end of the session, never a 5xx.
          A refusal that drops, and a failure, end both connections; a message under way is aborted and not ended with a dot.
          No question reaches an MTA that has not heard again what was parked; what it answers to that is nobody's reply.
Holds     Before a command is handled, or, where only its answer tells that it is to be held, of the finished reply; of the holds
          for one command the longest counts. A reply that was held for the client's sake may go out an octet at a time. No command
          is taken meanwhile, and an end waits for it.
Not here  What a command means (core/conversation).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from functools import partial

import msgspec

from tarry.core import replies
from tarry.core.border import Close, Emit, Erred, Outbox
from tarry.core.check import About
from tarry.core.client import Phase
from tarry.core.delay import tarpit
from tarry.core.policy import LONGEST_HOLD, Policy
from tarry.core.residual import Residual
from tarry.core.result import Action, Verdict
from tarry.core.screen import Screen
from tarry.core.setting import Setting
from tarry.core.stutter import Stutter
from tarry.core.transaction import TAKEN, Transaction
from tarry.core.upstream import Stage, Upstream
from tarry.record import schema
from tarry.smtp.reply import ERRORS, Reply
from tarry.smtp.text import escape

_PERSONAL = ("residual", "tarpit.")
"""Why a hold is imposed that has to do with what this client is or did."""
_BEHIND_MAIL = frozenset({"RCPT", "DATA", "BDAT"})
FOR_ANSWERS = "answers"
"""Why a reply is held back until what was asked about the client is known."""
_NEVER_SLOW = frozenset({"message", "BDAT", "STARTTLS", "AUTH"})
"""Answers that go out in one piece: a client that is told slowly that its message is taken sends it twice, and the others change
what the octets behind them mean."""


class Pause(msgspec.Struct, frozen=True):
    """A hold to be imposed: its length, why, and what the record of it is to tell besides."""

    seconds: float = 0.0
    why: str = ""
    reasons: tuple[str, ...] = ()
    sender: str = ""
    rcpt: str = ""


NO_PAUSE = Pause()


class Waiting(Enum):
    """What must happen before the next command is taken."""

    NOTHING = "nothing"
    MTA = "mta"
    HOLD = "hold"
    STUTTER = "stutter"
    HANDSHAKE = "handshake"
    END = "end"


class Exchange:
    """The state of one session's give and take. ``asked`` names what the next reply to the client answers, and ``held`` for how
    many seconds that has been held back."""

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
        self.residual = Residual(setting.policy.delay, setting.accepted_at, setting.random)
        self.phase = Phase.GREETED  # the furthest reached: a verdict that was due once stays due
        self.waiting = Waiting.NOTHING
        self.wake_at = math.inf
        self.asked = ""
        self.asked_at = 0.0
        self.is_authenticated = self.is_hurried = False
        self._errors = 0
        self._is_mail_refused = False
        self._then: Callable[[float], None] | None = None
        self._pause, self._held_at = NO_PAUSE, 0.0
        self._late = NO_PAUSE  # for the next reply
        self._is_late = False  # the hold under way is of a finished reply
        self.held = 0.0
        self._slow_since: float | None = None  # since when, where its reply may go out slowly
        self._stutter: Stutter | None = None
        self._after: tuple[Callable[[float], None], ...] = ()  # what waits until the reply has gone out
        self._restored: Callable[[float], None] | None = None  # what waits until the MTA has heard the transaction again
        self._restore_by = math.inf

    def answer(self, reply: Reply, now: float, *, by: str = "tarry", size: int = 0) -> None:
        """Send the reply to what the client asked, at once, or when it has been held for as long as is due; see `once_told`.

        An error too many is answered by the refusal that it earns, and the end. What was piled up behind a MAIL that is refused
        errs in nothing: the client had to say it before it could know (RFC 2920 §3.1).
        """
        if self._stutter is not None or self.waiting is Waiting.HOLD:
            self._cut(now)
        dropped = False
        if self.asked == "MAIL":
            self._is_mail_refused = reply.code >= 400
        if reply.code in ERRORS and not (self._is_mail_refused and self.asked in _BEHIND_MAIL):
            self._errors += 1
            self.screen.look(Erred(self._errors), self.phase, now)
            verdict = self.screen.verdict(self.phase)
            if verdict.action is Action.DROP and verdict.reply is not None:
                reply, by, dropped = verdict.reply, "tarry", True
            else:
                self.hold_reply(tarpit(self._errors, self.policy.tarpits.error), "tarpit.error")
        late, self._late = self._late, NO_PAUSE
        if late.seconds > self.held and not dropped and reply.code != 421:
            self._is_late = True
            late = msgspec.structs.replace(late, seconds=late.seconds - self.held)
            self.hold(late, partial(self._tell, reply, by=by, size=size), now)
            return
        self._tell(reply, now, by=by, size=size)
        if dropped or (reply.code == 421 and by == "mta"):
            self.end()

    def hold_reply(self, seconds: float, why: str) -> None:
        """The next reply is to be held back, so that its command has been held for *seconds*; the longest of these counts."""
        if seconds > self._late.seconds and not self.screen.is_spared:
            self._late = Pause(seconds, why)

    def once_told(self, then: Callable[[float], None], now: float) -> None:
        """Go on with *then* when the last reply has gone out: now, where it is neither held nor slow."""
        if self.waiting is not Waiting.STUTTER and not self._is_late:
            then(now)
            return
        self._after = (*self._after, then)

    @property
    def next_octet_at(self) -> float:
        """When `say_more` is due. Only while `Waiting.STUTTER`."""
        assert self._stutter is not None
        return self._stutter.next_at

    def say_more(self, now: float) -> None:
        """Send what is due of a slow reply."""
        assert self._stutter is not None
        self.outbox.send(self._stutter.take(now))
        if self._stutter.is_over:
            self._end_stutter("due", now)
            self._told(now)

    def hurry(self, now: float) -> None:
        """Nothing goes out slowly any more: the daemon is going down."""
        self.is_hurried = True
        if self._stutter is not None:
            self._say_rest(now)
            self._told(now)

    def refuse(self, verdict: Verdict, now: float, *, end: bool) -> None:
        """Answer with the verdict's reply; *end* ends the session even where the verdict alone would not."""
        assert verdict.reply is not None
        if verdict.action is Action.DROP:
            self._late = NO_PAUSE
        self.answer(verdict.reply, now)
        if end or verdict.action is Action.DROP:
            self.end()

    def relay_reply(self, reply: Reply, now: float) -> bool:
        """Pass the MTA's reply on, unless something came to light meanwhile that refuses the command; False where it did."""
        verdict = self.screen.verdict(self.phase)
        if verdict.action.refuses:
            self.refuse(verdict, now, end=False)
        else:
            self.answer(reply, now, by="mta")
        return not verdict.action.refuses

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

    def hold(self, pause: Pause, then: Callable[[float], None], now: float) -> None:
        """Hold the reply back, then go on with *then*. Where that is long the MTA is not kept waiting."""
        if pause.seconds > self.policy.park_after:
            self._park()
        self.waiting = Waiting.HOLD
        self.wake_at = now + pause.seconds
        self._then = then
        self._pause, self._held_at = pause, now
        if self._slow_since is None and pause.why.startswith(_PERSONAL):
            self._slow_since = now

    @property
    def holds_for_answers(self) -> bool:
        """True during a hold that only waits for what is being looked up."""
        return self.waiting is Waiting.HOLD and self._pause.why == FOR_ANSWERS

    def release(self, now: float, ended: str) -> Callable[[float], None]:
        """End the hold under way (``ended`` is due, left, answered or cut), record it, and return what it held back."""
        pause = self._pause
        held = max(0.0, round(now - self._held_at, 6))
        told = (pause.reasons, pause.sender, pause.rcpt)
        self.outbox.put(Emit(schema.Hold(pause.why, round(pause.seconds, 3), held, ended, self.phase.word, *told)))
        self.held += max(held, pause.seconds) if ended == "due" else held
        then, self._then = self._then, None
        self.waiting = Waiting.NOTHING
        assert then is not None
        return then

    def leave(self, now: float) -> None:
        """The client went away during a hold, or while it was told something slowly, and that ends the session."""
        if self._stutter is not None:
            self._end_stutter("left", now)
        else:
            self.release(now, "left")
        self._is_late, self._after = False, ()
        self.end()

    def fail(self, now: float, why: str) -> None:
        """The MTA cannot be used: the client is told to come again, and the session ends."""
        self.outbox.put(Emit(schema.Handoff(self.setting.mode, self.setting.to, False, why=why)))
        if self.waiting is not Waiting.END:
            self.answer(replies.unavailable(self.setting.id), now)
            self.end()

    def end(self, *, linger: bool = True) -> None:
        """Close both sides, the client's once its reply has gone out; an MTA that was not told QUIT drops what was under way."""
        if self.waiting is not Waiting.END:
            self.mta.close(abort=True)
            self.once_told(lambda _: self._close(linger), 0.0)

    def stop(self) -> None:
        """The conversation is over, and the connections are not: from here on they are pumped."""
        self.waiting = Waiting.END
        self.wake_at = math.inf

    def _close(self, linger: bool) -> None:
        self.outbox.put(Close(linger))
        self.stop()

    def _tell(self, reply: Reply, now: float, *, by: str, size: int) -> None:
        self.outbox.put(Emit(schema.Reply(reply.code, escape(reply.last_line), self.asked, by, size)))
        self.waiting = Waiting.NOTHING
        self.wake_at = now + self.policy.limits.command
        since, self._slow_since = self._slow_since, None
        self.held, self._is_late = 0.0, False
        if since is not None and self._may_stutter(since, now):
            self._stutter = Stutter(reply.raw, self.policy.delay.reply_pace, now, since + LONGEST_HOLD)
            self.waiting = Waiting.STUTTER
            if self._stutter.until - now > self.policy.park_after and reply.code != 354:
                self._park()
            self.say_more(now)
        else:
            self.outbox.send(reply.raw)
            self._told(now)

    def _told(self, now: float) -> None:
        if self._after:
            after, self._after = self._after, ()
            for then in after:
                then(now)

    def _may_stutter(self, since: float, now: float) -> bool:
        delay, slow = self.policy.delay, self.setting.slow
        if delay.reply_pace <= 0 or self.is_hurried or self.asked in _NEVER_SLOW or now >= since + LONGEST_HOLD:
            return False
        return slow is not None and slow.begin(self.setting.id, delay.reply_pace_clients)

    def _say_rest(self, now: float) -> None:
        assert self._stutter is not None
        self.outbox.send(self._stutter.rest())
        self._end_stutter("cut", now)

    def _end_stutter(self, ended: str, now: float) -> None:
        stutter, self._stutter = self._stutter, None
        assert stutter is not None
        assert self.setting.slow is not None
        self.setting.slow.end(self.setting.id)
        asked, took = stutter.until - stutter.since, max(0.0, now - stutter.since)
        self.outbox.put(Emit(schema.Hold("reply_pace", round(asked, 3), round(took, 6), ended, self.phase.word)))
        self.waiting = Waiting.NOTHING
        self.wake_at += took  # the client has its time from here on

    def _cut(self, now: float) -> None:
        """What was under way gives way to another reply: of a slow one the rest goes first, a held one is never sent."""
        if self._stutter is not None:
            self._say_rest(now)
        elif self.waiting is Waiting.HOLD:
            self.release(now, "cut")
        self._is_late, self._after = False, ()

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
