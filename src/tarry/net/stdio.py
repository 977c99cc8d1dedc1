"""stdio - the descriptors that inetd gives, and those that a command gets.

What      Standard error, which may be the client's socket; finding a command; and becoming it.
Promises  Nothing of ours is ever written to the client through standard error. The command finds the client on 0 and 1, blocking,
          standard error as it was, no other descriptor, and the signals as a fresh process has them.
Imports   Little: `StandardError` is made before anything that may fail.
Source    inetd(8): nowait gives the socket as 0, 1 and 2; UCSPI: 0 and 1; systemd.exec(5): StandardInput=socket gives 0, and 1
          unless StandardOutput= says otherwise.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_CLIENT, _OUTPUT, _ERROR = 0, 1, 2
_SUPERVISORS = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_MOST_DESCRIPTORS = 1 << 20
_PIPE = 4096
"""PIPE_BUF of Linux: what poll calls writable takes this much without waiting."""


class StandardError:
    """Descriptor 2. Where it is the client's own socket it is set aside, and words for the operator go to syslog."""

    def __init__(self) -> None:
        occupy()
        self._aside = -1
        self.set_aside()

    @property
    def is_usable(self) -> bool:
        """False where descriptor 2 leads to the client."""
        return self._aside < 0

    def set_aside(self) -> None:
        """Point descriptor 2 at /dev/null where it is the client. What Python itself writes there is then lost, as it must be."""
        client, error = os.fstat(_CLIENT), os.fstat(_ERROR)
        if stat.S_ISSOCK(client.st_mode) and (client.st_dev, client.st_ino) == (error.st_dev, error.st_ino):
            self._aside = os.dup(_ERROR)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, _ERROR)
            os.close(null)

    def restore(self) -> None:
        """Make descriptor 2 what it was: the command expects it so."""
        if self._aside >= 0:
            os.dup2(self._aside, _ERROR)
            os.close(self._aside)
            self._aside = -1

    def write(self, line: bytes) -> None:
        """Write a line, where that is possible without waiting and does not go to the client."""
        poll = select.poll()
        poll.register(_ERROR, select.POLLOUT)
        with suppress(OSError):  # EPIPE, ENOSPC: whoever read it has gone
            if self.is_usable and poll.poll(0):
                os.write(_ERROR, line[: _PIPE - 1] + b"\n" if len(line) > _PIPE else line)

    def tell(self, text: str) -> None:
        """Tell the operator something: on standard error, or in the mail log."""
        if self.is_usable:
            self.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        else:
            import syslog

            syslog.syslog(syslog.LOG_MAIL | syslog.LOG_ERR, text.replace("\0", ""))


def occupy() -> None:
    """Put /dev/null where standard input, output or error is closed: the next file would get its number and be taken for it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _ERROR:
        os.set_inheritable(fd, True)
    os.close(fd)


def last_words(data: bytes) -> None:
    """Write to the client what there is to say when nothing else works."""
    with suppress(OSError):  # EPIPE, ECONNRESET: it is gone
        if stat.S_ISSOCK(os.fstat(_CLIENT).st_mode):
            os.write(_CLIENT, data)


def find(words: Sequence[str], environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the path of a command and "", or "" and the errno's name where it cannot be run. Without a slash PATH is searched."""
    why = errno.ENOENT
    name = words[0]
    for folder in [""] if "/" in name else os.get_exec_path(dict(environ)):
        path = f"{folder}/{name}" if folder else name
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode) or not os.access(path, os.X_OK):
                why = errno.EACCES
                continue
        except OSError as fault:
            if fault.errno not in (errno.ENOENT, errno.ENOTDIR):
                why = fault.errno or why
            continue
        return path, ""
    return "", errno.errorcode[why]


def become(path: str, words: Sequence[str], environ: Mapping[str, str], stderr: StandardError) -> str:
    """Become the command. Returns only where that fails, with the errno's name, and then as the process that it was."""
    import signal

    os.set_blocking(_CLIENT, True)
    os.dup2(_CLIENT, _OUTPUT)
    stderr.restore()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the two that Python ignores
        signal.signal(number, signal.SIG_DFL)
    # Ours close on exec; what we were given besides, and nobody asked for, does not. One close_range(2) where the kernel has it.
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), _MOST_DESCRIPTORS))
    kept = {name: value for name, value in environ.items() if name not in _SUPERVISORS}
    try:
        os.execve(path, list(words), kept)
    except (OSError, ValueError) as fault:  # ENOEXEC, ENOENT of the interpreter, E2BIG, ENOMEM; a NUL in a word
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        stderr.set_aside()
        return errno.errorcode.get(getattr(fault, "errno", 0) or 0, type(fault).__name__)
