"""exim - a private Exim with one configuration file, its own spool, log and loopback port.

What     `Exim(...)` is a context manager. By default it is a receiving MTA for `recipients`, which it delivers to maildirs
         read back by `messages()`; any other recipient gets Exim's own 550. Options turn on the other roles: relay_to
         (sending MTA), proxy_protocol, tls, pipelining_connect. With *listen* off nothing runs, and `inetd_command` and
         `pipe_command` serve one client each, with the same file, spool and mailboxes.
Promise  Several run side by side. Nothing outside its own folder is read or written, no name is looked up, and no client
         is exempt for being local unless it relays.
Not      It is Debian's exim4-daemon-heavy, unpacked and not installed (see install), and needs root: Exim gives up root
         for any other caller that names a configuration file with -C.
Source   spec.txt of Exim 4.96: 5.1 and 5.2 (-bs, -C, -oMa), 14 (main options), 55 (who it runs as); exim.c for -bs.
"""

import pwd
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import install, private
from tests.e2e.servers.processes import NotStarted, wait_until

USER = "Debian-exim"


class Exim:
    """A running Exim; see the module text.

    *port* is where clients connect, 0 without *listen*. *relay_to* makes it accept mail for everyone from loopback and from
    `send`, and bring it to that port, from the loopback address *source*; with *reuse*, what waited for that port goes there
    over one connection, as Exim does by default. *proxy_protocol* demands a PROXY header, version 1 or 2. *tls* is a
    certificate and its key, and turns STARTTLS on. *pipelining_connect* leaves PIPECONNECT advertised, as Exim does by default;
    it then takes what a client sends before the greeting for a use of that extension. *greet_delay* are whole seconds before
    the greeting. *settings* are further main options and win over ours.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[str] = private.RECIPIENTS,
        relay_to: int | None = None,
        source: str | None = None,
        reuse: bool = False,
        proxy_protocol: bool = False,
        tls: tuple[Path, Path] | None = None,
        pipelining_connect: bool = False,
        greet_delay: int = 0,
        listen: bool = True,
        address: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if problem := install.missing("exim"):
            raise NotStarted(problem)
        self.address = address
        self.port = 0
        self._recipients = tuple(recipients)
        self._relay_to = relay_to
        self._source = source
        self._program = install.folder("exim") / "usr/sbin/exim4"
        self._reuse = reuse
        self._proxy_protocol = proxy_protocol
        self._tls = tls
        self._pipelining_connect = pipelining_connect
        self._greet_delay = greet_delay
        self._listen = listen
        self._settings = dict(settings or {})

    def __enter__(self) -> Self:
        self._home = private.Home("exim")
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
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / "exim.conf"

    @property
    def pid(self) -> int:
        """The daemon."""
        return self._home.program.pid

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """The words that serve the client whose TCP socket is on descriptors 0 and 1; the caller must be root."""
        return (*self._exim, "-bs")

    @property
    def pipe_command(self) -> tuple[str, ...]:
        """The same for a pipe or socket pair; `{client}` and `{client_port}` are to be filled in. The caller must be root."""
        return (*self._exim, "-bs", "-oMa", "[{client}]:{client_port}")

    def pids(self) -> list[int]:
        """Return all processes of the daemon; those of `inetd_command` belong to whoever started them."""
        return self._home.pids()

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Put *message*, whose lines end in LF, into the queue; it sets out at once."""
        private.submit(self.address, self.port, sender, recipients, message)

    def queue_empty(self, timeout: float = 10.0) -> bool:
        """Say whether all queued mail is delivered or returned within *timeout* seconds."""
        return wait_until(lambda: not self.queued(), timeout)

    def queued(self) -> list[Path]:
        """Return the queue files there are now, one for each message."""
        return list(Path(self.folder, "spool", "input").glob("**/*-H"))

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: Exim's own Received, then the message, lines ending in LF."""
        return private.delivered(self.folder / "mail", recipient)

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        return private.wait_delivered(self.folder / "mail", count, timeout)

    def log_text(self) -> str:
        """Return what Exim logged so far, its main log first, then its panic log."""
        logs = [self.folder / "log" / name for name in ("mainlog", "paniclog")]
        return "".join(log.read_text(errors="backslashreplace") for log in logs if log.exists())

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str] | None:
        """Return the first match of *pattern* in the log, None when there is none after *timeout* seconds."""
        return private.wait_match(pattern, self.log_text, timeout)

    def halt(self) -> None:
        """End all its processes but keep port, queue and mail, as when an MTA is down for maintenance."""
        self._home.end()

    def resume(self) -> None:
        """Start again on the same port after `halt`."""
        self._start(self.port)

    @property
    def _exim(self) -> tuple[str, ...]:
        return str(self._program), "-C", str(self.file)

    def _lay_out(self) -> None:
        exim = pwd.getpwnam(USER)
        for name in ("spool", "log", "mail"):
            private.make_folder(self.folder / name, 0o755, exim.pw_uid, exim.pw_gid)
        if self._reuse:
            # For each further message it starts itself anew, as a user who may not reach the unpacked program.
            self._program = Path(shutil.copy(self._program, self.folder))
        if self._tls is not None:
            self._tls = self._home.keep(self._tls, exim.pw_uid, exim.pw_gid)
        # What a client says is tainted and may not name a file; what a lookup found may.
        self.folder.joinpath("recipients").write_text(
            "".join(f"{recipient}: {self.folder}/mail/{recipient}\n" for recipient in self._recipients)
        )
        main = {**self._main(), **self._settings}
        lines = [f"{name} = {value}" for name, value in main.items()]
        sections = _ACL_RELAY + self._relay() if self._relay_to is not None else _ACL_RECEIVE + self._receive()
        self.file.write_text("\n".join(lines) + _ACL_CONNECT.format(self._greet_delay) + sections)
        self.file.chmod(0o644)

    def _start(self, port: int) -> None:
        self.port = port
        # A message sets out as soon as it is there; the queue runs are for what had to wait.
        queue_runs = ["-q1s"] if self._relay_to is not None else []
        where = f"<; [{self.address}]:{port}"
        command = [*self._exim, "-bdf", *queue_runs, "-oX", where, "-oP", str(self.folder / "pid")]
        self._home.start(command, port, install.environment("exim"), self.log_text)

    def _main(self) -> dict[str, str]:
        domains = sorted({recipient.rpartition("@")[2] for recipient in self._recipients})
        settings = {
            "exim_user": USER,
            "exim_group": USER,
            # Deliver as that user and in the process at hand: started anew with -C, Exim would not be root any more.
            "deliver_drop_privilege": "true",
            "exim_path": str(self._program),
            "spool_directory": str(self.folder / "spool"),
            "log_file_path": str(self.folder / "log" / "%slog"),
            "log_selector": "+incoming_port +proxy +smtp_connection +smtp_incomplete_transaction",
            "keep_environment": "",
            "primary_hostname": "exim.example.org",
            "domainlist local_domains": " : ".join(domains),
            # No look-ups: no DNS server is there to answer, and each question would wait for its timeout.
            "host_lookup": "",
            "rfc1413_hosts": "",
            "dns_ipv4_lookup": "*",
            "acl_smtp_connect": "acl_connect",
            "acl_smtp_rcpt": "acl_rcpt",
            "dsn_advertise_hosts": "*",
            "tls_advertise_hosts": "",
            # 20 connections are the default.
            "smtp_accept_max": "2000",
            "smtp_accept_queue_per_connection": "0",
            "smtp_connect_backlog": "1000",
            "check_spool_space": "0",
            "check_log_space": "0",
        }
        if not self._pipelining_connect:
            settings["pipelining_connect_advertise_hosts"] = ""
        if self._proxy_protocol:
            settings["hosts_proxy"] = "*"
        if self._tls is not None:
            certificate, key = self._tls
            settings |= {"tls_advertise_hosts": "*", "tls_certificate": str(certificate), "tls_privatekey": str(key)}
        return settings

    def _receive(self) -> str:
        return f"""
begin routers
mailbox:
  driver = accept
  domains = +local_domains
  address_data = ${{lookup{{$local_part@$domain}}lsearch{{{self.folder}/recipients}}{{$value}}fail}}
  cannot_route_message = Unknown user
  transport = maildir

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = $address_data
  create_directory
"""

    def _relay(self) -> str:
        return f"""
begin routers
relay:
  driver = manualroute
  route_list = * 127.0.0.1::{self._relay_to}
  self = send
  transport = smtp

begin transports
smtp:
  driver = smtp
  interface = {self._source or ""}
  allow_localhost
  hosts_try_dane =
  hosts_try_fastopen =
  max_rcpt = 0
  connection_max_messages = {500 if self._reuse else 1}

begin retry
* * F,1h,1s
"""


_ACL_CONNECT = """
begin acl
acl_connect:
  # A signature would be looked up in DNS.
  accept control = dkim_disable_verify
         delay = {}s

"""

_ACL_RECEIVE = """acl_rcpt:
  require message = relay not permitted
          domains = +local_domains
  require verify = recipient
  accept
"""

_ACL_RELAY = """acl_rcpt:
  accept hosts = 127.0.0.0/8 : <; ::1
  deny message = relay not permitted
"""
