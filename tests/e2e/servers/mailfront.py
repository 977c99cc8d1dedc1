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

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.servers import private

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


class Mailfront(private.Server):
    """A running mailfront; see the module text.

    The log has commands, refusals and deliveries, and names no client; a delivered message is below mailfront's own Received, its
    lines ending in LF.
    """

    name = "mailfront"
    logs = ("log",)

    def __init__(self, *, recipients: Sequence[str] = private.RECIPIENTS, connection_limit: int = 100, listen: bool = True) -> None:
        super().__init__(recipients=recipients, listen=listen)  # on IPv4: Debian's tcpserver has no IPv6
        self._connection_limit = connection_limit

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """A program that serves one client on stdin and stdout. It needs the TCPREMOTE* and TCPLOCAL* variables, no others."""
        return (str(self.folder / "mailfront"),)

    def _lay_out(self) -> None:
        self._make_maildirs()
        rules = [
            ":sender",
            "k*:*",
            ":recipient",
            *(f"k*:{recipient}" for recipient in self._recipients),
            *(f"d*:*@{domain}:sorry, no mailbox here by that name (#5.1.1)" for domain in self._domains),
        ]
        (self.folder / "rules").write_text("".join(f"{rule}\n" for rule in rules))
        (self.folder / "log").touch()
        for name, text in {
            "mailfront": START.format(folder=shlex.quote(str(self.folder)), tree=shlex.quote(str(self._tree))),
            "qmail-queue": QUEUE.format(python=sys.executable, mail=str(self.folder / "mail")),
        }.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def _command(self) -> list[str | Path]:
        limit = str(self._connection_limit)
        # No look-up of names, no question to the client's identd; -v tells of each connection in the output.
        options = ["-v", "-H", "-R", "-l", "mailfront.example.org", "-c", limit, "-b", limit]
        return [self._tree / "usr/bin/tcpserver", *options, self.address, str(self.port), *self.inetd_command]
