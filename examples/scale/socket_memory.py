"""socket_memory - what does the kernel keep for a TCP connection on which nothing happens?

    python examples/scale/socket_memory.py

Opens connections on loopback, where both ends are here, and divides the growth of the kernel's slabs (/proc/meminfo) by the ends. A
connection with unread input or unsent output takes more. Other work on the machine is counted as well: look at three runs.
"""

from __future__ import annotations

import resource
import select
import socket
import time
from pathlib import Path


def slabs() -> int:
    """Return the kernel's slabs in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Slab:"))


def main() -> None:
    """Open, look, and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10_000, hard // 2 - 50)
    ends: list[socket.socket] = []
    with socket.socket() as listener, select.epoll() as epoll:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        before = slabs()
        for number in range(count):
            client = socket.socket()
            client.bind((f"127.60.{number // 250}.{1 + number % 250}", 0))
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            epoll.register(accepted.fileno(), select.EPOLLIN)
            ends += (client, accepted)
        time.sleep(1)
        print(f"{(slabs() - before) / len(ends):.0f} bytes an end, of {count} connections")
        for end in ends:
            end.close()


if __name__ == "__main__":
    main()
