"""Time in a rehearsal."""

from __future__ import annotations

import math

from tarry.core.facts import Answer, State, listing
from tarry.rehearsal.scene import Did, Happened, Left, Over, Scene
from tarry.rehearsal.visit import Early
from tests.rehearsal.situations import ADDRESS, given, nobody, visit

FIRST, SECOND = listing(ADDRESS, "a.example"), listing(ADDRESS, "b.example")


def test_what_comes_next_comes_in_its_order() -> None:
    """Answers, early talk, the end of a wait, and the client's going; time leaps to each."""
    client = visit(early=(Early(2.0, b"x\r\n"), Early(0.5, b"y\r\n")), leaves=4.0)
    scene = Scene(client, given("a.example=127.0.0.2@1s").look)
    scene.ask([FIRST])
    came = [(scene.leap(3.0), scene.now) for _ in range(4)]
    answer = Answer(FIRST, State.FOUND, ("127.0.0.2",), ms=1000.0)
    assert [(Early(0.5, b"y\r\n"), 0.5), (answer, 1.0), (Early(2.0, b"x\r\n"), 2.0), (Over(), 3.0)] == came
    assert (Left(), 4.0) == (scene.leap(math.inf), scene.now)
    assert (Over(), 4.0, 4.0) == (scene.leap(math.inf), scene.now, scene.gone_at)
    told = [Did('"y\\r\\n"', is_early=True), Did('"x\\r\\n"', is_early=True), Did("hangs up")]
    assert [Happened(at, one) for at, one in zip((0.5, 2.0, 4.0), told, strict=True)] == scene.happened


def test_early_talk_goes_before_what_comes_at_the_same_moment() -> None:
    """Bytes count to the last moment, whether an answer or the end of the hold comes with them."""
    scene = Scene(visit(early=(Early(1.0, b"x"),), leaves=1.0), given("a.example=127.0.0.2@1s").look)
    scene.ask([FIRST])
    assert [Early, Answer, Left, Over] == [type(scene.leap(1.0)) for _ in range(4)]


def test_who_has_left_says_nothing_more() -> None:
    """What it was to say stays unsaid."""
    scene = Scene(visit(early=(Early(2.0, b"x"),), leaves=1.0), nobody)
    assert [Left(), Over()] == [scene.leap(5.0), scene.leap(5.0)]
    assert (True, 1) == (scene.has_left, scene.unsaid)


def test_a_question_is_answered_when_it_was_first_asked_to_be() -> None:
    """Asked again it is joined, and answered at once where the answer has come."""
    scene = Scene(visit(), given("a.example=127.0.0.2@2s", "b.example=127.0.0.2@0.5s").look)
    scene.ask([FIRST])
    assert Over() == scene.leap(1.0)
    scene.hear_no_more()
    scene.ask([FIRST, SECOND])
    assert [(SECOND, 1.5), (FIRST, 2.0)] == [_question(scene), _question(scene)]
    scene.ask([SECOND])
    assert (SECOND, 2.0) == _question(scene)


def _question(scene: Scene) -> tuple[object, float]:
    answer = scene.leap(10.0)
    assert isinstance(answer, Answer)
    return answer.question, scene.now


class Talker:
    """Acts at two times: says something and nothing, then goes."""

    def __init__(self) -> None:
        self.plans: list[tuple[float, bytes | None]] = [(1.0, None), (1.5, b"x"), (2.0, b"")]
        self.heard: list[tuple[bytes, float]] = []
        self.closed_at: float | None = None

    @property
    def acts_at(self) -> float:
        return self.plans[0][0] if self.plans else math.inf

    def act(self, now: float) -> bytes | None:
        return self.plans.pop(0)[1]

    def hear(self, data: bytes, now: float) -> None:
        self.heard.append((data, now))

    def closed(self, now: float) -> None:
        self.closed_at = now


def test_a_caller_does_what_it_does_in_its_time() -> None:
    """What is seen of it comes in order with all else; it hears, and is told of the end."""
    caller = Talker()
    scene = Scene(visit(), given("a.example=127.0.0.2@1s").look, caller)
    scene.ask([FIRST])
    assert [Answer, Early, Left, Over] == [type(scene.leap(9.0)) for _ in range(4)]
    scene.hear(b"220 hi")
    scene.close()
    assert ([(b"220 hi", 9.0)], 9.0, 2.0, True) == (caller.heard, caller.closed_at, scene.gone_at, scene.is_for_caller)
    assert [(1.5, Did('"x"', is_early=True)), (2.0, Did("hangs up"))] == [(one.at, one.event) for one in scene.happened]


def test_a_visit_hears_nothing() -> None:
    """Its dialogue is given the replies by others."""
    scene = Scene(visit(), nobody)
    scene.hear(b"220 hi")
    scene.close()
    assert not scene.is_for_caller
