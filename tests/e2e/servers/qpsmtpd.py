"""qpsmtpd - a private qpsmtpd with its own configuration, mail, log and loopback port; also as a program for inetd.

What     `Qpsmtpd(...)` is a context manager that runs qpsmtpd-forkserver, a receiving MTA for `recipients`, whose mail
         `messages()` reads back; any other user of their domains gets the words of its rcpt_map plugin, 550 No such user.
         `inetd_command` is the same server for one client on stdin and stdout, which it believes to be the one that the
         environment names, as under tcpserver. With *listen* off there is only that.
Promise  Several run side by side. Nothing outside its own folder is read or written, and no name is looked up.
Not      It is Debian's qpsmtpd, unpacked and not installed (see install). It speaks no PROXY protocol. Not qpsmtpd-prefork:
         that one leaves shared memory behind when it is killed.
Source   qpsmtpd 0.94: the POD of its plugins, Qpsmtpd/TcpServer.pm for the variables; tcp-environ(5).
"""

import contextlib
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import install
from tests.e2e.servers.processes import NotStarted, Program, free_port, wait_listening, wait_until

ATTEMPTS = 3  # another process may take the port between our choice and qpsmtpd's bind

# The forkserver has an option -H against the look-up of a client's name, and looks it up all the same (5 to 15 s where no
# DNS server answers).
NO_LOOKUP = """
package NoLookup;
use Qpsmtpd::TcpServer;
no warnings 'redefine';
*Qpsmtpd::TcpServer::tcpenv = sub { my ($local, $remote) = @_; return ($local, $remote, 'unknown') };
1;
"""

# Debian leaves out the start script for tcpserver; this is ours. With a pipe for stdin nobody is "connected" as a socket is.
INETD = """
use lib qw({library});
use Qpsmtpd::TcpServer;
sub Client::connected {{ 1 }}
$| = 1;
$ENV{{PATH}} = '/usr/bin:/bin';
$ENV{{QPSMTPD_CONFIG}} = '{config}';
my $qpsmtpd = Qpsmtpd::TcpServer->new;
$qpsmtpd->load_plugins;
$qpsmtpd->start_connection;
$qpsmtpd->run(bless {{}}, 'Client');
"""


class Qpsmtpd:
    """A running qpsmtpd; see the module text.

    *plugins* are further lines of its plugins file, such as "earlytalker wait 1", and come before ours. *settings* are further
    files of its configuration folder, by name, and win over ours.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[str] = ("alice@example.org", "bob@example.org"),
        plugins: Sequence[str] = (),
        connection_limit: int = 100,
        listen: bool = True,
        address: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if problem := install.missing("qpsmtpd"):
            raise NotStarted(problem)
        self.address = address
        self.port = 0
        self._recipients = tuple(recipients)
        self._plugins = tuple(plugins)
        self._connection_limit = connection_limit
        self._listen = listen
        self._settings = dict(settings or {})
        self._tree = install.folder("qpsmtpd")
        self._program: Program | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tarry-qpsmtpd-")))
        try:
            self._lay_out()
            for attempt in range(ATTEMPTS if self._listen else 0):
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
        """The process that listens."""
        assert self._program is not None
        return self._program.pid

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """A program that serves one client on stdin and stdout. It needs the TCPREMOTE* and TCPLOCAL* variables, no others."""
        return (_perl(), "-T", str(self.folder / "inetd.pl"))

    def pids(self) -> list[int]:
        """Return all its processes: one that listens, and one for each client."""
        assert self._program is not None
        return self._program.pids()

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: qpsmtpd's own header lines, then the message, lines ending in LF."""
        found = Path(self.folder, "mail").glob(f"{recipient}/new/*")
        return [path.read_bytes() for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        wait_until(lambda: len(self.messages()) >= count, timeout)
        return self.messages()

    def log_text(self) -> str:
        """Return what qpsmtpd logged so far, in all its processes and those of `inetd_command`; the dialogues included."""
        return (self.folder / "log").read_text(errors="backslashreplace")

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str] | None:
        """Return the first match of *pattern* in the log, None when there is none after *timeout* seconds."""
        wait_until(lambda: re.search(pattern, self.log_text()), timeout)
        return re.search(pattern, self.log_text())

    def halt(self) -> None:
        """End all its processes but keep port and mail, as when an MTA is down for maintenance."""
        assert self._program is not None
        self._program.end()

    def resume(self) -> None:
        """Start again on the same port after `halt`."""
        self._start(self.port)

    def _lay_out(self) -> None:
        for name, mode in {"config": 0o755, "mail": 0o777, "spool": 0o700}.items():
            Path(self.folder, name).mkdir()
            Path(self.folder, name).chmod(mode)
        (self.folder / "log").touch()
        library = " ".join(map(str, self._library()))
        (self.folder / "inetd.pl").write_text(INETD.format(library=library, config=self.folder / "config"))
        (self.folder / "NoLookup.pm").write_text(NO_LOOKUP)
        for name, text in {**self._config(), **self._settings}.items():
            Path(self.folder, "config", name).write_text(text)

    def _library(self) -> list[Path]:
        compiled = self._tree.glob("usr/lib/*/perl5/*")  # machine/perl5/version
        return [self._tree / "usr/share/perl5", *compiled]

    def _start(self, port: int) -> None:
        self.port = port
        host = f"[{self.address}]" if ":" in self.address else self.address
        # As the user we are: the unpacked plugins may lie where others cannot read.
        options = ["-u", pwd.getpwuid(os.getuid()).pw_name, "-c", str(self._connection_limit), "-m", str(self._connection_limit)]
        # -T, as in its first line, lets it see no PERL5LIB.
        library = [f"-I{folder}" for folder in (*self._library(), self.folder)]
        program = Program(
            [
                _perl(),
                "-T",
                *library,
                "-MNoLookup",
                self._tree / "usr/bin/qpsmtpd-forkserver",
                "-l",
                host,
                "-p",
                str(port),
                *options,
            ],
            output=self.folder / "output",
            folder=self.folder,
            environment={"PATH": os.defpath, "QPSMTPD_CONFIG": str(self.folder / "config")},
            cwd=self.folder,
        )
        try:
            wait_listening(program, self.port, timeout=20)
        except NotStarted as failed:
            program.end()
            raise NotStarted(f"qpsmtpd: {failed}\n{self.log_text()}") from None
        except BaseException:
            program.end()
            raise
        self._program = program

    def _config(self) -> dict[str, str]:
        domains = sorted({recipient.rpartition("@")[2] for recipient in self._recipients})
        users = self.folder / "config" / "users"
        plugins = [
            *self._plugins,
            *(f"rcpt_map:{number} domain {each} file {users}" for number, each in enumerate(domains)),
            "rcpt_ok",  # refuses other domains
            f"queue/maildir {self.folder}/mail %u 777",
        ]
        return {
            "me": "qpsmtpd.example.org\n",
            "plugin_dirs": f"{self._tree}/usr/share/qpsmtpd/plugins\n",
            "plugins": "".join(f"{each}\n" for each in plugins),
            "logging": f"logging/file loglevel LOGINFO {self.folder}/log\n",
            "rcpthosts": "".join(f"{each}\n" for each in domains),
            "users": "".join(f"{each} OK \n" for each in self._recipients),
            "spool_dir": f"{self.folder}/spool\n",
            "size_threshold": "10000000\n",  # smaller messages stay in memory
        }


def _perl() -> str:
    found = shutil.which("perl")
    assert found is not None
    return found
