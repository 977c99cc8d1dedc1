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
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.servers import install, namespace, private

MAILBOX_OWNER = "nobody"
GROUP = "opensmtpq"  # of its command smtpctl
INSIDE = Path("/mnt")  # its folder, as it sees it


class OpenSmtpd(private.ServerWithQueue):
    """A running OpenSMTPD; see the module text.

    *port* is where clients connect. *relay_to* makes it accept mail for everyone from loopback and from `send`, and bring it
    to that port, from the loopback address *source*. *proxy_protocol* demands a PROXY header of version 2. *settings* are
    further lines of smtpd.conf. A delivered message is below OpenSMTPD's own header lines, its lines ending in LF.
    """

    name = "opensmtpd"

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
        super().__init__(recipients=recipients, address=address)
        self._relay_to = relay_to
        self._source = source
        self._proxy_protocol = proxy_protocol
        self._settings = tuple(settings)

    @property
    def file(self) -> Path:
        """Its smtpd.conf."""
        return self.folder / "smtpd.conf"

    def retry(self) -> None:
        """Send all that waits in the queue now. Where the relay had refused the connection it still waits 15 s."""
        command = self._inside("usr/sbin/smtpctl", "schedule", "all")
        # It insists on being setgid, which it is once it is installed.
        subprocess.run(command, env=install.environment("opensmtpd"), group=GROUP, capture_output=True, timeout=20, check=True)

    def queued(self) -> list[Path]:
        """Return the queue files there are now, one for each recipient that is left of a message."""
        files = Path(self.folder, "spool", "smtpd", "queue").glob("*/*/*")
        return [path for path in files if path.name != "message"]

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

    def _configure(self) -> None:
        self.file.write_text("\n".join(self._lines()) + "\n")
        self.file.chmod(0o600)

    def _command(self) -> tuple[str, ...]:
        return self._inside("usr/sbin/smtpd", "-d", "-f", INSIDE / self.file.name)

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
