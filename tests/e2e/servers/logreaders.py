"""logreaders - programs that read a mail log: pflogsumm and fail2ban-regex, run from their unpacked packages.

What     `pflogsumm` returns its report; `fail2ban` returns the addresses that fail2ban's own filter for Postfix finds in a mode.
Promise  They see the log and their own files, no configuration of this machine. What is missing skips by name (see need).
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.servers import install
from tests.e2e.servers.processes import own_environment

TIMEOUT = 60


def pflogsumm(log: Path, *options: str) -> str:
    """Return what pflogsumm reports on *log*."""
    program = install.folder("pflogsumm") / "usr/sbin/pflogsumm"
    return _run("perl", str(program), *options, str(log))


def number(report: str, what: str) -> int:
    """Return the number before *what* in a report of pflogsumm's, 0 where it is not there."""
    found = re.search(rf"^ *(\d+) +{re.escape(what)}(?: |$)", report, re.MULTILINE)
    return int(found[1]) if found else 0


def fail2ban(log: Path, mode: str) -> list[str]:
    """Return the address of each line of *log* that fail2ban's filter "postfix" takes for a failure, in a mode of the filter's."""
    tree = install.folder("fail2ban")
    # Debian's own Python first: its package is made for that one.
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    return _run(
        python,
        str(tree / "usr/bin/fail2ban-regex"),
        *("--config", str(tree / "etc/fail2ban"), "--out", "ip"),
        str(log),
        f"postfix[mode={mode}]",
        PYTHONPATH=str(tree / "usr/lib/python3/dist-packages"),
    ).split()


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env=own_environment(LC_ALL="C", **environment), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr}"
    return done.stdout
