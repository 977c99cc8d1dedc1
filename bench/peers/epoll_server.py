"""epoll_server - the least that Python can do: bare descriptors on one epoll, no object for a client.

`python -m bench.peers.epoll_server PORT WAIT`. Who speaks early gets 554 at once, who waits is greeted after WAIT
seconds in buckets of 10 ms, and then whatever it says is answered by 221. Mail it cannot do.
"""

import array
import os
import resource
import select
import socket
import sys
import time
from collections import deque

_BACKLOG = 4096
_BUCKET = 0.01  # seconds; a bucket is one array, so a held client costs four bytes
_EARLY = b"554 5.5.1 you spoke before the greeting\r\n"
_GREETING = b"220 epoll ESMTP\r\n"
_BYE = b"221 bye\r\n"
_ACCEPTS = 256  # at one wake-up, so that greetings are not kept waiting by a flood


def serve(port: int, wait: float) -> None:
    """Hold, greet and refuse until ended by a signal."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    listener.setblocking(False)
    epoll = select.epoll()
    door = listener.fileno()
    epoll.register(door, select.EPOLLIN)
    # By descriptor: when the greeting is due, 0 once it was sent. A bucket may hold a number that is another client's now.
    due_at = array.array("d", bytes(8 * (limit + 1)))
    buckets: deque[tuple[float, array.array[int]]] = deque()
    while True:
        events = epoll.poll(max(0.0, buckets[0][0] + _BUCKET - time.monotonic()) if buckets else 1.0)
        for fileno, _ in events:
            if fileno != door:
                _answer(fileno, early=due_at[fileno] > 0)
                continue
            for _ in range(_ACCEPTS):
                try:
                    client = listener.accept()[0].detach()
                except BlockingIOError:
                    break
                except ConnectionAbortedError:  # left while in the backlog
                    continue
                due = time.monotonic() + wait
                if not buckets or due > buckets[-1][0] + _BUCKET:
                    buckets.append((due, array.array("i")))
                due_at[client] = buckets[-1][0]
                buckets[-1][1].append(client)
                os.set_blocking(client, False)
                epoll.register(client, select.EPOLLIN)
        now = time.monotonic()
        while buckets and buckets[0][0] + _BUCKET <= now:
            due, clients = buckets.popleft()
            for client in clients:
                if due_at[client] == due:
                    due_at[client] = 0.0
                    _write(client, _GREETING)


def _answer(fileno: int, *, early: bool) -> None:
    """Read what the client said, reply, close. What came is read first: closing over unread input resets the reply away."""
    try:
        text = os.read(fileno, 65536)
    except OSError:  # reset: nobody is left to answer
        text = b""
    if text:
        _write(fileno, _EARLY if early else _BYE)
    os.close(fileno)


def _write(fileno: int, text: bytes) -> None:
    try:
        os.write(fileno, text)
    except OSError:  # reset, or gone: its close is read as an event of its own
        pass


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
