"""steps - what happened, made into lines for a person: when, what the client does, what tarry does, and why.

What      `steps_of` goes through a play in order. A command and its reply are one line; a reply that was held back is two, the
          first of them at the moment where the hold begins.
Promises  Words only: what happened is in the play's records, and why is in the keys that these name.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from tarry.core.admission import Admitted
from tarry.core.client import Phase
from tarry.core.facts import State
from tarry.core.judge import is_allowed
from tarry.core.policy import Policy
from tarry.core.result import Action, Reason
from tarry.record import schema
from tarry.rehearsal.keys import Because, Keys, named
from tarry.rehearsal.play import House, Play
from tarry.rehearsal.scene import Did, Event, GaveAway, Teaser
from tarry.rehearsal.visit import Visit

_ACTIONS = {action.word: action for action in Action}
_PHASES = {phase.word: phase for phase in Phase}
_DOOR = {
    Admitted.DENIED: "deny.networks",
    Admitted.TOO_MANY: "listen.max_clients",
    Admitted.TOO_MANY_FROM_CLIENT: "listen.max_per_client",
    Admitted.TOO_MANY_FROM_NETWORK: "listen.max_per_network",
}
_TOO_MANY = 452  # RFC 5321 §4.5.3.1.10; of tarry's own replies to RCPT only this one has it
_MOMENT = 1e-6


class Tone(Enum):
    """How a line is coloured, where it is."""

    PLAIN = "plain"
    QUIET = "quiet"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Step(msgspec.Struct, frozen=True):
    """One line. ``client`` is empty where the client does nothing then, ``code`` 0 where nothing is answered."""

    at: float
    client: str
    tarry: str
    why: tuple[Because, ...] = ()
    tone: Tone = Tone.PLAIN
    code: int = 0
    by: str = "tarry"


def steps_of(visit: Visit, house: House, played: Play, keys: Keys) -> tuple[Step, ...]:
    """Return the lines of a play."""
    teller = _Teller(visit, house, played, keys)
    for happened in played.happened:
        teller.take(happened.at, happened.event)
    return teller.end()


def _reason(at: float, event: schema.Reason) -> Reason:
    return Reason(event.check, event.code, event.detail, event.weight, _PHASES[event.phase], at, event.subject)


class _Teller:
    def __init__(self, visit: Visit, house: House, played: Play, keys: Keys) -> None:
        self._visit = visit
        self._house = house
        self._policy: Policy = house.policy
        self._played = played
        self._keys = keys
        self._steps: list[Step] = []
        self._doing: list[tuple[float, str]] = []  # what the client did, until it is told what comes of it
        self._reasons: list[Reason] = []
        self._verdict: schema.Verdict | None = None
        self._has_talked = False
        self._is_parked = False
        self._is_marked = house.marked.find(visit.address.packed) is not None
        self._unanswered: set[str] = set()  # sources of which it has been told that they gave no answer

    def end(self) -> tuple[Step, ...]:
        """Return all lines."""
        for at, what in self._doing:
            self._steps.append(Step(at, what, "nothing comes of it", tone=Tone.QUIET))
        return tuple(self._steps)

    def take(self, at: float, event: Event) -> None:
        """Tell one thing that happened."""
        match event:
            case Did(what=what, is_early=is_early):
                self._did(at, what, is_early)
            case schema.Connect():
                self._connected(at, event)
            case Teaser(text=text):
                self._add(at, f"220-{text}", self._keys.because("hold.teaser"), tone=Tone.QUIET, code=220)
            case schema.Answer():
                if event.state == State.UNKNOWN.value:
                    self._unanswered.add(self._keys.public(event.source))
                took = f"after {event.ms / 1000:.2f} s" if event.ms else ""
                self._aside(at, f"asks {self._keys.public(_asked(event))}: {_answer(event)}", Because(took), tone=Tone.QUIET)
            case schema.Outcome(check=check, result="unknown", why=why) if why.partition(":")[0] not in self._unanswered:
                self._aside(at, f"cannot tell about {check}: {why}", tone=Tone.QUIET)
            case schema.Reason():
                self._found(at, event)
            case schema.Wait(name=name, wait=wait):
                self._aside(at, f"holds it for {wait:.1f} s in all instead", self._keys.hold(name), tone=Tone.WARN)
            case schema.Verdict():
                self._judged(at, event)
            case schema.Greet():
                self._greeted(at)
            case GaveAway():
                self._gave_away(at)
            case schema.Hold(held=held) if held > _MOMENT:
                self._held(at, event)
            case schema.Parked():
                self._is_parked = True
            case schema.Handoff(ok=False, why=why):
                self._add(at, f"cannot use the MTA: {why}", tone=Tone.BAD)
            case schema.Reply():
                self._replied(at, event)
            case schema.Hangup():
                self._hung_up(at, event)
            case _:
                pass

    def _add(self, at: float, tarry: str, *why: Because, tone: Tone = Tone.PLAIN, code: int = 0, by: str = "tarry") -> None:
        """Add a line; it is the answer to what the client has done."""
        client = self._doing.pop(0)[1] if self._doing else ""
        self._steps.append(Step(at, client, tarry, tuple(one for one in why if str(one)), tone, code, by))

    def _aside(self, at: float, tarry: str, *why: Because, tone: Tone = Tone.PLAIN) -> None:
        """Add a line that need not be the answer to anything: it stands with what the client does at that moment."""
        if self._doing and self._doing[0][0] < at:
            self._steps.append(Step(at, "", tarry, tuple(one for one in why if str(one)), tone))
        else:
            self._add(at, tarry, *why, tone=tone)

    def _did(self, at: float, what: str, is_early: bool) -> None:
        if is_early:
            self._has_talked = True
            what = f"says {what}"
        if is_early and self._doing:
            self._steps.append(Step(at, what, "leaves it until its turn", tone=Tone.QUIET))
        else:
            self._doing.append((at, what))

    def _connected(self, at: float, event: schema.Connect) -> None:
        self._doing.append((at, "connects"))
        match self._played.admitted:
            case Admitted.HELD if event.wait:
                self._add(at, f"holds it for {event.wait:.1f} s", self._keys.hold(event.hold_class))
            case Admitted.HELD:
                self._add(at, "does not hold it", self._keys.hold(event.hold_class))
            case Admitted.EXEMPT:
                is_listed = self._visit.address.packed in self._house.rules.exempt
                key = "exempt.files" if self._is_marked else "exempt.networks" if is_listed else "exempt.patterns"
                self._add(at, "lets it in at once: no hold, no checks", self._keys.because(key), tone=Tone.GOOD)
            case _:
                pass  # the reply says it

    def _found(self, at: float, event: schema.Reason) -> None:
        reason = _reason(at, event)
        self._reasons.append(reason)
        words = f"{named(reason)}: {event.detail}" if event.detail and not reason.subject else named(reason)
        tone = Tone.GOOD if event.weight < 0 else Tone.QUIET if event.action == "ignore" else Tone.WARN
        self._aside(at, f"notes {words}", self._keys.check(event.check, event.code, self._keys.weight(reason)), tone=tone)

    def _judged(self, at: float, event: schema.Verdict) -> None:
        self._verdict = event
        action = _ACTIONS[event.action]
        if event.observed:
            self._aside(at, f"would {action.word}, and only observes", *self._why(event), tone=Tone.WARN)
        elif action in (Action.TAG, Action.DISCARD):
            self._aside(at, "tags it" if action is Action.TAG else "will throw the message away", *self._why(event), tone=Tone.WARN)

    def _why(self, event: schema.Verdict) -> tuple[Because, ...]:
        return self._keys.verdict(_ACTIONS[event.action], self._reasons, _PHASES[event.phase])

    def _greeted(self, at: float) -> None:
        why = []
        if self._played.gone_at is not None and self._played.gone_at < at:
            why.append(Because("nobody is there any more to hear it"))
        if at < self._played.hold_until - _MOMENT:
            if self._has_talked:
                why.append(self._keys.because("hold.end_early"))
            elif is_allowed(self._reasons, self._policy):
                why.append(self._keys.score_allow(self._reasons))
        self._add(at, f"220 {self._house.name} ESMTP", *why, tone=Tone.GOOD, code=220)

    def _gave_away(self, at: float) -> None:
        what = "gives it to Postfix's smtpd" if self._house.mode == "pass" else "runs the MTA's command for it"
        self._add(at, f"{what}, which greets it: tarry sees no more", self._keys.because("handoff.mode"), tone=Tone.GOOD)

    def _held(self, at: float, event: schema.Hold) -> None:
        began_at = at - event.held
        why: tuple[Because, ...]
        match event.why:
            case "residual":
                why = (*(self._why(self._verdict) if self._verdict else ()), self._keys.because("delay.target"))
                words = f"holds its reply for {event.asked:.1f} s, until {began_at + event.asked:.1f} s"
            case "answers":
                why = (self._keys.because("dns.timeout"),)
                words = "holds its reply until DNS has answered"
            case "reply_pace":
                why = (self._keys.because("delay.reply_pace"),)
                words = f"says its reply slowly, for {event.held:.1f} s"
            case "data_wait":
                why = (self._keys.because("hold.data_wait"),)
                words = f"holds its reply for {event.asked:.1f} s"
            case pit if pit.startswith("tarpit."):
                settings = getattr(self._policy.tarpits, pit.removeprefix("tarpit."))
                why = (self._keys.because(f"{pit}.{'step' if settings.step > 0 else 'start'}"), self._keys.because(f"{pit}.free"))
                words = f"holds its reply for {event.asked:.1f} s"
            case other:
                why = (Because(other),)
                words = f"holds its reply for {event.asked:.1f} s"
        if self._is_parked:
            self._is_parked = False
            words += ", and lets the MTA go meanwhile"
            why = (*why, self._keys.because("handoff.park_after"))
        client = self._doing.pop(0)[1] if self._doing and self._doing[0][0] <= began_at + _MOMENT else ""
        place = next((index for index, one in enumerate(self._steps) if one.at > began_at + _MOMENT), len(self._steps))
        self._steps.insert(place, Step(began_at, client, words, why, Tone.WARN))

    def _replied(self, at: float, event: schema.Reply) -> None:
        text, why, tone = event.text, [], Tone.PLAIN
        is_refused = event.code >= 400
        if event.to in ("EHLO", "HELO") and not is_refused:
            text = self._house.name
        if is_refused:
            tone = Tone.BAD
            if event.to == "connect" and self._played.admitted in _DOOR:
                is_in_file = self._played.admitted is Admitted.DENIED and self._is_marked
                why.append(self._keys.because("deny.files" if is_in_file else _DOOR[self._played.admitted]))
            elif event.by != "mta" and event.to == "RCPT" and event.code == _TOO_MANY:
                why.append(self._keys.because("limits.recipients"))
            elif event.by != "mta" and self._verdict is not None and _ACTIONS[self._verdict.action].refuses:
                why += self._why(self._verdict)
        elif event.by == "mta":
            tone = Tone.GOOD if event.to == "message" else Tone.PLAIN
        elif event.to == "MAIL":
            why.append(Because("the MTA is not asked yet"))
        said_by = " (the MTA)" if event.by == "mta" else ""
        self._add(at, f"{event.code} {text}{said_by}", *why, tone=tone, code=event.code, by=event.by)

    def _hung_up(self, at: float, event: schema.Hangup) -> None:
        what = "goes on holding it: it may only have closed its side" if event.phase == "hold" else "ends the session"
        client = self._doing.pop()[1] if self._doing and self._doing[-1][0] == at else ""
        self._steps.append(Step(at, client, what, tone=Tone.QUIET))


def _asked(event: schema.Answer) -> str:
    return f"{event.source} of {event.name}" if event.source in ("names", "addresses") else event.source


def _answer(event: schema.Answer) -> str:
    match event.state:
        case "found":
            return ", ".join(event.codes)
        case "nothing":
            return "nothing"
        case _:
            return f"no answer, {event.why}"
