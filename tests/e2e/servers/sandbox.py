"""sandbox - run a program as a systemd unit would confine it, where no systemd runs.

What     `words(unit, command, ...)` returns the words that run *command* under the settings of a unit file: its user's lack of
         rights, capabilities, system calls, address families, memory that cannot be written and run, a file system that is read
         only but for the unit's own folders, and a /proc of processes only. The command keeps its process id and descriptors.
Promise  The settings are read from the file: what is taken out of the unit is not enforced. Sets of system calls
         (@system-service) are those of this machine's systemd, and the filter is loaded into the kernel by libseccomp, as
         systemd does.
Not      Private devices, users, hostname, clock, cgroups, and what only root could do anyway. `refused` says where it cannot be
         done.
Source   systemd.exec(5), seccomp(2), setpriv(1), mount_namespaces(7); systemd's seccomp-util.c for which calls each setting stands
         for.
"""

from __future__ import annotations

import ctypes.util
import functools
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.e2e.servers import namespace

# Runs as the unit's user, after the mounts and the change of user. The filter comes last: it forbids what makes it.
_CONFINE = r"""
import ctypes, json, os, sys
asked = json.loads(sys.argv[1])
lib = ctypes.CDLL(asked["library"], use_errno=True)
lib.seccomp_init.restype = ctypes.c_void_p
class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]
def fail(number): return 0x00050000 | number
ALLOW, SAME, MASKED, MORE = 0x7FFF0000, 4, 7, 6
def begin(default):
    global filter
    filter = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(default)))
def rule(action, call, *compare):
    number = lib.seccomp_syscall_resolve_name(call.encode())
    if number >= 0:
        made = (Compare * len(compare))(*(Compare(*one) for one in compare))
        assert lib.seccomp_rule_add_array(filter, ctypes.c_uint32(action), number, len(compare), made) == 0, call
def load():
    assert lib.seccomp_load(filter) == 0
begin(ALLOW)
if asked["no_writable_code"]:
    rule(fail(1), "mmap", (2, MASKED, 6, 6))
    for call in ("mprotect", "pkey_mprotect"):
        rule(fail(1), call, (2, MASKED, 4, 4))
    rule(fail(1), "shmat", (2, MASKED, 0o100000, 0o100000))
if asked["families"]:
    for family in range(max(asked["families"])):
        if family not in asked["families"]:
            rule(fail(97), "socket", (0, SAME, family, 0))
    rule(fail(97), "socket", (0, MORE, max(asked["families"]), 0))
if asked["no_namespaces"]:
    rule(fail(38), "clone3")
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        rule(fail(1), "unshare", (0, MASKED, flag, flag))
        rule(fail(1), "clone", (0, MASKED, flag, flag))
    rule(fail(1), "setns")
load()
if asked["calls"]:
    begin(fail(asked["errno"]))
    for call in asked["calls"]:
        rule(ALLOW, call)
    load()
os.execv(asked["command"][0], asked["command"])
"""

# The mounts of ProtectSystem=strict, ProtectHome=yes, ProcSubset=pid and ProtectProc=invisible, in a namespace of their own.
_MOUNTS = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
while [ "$1" != -- ]; do mount --bind "$1" "$1" || exit 1; shift; done
shift
mount -t proc -o subset=pid,hidepid=invisible proc /proc || exit 1
mount -o remount,bind,ro / || exit 1
exec "$@"
"""


def settings(unit: Path) -> dict[str, list[str]]:
    """Return the values of each setting under [Service]; an empty one takes back those before it."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").partition("[Service]")[2].partition("\n[")[0].splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = [*found.get(name, []), value.strip()] if value.strip() else []
    return found


@functools.cache
def members(group: str) -> frozenset[str]:
    """Return the system calls of a set such as @system-service, by this machine's systemd."""
    told = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", group], capture_output=True, text=True, timeout=20, check=True
    )
    words = [line.strip() for line in told.stdout.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return frozenset().union(*(members(word) if word.startswith("@") else {word} for word in words))


def allowed(filters: Iterable[str]) -> list[str]:
    """Return the system calls that SystemCallFilter= lines leave; [] where there is none."""
    left: set[str] = set()
    for line in filters:
        named = set().union(*(members(word) if word.startswith("@") else {word} for word in line.lstrip("~").split()))
        left = left - named if line.startswith("~") else left | named | members("@default")
    return sorted(left)


def words(
    unit: Path, command: Sequence[str | Path], *, python: str | Path, writable: Sequence[Path], user: str = "nobody"
) -> tuple[str, ...]:
    """Return the words that run *command* confined by *unit*, as *user*, with *writable* in place of the unit's own folders.

    *python* is an interpreter that the user may run. Where ProtectSystem= is not strict, the file system is as it was.
    """
    said = settings(unit)

    def on(name: str) -> bool:
        return said.get(name, ["no"])[-1] == "yes"

    asked = {
        "library": ctypes.util.find_library("seccomp"),
        "calls": allowed(said.get("SystemCallFilter", [])),
        "errno": 1,
        "no_writable_code": on("MemoryDenyWriteExecute"),
        "families": [getattr(socket, word) for line in said.get("RestrictAddressFamilies", []) for word in line.split()],
        "no_namespaces": on("RestrictNamespaces"),
        "command": [str(word) for word in command],
    }
    mounts = ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", _MOUNTS, "sandbox", *map(str, writable), "--")
    kept = [word.removeprefix("CAP_").lower() for line in said.get("CapabilityBoundingSet", []) for word in line.split()]
    ambient = [word.removeprefix("CAP_").lower() for line in said.get("AmbientCapabilities", []) for word in line.split()]
    confined = (
        "/usr/bin/setpriv",
        f"--reuid={user}",
        "--regid=nogroup",
        "--clear-groups",
        f"--inh-caps={','.join(['-all', *(f'+{one}' for one in ambient)])}",
        f"--ambient-caps={','.join(['-all', *(f'+{one}' for one in ambient)])}",
        f"--bounding-set={','.join(['-all', *(f'+{one}' for one in kept)])}",
        *(("--no-new-privs",) if on("NoNewPrivileges") else ()),
    )
    return (
        *(mounts if said.get("ProtectSystem", [""])[-1] == "strict" else ()),
        *confined,
        str(python),
        "-I",
        "-c",
        _CONFINE,
        json.dumps(asked),
    )


@functools.cache
def refused() -> str:
    """Return why nothing can be confined here; empty if it can."""
    if os.getuid() != 0:
        return "only root can confine a program as systemd does"
    if not shutil.which("systemd-analyze") or not ctypes.util.find_library("seccomp"):
        return "systemd-analyze and libseccomp are not installed: they come with systemd"
    return namespace.refused()
