"""delivery - DATA, BDAT and the message: from the client to the MTA and the MTA's answer back.

What      Opens the transfer when the MTA says 354 or the client sends a chunk, passes data on, and relays the answer to
          the message.
Promises  250 only after the MTA's 250; an answer of another class is a failure. A message that tarry refuses, or that
          breaks off, is aborted at the MTA and never ended with a dot. Where a message is refused before it is sent and
          the client sends it all the same, the session ends: its lines are not read as commands. The octets of a chunk are
          never read as anything else. A message that is thrown away (action discard) comes to the MTA as any other, so that what it
          refuses is refused, and is aborted before its end; only then is the client told 250, and an MTA that fails before is a
          421 here too.
Source    RFC 5321 §4.1.1.4, RFC 3030; postscreen ends sessions at DATA for the same reason.
"""

from __future__ import annotations

from tarry.core import replies
from tarry.core.border import PreData, Stray
from tarry.core.client import Phase
from tarry.core.envelope import Envelope
from tarry.core.exchange import Exchange
from tarry.core.headers import header_lines
from tarry.core.result import Action
from tarry.core.transfer import Transfer
from tarry.smtp.extensions import read_capabilities
from tarry.smtp.grammar import Command, parse_chunk
from tarry.smtp.receiver import Receiver
from tarry.smtp.reply import Reply
from tarry.smtp.text import TEXT_LIMIT


class Delivery:
    """The message of the transaction under way."""

    __slots__ = ("_envelope", "_receiver", "_transfer", "_x")

    def __init__(self, exchange: Exchange, envelope: Envelope, receiver: Receiver) -> None:
        self._x = exchange
        self._envelope = envelope
        self._receiver = receiver
        self._transfer = Transfer()

    @property
    def is_open(self) -> bool:
        """True while the client is sending data."""
        return self._transfer.is_open

    @property
    def needs_mta(self) -> bool:
        """True while data is coming that the MTA has given no answer to yet."""
        return self._transfer.is_open and self._transfer.discarded is None and self._x.mta.early is None

    def reset(self) -> None:
        """A new transaction begins."""
        self._transfer.reset()

    def forget(self) -> None:
        """The transaction is over, and its message with it."""
        self._envelope.forget()
        self._transfer.reset()

    def data(self, now: float) -> None:
        """The client asks to send its message."""
        if self._is_predata_refused(now):
            return
        transaction = self._x.transaction
        if transaction.is_parked:
            self._x.restore(self.data, now)  # and then again: the client may have talked meanwhile
        elif transaction.refusal is not None:
            self._refuse_data(transaction.refusal, now)
        elif self._envelope.has_mta:
            self._envelope.ask("DATA", b"DATA", now)
        else:
            self._refuse_data(replies.RCPT_FIRST, now)

    def bdat(self, command: Command, now: float) -> None:
        """The client sends a chunk."""
        x = self._x
        # From the line: the argument has lost the blanks before it, and `BDAT  10` is no size that every server reads.
        chunk = parse_chunk(command.line[len("BDAT ") :].rstrip(b" \t"))
        if chunk is None:
            # How much follows is unknown, so nothing that follows may be read.
            x.end_with(replies.CHUNK_MALFORMED, now, to="BDAT")
        elif x.transaction.is_parked:
            x.restore(lambda later: self.bdat(command, later), now)
        elif x.transaction.refusal is not None or not self._envelope.has_mta or not self._envelope.is_open:
            self._transfer.begin_discarded(x.transaction.refusal or replies.MAIL_FIRST, now)
            self._await_chunk(chunk.octets)
        elif not x.mta.is_ready or x.mta.has_unread:
            self._envelope.ask("BDAT", b"", now)  # it went away, or speaks unasked: this fails
        elif x.mta.ehlo is None:  # the client said HELO: it was offered nothing
            self._transfer.begin_discarded(replies.NOT_OFFERED, now)
            self._await_chunk(chunk.octets)
        elif not read_capabilities(x.mta.ehlo).offers("CHUNKING"):
            x.fail(now, "it does not offer CHUNKING any more")
        else:
            x.transaction.bind()
            self._transfer.begin_chunk(chunk, self._header_lines(), x.mta, now)
            self._await_chunk(chunk.octets)

    def take(self, data: bytes) -> None:
        """A block of message data came."""
        self._transfer.take(data, self._x.mta)
        self._x.wake_at = self._transfer.deadline(self._x.policy.limits.data)

    def end_of_data(self, mended: str, now: float) -> None:
        """CRLF.CRLF came."""
        self._begin_answer()
        if mended:
            self._x.screen.look(Stray("message", mended), Phase.MESSAGE, now)
        if not self._is_kept_from_mta(now):
            self._finish(b".\r\n", now)

    def end_of_chunk(self, now: float) -> None:
        """All octets of the chunk came."""
        discarded = self._transfer.discarded
        if discarded is not None:
            self._transfer.reset()
            self._x.answer(discarded, now)
            return
        if self._transfer.is_last:
            self._begin_answer()
            if self._is_kept_from_mta(now):
                return
        self._finish(self._transfer.withheld(), now)

    def broken(self, what: str, now: float) -> None:
        """The message holds a stray CR, LF or NUL, and is refused for it."""
        self._x.screen.look(Stray("message", what), Phase.MESSAGE, now)
        verdict = self._x.screen.verdict(Phase.MESSAGE)
        # Also where it would be thrown away: what comes behind it cannot be read any more.
        refusal = verdict.reply if verdict.action.refuses else None
        own = replies.broken_message(self._x.setting.id, self._x.policy.help_url)
        self._x.end_with(refusal or own, now, to="message", size=self._transfer.octets)

    def answered(self, asked: str, reply: Reply, now: float) -> None:
        """The MTA answered DATA, a chunk or the message."""
        code = reply.code
        match asked:
            case "DATA" if code == 354:
                if not self._is_predata_refused(now):
                    self._x.answer(reply, now, by="mta")
                    self._x.transaction.bind()
                    self._receiver.expect_message()
                    self._transfer.begin_message(self._header_lines(), now)
                    self._x.once_told(self._await_message, now)
            case "DATA" if code >= 400:
                self._refuse_data(reply, now, by="mta")
            case "BDAT" if code >= 400 or code == 250:
                self._x.answer(reply, now, by="mta")
            case "message" if code >= 400 or code == 250:
                octets = self._transfer.octets
                self._transfer.reset()
                self._envelope.forget()
                self._x.answer(reply, now, by="mta", size=octets)
            case _:
                self._x.fail(now, f"{code} is no answer to {asked}")

    def _await_message(self, now: float) -> None:
        # From the end of the 354, which may have been told slowly.
        self._transfer.restart(now)
        self._x.wake_at = self._transfer.deadline(self._x.policy.limits.data)

    def _await_chunk(self, octets: int) -> None:
        # Not the rest of the time for commands: a chunk may be announced in its last second.
        self._x.wake_at = self._transfer.deadline(self._x.policy.limits.data)
        self._receiver.expect_chunk(octets)

    def _begin_answer(self) -> None:
        self._x.asked = "message"
        self._x.phase = Phase.MESSAGE

    def _is_kept_from_mta(self, now: float) -> bool:
        """Refuse the message that has come, or throw it away, where that is due: the MTA never comes to its end."""
        x = self._x
        verdict = x.screen.verdict(Phase.MESSAGE, is_last=True)
        if verdict.action.refuses:
            x.refuse(verdict, now, end=True)
        elif verdict.action is Action.DISCARD and (x.mta.early is None or x.mta.early.code < 400):
            assert verdict.reply is not None
            octets = self._transfer.octets
            x.mta.close(abort=True)
            self.forget()
            x.answer(verdict.reply, now, size=octets)
            x.screen.tell_again()
        else:
            return False
        return True

    def _finish(self, last: bytes, now: float) -> None:
        self._transfer.is_open = False
        early = self._x.mta.finish(self._transfer.headers_left() + last)
        if early is None:
            self._x.await_mta(now, self._x.policy.limits.message)
        elif early.reply.code < 400:
            self._x.fail(now, "it answered the message before its end")
        else:
            self._x.answer(early.reply, now, by="mta", size=self._transfer.octets)
            self._x.end()

    def _is_predata_refused(self, now: float) -> bool:
        if not self._receiver.has_pending:
            return False
        self._x.screen.look(PreData(self._receiver.pending(TEXT_LIMIT)), Phase.DATA, now)
        verdict = self._x.screen.verdict(Phase.DATA)
        if verdict.action.refuses:
            self._x.refuse(verdict, now, end=True)
        return verdict.action.refuses

    def _refuse_data(self, reply: Reply, now: float, by: str = "tarry") -> None:
        self._x.answer(reply, now, by=by)
        self._x.once_told(self._end_if_sent, now)

    def _end_if_sent(self, now: float) -> None:
        if self._receiver.has_pending:
            self._x.end()

    def _header_lines(self) -> bytes:
        x = self._x
        if not x.policy.insert_headers:
            return b""
        endpoint = x.setting.client.endpoint
        return header_lines(x.screen.standing, x.policy, client=endpoint.host, port=endpoint.port, id=x.setting.id)
