"""Who imports whom: the table of DESIGN §4 as a test, walked over the sources' syntax trees.

L0 smtp, record, core; L1 checks; L2 config; L3 dns, store, net, sinks, control; L4 analysis, probe, rehearsal;
L5 daemon and what is wired beside it (lookups, memory, marks, counting, sockets, listening, handoffs, signals), workers,
inetd, cli, web, the package itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

L0 = frozenset({"smtp", "record", "core"})
L1 = frozenset({"checks"})
L2 = frozenset({"config"})
L3 = frozenset({"dns", "store", "net", "sinks", "control"})
L4 = frozenset({"analysis", "probe", "rehearsal"})
L5 = frozenset(
    {
        "daemon",
        "counting",
        "lookups",
        "memory",
        "marks",
        "sockets",
        "handoffs",
        "listening",
        "signals",
        "share",
        "loops",
        "clocks",
        "workers",
        "inetd",
        "cli",
    }
    | {"web", "version"}
    | {"__init__", "__main__"}
)

MAY_IMPORT: dict[str, frozenset[str]] = {
    "smtp": frozenset({"smtp"}),
    "record": frozenset({"record", "smtp"}),
    "core": L0,
    "checks": L0,
    "config": L0 | L1 | L2,
    **{part: L0 | L1 | L2 | {part} for part in L3 | L4},
    **dict.fromkeys(L5, L0 | L1 | L2 | L3 | L4 | L5),
}
"""Which parts of tarry each part may import; itself only where it stands in its own row."""

NO_IO = L0 | L1
IMPURE = frozenset(
    {"asyncio", "logging", "os", "random", "secrets", "select", "selectors", "socket", "subprocess", "threading", "time"}
)
"""What a pure layer may not import: clock, randomness, environment and sockets come in as arguments."""

READS_THE_CLOCK = L3 | frozenset({"clocks", "daemon", "inetd", "signals", "workers", "cli"})
CLOCKS = frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"})


def modules() -> list[str]:
    """Return the dotted name of every module of the package."""
    found = []
    for path in sorted((SOURCE / "tarry").rglob("*.py")):
        found.append(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    return found


def text_of(module: str) -> str:
    return (SOURCE / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8")


def part_of(module: str) -> str:
    """Return which part of tarry a module belongs to: "core" for tarry.core.hold, "__init__" for tarry itself."""
    words = module.split(".")
    return words[1] if len(words) > 1 else "__init__"


def imports(tree: ast.AST) -> Iterator[tuple[int, str, int]]:
    """Yield (line, dotted name, level) of every import, also of those inside functions and under TYPE_CHECKING.

    ``from tarry.core import judge`` yields tarry.core.judge, and so does ``from tarry.core.judge import judge`` with one word more.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name, 0) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                yield from ((node.lineno, f"{module or ''}.{alias.name}".lstrip("."), level) for alias in names)


def clocks_read(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every clock of the time module that is named, under whatever name it was imported."""
    aliases = {"time"}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                aliases |= {alias.asname for alias in names if alias.name == "time" and alias.asname}
            case ast.ImportFrom(module="time", names=names):
                yield from ((node.lineno, alias.name) for alias in names if alias.name in CLOCKS)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in aliases and name in CLOCKS:
                yield node.lineno, name


def breaches(module: str, text: str) -> list[str]:
    """Return what in *text*, the source of *module*, goes against the table."""
    part, tree, found = part_of(module), ast.parse(text), []
    if part not in MAY_IMPORT:
        return [f"{module}: {part} stands in no layer"]
    for line, name, level in imports(tree):
        where = f"{module}:{line}:"
        if level:
            found.append(f"{where} a relative import")
        elif name.split(".")[0] == "tarry":
            target = part_of(name)
            if part == "checks" and target == "checks":
                if module != "tarry.checks.__init__" and not name.startswith("tarry.checks.values."):
                    found.append(f"{where} a check imports another check ({name})")
            elif target not in MAY_IMPORT[part]:
                found.append(f"{where} {part} imports {name}")
        elif part in NO_IO and name.split(".")[0] in IMPURE:
            found.append(f"{where} {part} imports {name.split('.')[0]}")
    if part not in READS_THE_CLOCK:
        found.extend(f"{module}:{line}: {part} reads time.{name}" for line, name in clocks_read(tree))
    return found


@pytest.mark.parametrize("module", modules())
def test_each_layer_imports_only_lower_ones(module: str) -> None:
    """No module of the package breaches the table."""
    assert [] == breaches(module, text_of(module))


def test_every_layer_is_walked() -> None:
    """The walk reaches the parts that there must be."""
    assert L0 | L1 <= {part_of(module) for module in modules()}


# The checker itself, on sources made up for it.


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("tarry.smtp.reply", "from tarry.core.hold import step", ["tarry.smtp.reply:1: smtp imports tarry.core.hold.step"]),
        ("tarry.smtp.reply", "from tarry.core import hold", ["tarry.smtp.reply:1: smtp imports tarry.core.hold"]),
        ("tarry.smtp.reply", "from tarry import core", ["tarry.smtp.reply:1: smtp imports tarry.core"]),
        ("tarry.smtp.reply", "import tarry.record.schema", ["tarry.smtp.reply:1: smtp imports tarry.record.schema"]),
        ("tarry.smtp.reply", "import tarry", ["tarry.smtp.reply:1: smtp imports tarry"]),
        ("tarry.smtp.reply", "import socket", ["tarry.smtp.reply:1: smtp imports socket"]),
        ("tarry.record.schema", "import tarry.core.hold", ["tarry.record.schema:1: record imports tarry.core.hold"]),
        ("tarry.core.hold", "from os.path import join", ["tarry.core.hold:1: core imports os"]),
        ("tarry.core.hold", "def f():\n    import random", ["tarry.core.hold:2: core imports random"]),
        ("tarry.core.hold", "if TYPE_CHECKING:\n    import asyncio.events", ["tarry.core.hold:2: core imports asyncio"]),
        ("tarry.core.hold", "from tarry.checks import REGISTRY", ["tarry.core.hold:1: core imports tarry.checks.REGISTRY"]),
        ("tarry.core.hold", "from . import judge", ["tarry.core.hold:1: a relative import"]),
        ("tarry.core.hold", "from ..smtp import reply", ["tarry.core.hold:1: a relative import"]),
        ("tarry.core.hold", "import time", ["tarry.core.hold:1: core imports time"]),
        (
            "tarry.core.hold",
            "import time\ntime.monotonic()",
            ["tarry.core.hold:1: core imports time", "tarry.core.hold:2: core reads time.monotonic"],
        ),
        (
            "tarry.checks.predata",
            "from tarry.checks.pregreet import Pregreet",
            ["tarry.checks.predata:1: a check imports another check (tarry.checks.pregreet.Pregreet)"],
        ),
        ("tarry.checks.dnslists", "from tarry.checks.values.zone import Zone", []),
        (
            "tarry.checks.values.zone",
            "from tarry.checks import dnslists",
            ["tarry.checks.values.zone:1: a check imports another check (tarry.checks.dnslists)"],
        ),
        ("tarry.checks.predata", "import logging", ["tarry.checks.predata:1: checks imports logging"]),
        ("tarry.checks.predata", "from tarry.config import load", ["tarry.checks.predata:1: checks imports tarry.config.load"]),
        ("tarry.config.load", "from tarry.net import listener", ["tarry.config.load:1: config imports tarry.net.listener"]),
        ("tarry.net.listener", "from tarry.sinks import files", ["tarry.net.listener:1: net imports tarry.sinks.files"]),
        ("tarry.net.listener", "import tarry.daemon", ["tarry.net.listener:1: net imports tarry.daemon"]),
        (
            "tarry.analysis.survival",
            "from tarry.store import passes",
            ["tarry.analysis.survival:1: analysis imports tarry.store.passes"],
        ),
        ("tarry.probe.play", "from tarry.cli import probe", ["tarry.probe.play:1: probe imports tarry.cli.probe"]),
        ("tarry.probe.play", "from time import monotonic as now", ["tarry.probe.play:1: probe reads time.monotonic"]),
        ("tarry.config.load", "import time as t\nt.time()", ["tarry.config.load:2: config reads time.time"]),
        ("tarry.utils", "import os", ["tarry.utils: utils stands in no layer"]),
        ("tarry.smtp.reply", "import re\nfrom tarry.smtp.text import escape", []),
        ("tarry.record.schema", "from tarry.smtp.text import escape", []),
        (
            "tarry.core.hold",
            "from tarry.record import schema\nfrom tarry.smtp.text import escape\nfrom tarry.core import judge",
            [],
        ),
        ("tarry.checks.predata", "from tarry.core.check import Seen", []),
        ("tarry.checks.__init__", "from tarry.checks.predata import PreDataCheck", []),
        ("tarry.config.load", "import os\nfrom tarry.checks import REGISTRY\nfrom tarry.config import schema", []),
        ("tarry.net.listener", "import asyncio, time\nfrom tarry.net import wheel\ntime.monotonic()", []),
        ("tarry.probe.play", "import asyncio\nfrom tarry.probe.steps import Say", []),
        ("tarry.daemon", "import time\nfrom tarry.net import listener\ntime.monotonic()", []),
        ("tarry.cli.serve", "from tarry import daemon", []),
    ],
)
def test_the_checker_finds_breaches(module: str, text: str, expected: list[str]) -> None:
    """Each rule of the table fails on a source that breaks it, and lets pass one that keeps it."""
    assert expected == breaches(module, text)
