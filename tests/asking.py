"""asking - a check that has a question, and a resolver that answers when told, for the tests of what happens in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from tarry.core.border import Answered
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.facts import Answer, Question, State, listing
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown


class Listed:
    """A check that asks one list. The last octet of its answer is the weight, below 0 from 128 on."""

    name = "listed"
    complaint = "You are listed"
    codes: ClassVar[Mapping[str, str]] = {"yes": "it is listed"}
    settings = Settings(action=Action.TAG)
    options = NoOptions
    triggers = (Answered,)

    def asks(self, seen: Seen, options: NoOptions) -> tuple[Question, ...]:
        return (listing(seen.about.client, "bl.example"),)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        assert isinstance(seen.moment, Answered)
        answer = seen.moment.answer
        if answer.state is not State.FOUND:
            return Unknown(answer.why) if answer.state is State.UNKNOWN else PASSED
        value = int(answer.values[0].rpartition(".")[2])
        return Failed("yes", answer.values[0], "bl.example", float(value if value < 128 else value - 256))


class Answers:
    """A resolver that answers when told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Question, Callable[[Answer], None]]] = []

    def ask(self, question: Question, on_answer: Callable[[Answer], None]) -> None:
        self.asked.append((question, on_answer))

    def answer(self, *values: str, state: State | None = None) -> None:
        """Answer the first question that waits."""
        question, on_answer = self.asked.pop(0)
        on_answer(Answer(question, state or (State.FOUND if values else State.NOTHING), values))
