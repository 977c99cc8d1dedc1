"""private - what the private mail servers share: a folder, a program on a free port, maildirs, a log to wait for.

What     `Home` is one server's folder and process. The functions read maildirs, wait for messages and log lines, and put a
         message into a queue by SMTP.
Promise  The folder is open to the users that servers change to, unlike pytest's own, and goes when the home is closed.
Not      It knows no server; Postfix was there before and has its own.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.e2e.servers import clients
from tests.e2e.servers.processes import NotStarted, Program, free_port, wait_listening, wait_until

ATTEMPTS = 3  # another process may take the port between our choice and the server's bind
RECIPIENTS = ("alice@example.org", "bob@example.org")


class Home:
    """The folder of one server, and its program once it is started. `close` ends both."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._cleanup = contextlib.ExitStack()
        self._program: Program | None = None
        self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix=f"tarry-{name}-")))
        self.folder.chmod(0o711)

    @property
    def program(self) -> Program:
        assert self._program is not None, f"{self._name} runs no daemon"
        return self._program

    def pids(self) -> list[int]:
        """Return the processes of its program, none when there is no program."""
        return self._program.pids() if self._program is not None else []

    def start(self, command: Sequence[str | Path], port: int, environment: Mapping[str, str], log: Callable[[], str]) -> None:
        """Start *command* and return once *port* is listened on. Raises NotStarted with what it printed and logged."""
        program = Program(command, output=self.folder / "output", folder=self.folder, environment=environment)
        try:
            wait_listening(program, port, timeout=20)
        except NotStarted as failed:
            program.end()
            raise NotStarted(f"{self._name}: {failed}\n{log()}") from None
        except BaseException:
            program.end()
            raise
        self._program = program

    def end(self) -> None:
        """End the program; folder and mail stay."""
        if self._program is not None:
            self._program.end()

    def close(self) -> None:
        """End the program and remove the folder."""
        self.end()
        self._cleanup.close()

    def keep(self, paths: tuple[Path, Path], uid: int, gid: int) -> tuple[Path, Path]:
        """Copy a certificate and its key to where only the user *uid* can read them; return the copies."""
        kept = self.folder / "certificate.pem", self.folder / "key.pem"
        for path, copy in zip(paths, kept, strict=True):
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
            shutil.chown(copy, uid, gid)
        return kept


def start_somewhere(start: Callable[[int], None], address: str) -> None:
    """Call *start* with a free port of *address*, and again with another when someone else took that one."""
    for attempt in range(ATTEMPTS):
        try:
            start(free_port(address))
        except NotStarted:
            if attempt + 1 == ATTEMPTS:
                raise
        else:
            return


def make_folder(path: Path, mode: int, uid: int = 0, gid: int = 0) -> None:
    path.mkdir()
    path.chmod(mode)  # mkdir's own mode is cut by the umask
    shutil.chown(path, uid, gid)


def delivered(mail: Path, recipient: str = "*") -> list[bytes]:
    """Return what is in the maildirs below *mail*, oldest first."""
    return [path.read_bytes() for path in sorted(mail.glob(f"{recipient}/new/*"), key=lambda path: path.stat().st_mtime_ns)]


def wait_delivered(mail: Path, count: int, timeout: float) -> list[bytes]:
    """Return what is in the maildirs once there are *count* messages, or what there is after *timeout* seconds."""
    wait_until(lambda: len(delivered(mail)) >= count, timeout)
    return delivered(mail)


def wait_match(pattern: str, text: Callable[[], str], timeout: float) -> re.Match[str] | None:
    """Return the first match of *pattern* in *text*, None when there is none after *timeout* seconds."""
    wait_until(lambda: re.search(pattern, text()), timeout)
    return re.search(pattern, text())


def submit(address: str, port: int, sender: str, recipients: Sequence[str], message: bytes) -> None:
    """Give *message*, whose lines end in LF, to the server on *port*. Raises RuntimeError when it refuses a recipient."""
    # Not with its sendmail command: that delivers in a process outside the program's group, which could outlive the test.
    refused = clients.submit(port, message.replace(b"\n", b"\r\n"), sender=sender, recipients=recipients, host=address)
    if refused:
        raise RuntimeError(f"refused: {refused}")
