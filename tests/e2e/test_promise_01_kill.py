"""Promise 1 under SIGKILL: whatever moment tarry dies at, each message that was acknowledged is stored."""

import contextlib
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.sink import stored
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = "[listen]\nmax_per_client = 0\n"
SENDERS = 6
KILLS = 12
LONGEST_LIFE = 0.3
"""Seconds that tarry lives at most before it is killed; a message takes it a few milliseconds."""
NUMBER = re.compile(rb"number=(\d+-\d+)=")
PADDING = b"x" * 70 + b"\r\n"


class Senders:
    """Threads that deliver numbered messages one after the other, and note which were acknowledged."""

    def __init__(self, tarry: Tarry) -> None:
        self.acknowledged: set[str] = set()
        self.sent = 0
        self._tarry = tarry
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(which,), daemon=True) for which in range(SENDERS)]

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(15)

    def _run(self, which: int) -> None:
        number = 0
        while not self._stopping.is_set():
            # Connection refused, reset, closed, a 421: tarry is down, or was killed under this session.
            with contextlib.suppress(OSError, AssertionError), RawClient(self._tarry.port, timeout=5) as client:
                assert client.greeted().code == 250
                for turn in range(5):
                    number += 1
                    self._deliver(client, f"{which}-{number}", chunked=turn % 2 == 1 and b"CHUNKING" in client.replies[1].text)
            time.sleep(0.01)

    def _deliver(self, client: RawClient, number: str, *, chunked: bool) -> None:
        assert client.envelope() == [250, 250]
        message = b"X: number=%b=\r\n\r\n%b" % (number.encode(), PADDING * 200)
        self.sent += 1
        if chunked:
            half = len(message) // 2
            client.send(b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (half, message[:half], len(message) - half, message[half:]))
            assert client.read_reply().code == 250
        else:
            assert client.command(b"DATA").code == 354
            client.send(message + b".\r\n")
        reply = client.read_reply()
        if reply.code == 250 and reply.raw.endswith(b"\r\n"):
            self.acknowledged.add(number)


def torture(tarry: Tarry, found: Callable[[], set[str]]) -> None:
    """Kill tarry at random moments while it is in use; then count."""
    chance = random.Random()
    with Senders(tarry) as senders:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.02, LONGEST_LIFE))
            tarry.kill()
            tarry.start()
    lost = senders.acknowledged - found()

    assert lost == set()
    assert len(senders.acknowledged) >= 50
    assert senders.sent > len(senders.acknowledged)  # some were cut off, or the moments were not random enough


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Run a sink in a process of its own, which syncs each message to disk before its 250."""
    store = tmp_path / "store"
    command = [sys.executable, "-m", "tests.e2e.servers.sink", "--store", str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield int(process.stdout.readline()), store
        process.stdin.close()


def test_no_acknowledged_message_is_lost_before_an_mta(sink: tuple[int, Path]) -> None:
    """Acknowledged minus stored is nothing, over many SIGKILLs at random instants."""
    port, store = sink
    with Tarry(CONFIG, backend=port, wait="0s") as tarry:
        torture(tarry, lambda: {_number(str(each["text"]).encode("latin-1")) for each in stored(store)})


def test_no_acknowledged_message_is_lost_in_a_maildir() -> None:
    """The same where tarry stores by itself."""
    with Tarry(CONFIG, wait="0s") as tarry:
        torture(tarry, lambda: {_number(message) for message in tarry.messages()})


def _number(message: bytes) -> str:
    found = NUMBER.search(message)
    assert found is not None, message[:200]
    assert message.endswith(PADDING * 200), "a message was stored in part"
    return found[1].decode("ascii")
