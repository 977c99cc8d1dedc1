"""verdict - what each client got, seen from the side of the user whose server it is.

What     `judge` turns one habit and its trace into a Finding; `summarise` says in plain words what all findings come to;
         `exit_status` is what the shell gets. All pure: they look at traces and at nothing else.
Words    honest   delivered, greeted (good) - refused, no answer (bad)
         bot      turned away, gave up, held (good) - no answer - served (the server let it through)
         odd      held, turned away, gave up - greeted, served, no answer - hold skipped (it could hurry the server)
Served   A bot that is after mail is served when its goal was accepted, not when it was merely greeted: refusing it at MAIL or
         RCPT counts as turning it away. A bot that wants no mail is served when it is greeted and not cut off.
Floods   Of odd floods the same words are said as of bots, without reproach. A flood that was still waiting for replies when the
         probe's own time was over is held.
Since    0.1
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tarry.probe.habits import HALF_CLOSE_AFTER
from tarry.probe.steps import Habit, Kind
from tarry.probe.trace import GREETING, Ending, Reply, Seconds, Trace

SHUTTING_DOWN = 421
EXIT_FINE = 0
EXIT_FINDINGS = 1
EXIT_TRY_LATER = 75  # sysexits EX_TEMPFAIL


class Verdict(StrEnum):
    """The word in the last column. The values are part of the JSON contract."""

    DELIVERED = "delivered"
    GREETED = "greeted"
    REFUSED = "refused"
    TURNED_AWAY = "turned away"
    GAVE_UP = "gave up"
    SERVED = "served"
    HELD = "held"
    HOLD_SKIPPED = "hold skipped"
    NO_ANSWER = "no answer"


class Mood(StrEnum):
    """Whether a finding is as it should be."""

    GOOD = "good"
    NEUTRAL = "neutral"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and what it rests on: *deciding* is the reply that settled it, None when there was none."""

    habit: Habit
    trace: Trace
    verdict: Verdict
    deciding: Reply | None

    @property
    def mood(self) -> Mood:
        match self.verdict:
            case Verdict.SERVED if self.habit.kind is Kind.ODD:
                return Mood.NEUTRAL
            case Verdict.REFUSED | Verdict.SERVED | Verdict.HOLD_SKIPPED:
                return Mood.BAD
            case Verdict.NO_ANSWER:
                return Mood.BAD if self.habit.kind is Kind.HONEST else Mood.NEUTRAL
            case Verdict.GREETED if self.habit.kind is Kind.ODD:
                return Mood.NEUTRAL
            case _:
                return Mood.GOOD

    @property
    def decided_after(self) -> Seconds:
        """When it was settled: at the deciding reply, or at the end."""
        return self.deciding.after if self.deciding else self.trace.ended_after

    @property
    def was_greeted(self) -> bool:
        return _greeted(self.trace)


def judge(habit: Habit, trace: Trace, shortest_hold: Seconds | None = None) -> Finding:
    """Return the finding on one client.

    *shortest_hold* is the least that a client which waited in silence had to wait for its greeting, or None when that is not
    known; only an odd client is measured against it.
    """
    match habit.kind:
        case Kind.HONEST:
            verdict, deciding = _honest(habit, trace)
        case Kind.BOT:
            verdict, deciding = _bot(habit, trace)
        case Kind.ODD if habit.repeats:
            verdict, deciding = _bot(habit, trace)
        case Kind.ODD:
            verdict, deciding = _odd(trace, shortest_hold)
    return Finding(habit, trace, verdict, deciding)


def judge_all(played: Iterable[tuple[Habit, Trace]]) -> tuple[Finding, ...]:
    """Return the findings on all clients, each measured against the others."""
    played = tuple(played)
    waits = [trace.greeting.after for habit, trace in played if habit.waits_for_greeting and trace.greeting and _greeted(trace)]
    shortest = min(waits, default=None)
    return tuple(judge(habit, trace, shortest) for habit, trace in played)


def exit_status(findings: Sequence[Finding], *, strict: bool = False) -> int:
    """Return 75 when the server was never reached, 1 when a client that must be served was not, else 0.

    *strict* makes a bot that was served, or a hold that was skipped, count as well.
    """
    if all(finding.trace.ended is Ending.UNREACHABLE for finding in findings):
        return EXIT_TRY_LATER
    bad = [finding for finding in findings if finding.mood is Mood.BAD and (strict or finding.habit.kind is Kind.HONEST)]
    return EXIT_FINDINGS if bad else EXIT_FINE


def summarise(findings: Sequence[Finding]) -> str:
    """Return in one to five sentences what happened."""
    about = (_about_bots, _about_blind, _about_honest, _about_odd, _about_floods)
    sentences = (tell(findings) for tell in about)
    return " ".join(filter(None, sentences))


def _greeted(trace: Trace) -> bool:
    return trace.greeting is not None and trace.greeting.is_positive


def _closed_on_it(trace: Trace) -> bool:
    """Tell whether the server ended the connection of its own accord."""
    return trace.ended in (Ending.SERVER, Ending.RESET) and not trace.quit_sent


def _refusal(habit: Habit, trace: Trace) -> Reply | None:
    """Return the first refusal on the way to the goal, the goal included."""
    borne = habit.bears_refusals_of
    for reply in trace.replies:
        # 421 is the end of the session, whatever it answers.
        if reply.to and not reply.is_positive and (reply.to not in borne or reply.code == SHUTTING_DOWN):
            return reply
        if reply.to == habit.goal:
            return None
    return None


def _honest(habit: Habit, trace: Trace) -> tuple[Verdict, Reply | None]:
    if refusal := _refusal(habit, trace):
        return Verdict.REFUSED, refusal
    reached = trace.reply_to(habit.goal)
    if reached and _greeted(trace):
        return (Verdict.DELIVERED if habit.goal == "message" else Verdict.GREETED), reached
    if _greeted(trace) and trace.ended in (Ending.SERVER, Ending.RESET):
        return Verdict.REFUSED, None
    return Verdict.NO_ANSWER, None


def _bot(habit: Habit, trace: Trace) -> tuple[Verdict, Reply | None]:
    if refusal := _refusal(habit, trace):
        # A line that is no SMTP reply is not a refusal: somebody else lives on that port.
        return (Verdict.TURNED_AWAY if refusal.code else Verdict.NO_ANSWER), refusal
    reached = trace.reply_to(habit.goal)
    if reached and _greeted(trace) and (habit.goal != GREETING or not _closed_on_it(trace)):
        return Verdict.SERVED, reached
    if trace.ended in (Ending.SERVER, Ending.RESET):
        return Verdict.TURNED_AWAY, trace.replies[-1] if len(trace.replies) > 1 and reached else None
    if trace.ended is Ending.CLIENT and habit.gives_up:
        return Verdict.GAVE_UP, None
    if trace.ended is Ending.TIMEOUT and habit.repeats and trace.rounds(habit.repeats):
        return Verdict.HELD, None
    return Verdict.NO_ANSWER, None


def _odd(trace: Trace, shortest_hold: Seconds | None) -> tuple[Verdict, Reply | None]:
    greeting = trace.greeting
    if greeting is None:
        return (Verdict.TURNED_AWAY if _closed_on_it(trace) else Verdict.NO_ANSWER), None
    if not greeting.is_positive:
        return Verdict.TURNED_AWAY, greeting
    # Holds may be drawn at random for each client, so only a wait of less than half of the shortest is called a skip; and
    # where all waits are shorter than twice the time of the half-close nothing can be told.
    if shortest_hold is None or shortest_hold < 2 * HALF_CLOSE_AFTER:
        return Verdict.GREETED, greeting
    return (Verdict.HOLD_SKIPPED if greeting.after < shortest_hold / 2 else Verdict.HELD), greeting


def _about_bots(findings: Sequence[Finding]) -> str:
    bots = [finding for finding in findings if finding.habit.kind is Kind.BOT]
    if not bots:
        return ""
    away = [finding for finding in bots if finding.verdict is Verdict.TURNED_AWAY]
    early = [finding for finding in away if not finding.was_greeted]
    noun = "bot habit" if len(bots) == 1 else "bot habits"
    were = "was" if 1 in (len(early), len(bots)) else "were"
    text = f"{len(early)} of {len(bots)} {noun} {were} turned away before the greeting"
    later = len(away) - len(early)
    gave_up = _count(bots, Verdict.GAVE_UP)
    held = _count(bots, Verdict.HELD)
    silent = _count(bots, Verdict.NO_ANSWER)
    served = [finding.habit.name for finding in bots if finding.verdict is Verdict.SERVED]
    more = [
        f"{later} after it" if later else "",
        f"{gave_up} gave up waiting" if gave_up else "",
        f"{held} {_were(held)} held to the end" if held else "",
        f"{silent} got no answer" if silent else "",
        f"{len(served)} {_were(len(served))} let through ({', '.join(served)})" if served else "",
    ]
    return "; ".join([text, *filter(None, more)]) + "."


def _about_blind(findings: Sequence[Finding]) -> str:
    for finding in findings:
        if finding.habit.name == "blind" and finding.verdict is Verdict.TURNED_AWAY:
            lines, replies = finding.trace.sent_lines, len(finding.trace.replies)
            return f"The blind client talked on for {lines} lines and got {replies} {'reply' if replies == 1 else 'replies'}."
    return ""


def _about_honest(findings: Sequence[Finding]) -> str:
    sentences = (_about_one_honest(finding) for finding in findings if finding.habit.kind is Kind.HONEST)
    return " ".join(filter(None, sentences))


def _about_one_honest(finding: Finding) -> str:
    who = f"The {finding.habit.name} client"
    greeting = finding.trace.greeting
    if greeting is None:
        return f"{who} got no greeting."
    if not greeting.is_positive:
        return f"{who} was refused instead of greeted: {greeting}."
    was_greeted = f"{who} was greeted after {greeting.after:.1f} s"
    match finding.verdict:
        case Verdict.DELIVERED:
            return f"{was_greeted} and its mail was accepted."
        case Verdict.GREETED:
            return f"{was_greeted} and its recipient was accepted." if finding.habit.name == "patient" else ""
        case Verdict.REFUSED if finding.deciding:
            return f"{was_greeted} but then refused: {finding.deciding}."
        case Verdict.REFUSED:
            return f"{was_greeted} but then cut off."
        case _:
            return f"{was_greeted} but then got no answer."


def _about_odd(findings: Sequence[Finding]) -> str:
    for finding in findings:
        if finding.verdict is Verdict.HOLD_SKIPPED:
            return f"The {finding.habit.name} was greeted after only {finding.decided_after:.1f} s: it can skip the hold."
    return ""


_FLOODS = {Verdict.TURNED_AWAY: "was refused", Verdict.GAVE_UP: "gave up waiting", Verdict.HELD: "was held to the end"}


def _about_floods(findings: Sequence[Finding]) -> str:
    told = [
        f"{finding.habit.name} {_FLOODS[finding.verdict]}"
        for finding in findings
        if finding.habit.kind is Kind.ODD and finding.habit.repeats and finding.was_greeted and finding.verdict in _FLOODS
    ]
    return f"Of the floods that break no rule: {', '.join(told)}." if told else ""


def _count(findings: Sequence[Finding], verdict: Verdict) -> int:
    return sum(finding.verdict is verdict for finding in findings)


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
