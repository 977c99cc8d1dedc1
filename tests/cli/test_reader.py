"""A reader of a command's output that has had enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tarry.cli.reader import may_leave


def ended(*args: str, folder: Path) -> tuple[int, bytes]:
    """Return the status of a command whose reader has gone, and what it says of that."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "tarry", *args], cwd=folder, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("args", [["config", "reference"], ["explain"], ["explain", "pregreet", "--json"], ["serve", "--help"]])
def test_it_is_no_failure(args: list[str], tmp_path: Path) -> None:
    """Status 0, and nothing is said about it."""
    assert (0, b"") == ended(*args, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "status"), [("", 0), ("x = 1\n", 1)])
def test_what_was_found_is_told_all_the_same(text: str, status: int, tmp_path: Path) -> None:
    """By the status."""
    (tmp_path / "tarry.toml").write_text(text)
    assert (status, b"") == ended("config", "check", folder=tmp_path)


def test_the_standard_stream_is_pointed_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that flushing it at exit says nothing; other faults are the caller's."""
    moved: list[int] = []

    def dup2(fd: int, to: int) -> None:
        os.close(fd)
        moved.append(to)

    with monkeypatch.context() as patched, Path(os.devnull).open("w") as stream:
        patched.setattr(os, "dup2", dup2)  # undone at once: pytest itself uses it
        patched.setattr(sys, "stdout", stream)
        with may_leave():
            raise BrokenPipeError
        assert [stream.fileno()] == moved
    with pytest.raises(ConnectionResetError), may_leave():
        raise ConnectionResetError
