"""The tests mirror the sources: src/tarry/core/hold.py has tests/core/test_hold.py, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
EXEMPT = frozenset({"e2e", "bench", "presets"})
"""Folders of tests that mirror nothing."""


def python_files(folder: Path) -> list[PurePosixPath]:
    return [PurePosixPath(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.py"))]


def wanted(sources: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the test file of each source; packages and entry points have none."""
    return {path.with_name(f"test_{path.name}") for path in sources if path.name not in ("__init__.py", "__main__.py")}


def allowed(sources: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the test files that a package may have: test_init.py for its __init__.py, and one for a folder of presets."""
    return {path.with_name("test_init.py") for path in sources if path.name == "__init__.py"} | {
        PurePosixPath("config/test_presets.py")
    }


def mirrored(tests: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the test files that stand for a source: those in folders that are not exempt. Helpers stand for nothing."""
    return {path for path in tests if path.name.startswith("test_") and len(path.parts) > 1 and path.parts[0] not in EXEMPT}


def orphans(tests: Iterable[PurePosixPath], sources: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """Return the test files without a source. A source may have more than one: test_hold.py, and test_hold_answers.py beside it."""
    sources = list(sources)
    files = wanted(sources)
    found = mirrored(tests) - files - allowed(sources)
    return {path for path in found if not any(path.parent == one.parent and path.stem.startswith(f"{one.stem}_") for one in files)}


SOURCES = python_files(ROOT / "src" / "tarry")
TESTS = python_files(ROOT / "tests")
TOP = {path for path in TESTS if len(path.parts) == 1}
"""Tests of the whole tree, and those of the modules that stand at the top of the package."""


def test_every_source_file_has_its_test_file() -> None:
    """At the mirrored place, so that it can be found without a search."""
    missing = sorted(map(str, wanted(SOURCES) - mirrored(TESTS) - TOP))
    assert [] == missing, "\n".join(missing)


def test_every_test_file_has_its_source_file() -> None:
    """A test whose source went away goes with it."""
    left = sorted(map(str, orphans(TESTS, SOURCES)))
    assert [] == left, "\n".join(left)


def test_the_rule_can_fail() -> None:
    """On trees made up for it: one test is missing, one has no source, and the exempt ones are left alone."""
    sources = [PurePosixPath(name) for name in ("core/hold.py", "core/judge.py", "core/__init__.py", "__main__.py")]
    tests = [
        PurePosixPath(name)
        for name in (
            "core/test_hold.py",
            "core/test_hold_answers.py",
            "smtp/test_hold_answers.py",
            "core/test_gone.py",
            "core/helper.py",
            "e2e/test_mail.py",
            "test_layering.py",
        )
    ]
    assert {PurePosixPath("core/test_judge.py")} == wanted(sources) - mirrored(tests)
    assert {PurePosixPath("core/test_gone.py"), PurePosixPath("smtp/test_hold_answers.py")} == orphans(tests, sources)
