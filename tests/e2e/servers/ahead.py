"""ahead - cases of a table that mostly wait are played a few at a time, ahead of the tests that ask for them.

What     `Ahead(play, cases)` is a context manager. `of(case)` gives what *play* returned for that case, or raises what it raised (a
         failed assertion, a skip); the cases behind it in the table are begun meanwhile, so many that `AT_A_TIME` are under way.
Promise  Each case is played once at most, and its outcome is that of its own test alone. Where a module is split between workers a
         few cases are played in vain, and no more.
Not      It is for cases that have servers of their own, or that share one without seeing each other.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

AT_A_TIME = 4

Case = TypeVar("Case")
Outcome = TypeVar("Outcome")


class Ahead(Generic[Case, Outcome]):
    """Cases that are played ahead; see the module text."""

    def __init__(self, play: Callable[[Case], Outcome], cases: Iterable[Case], at_a_time: int = AT_A_TIME) -> None:
        self._play = play
        self._cases = list(cases)
        self._at_a_time = at_a_time
        self._begun: dict[Case, Future[Outcome]] = {}
        self._pool = ThreadPoolExecutor(at_a_time)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def of(self, case: Case) -> Outcome:
        """Return what came of *case*. Raises what was raised in it."""
        first = self._cases.index(case)
        for each in self._cases[first : first + self._at_a_time]:
            if each not in self._begun:
                self._begun[each] = self._pool.submit(self._play, each)
        return self._begun[case].result()
