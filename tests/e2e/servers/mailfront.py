"""mailfront - a private mailfront: qmail's contract with tcpserver, in a server that Debian still has.

What     `Mailfront(...)` is a context manager that runs mailfront below tcpserver, a receiving MTA for `recipients`, whose mail
         `messages()` reads back; any other user of their domains gets the words of its mail rules, 553 sorry, no mailbox here.
         `inetd_command` is the same server for one client on stdin and stdout, which it believes to be the one that the
         environment names. With *listen* off there is only that.
Promise  Several run side by side. Nothing outside its own folder is read or written, and no name is looked up.
Not      It is Debian's mailfront, unpacked and not installed (see install), with a qmail-queue of ours behind. It stands in for
         qmail-smtpd and netqmail, which Debian 12 has not. No STARTTLS. It takes LF alone for a line end.
Source   mailfront 2.12: mailfront.html, mailrules.html, plugin-add-received.html; qmail-queue(8); tcpserver(1).
"""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import install, private
from tests.e2e.servers.processes import NotStarted

# Its rules and its queue are the only things that it is given; the rest is its own.
START = """#!/bin/sh
exec 2>>{folder}/log
export PROTO=TCP SMTPGREETING=mailfront.example.org QMAILHOME={folder} QMAILQUEUE={folder}/qmail-queue MAILRULES={folder}/rules
export MODULE_PATH={tree}/usr/lib/mailfront
exec {tree}/usr/sbin/mailfront smtp qmail counters mailrules add-received
"""

# The message is on descriptor 0, F and T and the addresses, each with a NUL behind, are on 1.
QUEUE = """#!{python} -IS
import os, pathlib, time
message, envelope = (open(number, 'rb').read() for number in (0, 1))
for recipient in (field[1:].decode() for field in envelope.split(b'\\0') if field.startswith(b'T')):
    box = pathlib.Path({mail!r}, recipient.lower())
    name = f'{{time.time_ns()}}.{{os.getpid()}}'
    (box / 'tmp' / name).write_bytes(message)
    (box / 'tmp' / name).rename(box / 'new' / name)
"""


class Mailfront:
    """A running mailfront; see the module text."""

    def __init__(self, *, recipients: Sequence[str] = private.RECIPIENTS, connection_limit: int = 100, listen: bool = True) -> None:
        if problem := install.missing("mailfront"):
            raise NotStarted(problem)
        self.address = "127.0.0.1"  # Debian's tcpserver has no IPv6
        self.port = 0
        self._recipients = tuple(recipients)
        self._connection_limit = connection_limit
        self._listen = listen
        self._tree = install.folder("mailfront")

    def __enter__(self) -> Self:
        self._home = private.Home("mailfront")
        try:
            self._lay_out()
            if self._listen:
                private.start_somewhere(self._start, self.address)
        except BaseException:
            self._home.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End all its processes and remove its folder."""
        self._home.close()

    @property
    def folder(self) -> Path:
        return self._home.folder

    @property
    def pid(self) -> int:
        """The tcpserver."""
        return self._home.program.pid

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """A program that serves one client on stdin and stdout. It needs the TCPREMOTE* and TCPLOCAL* variables, no others."""
        return (str(self.folder / "mailfront"),)

    def pids(self) -> list[int]:
        """Return all its processes: tcpserver, and one for each client."""
        return self._home.pids()

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: mailfront's own Received, then the message, lines ending in LF."""
        return private.delivered(self.folder / "mail", recipient)

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        return private.wait_delivered(self.folder / "mail", count, timeout)

    def log_text(self) -> str:
        """Return what mailfront logged so far: commands, refusals and deliveries. It names no client."""
        return (self.folder / "log").read_text(errors="backslashreplace")

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str] | None:
        """Return the first match of *pattern* in the log, None when there is none after *timeout* seconds."""
        return private.wait_match(pattern, self.log_text, timeout)

    def halt(self) -> None:
        """End all its processes but keep port and mail, as when an MTA is down for maintenance."""
        self._home.end()

    def resume(self) -> None:
        """Start again on the same port after `halt`."""
        self._start(self.port)

    def _lay_out(self) -> None:
        for recipient in self._recipients:
            for name in ("tmp", "new"):
                Path(self.folder, "mail", recipient, name).mkdir(parents=True)
        domains = sorted({recipient.rpartition("@")[2] for recipient in self._recipients})
        rules = [
            ":sender",
            "k*:*",
            ":recipient",
            *(f"k*:{recipient}" for recipient in self._recipients),
            *(f"d*:*@{domain}:sorry, no mailbox here by that name (#5.1.1)" for domain in domains),
        ]
        (self.folder / "rules").write_text("".join(f"{rule}\n" for rule in rules))
        (self.folder / "log").touch()
        for name, text in {
            "mailfront": START.format(folder=shlex.quote(str(self.folder)), tree=shlex.quote(str(self._tree))),
            "qmail-queue": QUEUE.format(python=sys.executable, mail=str(self.folder / "mail")),
        }.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def _start(self, port: int) -> None:
        self.port = port
        limit = str(self._connection_limit)
        # No look-up of names, no question to the client's identd; -v tells of each connection in the output.
        options = ["-v", "-H", "-R", "-l", "mailfront.example.org", "-c", limit, "-b", limit]
        command: list[str | Path] = [self._tree / "usr/bin/tcpserver", *options, self.address, str(port), *self.inetd_command]
        self._home.start(command, port, install.environment("mailfront"), self.log_text)
