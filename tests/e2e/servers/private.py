"""private - what the private mail servers share: a folder, a program on a free port, maildirs, a log to wait for.

What     `Server` is a context manager; each server derives from it and gives its name, what it writes into its folder, and the
         command that it is started with. `ServerWithQueue` is for those that send as well.
Promise  Several run side by side. The folder is open to the users that servers change to, unlike pytest's own, and goes with
         the processes at the end.
Not      It knows no server; Postfix was there before and has its own.
"""

import contextlib
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.e2e.servers import clients, install
from tests.e2e.servers.processes import NotStarted, Program, free_port, wait_listening, wait_until

ATTEMPTS = 3  # another process may take the port between our choice and the server's bind
RECIPIENTS = ("alice@example.org", "bob@example.org")
OUTPUT = "output"  # the file that gets what the program prints


class Server(ABC):
    """A private server. Raises NotStarted when it is not there, or does not come up.

    *recipients* are those that it has a mailbox for. *port* is where clients connect, 0 without *listen*.
    """

    name: ClassVar[str]
    is_fetched: ClassVar[bool] = True  # by install, and has a folder there
    logs: ClassVar[tuple[str, ...]] = (OUTPUT,)  # its log: files of its folder, one after the other

    def __init__(self, *, recipients: Sequence[str], listen: bool = True, address: str = "127.0.0.1") -> None:
        if self.is_fetched and (problem := install.missing(self.name)):
            raise NotStarted(problem)
        self.address = address
        self.port = 0
        self._recipients = tuple(recipients)
        self._domains = sorted({recipient.rpartition("@")[2] for recipient in recipients})
        self._listen = listen
        self._tree = install.folder(self.name)
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self._cleanup = contextlib.ExitStack()
        self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix=f"tarry-{self.name}-")))
        try:
            self.folder.chmod(0o711)
            self._lay_out()
            if self._listen:
                self._start_somewhere()
            else:
                self._configure()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End all its processes and remove its folder."""
        self.halt()
        self._cleanup.close()

    def halt(self) -> None:
        """End all its processes but keep port, queue and mail, as when an MTA is down for maintenance."""
        if self._program is not None:
            self._program.end()

    def resume(self) -> None:
        """Start again on the same port after `halt`."""
        self._start(self.port)

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def pid(self) -> int:
        """The process that was started: the one that listens, or the parent of all."""
        assert self._program is not None, f"{self.name} runs no daemon"
        return self._program.pid

    def pids(self) -> list[int]:
        """Return all processes of the daemon. Those of an `inetd_command` belong to whoever started them."""
        return self._program.pids() if self._program is not None else []

    def messages(self, recipient: str = "*") -> list[bytes]:
        """Return what was delivered, oldest first: the server's own header lines, then the message."""
        found = Path(self.folder, "mail").glob(f"{recipient}/new/*")
        return [path.read_bytes() for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def wait_messages(self, count: int, timeout: float = 10.0) -> list[bytes]:
        """Return the delivered messages once there are *count* of them, or what there is after *timeout* seconds."""
        wait_until(lambda: len(self.messages()) >= count, timeout)
        return self.messages()

    def log_text(self) -> str:
        """Return what it logged so far."""
        files = [self.folder / name for name in self.logs]
        return "".join(file.read_text(errors="backslashreplace") for file in files if file.exists())

    def wait_log(self, pattern: str, timeout: float = 10.0) -> re.Match[str] | None:
        """Return the first match of *pattern* in the log, None when there is none after *timeout* seconds."""
        wait_until(lambda: re.search(pattern, self.log_text()), timeout)
        return re.search(pattern, self.log_text())

    @abstractmethod
    def _lay_out(self) -> None:
        """Write what it needs whatever the port: folders, mailboxes, configuration."""

    def _configure(self) -> None:  # noqa: B027 - most have nothing to do
        """Write what names the port, which is known now; called before each start, and without *listen* once."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Return the words that start it, in the foreground."""

    def _environment(self) -> Mapping[str, str]:
        return install.environment(self.name)

    def _make_maildirs(self, uid: int = 0, gid: int = 0) -> None:
        make_folder(self.folder / "mail", 0o755)
        for recipient in self._recipients:
            for name in ("", "tmp", "new", "cur"):
                make_folder(self.folder / "mail" / recipient / name, 0o755, uid, gid)

    def _keep(self, paths: tuple[Path, Path], uid: int, gid: int) -> tuple[Path, Path]:
        """Copy a certificate and its key to where only the user *uid* can read them; return the copies."""
        kept = self.folder / "certificate.pem", self.folder / "key.pem"
        for path, copy in zip(paths, kept, strict=True):
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
            shutil.chown(copy, uid, gid)
        return kept

    def _start_somewhere(self) -> None:
        """Start on a free port, and again on another when someone else took that one."""
        for attempt in range(ATTEMPTS):
            try:
                self._start(free_port(self.address))
            except NotStarted:
                if attempt + 1 == ATTEMPTS:
                    raise
            else:
                return

    def _start(self, port: int) -> None:
        """Start, and return once *port* is listened on. Raises NotStarted with what it printed and logged."""
        self.port = port
        self._configure()
        program = Program(self._command(), output=self.folder / OUTPUT, folder=self.folder, environment=self._environment())
        try:
            wait_listening(program, port, timeout=20, address=self.address)
        except NotStarted as failed:
            program.end()
            logged = "" if OUTPUT in self.logs else self.log_text()  # what it printed is in *failed*
            raise NotStarted(f"{self.name}: {failed}\n{logged}") from None
        except BaseException:
            program.end()
            raise
        self._program = program


class ServerWithQueue(Server):
    """One that can send mail, too."""

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Put *message*, whose lines end in LF, into the queue; it sets out at once. Raises RuntimeError for a refusal."""
        # Not with its sendmail command: that delivers in a process outside the program's group, which could outlive the test.
        message = message.replace(b"\n", b"\r\n")
        refused = clients.submit(self.port, message, sender=sender, recipients=recipients, host=self.address)
        if refused:
            raise RuntimeError(f"refused: {refused}")

    @abstractmethod
    def queued(self) -> list[Path]:
        """Return the queue files there are now."""

    def queue_empty(self, timeout: float = 10.0) -> bool:
        """Say whether all queued mail is delivered or returned within *timeout* seconds."""
        return wait_until(lambda: not self.queued(), timeout)


def make_folder(path: Path, mode: int, uid: int = 0, gid: int = 0) -> None:
    path.mkdir()
    path.chmod(mode)  # mkdir's own mode is cut by the umask
    shutil.chown(path, uid, gid)
