"""`tarry inetd` without click: its words, and what a start imports."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

import tarry.inetd
from tarry.cli import straight
from tarry.cli.straight import Asked, parse

HEAVY = {
    "aiosmtpd",
    "asyncio",
    "click",
    "concurrent.futures",
    "difflib",
    "email",
    "hashlib",
    "importlib.metadata",
    "importlib.resources",
}
HEAVY |= {
    "json",
    "logging",
    "mailbox",
    "random",
    "rich",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
    "tree_sitter",
    "tree_sitter_toml",
}
HEAVY |= {"tarry.daemon", "tarry.sinks", "tarry.smtp.receiver", "unittest", "uvloop"}
"""What `tarry inetd` does without. Each takes from 0.6 to 40 ms of CPU, for each client."""


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("-- cmd -x", Asked(("cmd", "-x"))),
        ("cmd -x -- y", Asked(("cmd", "-x", "--", "y"))),
        ("-c f -- cmd", Asked(("cmd",), "f")),
        ("--config f cmd", Asked(("cmd",), "f")),
        ("--config=f cmd -c g", Asked(("cmd", "-c", "g"), "f")),
        ("--observe -c f -- cmd", Asked(("cmd",), "f", True)),
    ],
)
def test_plain_words_are_read(words: str, asked: Asked) -> None:
    """As click reads them."""
    assert asked == parse(words.split())


@pytest.mark.parametrize(
    "words", [[], ["--"], ["-c"], ["-c", "f"], ["--help"], ["-h"], ["-cf", "x"], ["--confg", "f", "x"], ["--", ""]]
)
def test_the_rest_is_left_to_click(words: list[str]) -> None:
    """It explains, and knows the short forms that nobody writes."""
    assert None is parse(words)


class Quiet:
    """A standard error that keeps what it is told."""

    told: list[str]

    def __init__(self) -> None:
        self.told = []
        self.is_usable = True

    def tell(self, text: str) -> None:
        self.told.append(text)


def test_a_fault_of_ours_is_told_and_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never as a traceback, which an old inetd would send to the client."""
    stderr = Quiet()
    monkeypatch.setattr(straight, "StandardError", lambda: stderr)
    monkeypatch.setattr(gc, "disable", lambda: None)
    monkeypatch.setattr(tarry.inetd, "serve", lambda *_, **__: 1 // 0)
    said: list[bytes] = []
    monkeypatch.setattr(straight, "last_words", said.append)
    assert 75 == straight.serve(Asked(("cmd",)))
    assert ["tarry: ZeroDivisionError: integer division or modulo by zero"] == stderr.told
    assert [b"421 4.3.0 Internal fault, try again later\r\n"] == said


def test_the_verb_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was asked for."""
    called: list[object] = []
    monkeypatch.setattr(straight, "StandardError", Quiet)
    monkeypatch.setattr(gc, "disable", lambda: None)
    monkeypatch.setattr(tarry.inetd, "serve", lambda *args, **kwargs: called.append((args, kwargs["observe"])) or 7)
    assert 7 == straight.serve(Asked(("cmd",), "f", True))
    assert [((("cmd",), "f"), True)] == called


@pytest.mark.parametrize("is_usable", [True, False])
def test_what_click_would_explain_to_a_client(monkeypatch: pytest.MonkeyPatch, is_usable: bool) -> None:
    """With an old inetd standard error is the client: it hears a 421 in place of the usage, and the operator a sentence."""
    stderr = Quiet()
    said: list[bytes] = []
    stderr.is_usable = is_usable
    monkeypatch.setattr(straight, "StandardError", lambda: stderr)
    monkeypatch.setattr(straight, "last_words", said.append)
    assert (None if is_usable else 2) == straight.turn_away()
    assert [] == said if is_usable else said[0].startswith(b"421 4.3.0 ")
    assert is_usable == (not stderr.told)


@pytest.mark.parametrize("preset", ["", 'preset = "sendwrap-2004"\n'])
def test_a_start_imports_no_more_than_it_needs(tmp_path: Path, preset: str) -> None:
    """What creeps in is paid for by each client: the whole way to the exec is walked, and the modules are looked at there."""
    file = tmp_path / "tarry.toml"
    file.write_text(f'{preset}[hold]\nwait = "0s"\n')
    code = (
        "import os, socket, sys\n"
        "ours, theirs = socket.socketpair()\nos.dup2(ours.fileno(), 0)\nos.environ['TCPREMOTEIP'] = '192.0.2.7'\n"
        "out = os.dup(1)\n"
        "def look(path, words, environ):\n os.write(2, ' '.join(sys.modules).encode()); os._exit(0)\n"
        "os.execve = look\n"
        f"sys.argv = ['tarry', 'inetd', '-c', {str(file)!r}, '--', '/bin/true']\n"
        "import tarry.cli\ntarry.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    imported = set(done.stderr.splitlines()[-1].split())
    assert "tarry.net.alone" in imported
    assert set() == HEAVY & imported


def test_what_is_printed_does_not_reach_the_client(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Descriptor 1 is the client, and a check of the operator's may print."""
    monkeypatch.setattr(straight, "StandardError", Quiet)
    monkeypatch.setattr(gc, "disable", lambda: None)
    monkeypatch.setattr(tarry.inetd, "serve", lambda *_, **__: print("hello") or 0)
    assert 0 == straight.serve(Asked(("cmd",)))
    assert ("", "hello\n") == capsys.readouterr()
