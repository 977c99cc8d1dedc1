"""A changed configuration is looked at as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pytest

from tarry.config.load import SIZE_LIMIT
from tarry.workers import rereading
from tarry.workers.rereading import reread
from tests import certificates


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


FILE = Path("tarry.toml")


def test_what_is_good_comes_as_it_was_read() -> None:
    """The text is that of the moment, whatever becomes of the file."""
    FILE.write_bytes(b'[hold]\r\nwait = "31s"\r\n')
    found = reread(FILE)
    assert ('[hold]\nwait = "31s"\n', "", 31.0) == (found.text, found.why, found.config.hold.wait.low)
    assert ["hold.wait" in problem for problem in found.problems] == [True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[hold]\nwiat = 1", "wiat"),
        ('[tls]\nmode = "terminate"\ncertificate = "none.pem"\nkey = "none.key"', "tls.certificate: none.pem: No such file"),
        ('[handoff]\nmaildir = "tarry.toml/mail"', "Not a directory"),
        ("#" * (SIZE_LIMIT + 1), "larger than"),
    ],
)
def test_what_is_not_good(text: str, why: str) -> None:
    """No worker hears of it, and the operator is told why."""
    FILE.write_text(text)
    found = reread(FILE)
    assert ("", True) == (found.text, why in found.why)
    assert any(why in problem for problem in found.problems)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_cannot_be_read(is_there: bool) -> None:
    """Nor one that is not text."""
    if is_there:
        FILE.write_bytes(b"\xff\xfe")
    assert "" != reread(FILE).why


def test_a_file_that_is_not_there_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read once: what is found good is what the workers get, and never the defaults in its place."""
    FILE.write_text('[hold]\nwait = "7s"\n')
    opened, tries = Path.open, []

    def open_late(path: Path, *args: Any, **more: Any) -> IO[Any]:
        tries.append(path)
        if len(tries) == 1:
            raise FileNotFoundError(2, "No such file or directory")
        return opened(path, *args, **more)

    monkeypatch.setattr(Path, "open", open_late)
    found = reread(FILE)
    assert ("", True, 1) == (found.text, "no such file" in found.why, len(tries))


def test_a_certificate_that_fits() -> None:
    """It is tried with its key."""
    certificate, key = certificates.pair()
    FILE.write_text(f'[tls]\nmode = "terminate"\ncertificate = "{certificate}"\nkey = "{key}"\n')
    assert "" == reread(FILE).why


def test_a_fault_of_its_own_is_told_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not end the one that keeps the workers."""

    def fail(*args: object, **more: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(rereading, "make_backend", fail)
    FILE.write_text("")
    assert "it cannot be taken: ZeroDivisionError('on purpose')" == reread(FILE).why
