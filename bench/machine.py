"""machine - the line that says where, when and how a result was measured.

A benchmark quoted without its machine and command is noise (house style, commits); so every result carries both.
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a result comes from."""

    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    date: str
    command: str
    commit: str

    def line(self) -> str:
        """Return the machine in one line for people."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_mib / 1024:.0f} GiB, {self.kernel}, Python {self.python}, "
            f"{self.date}, commit {self.commit}"
        )


def this_machine() -> Machine:
    """Describe this machine and this command."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=" ".join(["python -m bench", *sys.argv[1:]]),
        commit=_commit(),
    )


def _cpu_model() -> str:
    """Return the model name; arm64 kernels print none, then the architecture has to do."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    """Return the commit, marked `+` when tracked files differ from it; `unknown` outside a work tree."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
