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
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.servers import private

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


class Qpsmtpd(private.Server):
    """A running qpsmtpd; see the module text.

    *proxy_protocol* makes it take a PROXY header of version 1 from 127.0.0.1, with its plugin for stunnel. It greets before
    that, does without it too, and plugins that look at the client when it connects have not seen it.
    *plugins* are further lines of its plugins file, such as "earlytalker wait 1", and come before ours. *settings* are further
    files of its configuration folder, by name, and win over ours.
    The log has the dialogues, too, also those of `inetd_command`; a delivered message is below qpsmtpd's own header lines, its
    lines ending in LF.
    """

    name = "qpsmtpd"
    logs = ("log",)

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
        super().__init__(recipients=recipients, listen=listen, address=address)
        self._plugins = ("stunnel proxy on", *plugins) if proxy_protocol else tuple(plugins)
        self._connection_limit = connection_limit
        self._settings = dict(settings or {})

    @property
    def inetd_command(self) -> tuple[str, ...]:
        """A program that serves one client on stdin and stdout. It needs the TCPREMOTE* and TCPLOCAL* variables, no others."""
        return (_perl(), "-T", str(self.folder / "inetd.pl"))

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

    def _command(self) -> list[str | Path]:
        host = f"[{self.address}]" if ":" in self.address else self.address
        # As the user we are: the unpacked plugins may lie where others cannot read.
        options = ["-u", pwd.getpwuid(os.getuid()).pw_name, "-c", str(self._connection_limit), "-m", str(self._connection_limit)]
        # In its own folder: started in a git checkout it asks git for its version.
        elsewhere: list[str | Path] = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', self.folder]
        # -T, as in its first line, lets it see no PERL5LIB.
        perl = [_perl(), "-T", *(f"-I{folder}" for folder in (*self._library(), self.folder)), "-MNoLookup"]
        return [*elsewhere, *perl, self._tree / "usr/bin/qpsmtpd-forkserver", "-l", host, "-p", str(self.port), *options]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "QPSMTPD_CONFIG": str(self.folder / "config")}

    def _config(self) -> dict[str, str]:
        users = self.folder / "config" / "users"
        plugins = [
            *self._plugins,
            *(f"rcpt_map:{number} domain {each} file {users}" for number, each in enumerate(self._domains)),
            "rcpt_ok",  # refuses other domains
            f"queue/maildir {self.folder}/mail %u 777",
        ]
        return {
            "me": "qpsmtpd.example.org\n",
            "plugin_dirs": f"{self._tree}/usr/share/qpsmtpd/plugins\n",
            "plugins": "".join(f"{each}\n" for each in plugins),
            "logging": f"logging/file loglevel LOGINFO {self.folder}/log\n",
            "rcpthosts": "".join(f"{each}\n" for each in self._domains),
            "users": "".join(f"{each} OK \n" for each in self._recipients),
            "spool_dir": f"{self.folder}/spool\n",
            "size_threshold": "10000000\n",  # smaller messages stay in memory
        }


def _perl() -> str:
    found = shutil.which("perl")
    assert found is not None
    return found
