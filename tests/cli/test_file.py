"""The configuration that is read where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarry.cli.file import default_file


def test_it_is_the_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that the command is given in."""
    monkeypatch.chdir(tmp_path)
    assert None is default_file()
    Path("tarry.toml").touch()
    assert "tarry.toml" == default_file()
