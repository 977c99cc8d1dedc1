"""probe_presets - what each preset does to each habit: `tarry probe --presets`, without a server.

What     The habits of the probe, and some clients about which the DNS knows something, are played against each preset through the
         core itself on a clock that leaps (see rehearsal/), so minutes and hours cost nothing. No socket is opened.
House    An MTA that accepts everything but guessed recipients; each preset as it is, with one DNS list named, on which only the
         listed client is; ranges at their middle.
Clients  All are patient but for the greeting (impatient) and for floods and false names, which leave when a reply takes too long.
         Honest ones wait five minutes for any reply, as RFC 5321 §4.5.3.2 tells them to.
Since    0.1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from tarry.config.compile import door_rules, policy
from tarry.config.load import load
from tarry.config.schema import PRESETS
from tarry.core.facts import Answer, Kind, Question, State
from tarry.probe import floods, habits, steps
from tarry.probe.caller import PATIENCE, Caller
from tarry.probe.steps import Habit, Options
from tarry.probe.trace import Seconds
from tarry.probe.verdict import Finding, judge_all
from tarry.rehearsal.play import House, Play, play
from tarry.rehearsal.visit import Visit

ADDRESS = "192.0.2.7"
OWN_NAMES = ("mail.example.net", "example.net")
LIST = "list.example"
NAMED_LIST = f'[[checks.dnslists.zones]]\nzone = "{LIST}"\n'
# Bulk software: between the callouts that leave after 8 s and the clients of 2004, most of which had left after 35 s.
IMPATIENT = Seconds(20.0)
# In 2004 most senders that gave up had done so after 85 s.
REPLY_PATIENCE = Seconds(60.0)
# Longer than any wait of 1997.
ENDLESS = Seconds(7 * 86400.0)


@dataclass(frozen=True, slots=True)
class Case:
    """A client: what it does, and what the DNS says of it."""

    habit: Habit
    is_listed: bool = False
    names: tuple[str, ...] = OWN_NAMES

    def look(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Answer what is asked about the client."""
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        match question.kind:
            case Kind.NAMES if self.names:
                return Answer(question, State.FOUND, self.names, len(self.names))
            case Kind.ADDRESSES if question.name in (*OWN_NAMES, *self.names):
                return Answer(question, State.FOUND, (ADDRESS,))
            case Kind.LISTED if self.is_listed:
                return Answer(question, State.FOUND, ("127.0.0.2",))
            case _:
                return Answer(question, State.NOTHING)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one client got under one preset."""

    preset: str
    case: Case
    finding: Finding
    played: Play


def cases(impatient: Seconds = IMPATIENT, reply_patience: Seconds = REPLY_PATIENCE) -> tuple[Case, ...]:
    """Return all clients in table order: honest ones first."""
    options = Options(sender="sender@example.net", patience=impatient, reply_patience=reply_patience, flood_mail=True)
    made = [Case(habit) for habit in habits.habits(options)]
    honest = [case for case in made if case.habit.kind is steps.Kind.HONEST]
    return (*honest, *_known(options, honest[0].habit), *(case for case in made if case not in honest))


def outcomes(chosen: Sequence[Case], presets: Sequence[str] = PRESETS) -> Iterator[tuple[Outcome, ...]]:
    """Play each client against each preset; yields the outcomes of one preset after the other."""
    for preset in presets:
        loaded = load(None, text=NAMED_LIST, flags={"preset": preset})
        assert not loaded.errors, loaded.errors
        rules, compiled = door_rules(loaded.config), policy(loaded.config)
        played = [(case, *_play(case, House(compiled, rules, mta_refuses=_refused(case)))) for case in chosen]
        findings = judge_all((case.habit, caller.trace()) for case, caller, _ in played)
        yield tuple(Outcome(preset, case, finding, happened) for (case, _, happened), finding in zip(played, findings, strict=True))


def _known(options: Options, patient: Habit) -> Iterator[Case]:
    listed = replace(patient, name="listed", did="on a DNS list")
    yield Case(listed, is_listed=True)
    yield Case(replace(patient, name="dial-up", did="name of a DSL line"), names=("p5483-17.dsl.isp.example",))
    yield Case(replace(patient, name="nameless", did="no name in the DNS"), names=())
    many = floods.rcpt_flood(replace(options, reply_patience=PATIENCE))
    yield Case(replace(many, name="mailing-list", kind=steps.Kind.HONEST, did=f"{floods.RECIPIENTS} rcpts, patient"))
    endless = floods.rcpt_flood(replace(options, reply_patience=ENDLESS))
    yield Case(replace(endless, name="endless", did=f"{floods.RECIPIENTS} rcpts, waits days"))


def _refused(case: Case) -> int:
    return floods.GUESSES if case.habit.name == "dead-recipients" else 0


def _play(case: Case, house: House) -> tuple[Caller, Play]:
    caller = Caller(case.habit)
    return caller, play(Visit(ip_address(ADDRESS)), house, case.look, _middle, caller)


def _middle() -> float:
    return 0.5
