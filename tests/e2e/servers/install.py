"""install - fetch the real servers and clients that the end-to-end tests run.

    python -m tests.e2e.servers.install

What     Mail servers are downloaded and unpacked below a cache folder, never installed: Debian's MTA packages
         conflict with one another, and an installed one would start by itself. Shared libraries and plain
         clients do not conflict, so they are installed as usual. Programs for Node.js come from npm, into the same folder.
Where    `$TARRY_SERVERS`, or `tarry/servers` in `$XDG_CACHE_HOME` or `~/.cache`. Nothing is written to the tree.
Promise  When all is there it touches neither network nor package lists. Where it cannot act (no root, no apt, no npm) it
         says what is missing and leaves with status 0; the tests then skip by name.
To add   a server or a client: one entry in SERVERS, MODULES or TOOLS, and a module that runs it.
"""

import contextlib
import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An MTA, or a reader of an MTA's log, that runs from its unpacked packages."""

    packages: tuple[str, ...]  # unpacked together into one folder; the libraries they depend on are installed
    programs: tuple[str, ...]  # inside that folder; all must load with the libraries of this machine
    libraries: tuple[str, ...] = ()  # folders inside that folder which hold libraries of its own
    users: tuple[str, ...] = ()  # system users it insists on, each with a group of the same name
    groups: tuple[str, ...] = ()  # further system groups
    tools: tuple[str, ...] = ()  # names in TOOLS that it needs to run
    namespace: bool = False  # whether it runs in a mount namespace (see namespace)
    root: bool = True  # whether only root can run it


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """A program for Node.js with all that it requires, below one `node_modules`. It runs as any user."""

    packages: tuple[str, ...]  # with their versions
    programs: tuple[str, ...]  # inside that folder
    # What they require is taken as it was on this day. It takes the place of a lock file, which would name a registry; and
    # a dependency of the newest Haraka asks for a version that the registry had not (encoding-japanese 2.5.0).
    as_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program, or a module for Perl, that is installed like any other."""

    package: str
    perl_module: str = ""


SERVERS = {
    "postfix": Server(
        packages=("postfix",),
        programs=("usr/lib/postfix/sbin/master", "usr/lib/postfix/sbin/smtpd", "usr/sbin/sendmail", "usr/sbin/smtp-source"),
        libraries=("usr/lib/postfix",),
        users=("postfix",),
        groups=("postdrop",),
    ),
    "exim": Server(
        packages=("exim4-daemon-heavy",),  # the light one reads no PROXY header
        programs=("usr/sbin/exim4",),
        users=("Debian-exim",),  # its name is compiled in
    ),
    "fail2ban": Server(packages=("fail2ban",), programs=("usr/bin/fail2ban-regex",), root=False),
    "inetd": Server(
        packages=("openbsd-inetd", "xinetd", "ucspi-tcp"),
        programs=("usr/sbin/inetd", "usr/sbin/xinetd", "usr/bin/tcpserver"),
    ),
    "mailfront": Server(
        packages=("mailfront", "ucspi-tcp"),
        programs=("usr/sbin/mailfront", "usr/bin/tcpserver"),
    ),
    "pflogsumm": Server(packages=("pflogsumm",), programs=("usr/sbin/pflogsumm",), tools=("perl",), root=False),
    "qpsmtpd": Server(
        # What it requires of Perl lies beside it: nothing else needs that. Digest-HMAC is Net-DNS's, Date-Parse MailTools's.
        packages=(
            "qpsmtpd",
            "libdigest-hmac-perl",
            "libio-socket-inet6-perl",
            "libmailtools-perl",
            "libnet-dns-perl",
            "libsocket6-perl",
            "libtimedate-perl",
        ),
        programs=("usr/bin/qpsmtpd-forkserver",),
        tools=("perl",),
    ),
    "rbldnsd": Server(packages=("rbldnsd",), programs=("usr/sbin/rbldnsd",)),  # gives up root for nobody
    "redis": Server(packages=("redis-server", "redis-tools"), programs=("usr/bin/redis-server",), root=False),
    "sendmail": Server(
        packages=("sendmail-bin", "sendmail-cf"),
        programs=("usr/libexec/sendmail/sendmail", "usr/share/sendmail/cf/m4/cf.m4"),
        tools=("m4",),
        namespace=True,
    ),
    "opensmtpd": Server(
        packages=("opensmtpd",),
        programs=("usr/sbin/smtpd", "usr/libexec/opensmtpd/mail.maildir"),
        users=("opensmtpd", "opensmtpq"),  # Debian's names for _smtpd and _smtpq, compiled in
        namespace=True,
    ),
}

MODULES = {
    "haraka": Modules(packages=("Haraka@3.1.1",), programs=("node_modules/Haraka/bin/haraka",), as_of="2026-04-01"),
    "nodemailer": Modules(
        packages=("nodemailer@8.0.4",), programs=("node_modules/nodemailer/lib/nodemailer.js",), as_of="2026-04-01"
    ),
}

TOOLS = {
    "curl": Tool(package="curl"),
    "m4": Tool(package="m4"),
    "msmtp": Tool(package="msmtp"),
    "node": Tool(package="npm"),  # which brings nodejs; that alone could run modules but not fetch them
    "openssl": Tool(package="openssl"),
    "perl": Tool(package="perl"),
    "perl-tls": Tool(package="libio-socket-ssl-perl", perl_module="IO::Socket::SSL"),  # for Net::SMTP and swaks
    "swaks": Tool(package="swaks"),
}


def folder(server: str) -> Path:
    """Return where the packages of *server* are unpacked, whether they are there or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TARRY_SERVERS") or Path(cache, "tarry", "servers")) / server


def missing(name: str) -> str:
    """Return why the server or tool *name* cannot be used, as a sentence for a skipped test; empty if it can."""
    if name in TOOLS:
        return "" if _is_installed(name, TOOLS[name]) else f"{name} is not installed: run make servers"
    for problem in _lacking(name, MODULES[name]) if name in MODULES else _problems(name, SERVERS[name]):
        return problem
    return ""


def environment(server: str) -> dict[str, str]:
    """Return an environment in which the programs of *server* find the libraries unpacked with them."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LD_LIBRARY_PATH": ":".join(str(folder(server) / each) for each in SERVERS[server].libraries),
    }


def main() -> int:
    wanting = [name for name in (*SERVERS, *TOOLS, *MODULES) if missing(name)]
    if not wanting:
        return 0
    print(f"wanted for the end-to-end tests: {', '.join(wanting)}", file=sys.stderr)
    if os.getuid() == 0 and shutil.which("apt-get") and shutil.which("dpkg"):
        with _told():
            _apt("update")
            _install(TOOLS[name].package for name in wanting if name in TOOLS)
            for name in wanting:
                if name in SERVERS:
                    _provide(name, SERVERS[name])
    if shutil.which("npm"):
        for name in wanting:
            if name in MODULES:
                with _told():
                    _unpack_modules(MODULES[name], folder(name))
    for name in wanting:
        if problem := missing(name):
            needs = "npm" if name in MODULES else "root on Debian"
            print(f"{problem} (fetching it needs {needs}, and a network; the tests with {name} will skip)", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Print why a command failed and go on."""
    try:
        yield
    except subprocess.CalledProcessError as failed:
        print(f"{' '.join(failed.cmd)}: {failed.stderr.strip()}", file=sys.stderr)
    except subprocess.TimeoutExpired as failed:
        print(failed, file=sys.stderr)


def _is_installed(name: str, tool: Tool) -> bool:
    if not tool.perl_module:
        return shutil.which(name) is not None
    file = tool.perl_module.replace("::", "/") + ".pm"
    look = ("perl", "-e", 'exit !grep { -e "$_/$ARGV[0]" } @INC', file)  # loading it would take ten times as long
    return shutil.which("perl") is not None and subprocess.run(look, timeout=20, check=False).returncode == 0


def _lacking(name: str, modules: Modules) -> Iterator[str]:
    if not all((folder(name) / program).is_file() for program in modules.programs):
        yield f"{name} is not unpacked: run make servers"
    if problem := missing("node"):
        yield f"{name} needs node: {problem}"


def _problems(name: str, server: Server) -> Iterator[str]:
    for program in server.programs:
        if not (folder(name) / program).is_file():
            yield f"{name} is not unpacked: run make servers"
            return
    if server.root and os.getuid() != 0:
        yield f"{name} needs root to run"
    for user in server.users:
        if not _exists(pwd.getpwnam, user):
            yield f"{name} needs the system user {user}: run make servers"
    for group in server.groups:
        if not _exists(grp.getgrnam, group):
            yield f"{name} needs the system group {group}: run make servers"
    for program in server.programs:
        for library in _unresolved(name, program):
            yield f"{name} needs the library {library}: run make servers"
    for tool in server.tools:
        if problem := missing(tool):
            yield problem
    if server.namespace and (problem := namespace.refused()):
        yield f"{name} needs a mount namespace: {problem}"


def _exists(lookup: Callable[[str], object], name: str) -> bool:
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def _unresolved(name: str, program: str) -> list[str]:
    listed = subprocess.run(
        ["ldd", str(folder(name) / program)], env=environment(name), capture_output=True, text=True, timeout=20, check=False
    )
    return re.findall(r"^\s*(\S+) => not found", listed.stdout, re.MULTILINE)


def _provide(name: str, server: Server) -> None:
    if any(not (folder(name) / program).is_file() for program in server.programs):
        _unpack(server.packages, folder(name))
    _install(library for package in server.packages for library in _library_packages(package))
    for group in server.groups:
        if not _exists(grp.getgrnam, group):
            _run("groupadd", "--system", group)
    for user in server.users:
        if not _exists(pwd.getpwnam, user):
            _run(
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                "/nonexistent",
                "--shell",
                "/usr/sbin/nologin",
                user,
            )
    _install(TOOLS[tool].package for tool in server.tools if missing(tool))


def _unpack(packages: tuple[str, ...], target: Path) -> None:
    with _in_place_of(target) as tree, tempfile.TemporaryDirectory() as archives:
        _apt("download", *packages, folder=Path(archives))
        for archive in Path(archives).glob("*.deb"):
            _run("dpkg", "-x", str(archive), str(tree))


def _unpack_modules(modules: Modules, target: Path) -> None:
    # No scripts of packages, no optional ones: Haraka's are plugins that want a compiler.
    options = ("--ignore-scripts", "--omit=optional", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--no-progress")
    with _in_place_of(target) as tree:
        _run("npm", "install", "--prefix", str(tree), "--before", modules.as_of, *options, *modules.packages)


@contextlib.contextmanager
def _in_place_of(target: Path) -> Iterator[Path]:
    """Give a folder beside *target* and rename it in the end, so that another run never sees half a server."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as work:
        tree = Path(work, "tree")
        tree.mkdir(mode=0o755)
        yield tree
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def _library_packages(package: str) -> list[str]:
    """Return the shared libraries *package* depends on; their names change between releases, so apt is asked."""
    shown = _run("apt-cache", "show", "--no-all-versions", package)
    depends = ",".join(re.findall(r"^(?:Pre-)?Depends: (.*)$", shown, re.MULTILINE))
    names = [re.split(r"[\s(:|]", entry.strip(), maxsplit=1)[0] for entry in depends.split(",")]
    return [name for name in names if name.startswith("lib") and not name.endswith("-perl")]


def _install(packages: Iterable[str]) -> None:
    if wanted := list(packages):
        _apt("install", "--yes", "--no-install-recommends", *wanted)


def _apt(*arguments: str, folder: Path | None = None) -> None:
    _run("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *arguments, folder=folder)


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
