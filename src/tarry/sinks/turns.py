"""turns - several processes that write lines to one pipe or terminal take turns.

What      A few octets of memory that the processes share. Who writes has a lock on them, and notes there that a write is under way.
Promises  The kernel mixes writes to a pipe that are longer than PIPE_BUF (4,096 octets); under the lock no line is mixed with
          another. A process that dies with half a line written leaves its note, and the next writer begins a new line. The lock of
          a dead process is gone.
Lock      fcntl(2)'s, which belongs to the process, since the descriptor is inherited: flock(2)'s would belong to all of them at
          once. One thread of a process may use it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

_EVERY = 0.01
_TORN, _WHOLE = b"\x01", b"\x00"


def make_turns() -> int:
    """Return the descriptor of the shared memory. It is for those who inherit it, and for who is handed it."""
    return os.memfd_create("tarry-turns", os.MFD_CLOEXEC)


class Turns:
    """One process's side of it. *patience* is how many seconds it waits for its turn; None is as long as it takes."""

    def __init__(self, fd: int, *, patience: float | None = None) -> None:
        self._fd = fd
        self._patience = patience

    @property
    def is_torn(self) -> bool:
        """True where the last one that wrote did not come to the end of its line. Ask while it is your turn."""
        return os.pread(self._fd, 1, 0) == _TORN

    @is_torn.setter
    def is_torn(self, value: bool) -> None:
        os.pwrite(self._fd, _TORN if value else _WHOLE, 0)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """It is this process's turn within the block; False where it did not come in time."""
        if not self._lock():
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        if self._patience is None:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            return True
        until = time.monotonic() + self._patience
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # EAGAIN, EACCES: somebody else's turn
                if time.monotonic() >= until:
                    return False
                time.sleep(_EVERY)
            else:
                return True
