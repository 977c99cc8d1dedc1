"""commands - what each command of the client means, and what each answer of the MTA to one does.

What      A command is recorded, looked at by the checks, judged, held where it is to be, and then answered by tarry, put to the
          MTA, or passed to the part of the session that it belongs to.
Promises  What refuses a client is told at the commands that would come to the MTA, and a command that is held is handled when the
          hold is over, as if it came then. What tarry does not know to relay never comes to the MTA (DESIGN §2 rule 10). A line
          of an AUTH exchange comes into no log.
Not here  The order of things (core/conversation), MAIL and RCPT (core/envelope), the message (core/delivery), TLS (core/starttls).
Source    RFC 5321 §4.1 and §4.1.4, RFC 4954, DESIGN §2 rules 2, 4, 9 and 10.
"""

from __future__ import annotations

from tarry.core import replies
from tarry.core.attention import Attention
from tarry.core.border import Piled, Stray, Unrecognised
from tarry.core.client import Phase
from tarry.core.delivery import Delivery
from tarry.core.envelope import Envelope
from tarry.core.exchange import FOR_ANSWERS, Exchange, Pause
from tarry.core.pace import Pace
from tarry.core.result import Action
from tarry.core.starttls import Starttls
from tarry.smtp.extensions import Capabilities, ehlo_reply, read_capabilities
from tarry.smtp.grammar import Command
from tarry.smtp.receiver import Receiver
from tarry.smtp.reply import Reply
from tarry.smtp.text import TEXT_LIMIT

_PHASES = {"HELO": Phase.HELO, "EHLO": Phase.HELO, "MAIL": Phase.MAIL, "RCPT": Phase.RCPT, "DATA": Phase.DATA, "BDAT": Phase.DATA}
_REFUSED = frozenset({*_PHASES, "AUTH"})


class Commands:
    """The commands of one session. ``is_away``: there is no MTA for it, and the first command is to be told so."""

    __slots__ = (
        "_attention", "_capabilities", "_delivery", "_envelope", "_esmtp", "_hello", "_in_auth", "_mta", "_pace", "_policy",
        "_receiver", "_screen", "_setting", "_tls", "_x", "is_away",
    )  # fmt: skip

    def __init__(
        self, exchange: Exchange, attention: Attention, envelope: Envelope, delivery: Delivery, tls: Starttls, receiver: Receiver
    ) -> None:
        self._x = exchange
        self._mta = exchange.mta
        self._screen = exchange.screen
        self._setting = exchange.setting
        self._policy = exchange.policy
        self._attention = attention
        self._envelope = envelope
        self._delivery = delivery
        self._tls = tls
        self._receiver = receiver
        self._pace = Pace(exchange, envelope, attention)
        self._capabilities = exchange.setting.capabilities or Capabilities()
        self._esmtp = self._in_auth = False
        self._hello = b""  # an EHLO or HELO that the MTA is being asked
        self.is_away = False

    def take(self, command: Command, bare: bool, now: float) -> None:
        """A command came; *bare*: with a bare LF at its end."""
        x = self._x
        verb = x.asked = command.verb
        phase = _PHASES.get(verb, x.phase)
        x.phase = max(x.phase, phase)
        argument = self._attention.record(command)
        if self.is_away and verb != "QUIT":
            x.end_with(replies.unavailable(self._setting.id), now, to=verb)
            return
        if bare:
            self._screen.look(Stray("command", "LF", b"" if verb == "AUTH" else command.line), x.phase, now)
        self._look_behind(verb, now)
        self._envelope.rcpts += verb == "RCPT"
        self._attention.command(verb, argument, self._envelope.rcpts, now)
        self._judge_command(command, now)

    def take_auth_line(self, line: bytes, now: float) -> None:
        """A line of an AUTH exchange came."""
        self._in_auth = False
        if self._mta.is_ready:
            self._x.ask("AUTH", line, now)
        else:
            # A new connection would take the line for a command: a password, or an XCLIENT of the client's own.
            self._x.fail(now, "it went away in the middle of a login")

    def take_broken_line(self, what: str, line: bytes, now: float) -> None:
        """A line came that holds a bare CR, LF or NUL (*what*)."""
        x = self._x
        in_auth, self._in_auth, x.asked = self._in_auth, False, ""
        # A line of an AUTH exchange is a password, or half of one: it goes into no log.
        self._screen.look(Stray("command", what, b"" if in_auth else line), x.phase, now)
        x.answer_unless_refused(replies.BROKEN_LINE, now)
        # After a bare LF, or inside AUTH, the two ends may differ on where the next line begins.
        if what == "LF" or in_auth:
            x.end()

    def begin_anew(self) -> None:
        """TLS begins: what was said in the clear does not count (RFC 3207 §4.2)."""
        self._esmtp = False

    def answered(self, reply: Reply, now: float) -> None:
        """The MTA answered what was asked last."""
        x = self._x
        code, asked = reply.code, x.asked
        self._look_behind(asked, now)
        match asked:
            case "MAIL" | "RCPT":
                if asked == "MAIL" and code < 400:
                    self._delivery.reset()
                self._envelope.answered(asked, reply, now)
            case "DATA" | "BDAT" | "message":
                self._delivery.answered(asked, reply, now)
            case "RSET" if code >= 400 or code == 250:
                if code == 250:
                    self._delivery.forget()
                x.answer(reply, now, by="mta")
            case "EHLO" | "HELO" if code == 250:
                self._mta.helo = self._hello
                self._mta.ehlo = reply if asked == "EHLO" else None
                self._delivery.forget()
                if asked == "EHLO":  # the answer to HELO says nothing of what is offered
                    self._capabilities = read_capabilities(reply, without=self._setting.without)
                x.answer(self._helo_reply(asked), now)
            case "EHLO" | "HELO" if code >= 400:
                x.relay_reply(reply, now)
            case "AUTH" if code == 334:
                x.answer(reply, now, by="mta")
                self._receiver.expect_auth_line()
                self._in_auth = True
            case "AUTH" if code >= 400 or code == 235:
                if code == 235:
                    self._screen.skip = x.is_authenticated = True
                x.answer(reply, now, by="mta")
            case "STARTTLS" if code >= 400 or code == 220:
                self._tls.answered(reply, now)
            case _:
                x.fail(now, f"{code} is no answer to {asked}")

    def _judge_command(self, command: Command, now: float) -> None:
        x, verb = self._x, command.verb
        phase = _PHASES.get(verb, x.phase)
        # Behind an STARTTLS of the MTA's tarry sees no MAIL and no RCPT: who is to be refused or delayed there meets it before.
        is_last = verb == "STARTTLS" and not self._tls.ends_here
        due = max(x.phase, Phase.RCPT) if is_last else x.phase
        if verb in _REFUSED or is_last:
            seconds = self._screen.seconds_to_wait(Phase.RCPT if self._attention.is_repeated(verb) else due, now)
            if seconds > 0:
                x.hold(Pause(seconds, FOR_ANSWERS), lambda later: self._judge_command(command, later), now)
                return
        verdict = self._screen.verdict(due)
        if verdict.action is Action.DROP or (verdict.action.refuses and (verb in _REFUSED or is_last)):
            # No honest client comes to DATA after its recipients were refused; one that does would go on with its message.
            x.refuse(verdict, now, end=verb in ("DATA", "BDAT"))
            return
        may_delay = is_last or (verb in _PHASES and phase >= self._policy.delay.at)
        pause = self._pace.before(verb, verdict, now, may_delay=may_delay)
        if pause.seconds > 0:
            x.hold(pause, lambda later: self._dispatch(command, later), now)
        else:
            self._dispatch(command, now)

    def _dispatch(self, command: Command, now: float) -> None:
        x = self._x
        match command.verb:
            case "EHLO" | "HELO":
                self._helo(command, now)
            case "MAIL":
                self._envelope.mail(command, now)
            case "RCPT":
                self._envelope.rcpt(command, now)
            case "DATA":
                # What it was held before is taken off, as with all holds for one command.
                wait = 0.0 if self._screen.skip else self._policy.data_wait.draw(self._setting.random) - x.held
                if wait > 0:
                    x.hold(Pause(wait, "data_wait"), self._delivery.data, now)
                else:
                    self._delivery.data(now)
            case "BDAT":
                self._delivery.bdat(command, now)
            case "RSET":
                if self._mta.is_ready:
                    x.ask("RSET", command.line, now)
                else:
                    self._delivery.forget()
                    x.answer(replies.OK, now)
            case "QUIT":
                self._mta.close(abort=False)
                x.answer(replies.BYE, now)
                x.end(linger=self._receiver.has_pending)
            case "NOOP":
                x.answer(replies.OK, now)
            case "AUTH":
                if not self._capabilities.offers("AUTH"):
                    x.answer(replies.NOT_OFFERED, now)
                elif self._tls.is_due:
                    x.answer(replies.TLS_FIRST, now)
                else:
                    x.ask("AUTH", command.line, now)
            case "STARTTLS":
                self._tls.command(command, self._capabilities, now)
            case "VRFY":
                x.answer(replies.CANNOT_VERIFY, now)
            case "HELP":
                x.answer(replies.HELP, now)
            case "EXPN" | "ETRN" | "TURN" | "ATRN" | "SEND" | "SOML" | "SAML":
                x.answer(replies.NOT_OFFERED, now)
            case _:
                self._screen.look(Unrecognised(command), x.phase, now)
                x.answer_unless_refused(replies.NOT_RECOGNISED, now)

    def _helo(self, command: Command, now: float) -> None:
        if not command.argument:
            self._x.answer(replies.NAME_MISSING, now)
            return
        if self._mta.is_ready:
            self._hello = command.line  # where it is refused all stands as it did (RFC 5321 §4.1.4)
            self._x.ask(command.verb, command.line, now)
        else:
            self._mta.helo = command.line
            self._delivery.forget()
            self._x.answer(self._helo_reply(command.verb), now)

    def _helo_reply(self, verb: str) -> Reply:
        self._esmtp = verb == "EHLO"
        return ehlo_reply(self._setting.name, self._tls.offer(self._capabilities) if self._esmtp else Capabilities())

    def _look_behind(self, verb: str, now: float) -> None:
        """Look whether something is piled up behind a command that is about to be answered."""
        if self._receiver.has_pending and verb not in ("DATA", "BDAT", "message"):
            grouping = self._esmtp and self._capabilities.offers("PIPELINING")
            behind = b"" if verb == "AUTH" else self._receiver.pending(TEXT_LIMIT)  # what follows AUTH may be a password
            self._screen.look(Piled(verb, behind, grouping), self._x.phase, now)
