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
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.servers import private

USER = "Debian-exim"


class Exim(private.ServerWithQueue):
    """A running Exim; see the module text.

    *port* is where clients connect, 0 without *listen*. *relay_to* makes it accept mail for everyone from loopback and from
    `send`, and bring it to that port, from the loopback address *source*; with *reuse*, what waited for that port goes there
    over one connection, as Exim does by default. *proxy_protocol* demands a PROXY header, version 1 or 2. *tls* is a
    certificate and its key, and turns STARTTLS on. *pipelining_connect* leaves PIPECONNECT advertised, as Exim does by default;
    it then takes what a client sends before the greeting for a use of that extension. *greet_delay* are whole seconds before
    the greeting. *settings* are further main options and win over ours.
    The log is the main log, then the panic log; a delivered message is below Exim's own Received, its lines ending in LF.
    """

    name = "exim"
    logs = ("log/mainlog", "log/paniclog")

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
        super().__init__(recipients=recipients, listen=listen, address=address)
        self._relay_to = relay_to
        self._source = source
        self._binary = self._tree / "usr/sbin/exim4"
        self._reuse = reuse
        self._proxy_protocol = proxy_protocol
        self._tls = tls
        self._pipelining_connect = pipelining_connect
        self._greet_delay = greet_delay
        self._settings = dict(settings or {})

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / "exim.conf"

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """The words that serve the client whose TCP socket is on descriptors 0 and 1; the caller must be root."""
        return (*self._exim, "-bs")

    @property
    def pipe_command(self) -> tuple[str, ...]:
        """The same for a pipe or socket pair; `{client}` and `{client_port}` are to be filled in. The caller must be root."""
        return (*self._exim, "-bs", "-oMa", "[{client}]:{client_port}")

    def queued(self) -> list[Path]:
        """Return the queue files there are now, one for each message."""
        return list(Path(self.folder, "spool", "input").glob("**/*-H"))

    @property
    def _exim(self) -> tuple[str, ...]:
        return str(self._binary), "-C", str(self.file)

    def _lay_out(self) -> None:
        exim = pwd.getpwnam(USER)
        for name in ("spool", "log", "mail"):
            private.make_folder(self.folder / name, 0o755, exim.pw_uid, exim.pw_gid)
        if self._reuse:
            # For each further message it starts itself anew, as a user who may not reach the unpacked program.
            self._binary = Path(shutil.copy(self._binary, self.folder))
        if self._tls is not None:
            self._tls = self._keep(self._tls, exim.pw_uid, exim.pw_gid)
        # What a client says is tainted and may not name a file; what a lookup found may.
        self.folder.joinpath("recipients").write_text(
            "".join(f"{recipient}: {self.folder}/mail/{recipient}\n" for recipient in self._recipients)
        )
        main = {**self._main(), **self._settings}
        lines = [f"{name} = {value}" for name, value in main.items()]
        sections = _ACL_RELAY + self._relay() if self._relay_to is not None else _ACL_RECEIVE + self._receive()
        self.file.write_text("\n".join(lines) + _ACL_CONNECT.format(self._greet_delay) + sections)
        self.file.chmod(0o644)

    def _command(self) -> list[str]:
        # A message sets out as soon as it is there; the queue runs are for what had to wait.
        queue_runs = ["-q1s"] if self._relay_to is not None else []
        where = f"<; [{self.address}]:{self.port}"
        return [*self._exim, "-bdf", *queue_runs, "-oX", where, "-oP", str(self.folder / "pid")]

    def _main(self) -> dict[str, str]:
        settings = {
            "exim_user": USER,
            "exim_group": USER,
            # Deliver as that user and in the process at hand: started anew with -C, Exim would not be root any more.
            "deliver_drop_privilege": "true",
            "exim_path": str(self._binary),
            "spool_directory": str(self.folder / "spool"),
            "log_file_path": str(self.folder / "log" / "%slog"),
            "log_selector": "+incoming_port +proxy +smtp_connection +smtp_incomplete_transaction",
            "keep_environment": "",
            "primary_hostname": "exim.example.org",
            "domainlist local_domains": " : ".join(self._domains),
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
