"""file - the configuration that a command reads where none is named."""

from __future__ import annotations

from pathlib import Path

DEFAULT_FILE = "tarry.toml"


def default_file() -> str | None:
    """Return tarry.toml where it is there."""
    return DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None
