"""inetds - the real programs that start a command for each client.

What     `started_by(kind, command, folder)` is a context manager that listens on a loopback port with one of KINDS and gives the
         port; `needs(kind)` names what it needs of install. What the commands and the program say goes to `folder/output`.
Promise  Nothing is installed and nothing outside the folder is read. All of it ends with the block.
Facts    openbsd-inetd gives the client as descriptors 0, 1 and 2, and so does xinetd; tcpserver and systemd give 0 and 1.
Source   inetd(8), xinetd.conf(5), tcpserver(1), systemd-socket-activate(1).
"""

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.servers import install
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import Program, free_port, own_environment, wait_listening

KINDS = ("inetd", "xinetd", "tcpserver", "systemd")
HAS_CLIENT_AS_ERROR = ("inetd", "xinetd")

XINETD = """
defaults
{{
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 1000 1
}}
service tarry
{{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    bind = 127.0.0.1
    port = {port}
    server = {program}
    server_args = {arguments}
}}
"""


@contextlib.contextmanager
def started_by(kind: str, command: Sequence[str], folder: Path) -> Iterator[int]:
    """Have *kind* start *command* for each client of the port that is given. Skips the test where *kind* is not there."""
    if kind == "systemd":
        if not shutil.which("systemd-socket-activate"):
            pytest.skip("systemd-socket-activate is not installed: it comes with systemd")
    else:
        need("inetd")
    port = free_port()
    program = Program(_line(kind, list(command), folder, port), output=folder / "output", cwd=folder, environment=own_environment())
    try:
        wait_listening(program, port, 10)
        yield port
    finally:
        program.end()


def _line(kind: str, command: list[str], folder: Path, port: int) -> list[str]:
    tree = install.folder("inetd")
    file = folder / "inetd.conf"
    match kind:
        case "inetd":
            # It knows no quotes and takes 20 words.
            file.write_text(f"127.0.0.1:{port} stream tcp nowait.1000 root {command[0]} {' '.join(command)}\n")
            return [str(tree / "usr/sbin/inetd"), "-i", str(file)]
        case "xinetd":
            file.write_text(XINETD.format(port=port, program=command[0], arguments=" ".join(command[1:])))
            return [
                str(tree / "usr/sbin/xinetd"),
                "-dontfork",
                "-f",
                str(file),
                "-pidfile",
                str(folder / "pid"),
                "-filelog",
                str(folder / "xlog"),
            ]
        case "tcpserver":
            return [str(tree / "usr/bin/tcpserver"), "-HRDl0", "127.0.0.1", str(port), *command]
        case _:
            kept = [f"--setenv={name}" for name in ("PATH", "PYTHONPATH") if name in os.environ]
            return ["systemd-socket-activate", "--inetd", "--accept", *kept, f"--listen=127.0.0.1:{port}", *command]


def script(folder: Path, text: str) -> str:
    """Return the path of a shell script that does *text*: inetd and xinetd cannot quote."""
    path = folder / "command"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))
