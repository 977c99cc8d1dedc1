"""envelope - MAIL and RCPT: from the client to the MTA and back.

What      Passes reverse- and forward-paths to the MTA, or keeps the MAIL back for a client that will be held or refused at RCPT.
          An accepted recipient may be told so in the operator's words (tarpit.rcpt.say), with the MTA's own code.
Promises  The MTA judges MAIL and RCPT; its replies are its own. A MAIL that tarry answered by itself (DESIGN §2 rule 2)
          reaches the MTA before the first RCPT does, and the MTA's refusal of it is the answer to that RCPT. Once the
          MTA has gone away in the middle of a transaction, or taken back a part of one that was parked, nothing more of it
          is accepted.
"""

from __future__ import annotations

import re

from tarry.core import replies
from tarry.core.attention import Attention
from tarry.core.client import Phase
from tarry.core.delay import tarpit
from tarry.core.exchange import Exchange
from tarry.core.judge import judge, refusal_ahead
from tarry.core.transaction import TAKEN
from tarry.smtp.grammar import Command
from tarry.smtp.reply import Reply
from tarry.smtp.reply import reply as smtp_reply

_ENHANCED = re.compile(rb"2\.[0-9]{1,3}\.[0-9]{1,3} ")


class Envelope:
    """The transaction as far as it has come. ``rcpts`` counts RCPT commands of it, ``accepted`` those that the MTA accepted."""

    __slots__ = ("_attention", "_line", "_lost", "_owed", "_x", "accepted", "rcpts")

    def __init__(self, exchange: Exchange, attention: Attention) -> None:
        self._x = exchange
        self._attention = attention
        self._owed: bytes | None = None  # a MAIL that the MTA has not seen
        self._line = b""  # the MAIL or RCPT that is being judged
        self._lost = ""  # why the MTA went away
        self.rcpts = 0
        self.accepted = 0

    @property
    def is_open(self) -> bool:
        """True when the MTA has accepted its MAIL."""
        return self._x.transaction.is_open

    def mail(self, command: Command, now: float) -> None:
        """Begin a transaction. One inside another is the MTA's to refuse, and then changes nothing."""
        if not self.is_open:
            self._x.transaction.refusal = None  # one that was taken back is over with the next
            self.rcpts = self.accepted = 0
        self._line = command.line
        if not self.has_mta and self._is_rcpt_held():
            self._owed = command.line
            self._x.answer(replies.SENDER_OK, now)
        else:
            self._owed = None
            self.ask("MAIL", command.line, now)

    def rcpt(self, command: Command, now: float) -> None:
        """Add a recipient."""
        self._line = command.line
        if self.rcpts > self._x.policy.limits.recipients:
            self._x.answer(replies.too_many_recipients(self._x.setting.id, self._x.policy.help_url), now)
        elif self._owed is not None:
            self._x.ask("RCPT", self._owed, now)
        elif self.has_mta:
            self.ask("RCPT", command.line, now)
        else:
            self._x.answer(replies.MAIL_FIRST, now)

    @property
    def has_mta(self) -> bool:
        """True when there is an MTA to judge the next command, or was one when the transaction began."""
        transaction = self._x.transaction
        return self._x.mta.is_ready or bool(self._lost) or transaction.is_parked or transaction.refusal is not None

    def ask(self, asked: str, line: bytes, now: float) -> None:
        """Put a command of the transaction to the MTA, unless it went away in the middle of it."""
        if self._lost:
            self._x.fail(now, self._lost)
        else:
            self._x.ask(asked, line, now)

    def answered(self, asked: str, reply: Reply, now: float) -> None:
        """The MTA answered MAIL or RCPT."""
        if reply.code < 400 and reply.code not in TAKEN:
            self._x.fail(now, f"{reply.code} is no answer to {asked}")
        elif asked == "RCPT" and self._owed is not None:
            self._owed_answered(self._owed, reply, now)
        else:
            if reply.code in TAKEN:
                if asked == "MAIL":
                    self._x.transaction.begin(self._line)
                    self.rcpts = self.accepted = 0
                else:
                    self._x.transaction.add(self._line)
                    self.accepted += 1
            # Outside a transaction a refusal says nothing of the recipient: the MTA misses the MAIL, which it may have refused.
            if asked == "RCPT" and (self.is_open or reply.code in TAKEN):
                self._attention.recipient_answered(reply.code, self.accepted, now)
                if reply.code >= 400:
                    self._x.hold_reply(tarpit(self._attention.refused, self._x.policy.tarpits.refused), "tarpit.refused")
                else:
                    reply = self._in_our_words(reply)
            if not self._x.relay_reply(reply, now) and asked == "MAIL" and reply.code < 400:
                # To the client no transaction has begun: the MTA would refuse its next MAIL for this one.
                self._x.mta.close(abort=False)
                self._x.transaction.forget()

    def lose(self, why: str) -> None:
        """The MTA's connection is gone, and with it what it had accepted."""
        if self.is_open or not self._x.transaction.can_park:
            self._lost = why

    def forget(self) -> None:
        """The transaction is over, or never was (RSET, EHLO, a message answered)."""
        self._owed = None
        self._lost = ""
        self._x.transaction.forget()
        self._x.screen.begin_message()

    def _owed_answered(self, mail: bytes, reply: Reply, now: float) -> None:
        if reply.code >= 400:
            self._x.answer(reply, now, by="mta")
            return
        self._owed = None
        self._x.transaction.begin(mail)
        self._x.ask("RCPT", self._line, now)

    def _in_our_words(self, reply: Reply) -> Reply:
        """Return what an accepted recipient is told: the operator's text where there is one for it."""
        pit = self._x.policy.tarpits.rcpt
        if not pit.say or reply.code != 250 or self.rcpts <= pit.say_after or self._x.screen.is_spared:
            return reply
        enhanced = _ENHANCED.match(reply.last_line)
        return smtp_reply(250, f"{enhanced[0].decode() if enhanced else ''}{pit.say}")

    def _is_rcpt_held(self) -> bool:
        policy, reasons = self._x.policy, self._x.screen.standing
        if refusal_ahead(reasons, policy):
            return True
        if not self._x.screen.is_spared and tarpit(1, policy.tarpits.rcpt) > policy.park_after:
            return True  # else the MTA would be opened for the MAIL, and given up again at the RCPT
        return policy.delay.at is Phase.RCPT and bool(reasons) and self._x.residual.is_due(judge(reasons, policy, Phase.RCPT))
