"""postfix - a private Postfix with its own configuration, queue, log and loopback port.

What     `Postfix(...)` is a context manager. By default it is a receiving MTA for `recipients`, which it delivers to
         maildirs read back by `messages()`; any other recipient gets Postfix's own 550 5.1.1. Options turn on the other
         roles: relay_to (sending MTA), proxy_protocol, postscreen, filter_to (smtpd_proxy_filter), discard.
Promise  Several run side by side. Nothing outside its own folder is read or written, no name is looked up, and
         no client is exempt for being local: `mynetworks` is empty unless it relays, because Postfix by default skips
         its framing rules and postscreen's tests for its own networks.
Not      It is Debian's Postfix, unpacked and not installed (see install), and needs root.
Source   postconf(5), master(5), postscreen(8), and postfix-files for the owners and modes of the queue.
"""

import contextlib
import grp
import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import install
from tests.e2e.servers.processes import NotStarted, Program, free_port, wait_listening, wait_until

ATTEMPTS = 3  # another process may take the port between our choice and Postfix's bind
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
MAILBOX_OWNER = "nobody"

# Owner "postfix", as in postfix-files; the modes matter: master and postdrop refuse others.
_PRIVATE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Postscreen:
    """postscreen in front of smtpd.

    *greet_wait* is in whole seconds, all that postscreen can do. An empty *banner* would switch the greeting test off,
    wait included, so there always is one. *remember* keeps the usual memory of clients that passed; off, the pregreet
    result is valid for one second only and each client is tested anew.
    """

    greet_wait: int = 6
    greet_action: str = "enforce"
    banner: str = "postfix.example.org postscreen"
    remember: bool = False
    queue_limit: int = 20000
    settings: Mapping[str, str] | None = None


class Postfix:
    """A running Postfix; see the module text.

    *port* is where clients connect (smtpd, or postscreen in front of it). *relay_to* makes it accept mail for everyone
    from loopback and from `send`, and bring it to that port. *filter_to* is the port of a before-queue content filter.
    *trust* are the networks that may say XCLIENT and XFORWARD. *tls* is a certificate and its key, and turns STARTTLS on.
    *settings* are further lines of main.cf and win over ours.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[str] = ("alice@example.org", "bob@example.org"),
        relay_to: int | None = None,
        proxy_protocol: bool = False,
        postscreen: Postscreen | None = None,
        filter_to: int | None = None,
        discard: bool = False,
        trust: Sequence[str] = (),
        tls: tuple[Path, Path] | None = None,
        process_limit: int = 100,
        address: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if problem := install.missing("postfix"):
            raise NotStarted(problem)
        self.address = address
        self.port = 0
        self.relays = relay_to is not None
        self._recipients = tuple(recipients)
        self._relay_to = relay_to
        self._proxy_protocol = proxy_protocol
        self._postscreen = postscreen
        self._filter_to = filter_to
        self._discard = discard
        self._trust = tuple(trust)
        self._tls = tls
        self._process_limit = process_limit
        self._settings = dict(settings or {})
        self._tree = install.folder("postfix")
        self._program: Program | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # Not below pytest's own folder: that is closed to everyone else, and Postfix changes user.
        self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tarry-postfix-")))
        try:
            self.folder.chmod(0o711)
            self._lay_out()
            for attempt in range(ATTEMPTS):
                try:
                    self._start(free_port(self.address))
                    break
                except NotStarted:
                    if attempt + 1 == ATTEMPTS:
                        raise
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End all its processes and remove its folder."""
        if self._program is not None:
            self._program.end()
        self._cleanup.close()

    @property
    def pid(self) -> int:
        """The master process."""
        assert self._program is not None
        return self._program.pid

    @property
    def pass_socket(self) -> Path:
        """Where this smtpd takes connected descriptors, as from postscreen (service type `pass`)."""
        return self.folder / "queue" / "private" / "smtpd"

    def pids(self) -> list[int]:
        """Return all its processes, master included."""
        assert self._program is not None
        return self._program.pids()

    def send(self, sender: str, recipients: Sequence[str], message: bytes, *, timeout: float = 30.0) -> None:
        """Put *message* into the queue with its sendmail command. Bytes stay as they are, save that lines end in LF."""
        self._tool("sendmail", "-G", "-i", "-f", sender, "--", *recipients, message=message, timeout=timeout)

    def queue_empty(self, timeout: float = 10.0) -> bool:
        """Say whether all queued mail is delivered or returned within *timeout* seconds."""
        return wait_until(lambda: not self.queued(), timeout)

    def queued(self) -> list[Path]:
        """Return the queue files there are now."""
        return [path for queue in QUEUES for path in Path(self.folder, "queue", queue).rglob("*") if path.is_file()]

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: Postfix's own header lines, then the message, lines ending in LF."""
        found = Path(self.folder, "mail").glob(f"{recipient}/new/*")
        return [path.read_bytes() for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        wait_until(lambda: len(self.messages()) >= count, timeout)
        return self.messages()

    def log_text(self) -> str:
        """Return what Postfix logged so far."""
        log = self.folder / "log"
        return log.read_text(errors="backslashreplace") if log.exists() else ""

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str] | None:
        """Return the first match of *pattern* in the log, None when there is none after *timeout* seconds."""
        wait_until(lambda: re.search(pattern, self.log_text()), timeout)
        return re.search(pattern, self.log_text())

    def halt(self) -> None:
        """End all its processes but keep port, queue and mail, as when an MTA is down for maintenance."""
        assert self._program is not None
        self._program.end()

    def resume(self) -> None:
        """Start again on the same port after `halt`."""
        self._start(self.port)

    def _tool(self, name: str, *arguments: str, message: bytes = b"", timeout: float = 30.0) -> bytes:
        done = subprocess.run(
            [self._tree / "usr/sbin" / name, *(("-C" if name == "sendmail" else "-c"), str(self.folder / "etc")), *arguments],
            env=self._environment(),
            input=message,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.decode(errors='backslashreplace')}\n{self.log_text()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**install.environment("postfix"), "MAIL_CONFIG": str(self.folder / "etc")}

    def _lay_out(self) -> None:
        mail, nobody = pwd.getpwnam("postfix"), pwd.getpwnam(MAILBOX_OWNER)
        for name, mode in {"etc": 0o755, "queue": 0o755, "queue/pid": 0o755, "data": 0o700, "mail": 0o755}.items():
            _make(self.folder / name, mode)
        for name in _PRIVATE:
            _make(self.folder / "queue" / name, 0o700, mail.pw_uid, mail.pw_gid)
        postdrop = grp.getgrnam("postdrop").gr_gid
        _make(self.folder / "queue/public", 0o710, mail.pw_uid, postdrop)
        _make(self.folder / "queue/maildrop", 0o730, mail.pw_uid, postdrop)
        os.chown(self.folder / "data", mail.pw_uid, mail.pw_gid)
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)

    def _start(self, port: int) -> None:
        self.port = port
        main = {**self._main(), **self._settings}
        for name, text in {
            "main.cf": "".join(f"{name} = {value}\n" for name, value in main.items()),
            "master.cf": "\n".join(self._services()) + "\n",
        }.items():
            path = self.folder / "etc" / name
            path.write_text(text)
            # Postfix reads a file again and again, 0.3 s apart, until it looks older than its clock is coarse.
            os.utime(path, (0, 0))
        program = Program(
            [self._tree / "usr/lib/postfix/sbin/master", "-c", self.folder / "etc", "-d"],
            output=self.folder / "output",
            folder=self.folder,
            environment=self._environment(),
        )
        try:
            wait_listening(program, self.port, timeout=20, address=self.address)
        except NotStarted as failed:
            program.end()
            raise NotStarted(f"postfix: {failed}\n{self.log_text()}") from None
        except BaseException:
            program.end()
            raise
        self._program = program

    def _main(self) -> dict[str, str]:
        owner = pwd.getpwnam(MAILBOX_OWNER)
        domains = sorted({recipient.rpartition("@")[2] for recipient in self._recipients})
        mailboxes = " ".join(f"{{ {recipient} = {recipient}/ }}" for recipient in self._recipients)
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.folder / "queue"),
            "data_directory": str(self.folder / "data"),
            "daemon_directory": str(self._tree / "usr/lib/postfix/sbin"),
            "command_directory": str(self._tree / "usr/sbin"),
            "meta_directory": str(self._tree / "etc/postfix"),
            "sendmail_path": str(self._tree / "usr/sbin/sendmail"),
            "shlib_directory": "no",
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH PATH TZ=UTC LANG=C",
            "export_environment": "MAIL_CONFIG LD_LIBRARY_PATH PATH TZ LANG",
            "maillog_file": str(self.folder / "log"),
            "maillog_file_prefixes": str(self.folder),
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "myhostname": "postfix.example.org",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8 [::1]/128" if self.relays else "",
            "inet_interfaces": "127.0.0.1, [::1]" if Path("/proc/net/if_inet6").exists() else "127.0.0.1",
            "inet_protocols": "all" if Path("/proc/net/if_inet6").exists() else "ipv4",
            # No look-ups: no DNS server is there to answer, and each question would wait for its timeout.
            "smtpd_peername_lookup": "no",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "alias_maps": "",
            "alias_database": "",
            "transport_maps": "",
            "local_recipient_maps": "",
            "virtual_alias_maps": "",
            "virtual_mailbox_domains": " ".join(domains),
            "virtual_mailbox_maps": f"inline:{{ {mailboxes} }}",
            "virtual_mailbox_base": str(self.folder / "mail"),
            "virtual_minimum_uid": "1",
            "virtual_uid_maps": f"static:{owner.pw_uid}",
            "virtual_gid_maps": f"static:{owner.pw_gid}",
            "virtual_mailbox_limit": "0",
            "virtual_transport": "discard:" if self._discard else "virtual",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_authorized_xclient_hosts": " ".join(self._trust),
            "smtpd_authorized_xforward_hosts": " ".join(self._trust),
            "default_process_limit": str(self._process_limit),
            # All clients here share a few loopback addresses.
            "smtpd_client_connection_count_limit": "0",
            "smtpd_error_sleep_time": "0",
            "in_flow_delay": "0",
        }
        if self._relay_to is not None:
            settings |= {
                "relayhost": f"[127.0.0.1]:{self._relay_to}",
                "virtual_mailbox_domains": "",
                "queue_run_delay": "1s",
                # Not 1 s: its clock has whole seconds, so that may be no time at all. Then the retry finds the message locked
                # by the first attempt and leaves it for long ("skipped, still being delivered": 1 of 36 runs, 3.7.11).
                "minimal_backoff_time": "2s",
                "maximal_backoff_time": "2s",
                "transport_retry_time": "1s",
                "smtp_connection_cache_on_demand": "no",
            }
        if self._proxy_protocol:
            settings |= {
                "smtpd_upstream_proxy_protocol": "haproxy",
                "postscreen_upstream_proxy_protocol": "haproxy",
            }
        if self._filter_to is not None:
            settings["smtpd_proxy_filter"] = f"127.0.0.1:{self._filter_to}"
        if self._tls is not None:
            certificate, key = self._tls
            settings |= {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{key}, {certificate}"}
        if self._postscreen is not None:
            settings |= _postscreen_settings(self._postscreen)
        return settings

    def _services(self) -> list[str]:
        front = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        limit = self._process_limit
        if self._postscreen is None:
            doors = [f"{front} inet n - n - {limit} smtpd"]
        else:
            # The proxy header is postscreen's to read: it passes the address on as an attribute.
            doors = [
                f"{front} inet n - n - 1 postscreen",
                "dnsblog unix - - n - 0 dnsblog",
            ]
        return [
            *doors,
            f"smtpd pass - - n - {limit} smtpd -o smtpd_upstream_proxy_protocol=",
            "pickup unix n - n 1 1 pickup",
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 1 1 qmgr",
            "tlsproxy unix - - n - 0 tlsproxy",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce",
            "trace unix - - n - 0 bounce",
            "verify unix - - n - 1 verify",
            "flush unix n - n 1000? 0 flush",
            "proxymap unix - - n - - proxymap",
            "smtp unix - - n - - smtp",
            "relay unix - - n - - smtp",
            "showq unix n - n - - showq",
            "error unix - - n - - error",
            "retry unix - - n - - error",
            "discard unix - - n - - discard",
            "virtual unix - n n - - virtual",
            "lmtp unix - - n - - lmtp",
            "anvil unix - - n - 1 anvil",
            "scache unix - - n - 1 scache",
            "postlog unix-dgram n - n - 1 postlogd",
        ]


def _postscreen_settings(options: Postscreen) -> dict[str, str]:
    settings = {
        "postscreen_greet_wait": f"{options.greet_wait}s",
        "postscreen_greet_action": options.greet_action,
        "postscreen_greet_banner": options.banner,
        "postscreen_cache_map": "btree:$data_directory/postscreen_cache",
        "postscreen_access_list": "",  # by default loopback is exempt, as one of its own networks
        "postscreen_dnsbl_sites": "",
        "postscreen_pre_queue_limit": str(options.queue_limit),
        "postscreen_post_queue_limit": str(options.queue_limit),
        "postscreen_client_connection_count_limit": "0",
    }
    if not options.remember:
        settings |= {"postscreen_greet_ttl": "1s", "postscreen_cache_map": ""}
    return settings | dict(options.settings or {})


def _make(path: Path, mode: int, uid: int = 0, gid: int = 0) -> None:
    path.mkdir()
    path.chmod(mode)  # mkdir's own mode is cut by the umask
    os.chown(path, uid, gid)
