"""qpsmtpd - a private qpsmtpd with its own configuration, mail, log and loopback port; also as a program for inetd.

What     `Qpsmtpd(...)` is a context manager that runs qpsmtpd-forkserver, a receiving MTA for `recipients`, whose mail
         `messages()` reads back; any other user of their domains gets the words of its rcpt_map plugin, 550 No such user.
         `inetd_command` is the same server for one client on stdin and stdout, which it believes to be the one that the
         environment names, as under tcpserver. With *listen* off there is only that.
Promise  Several run side by side. Nothing outside its own folder is read or written, and no name is looked up.
Not      It is Debian's qpsmtpd, unpacked and not installed (see install). Not qpsmtpd-prefork: that one leaves shared memory
         behind when it is killed.
Source   qpsmtpd 0.94: the POD of its plugins, Qpsmtpd/TcpServer.pm for the variables; tcp-environ(5).
"""

import os
import pwd
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import install, private
from tests.e2e.servers.processes import NotStarted

# The forkserver has an option -H against the look-up of a client's name, and looks it up all the same (5 to 15 s where no
# DNS server answers); so does the plugin for PROXY, which insists on a second resolver that Debian has not.
NO_LOOKUP = """
package NoLookup;
use Net::DNS;
no warnings 'once';
*Net::DNS::Resolver::query = *Net::DNS::Resolver::search = *Net::DNS::Resolver::send = sub { return };
$INC{'ParaDNS.pm'} = __FILE__;
1;
"""

# Debian leaves out the start script for tcpserver; this is ours. With a pipe for stdin nobody is "connected" as a socket is.
INETD = """
BEGIN {{ chdir '/' }}
use lib qw({library});
use NoLookup;
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

    *proxy_protocol* makes it take a PROXY header of version 1 from 127.0.0.1, with its plugin for stunnel. It greets before
    that, does without it too, and plugins that look at the client when it connects have not seen it.
    *plugins* are further lines of its plugins file, such as "earlytalker wait 1", and come before ours. *settings* are further
    files of its configuration folder, by name, and win over ours.
    """

    def __init__(
        self,
        *,
        recipients: Sequence[str] = private.RECIPIENTS,
        proxy_protocol: bool = False,
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
        self._plugins = ("stunnel proxy on", *plugins) if proxy_protocol else tuple(plugins)
        self._connection_limit = connection_limit
        self._listen = listen
        self._settings = dict(settings or {})
        self._tree = install.folder("qpsmtpd")

    def __enter__(self) -> Self:
        self._home = private.Home("qpsmtpd")
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
        """The process that listens."""
        return self._home.program.pid

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """A program that serves one client on stdin and stdout. It needs the TCPREMOTE* and TCPLOCAL* variables, no others."""
        return (_perl(), "-T", str(self.folder / "inetd.pl"))

    def pids(self) -> list[int]:
        """Return all its processes: one that listens, and one for each client."""
        return self._home.pids()

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: qpsmtpd's own header lines, then the message, lines ending in LF."""
        return private.delivered(self.folder / "mail", recipient)

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        return private.wait_delivered(self.folder / "mail", count, timeout)

    def log_text(self) -> str:
        """Return what qpsmtpd logged so far, in all its processes and those of `inetd_command`; the dialogues included."""
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
        for name, mode in {"config": 0o755, "mail": 0o777, "spool": 0o700}.items():
            private.make_folder(self.folder / name, mode)
        (self.folder / "log").touch()
        library = " ".join(map(str, [*self._library(), self.folder]))
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
        # In its own folder: started in a git checkout it asks git for its version.
        elsewhere: list[str | Path] = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', self.folder]
        # -T, as in its first line, lets it see no PERL5LIB.
        perl = [_perl(), "-T", *(f"-I{folder}" for folder in (*self._library(), self.folder)), "-MNoLookup"]
        command = [*elsewhere, *perl, self._tree / "usr/bin/qpsmtpd-forkserver", "-l", host, "-p", str(port), *options]
        environment = {"PATH": os.defpath, "QPSMTPD_CONFIG": str(self.folder / "config")}
        self._home.start(command, port, environment, self.log_text)

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
