"""rereading - look at a changed configuration as a whole, before any worker hears of it.

Promises  What is good here was read once: workers get this text, whatever becomes of the file. Certificates, keys and the Maildir
          are tried as a server would.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tarry.config.load import load
from tarry.config.schema import Config
from tarry.handoffs import make_backend, tls_of


@dataclass(frozen=True, slots=True)
class Reread:
    """What the file says now. ``why`` is "" where it can be taken; ``problems`` are sentences for the operator."""

    config: Config
    text: str
    problems: tuple[str, ...]
    why: str = ""


def reread(path: Path) -> Reread:
    """Read the file at *path* and try it."""
    loaded = load(path)
    problems = [str(problem) for problem in loaded.problems]
    if loaded.errors:
        return Reread(loaded.config, "", tuple(problems), "; ".join(str(problem) for problem in loaded.errors)[:1000])
    config = loaded.config
    try:
        tls_of(config)
        make_backend(config, on_health=lambda good, why: None)
    except OSError as fault:
        return Reread(config, "", (*problems, str(fault)), str(fault))
    except Exception as fault:  # a fault of tarry's own, which must not end the one that keeps the workers
        why = f"it cannot be taken: {fault!r}"
        return Reread(config, "", (*problems, why), why)
    return Reread(config, loaded.text, tuple(problems))
