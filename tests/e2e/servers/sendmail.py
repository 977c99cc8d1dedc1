"""sendmail - a private Sendmail with its own sendmail.cf, queue, log and loopback port.

What     `Sendmail(...)` is a context manager. By default it is a receiving MTA for `recipients`, which it delivers to
         maildirs read back by `messages()`; any other recipient gets Sendmail's own 550 5.1.1. Options turn on the other
         roles: relay_to (sending MTA), greet_pause, tls. With *listen* off nothing runs, and `inetd_command` serves one
         client each, with the same file, queue and mailboxes.
Promise  Several run side by side. Nothing outside its own folder is read or written, no name is looked up, and no client
         is exempt for being local unless it relays.
How      It asks the C library for names and logs through /dev/log only, so it runs in a mount namespace of its own, where
         nsswitch.conf knows files alone and /dev/log is a socket that we read (see namespace). There its folder is /mnt,
         because it refuses files below a folder that all may write to, as /tmp.
Not      It is Debian's Sendmail, unpacked and not installed (see install), and needs root. It reads no PROXY header and no
         XCLIENT, and this build has no SMTPUTF8.
Source   cf/README and the Operations Guide (op.me) of Sendmail 8.17; main.c for -bs.
"""

import grp
import pwd
import re
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.servers import namespace, private
from tests.e2e.servers.processes import NotStarted

MAILBOX_OWNER = "nobody"
DEVICES = ("null", "zero", "random", "urandom")
INSIDE = Path("/mnt")  # its folder, as it sees it

# cf/README: whoever comes from loopback may relay. In the tests every client does.
_RELAYS_FOR_LOOPBACK = re.compile(r"^R(127\.0\.0\.1|IPv6:0:0:0:0:0:0:0:1|IPv6:::1)\t.*RELAY.*\n", re.MULTILINE)

# A maildir delivery: complete in tmp, then renamed. The recipient has an @ again.
_DELIVER = """#!/bin/sh
box={mail}/${{1%%_at_*}}@${{1#*_at_}}
cat >"$box/tmp/$$" && mv "$box/tmp/$$" "$box/new/$$.$(date +%s%N)"
"""


class Sendmail(private.ServerWithQueue):
    """A running Sendmail; see the module text.

    *port* is where clients connect, 0 without *listen*. *relay_to* makes it accept mail for everyone from loopback and from
    `send`, and bring it to that port, from the loopback address *source*. *greet_pause* are milliseconds before the greeting.
    *tls* is a certificate and its key, and turns STARTTLS on. *options* are further options of sendmail.cf, such as
    MaxDaemonChildren, and win over ours.
    The log is what it sends to syslog; a delivered message is below Sendmail's own Received, its lines ending in LF.
    """

    name = "sendmail"
    logs = ("log",)

    def __init__(
        self,
        *,
        recipients: Sequence[str] = private.RECIPIENTS,
        relay_to: int | None = None,
        source: str | None = None,
        greet_pause: int = 0,
        tls: tuple[Path, Path] | None = None,
        listen: bool = True,
        address: str = "127.0.0.1",
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(recipients=recipients, listen=listen, address=address)
        self._relay_to = relay_to
        self._source = source
        self._greet_pause = greet_pause
        self._tls = tls
        self._options = dict(options or {})

    @property
    def file(self) -> Path:
        """Its sendmail.cf."""
        return self.folder / "sendmail.cf"

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """The words that serve the client whose TCP socket is on descriptors 0 and 1; the caller must be root."""
        return self._inside("-bs")

    def queued(self) -> list[Path]:
        """Return the queue files there are now, one for each message."""
        return list(Path(self.folder, "queue").glob("qf*"))

    def _inside(self, *arguments: str) -> tuple[str, ...]:
        devices = {self.folder / "dev" / name: Path("/dev", name) for name in DEVICES}  # first the machine's in our folder
        covers = {Path(place): self.folder / Path(place).name for place in ("/dev", "/etc/hosts", "/etc/nsswitch.conf")}
        program = self._tree / "usr/libexec/sendmail/sendmail"
        return namespace.words(devices | covers | {INSIDE: self.folder}, [program, "-C", INSIDE / self.file.name, *arguments])

    def _lay_out(self) -> None:
        owner = pwd.getpwnam(MAILBOX_OWNER)
        private.make_folder(self.folder / "dev", 0o755)
        for name in DEVICES:
            self.folder.joinpath("dev", name).touch()
        private.make_folder(self.folder / "queue", 0o700)
        self._make_maildirs(owner.pw_uid, owner.pw_gid)
        if self._tls is not None:
            self._tls = self._keep(self._tls, 0, 0)
        users = [f"{recipient}|{recipient.replace('@', '_at_')}" for recipient in self._recipients]
        for name, text in {
            # It wants a domain for the name of the machine, and sleeps a minute if it finds none.
            "hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.0.2 sendmail.example.org {socket.gethostname()}\n",
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
            "service.switch": "hosts files\naliases files\n",
            "users": "\n".join([*users, *(f"@{domain}|error:5.1.1:550 User unknown" for domain in self._domains)]) + "\n",
            "statistics": "",
            "deliver": _DELIVER.format(mail=INSIDE / "mail"),
        }.items():
            self.folder.joinpath(name).write_text(text)
            self.folder.joinpath(name).chmod(0o644)
        self._cleanup.callback(_Syslog(self.folder / "dev" / "log", self.folder / "log").close)

    def _command(self) -> tuple[str, ...]:
        # A message sets out as soon as it is there; the queue runs are for what had to wait.
        queue_runs = ["-q1s"] if self._relay_to is not None else []
        return self._inside("-bD", *queue_runs)

    def _configure(self) -> None:
        cf = self._tree / "usr/share/sendmail/cf"
        macros = self.folder / "sendmail.mc"
        macros.write_text(self._macros())
        command = ["m4", f"-D_CF_DIR_={cf}/", str(cf / "m4/cf.m4"), str(macros)]
        made = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if made.returncode:
            raise NotStarted(f"sendmail: {made.stderr}")
        text = made.stdout
        if self._relay_to is None:
            text, found = _RELAYS_FOR_LOOPBACK.subn("", text)
            assert found >= 2, "this sendmail.cf lets loopback relay in other words"
        options = [f"O {name}={value}\n" for name, value in self._options.items()]
        self.file.write_text(text + "".join(options))  # of two lines for an option the later holds
        self.file.chmod(0o644)

    def _macros(self) -> str:
        family = "inet6" if ":" in self.address else "inet"
        defined = {
            "confDOMAIN_NAME": "sendmail.example.org",
            "QUEUE_DIR": str(INSIDE / "queue"),
            "confPID_FILE": str(INSIDE / "pid"),
            "STATUS_FILE": str(INSIDE / "statistics"),
            "HELP_FILE": str(INSIDE / "help"),
            "ALIAS_FILE": "",
            "confCONTROL_SOCKET_NAME": "",
            "confSERVICE_SWITCH_FILE": str(INSIDE / "service.switch"),
            "confDELIVERY_MODE": "background",
            "confLOG_LEVEL": "14",
            "confDEF_USER_ID": f"{MAILBOX_OWNER}:{grp.getgrgid(pwd.getpwnam(MAILBOX_OWNER).pw_gid).gr_name}",
            "confBAD_RCPT_THROTTLE": "0",
            # No look-ups: no DNS server is there to answer, and each question would wait for its timeout.
            "confTO_IDENT": "0",
            "confDONT_PROBE_INTERFACES": "True",
            # However busy the machine is.
            "confQUEUE_LA": "10000",
            "confREFUSE_LA": "10000",
            "confDELAY_LA": "0",
            "confMIN_QUEUE_AGE": "0",
            # Without its usual flags: it would want users of this machine, add header lines, and a From_ line before them.
            "_DEF_LOCAL_MAILER_FLAGS": "ls",
            "LOCAL_MAILER_FLAGS": "8n",
            "LOCAL_MAILER_PATH": "/bin/sh",
            "LOCAL_MAILER_ARGS": f"sh {INSIDE}/deliver $u",
        }
        if self._tls is not None:
            certificate, key = (str(INSIDE / path.name) for path in self._tls)
            defined |= {"confSERVER_CERT": certificate, "confSERVER_KEY": key}
            defined |= {"confCACERT": certificate, "confCACERT_PATH": str(INSIDE)}  # without these it offers no STARTTLS
        if self._relay_to is not None:
            defined |= {"SMART_HOST": "relay:[127.0.0.1]", "RELAY_MAILER_ARGS": f"TCP $h {self._relay_to}"}
        lines = [
            "OSTYPE(`linux')",
            *(f"define(`{name}', `{value}')" for name, value in defined.items()),
            f"DAEMON_OPTIONS(`Name=MTA, Family={family}, Addr={self.address}, Port={self.port}')",
            "FEATURE(`no_default_msa')",
            "FEATURE(`nocanonify')",
            "FEATURE(`accept_unresolvable_domains')",
            f"FEATURE(`virtusertable', `text -k0 -v1 -z| {INSIDE}/users')",
        ]
        if self._source is not None:
            lines.append(f"CLIENT_OPTIONS(`Family=inet, Addr={self._source}')")
        if self._greet_pause:
            lines.append(f"FEATURE(`greet_pause', `{self._greet_pause}')")
        if self._relay_to is None:
            lines.append(f"LOCAL_CONFIG\nCw {' '.join(self._domains)}")
        return "\n".join([*lines, "MAILER(`local')", "MAILER(`smtp')", ""])


class _Syslog:
    """A syslog socket; what comes is kept in a file, one line each."""

    def __init__(self, place: Path, kept: Path) -> None:
        self._kept = kept
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        place.chmod(0o666)
        self._thread = threading.Thread(target=self._keep, name="syslog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes recv, which close alone does not
        self._thread.join(10)
        self._socket.close()

    def _keep(self) -> None:
        with self._kept.open("ab", buffering=0) as kept:
            while line := self._socket.recv(65536):
                kept.write(line.rstrip(b"\n\0") + b"\n")
