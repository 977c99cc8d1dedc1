"""drive - run a load generator in its own process and hear what it has to say (see bench.generators)."""

import subprocess
import sys
import threading
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from bench.machine import ROOT

T = TypeVar("T")


class GeneratorFailure(Exception):
    """The generator ended, or hung, before it delivered its outcome."""


class Generator:
    """A generator process, ready to go; a context manager that never leaves it behind.

    *patience* bounds its whole life in seconds: a watchdog kills it then, and whoever waits gets GeneratorFailure.
    """

    def __init__(self, name: str, order: msgspec.Struct, *, patience: float) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"bench.generators.{name}", msgspec.json.encode(order).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        self._watchdog = threading.Timer(patience, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        try:
            self.await_mark("ready")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def await_mark(self, word: str) -> None:
        """Return when it prints *word*."""
        if (line := self._line()) != word:
            raise GeneratorFailure(f"generator {self._name} said {line[:200]!r} instead of {word!r}")

    def outcome(self, kind: type[T]) -> T:
        """Return what it found."""
        return msgspec.json.decode(self._line(), type=kind)

    def close(self) -> None:
        """End it."""
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise GeneratorFailure(f"generator {self._name} ended with status {self._process.wait()} and no outcome")
        return line.rstrip("\n")
