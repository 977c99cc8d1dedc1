"""storm - one session of anything: a client that says what it likes, an MTA that fails where it likes, and what must hold.

What     `storm(random)` draws a policy, a client and the faults of an MTA (tests/storm_mta), plays them against a conversation, and
         asserts all the way; it returns how many messages the client was told 250 for.
Asserts  Each reply answers its own command, and is nobody's who did not ask. A 250 for a message is the MTA's 250 for these
         octets and for the recipients that were acknowledged, no more and no fewer; or, where the policy throws messages away,
         tarry's, and the MTA has kept nothing of it. A 5xx in a transaction is the MTA's, and to that very line.
         What the MTA says to tarry before XCLIENT is told to nobody. The session ends, and lets the MTA go.
Facts    Half a million of them take eight minutes; TARRY_NIGHTLY says how many the test plays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tarry.checks.dnslists import DnsLists, Options
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pregreet import Pregreet
from tarry.checks.values.zone import Zone
from tarry.core import replies
from tarry.core.border import Ask, Close, CloseMta, OpenMta, Pump, Relay, Send, SessionEffect
from tarry.core.client import Phase
from tarry.core.conversation import Conversation
from tarry.core.facts import Answer, Question, State
from tarry.core.login import Way
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.smtp.reply import Reply
from tests.playbook import armed
from tests.storm_mta import GONE, OUR_EHLO, TAG, StormMta
from tests.talk import BEGUN_AT, Slow, found, setting

REPLY = re.compile(rb"(?:[0-9]{3}-[^\r\n]*\r\n)*([0-9]{3}) ([^\r\n]*)\r\n")
KINDS = {
    "MAIL": 12,
    "RCPT": 30,
    "DATA": 12,
    "BDAT": 10,
    "RSET": 3,
    "NOOP": 3,
    "EHLO": 2,
    "HELO": 1,
    "AUTH": 3,
    "STARTTLS": 1,
    "QUIT": 1,
}
OWN = (b"EHLO", b"HELO", b"RSET", b"NOOP", b"QUIT", b"MAIL")
"""What tarry may answer with 2xx by itself."""
WAITED_FOR = (b"DATA", b"AUTH", b"STARTTLS", b"QUIT", b"message")
"""What a client says nothing behind."""
ENDLESS = 10_000
SAID = b"Ok, go on"
"""The operator's words for an accepted recipient."""
THROWN_AWAY = b"2.6.0 Message accepted"
WITHOUT_ID = frozenset(one.raw for one in vars(replies).values() if isinstance(one, Reply))
"""What may be told without the session's id: what is wrong with one command, and that the client's time is over."""
LISTS = Options(zones=(Zone(zone="list.example"), Zone(zone="other.example"), Zone(zone="allow.example", weight=-1.0)))


@dataclass(frozen=True, slots=True)
class Said:
    """What the client said and waits for an answer to. ``text`` is what a message or a chunk holds."""

    verb: bytes
    line: bytes
    text: bytes = b""
    is_last: bool = False


class StormClient:
    """Says anything, reads its replies, and keeps what it was told."""

    def __init__(self, random: Random, mta: StormMta) -> None:
        self._random = random
        self._mta = mta
        self._buffer = b""
        self._number = 0
        self._next = ""  # message or login, where one is due
        self._helo = b""
        self._has_mail = self._is_owed = False  # it was told 250 to a MAIL; by tarry
        self._rcpts: tuple[bytes, ...] = ()
        self._chunks = b""
        self.waits: list[Said] = []
        self.is_greeted = False
        self.accepted = 0
        self.discarded = 0
        self.throws_away = False  # what it sends is thrown away

    @property
    def must_wait(self) -> bool:
        return any(said.verb in WAITED_FOR for said in self.waits)

    def says(self) -> bytes:
        """Return the next thing that it says."""
        self._number += 1
        choice, number = self._random.choice, self._number
        what, self._next = (self._next, "") if not self.waits else ("", self._next)
        if what == "message":
            text = choice((b"Subject: x\r\n\r\nhello %d\r\n" % number, b"", b"MAIL FROM:<x>\r\nRCPT TO:<y>\r\nDATA\r\n"))
            return self._say(Said(b"message", b"message", text), text + b".\r\n")
        if what == "login":
            line = choice((b"c2VjcmV0", b"*", b"XCLIENT ADDR=127.0.0.1", b"DATA"))
            return self._say(Said(b"AUTH", line), line + b"\r\n")
        kind = self._random.choices(tuple(KINDS), tuple(KINDS.values()))[0]
        if not self._helo and not self.waits:
            kind = choice(("EHLO", "EHLO", "HELO", "MAIL"))
        line = verb = kind.encode()
        match kind:
            case "MAIL":
                line = b"MAIL FROM:<a%d@b>" % number
            case "RCPT":
                line = b"RCPT TO:<c%d@d>" % number
            case "EHLO" | "HELO":
                line = b"%b %b%d" % (verb, choice((b"c", b"c=d +", b"\xff")), number)
            case "AUTH":
                line = choice((b"AUTH PLAIN", b"AUTH PLAIN AGEAYg=="))
            case "BDAT":
                text, is_last = choice((b"", b"text %d\r\n" % number, b"QUIT\r\n", b"RSET\r\n.\r\n")), choice((True, False))
                line = b"BDAT %d%b" % (len(text), b" LAST" if is_last else b"")
                return self._say(Said(verb, verb, text, is_last), line + b"\r\n" + text)
        return self._say(Said(verb, line), line + b"\r\n")

    def _say(self, said: Said, data: bytes) -> bytes:
        self.waits.append(said)
        return data

    def hears(self, data: bytes) -> None:
        """Read what was sent to it."""
        self._buffer += data
        while match := REPLY.match(self._buffer):
            self._buffer = self._buffer[match.end() :]
            self._take(int(match[1]), match[2], match[0])
        assert len(self._buffer) < 2000

    def _take(self, code: int, text: bytes, raw: bytes) -> None:
        if not self.is_greeted:
            self.is_greeted = True
            assert code == 220
        elif not self.waits:
            assert code == 421, f"unasked: {raw!r}"
        else:
            said = self.waits.pop(0)
            number = int(tag[1]) if (tag := TAG.search(text)) else None
            if text in (SAID, b"2.1.5 " + SAID):
                self._judge_our_words(said, code)
            elif text == THROWN_AWAY:
                self._judge_discard(said, code)
            elif number is None:
                self._judge_tarry(said, code, raw)
            else:
                self._judge_mta(said, code, raw, number)
            self._keep(said, code, number, is_taken_back=b"not accepted any more" in text, is_thrown_away=text == THROWN_AWAY)

    def _judge_our_words(self, said: Said, code: int) -> None:
        assert (b"RCPT", 250) == (said.verb, code)
        mtas = [raw for line, raw in self._mta.replied if line == said.line]
        assert mtas, "the MTA was not asked"
        assert mtas[-1].startswith(b"250"), "the MTA did not say 250"

    def _judge_discard(self, said: Said, code: int) -> None:
        assert (True, 250) == (self.throws_away, code)
        assert said.verb == b"message" or said.is_last, said
        assert not self._mta.is_open, "the connection that could end the message is there"
        assert not self._mta.kept
        self.discarded += 1

    def _judge_tarry(self, said: Said, code: int, raw: bytes) -> None:
        about = f"tarry says {raw!r} to {said.line!r}"
        assert code >= 400 or said.verb in OWN, about
        assert code < 400 or b"[K3X9-0001]" in raw or raw in WITHOUT_ID, about
        if code >= 500:
            match said.verb:
                case b"MAIL" | b"message":
                    raise AssertionError(about)
                case b"RCPT":
                    assert not self._has_mail, about
                case b"DATA":
                    assert not self._rcpts, about
                case b"BDAT":
                    assert not self._has_mail or self._is_owed or not self._helo.startswith(b"EHLO"), about
                case _:
                    pass

    def _judge_mta(self, said: Said, code: int, raw: bytes, number: int) -> None:
        line, own = self._mta.replied[number]
        about = f"{raw!r} answers {line!r}, and is told to {said.line!r}"
        assert own == raw, about
        assert line != OUR_EHLO, about
        if line == b"greeting":
            assert self._mta.knows_client, about
            assert not self._mta.takes_xclient, about
        is_about_client = line[:4] in (b"EHLO", b"HELO", b"XCLI", b"gree") and code >= 500
        is_owed = said.verb == b"RCPT" and line.startswith(b"MAIL") and code >= 400
        is_early = said.verb in (b"message", b"BDAT") and line == b"unasked" and code >= 400
        assert line == said.line or is_about_client or is_owed or is_early or code == 421, about

    def _keep(self, said: Said, code: int, number: int | None, *, is_taken_back: bool, is_thrown_away: bool) -> None:
        if is_taken_back:
            assert code == 451
            self._forget()
        match said.verb:
            case b"EHLO" | b"HELO" if code == 250:
                self._helo = said.line
                self._forget()
            case b"RSET" if code == 250:
                self._forget()
            case b"MAIL" if code < 300:
                self._forget()
                self._has_mail, self._is_owed = True, number is None
            case b"MAIL" if self._is_owed:
                self._has_mail = False
            case b"RCPT" if code < 300:
                self._rcpts = (*self._rcpts, said.line)
                self._is_owed = False
            case b"DATA" if code == 354:
                self._next = "message"
            case b"AUTH" if code == 334:
                self._next = "login"
            case b"AUTH" if code == 235:
                self.throws_away = False
            case b"BDAT" if code == 250 and not said.is_last:
                self._chunks += said.text
            case b"BDAT" | b"message" if code == 250 and is_thrown_away:
                self._forget()
            case b"BDAT" | b"message" if code == 250:
                assert not self.throws_away
                kept = [(one.rcpts, one.text) for one in self._mta.kept if one.number == number]
                text = said.text if said.verb == b"message" else self._chunks + said.text  # its DATA begins anew
                assert [(self._rcpts, text)] == kept
                self.accepted += 1
                self._forget()
            case b"message":
                self._forget()
            case b"BDAT" if said.is_last and number is not None:
                self._forget()
            case _:
                pass

    def _forget(self) -> None:
        self._has_mail = self._is_owed = False
        self._rcpts, self._chunks = (), b""


class Storm:
    """The two of them, the conversation between them, and a clock."""

    def __init__(self, random: Random) -> None:
        self._random = random
        chance, choice = random.random, random.choice
        throws_away = chance() < 0.2
        rules = Policy(
            checks=(
                armed(Pregreet(), action=Action.DELAY),
                armed(NonSmtp(), action=Action.DISCARD, at=choice((Phase.HOLD, Phase.RCPT, Phase.MESSAGE))),
                armed(DnsLists(), action=Action.DELAY, options=LISTS),
            ),
            delay=Delay(
                Span(12.0, 12.0),
                choice((Phase.HELO, Phase.MAIL, Phase.RCPT, Phase.DATA)),
                per_reason=choice((0.0, 10.0)),
                session_cap=choice((0.5, 20.0, 290.0)),
                reply_pace=choice((0.0, 0.0, 0.5, 20.0)),
                reply_pace_clients=choice((0, 1, 1)),
            ),
            tarpits=Tarpits(
                rcpt=Tarpit(choice((0, 1, 3)), choice((0.0, 2.0, 10.0)), 30.0, say=choice(("", "", SAID.decode()))),
                rset=Tarpit(choice((0, 3)), choice((0.0, 10.0)), 30.0),
                noop=Tarpit(choice((0, 1)), choice((0.0, 400.0)), 400.0),
                mail=Tarpit(choice((0, 1)), start=choice((0.0, 4.0)), factor=1.5),
                error=Tarpit(choice((0, 2)), start=choice((0.0, 0.0, 7.0)), factor=2.0),
                refused=Tarpit(choice((0, 1)), choice((0.0, 3.0, 9.0)), 30.0),
            ),
            data_wait=Span(wait := choice((0.0, 3.0, 10.0)), wait),
            park_after=choice((0.0, 5.0, math.inf)),
            limits=Limits(recipients=choice((2, 1000))),
            normalize=choice((True, False)),
        )
        self._mta = StormMta(
            random, madness=choice((0.0, 0.0, 0.02, 0.1, 0.3)), knows_client=choice((True, False)), takes_xclient=chance() < 0.3
        )
        self._client = StormClient(random, self._mta)
        self._client.throws_away = throws_away
        self._slow = Slow()
        self._asked: list[Question] = []
        reasons = [found("pregreet")] * (chance() < 0.3) + [found("non_smtp", "command", 0.0)] * throws_away
        self._talk = Conversation(
            setting(
                rules,
                resolves=True,
                slow=self._slow if chance() < 0.8 else None,
                knows_client=self._mta.knows_client,
                login=Way(OUR_EHLO[5:].decode(), xclient=True) if self._mta.takes_xclient else None,
                reasons=tuple(reasons),
            )
        )
        self._now = BEGUN_AT
        self._is_closed = self._is_pumped = False
        self._take(self._talk.begin(self._now))

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._is_pumped

    def play(self) -> int:
        """Play it to its end; return how many messages were accepted."""
        for _ in range(self._random.randrange(5, 60)):
            if not self._is_over:
                self._turn()
        if self._random.random() < 0.3 and not self._is_over:
            self._take(self._talk.client_left(self._now, reset=False))
        for _ in range(ENDLESS):
            if self._is_over:
                break
            assert self._mta_turn() or self._wait(), "it waits for ever"
        assert self._is_over, "it does not end"
        assert not (self._client.throws_away and self._mta.kept), "the MTA has what was to be thrown away"
        if self._is_closed:
            assert not self._mta.is_open, "a connection is left"
            assert not self._mta.is_asked_to_open
            assert math.inf == self._talk.wake_at
            assert not self._slow.ids, "it is still counted among the slow ones"
        return self._client.accepted

    def _turn(self) -> None:
        what = self._random.random()
        if what < 0.01:
            self._take(self._talk.client_left(self._now, reset=self._random.random() < 0.5))
        elif what < 0.02:
            self._take(self._talk.drain(self._now))
        elif what < 0.03:
            self._now += self._random.choice((1.0, 4.0, 40.0))
            if self._now >= self._talk.wake_at:
                self._take(self._talk.due(self._now))
        elif what < 0.05:
            self._answer()
        elif what < 0.15:
            self._mta_turn()
        else:
            self._client_turn()

    def _answer(self) -> None:
        """Let a look-up come back, however late."""
        if self._asked:
            question = self._asked.pop(self._random.randrange(len(self._asked)))
            state = self._random.choice((State.FOUND, State.FOUND, State.NOTHING, State.UNKNOWN))
            values = ("127.0.0.2",) if state is State.FOUND else ()
            self._take(self._talk.answered(Answer(question, state, values), self._now))

    def _client_turn(self) -> None:
        client, chance = self._client, self._random.random
        data = client.says()
        while chance() < 0.3 and not client.must_wait and client.waits[-1].verb not in (b"EHLO", b"HELO"):
            data += client.says()
        at = self._random.randrange(len(data) + 1) if chance() < 0.2 else 0
        for piece in (data[:at], data[at:]):
            if piece and not self._is_over:
                self._take(self._talk.client_sent(piece, self._now))
                if at and chance() < 0.5:
                    self._mta_turn()
                if chance() < 0.1 and not self._is_over:
                    self._answer()
        for _ in range(ENDLESS):
            is_patient = client.must_wait or chance() >= 0.02
            if self._is_over or not client.waits or not is_patient or not (self._mta_turn() or self._wait()):
                return
        raise AssertionError("no answer comes")

    def _mta_turn(self) -> bool:
        """Let the MTA do what it has to do next; False where that is nothing."""
        mta, talk, chance = self._mta, self._talk, self._random.random
        if mta.is_asked_to_open and chance() < mta.madness / 2:
            mta.close()
            self._take(talk.mta_left(self._now, "cannot be reached"))
        elif mta.is_asked_to_open:
            mta.open()
            self._take(talk.mta_opened(self._now))
            mta.greet()
        elif mta.is_open and mta.due:
            piece = mta.due.pop(0)
            if mta.due and mta.due[0] != GONE and chance() < 0.5:
                piece += mta.due.pop(0)
            if piece == GONE:
                mta.close()
                self._take(talk.mta_left(self._now, "gone"))
            else:
                self._take(talk.mta_sent(piece, self._now))
        elif mta.is_open and not mta.is_dead and chance() < mta.madness / 10:
            self._take(talk.mta_sent(mta.talk_unasked(), self._now))
        else:
            return False
        return True

    def _wait(self) -> bool:
        """Let time go by until something is due; False where nothing ever is."""
        wake_at = self._talk.wake_at
        if wake_at == math.inf:
            return False
        assert wake_at < self._now + 1000
        self._now = max(self._now, wake_at)
        self._take(self._talk.due(self._now))
        return True

    def _take(self, effects: Sequence[SessionEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(data=data):
                    assert not self._is_closed
                    self._client.hears(data)
                case OpenMta():
                    assert not self._is_closed
                    assert not self._mta.is_open
                    assert not self._mta.is_asked_to_open
                    self._mta.is_asked_to_open = True
                case CloseMta():
                    self._mta.close()
                case Relay(data=data) if self._mta.is_open:
                    self._mta.take(data)
                case Close():
                    assert not self._is_closed
                    self._is_closed = True
                case Pump():
                    self._is_pumped = True
                case Ask(questions=questions):
                    self._asked += questions
                case _:
                    pass
        while self._talk.has_more and not self._is_over:
            self._take(self._talk.go_on(self._now))


def storm(random: Random) -> int:
    """Play one session of anything; return how many messages were accepted."""
    return Storm(random).play()
