"""opensmtpd - a private OpenSMTPD with its own smtpd.conf, queue, log and loopback port.

What     `OpenSmtpd(...)` is a context manager. By default it is a receiving MTA for `recipients`, which it delivers to
         maildirs read back by `messages()`; any other recipient gets OpenSMTPD's own 550. Options turn on the other roles:
         relay_to (sending MTA), proxy_protocol.
Promise  Several run side by side. Nothing outside its own folder is read or written, no name is looked up, and no client
         is exempt for being local unless it relays.
How      Its queue, control socket, chroot and helpers are at paths compiled in, so it runs in a mount namespace of its own
         (see namespace): /var/spool, /run and /var/lib are folders below ours, /usr/libexec is the unpacked one, and in
         resolv.conf `lookup file` keeps its resolver to /etc/hosts. There its folder is /mnt.
Not      It is Debian's OpenSMTPD, unpacked and not installed (see install), and needs root. It has no inetd mode, and of the
         PROXY protocol version 2 only. It sends over TLS but cannot receive over it: linked with OpenSSL 3, 6.8 fails in each
         handshake (its issues 1171 and 1239). What it could not send waits for minutes; `retry` sends it now.
Source   smtpd.conf(5), smtpd(8), smtpctl(8) of OpenSMTPD 6.8; resolv.conf(5) of OpenBSD for `lookup`.
"""

import pwd
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import install, namespace, private
from tests.e2e.servers.processes import NotStarted, wait_until

MAILBOX_OWNER = "nobody"
GROUP = "opensmtpq"  # of its command smtpctl
INSIDE = Path("/mnt")  # its folder, as it sees it


class OpenSmtpd:
    """A running OpenSMTPD; see the module text.

    *port* is where clients connect. *relay_to* makes it accept mail for everyone from loopback and from `send`, and bring it
    to that port, from the loopback address *source*. *proxy_protocol* demands a PROXY header of version 2. *settings* are
    further lines of smtpd.conf.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[str] = private.RECIPIENTS,
        relay_to: int | None = None,
        source: str | None = None,
        proxy_protocol: bool = False,
        address: str = "127.0.0.1",
        settings: Sequence[str] = (),
    ) -> None:
        if problem := install.missing("opensmtpd"):
            raise NotStarted(problem)
        self.address = address
        self.port = 0
        self._recipients = tuple(recipients)
        self._relay_to = relay_to
        self._source = source
        self._proxy_protocol = proxy_protocol
        self._settings = tuple(settings)
        self._tree = install.folder("opensmtpd")

    def __enter__(self) -> Self:
        self._home = private.Home("opensmtpd")
        try:
            self._lay_out()
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
    def file(self) -> Path:
        """Its smtpd.conf."""
        return self.folder / "smtpd.conf"

    @property
    def pid(self) -> int:
        """The parent process."""
        return self._home.program.pid

    def pids(self) -> list[int]:
        """Return all its processes, the parent included."""
        return self._home.pids()

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Put *message*, whose lines end in LF, into the queue; it sets out at once."""
        private.submit(self.address, self.port, sender, recipients, message)

    def retry(self) -> None:
        """Send all that waits in the queue now. Where the relay had refused the connection it still waits 15 s."""
        command = self._inside("usr/sbin/smtpctl", "schedule", "all")
        # It insists on being setgid, which it is once it is installed.
        subprocess.run(command, env=install.environment("opensmtpd"), group=GROUP, capture_output=True, timeout=20, check=True)

    def queue_empty(self, timeout: float = 10.0) -> bool:
        """Say whether all queued mail is delivered or returned within *timeout* seconds."""
        return wait_until(lambda: not self.queued(), timeout)

    def queued(self) -> list[Path]:
        """Return the queue files there are now, one for each recipient that is left of a message."""
        files = Path(self.folder, "spool", "smtpd", "queue").glob("*/*/*")
        return [path for path in files if path.name != "message"]

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: OpenSMTPD's own header lines, then the message, lines ending in LF."""
        return private.delivered(self.folder / "mail", recipient)

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        return private.wait_delivered(self.folder / "mail", count, timeout)

    def log_text(self) -> str:
        """Return what OpenSMTPD logged so far."""
        output = self.folder / "output"
        return output.read_text(errors="backslashreplace") if output.exists() else ""

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str] | None:
        """Return the first match of *pattern* in the log, None when there is none after *timeout* seconds."""
        return private.wait_match(pattern, self.log_text, timeout)

    def halt(self) -> None:
        """End all its processes but keep port, queue and mail, as when an MTA is down for maintenance."""
        self._home.end()

    def resume(self) -> None:
        """Start again on the same port after `halt`."""
        self._start(self.port)

    def _inside(self, program: str, *arguments: str | Path) -> tuple[str, ...]:
        covers = {
            Path("/var/spool"): self.folder / "spool",
            Path("/var/lib"): self.folder / "lib",
            Path("/run"): self.folder / "run",
            Path("/etc/resolv.conf"): self.folder / "resolv.conf",
            Path("/usr/libexec"): self._tree / "usr/libexec",
            INSIDE: self.folder,
        }
        return namespace.words(covers, [self._tree / program, *arguments])

    def _lay_out(self) -> None:
        owner = pwd.getpwnam(MAILBOX_OWNER)
        for name in ("spool", "run", "lib", "lib/opensmtpd", "lib/opensmtpd/empty"):
            private.make_folder(self.folder / name, 0o755)
        private.make_folder(self.folder / "spool/smtpd", 0o711)  # the rest of it smtpd makes by itself
        private.make_folder(self.folder / "mail", 0o755, owner.pw_uid, owner.pw_gid)
        self.folder.joinpath("resolv.conf").write_text("lookup file\n")

    def _start(self, port: int) -> None:
        self.port = port
        self.file.write_text("\n".join(self._lines()) + "\n")
        self.file.chmod(0o600)
        command = self._inside("usr/sbin/smtpd", "-d", "-f", INSIDE / self.file.name)
        self._home.start(command, port, install.environment("opensmtpd"), self.log_text)

    def _lines(self) -> list[str]:
        options = [f"port {self.port}", "hostname opensmtpd.example.org"]
        lines = list(self._settings)
        if self._proxy_protocol:
            options.append("proxy-v2")
        lines.append(f"listen on {self.address} {' '.join(options)}")
        if self._relay_to is not None:
            relay = f'relay host "smtp://127.0.0.1:{self._relay_to}" helo opensmtpd.example.org'
            if self._source is not None:
                relay += f' src "{self._source}"'
            return [*lines, f'action "send" {relay}', 'match from any for any action "send"']
        recipients = ", ".join(f'"{recipient}"' for recipient in self._recipients)
        return [
            *lines,
            f"table recipients {{ {recipients} }}",
            f'table owner {{ "@" = {MAILBOX_OWNER} }}',
            f'action "keep" maildir "{INSIDE}/mail/%{{rcpt}}" virtual <owner>',
            'match from any for any rcpt-to <recipients> action "keep"',
        ]
