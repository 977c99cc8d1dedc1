"""fleet - two front doors on hosts of their own, a memory that they share, and a crowd of clients, in private network namespaces.

What     Run as a program it makes everything, plays one scenario, and prints what came of it as one JSON object. The hub is a
         namespace with the store, the name server of `names` and all clients; each door has one of its own, on the other side of
         a veth pair.
Promise  Nothing of it is on a network of this machine: it must be run in a network namespace of its own (`unshare --net`), and
         refuses to begin where it finds any other interface. All it started ends with it.
Source   ip-netns(8), veth(4); local routes for a whole network: ip-route(8), type local.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import redis

from tests.e2e.servers import valkey
from tests.e2e.servers.processes import Program, wait_until
from tests.e2e.servers.tarry import COMMAND

HUB = "10.77.0.1"
STORE_PORT = 6379
DOORS = {"a": "10.77.1.2", "b": "10.77.2.2"}
CLIENTS = "10.78.0.0/16"
RATE = 200.0
"""Sessions a second."""
CONFIG = """
[listen]
smtp = ["{address}:25"]
max_per_client = 0
workers = 1
[handoff]
maildir = "mail-{name}"
[hold]
wait = "1s"
[karma]
by_domain = false
[store]
url = "valkey://{hub}:{port}/0"
[record]
path = "record-{name}"
[control]
socket = "control-{name}"
"""


def refused() -> str:
    """Return why no namespace can be made here; empty where one can."""
    missing = [word for word in ("ip", "nsenter", "unshare") if shutil.which(word) is None]
    if missing:
        return f"{' and '.join(missing)} are missing (packages iproute2 and util-linux)"
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && ip link add name x type veth peer name y"],
        capture_output=True,
        check=False,
        timeout=20,
    )
    return "" if tried.returncode == 0 else f"no network namespace can be made: {tried.stderr.decode().strip()[:100]}"


def play(scenario: str, timeout: float) -> dict[str, object]:
    """Play a scenario in namespaces of its own; return what it printed."""
    words = ["unshare", "--net", sys.executable, "-m", "tests.e2e.servers.fleet", scenario]
    ran = subprocess.run(words, capture_output=True, check=False, timeout=timeout, start_new_session=True)
    assert 0 == ran.returncode, ran.stderr.decode()[-3000:]
    found: dict[str, object] = json.loads(ran.stdout)
    return found


@dataclass
class Session:
    """What became of one session: when the greeting came (seconds since connecting), the codes of all replies."""

    held: float = -1.0
    codes: list[int] = field(default_factory=list)
    why: str = ""


async def session(door: str, source: str, *, early: bool = False, delivers: bool = True) -> Session:
    """Be one client at a door."""
    found = Session()
    began = time.monotonic()
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(DOORS[door], 25, local_addr=(source, 0))
            with contextlib.closing(writer):
                if early:
                    writer.write(b"EHLO early.example\r\n")
                found.codes.append(await _code(reader))
                found.held = time.monotonic() - began
                if early or found.codes != [220]:
                    return found
                body = b"DATA\r\n", b"Subject: x\r\n\r\nhello\r\n.\r\n"
                lines = b"EHLO client.example\r\n", b"MAIL FROM:<a@client.example>\r\n", b"RCPT TO:<b@example.org>\r\n", *body
                for line in (*(lines if delivers else lines[:1]), b"QUIT\r\n"):
                    writer.write(line)
                    found.codes.append(await _code(reader))
    except (OSError, TimeoutError, ValueError) as fault:
        found.why = repr(fault)
    return found


async def _code(reader: asyncio.StreamReader) -> int:
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            return int(line[:3])


class Fleet:
    """The doors, their store, and the folder of it all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Program | None = None
        self.doors: dict[str, Program] = {}

    def begin(self) -> None:
        """Make the networks, and start everything."""
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "route", "add", "local", CLIENTS, "dev", "lo")
        _run("ip", "address", "add", f"{HUB}/32", "dev", "lo")
        self.start_store()
        for number, (name, address) in enumerate(DOORS.items(), 1):
            host = Program(["unshare", "--net", "sleep", "600"], output=self.folder / "host")
            assert wait_until(lambda host=host: _namespace(host.pid) != _namespace(), 10)  # type: ignore[misc]
            near = f"10.77.{number}.1"
            _run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "hub", "netns", str(host.pid))
            _run("ip", "address", "add", f"{near}/24", "dev", f"to-{name}")
            _run("ip", "link", "set", f"to-{name}", "up")
            inside = ("nsenter", "--target", str(host.pid), "--net")
            for words in (
                ("address", "add", f"{address}/24", "dev", "hub"),
                ("link", "set", "lo", "up"),
                ("link", "set", "hub", "up"),
                ("route", "add", "default", "via", near),
            ):
                _run(*inside, "ip", *words)
            file = self.folder / f"{name}.toml"
            file.write_text(CONFIG.format(name=name, address=address, hub=HUB, port=STORE_PORT))
            command = [*inside, COMMAND, "serve", "-c", file]
            self.doors[name] = Program(command, output=self.folder / f"output-{name}", cwd=self.folder)
        for name in DOORS:
            assert wait_until(lambda name=name: self._listens(name), 15), self.doors[name].printed()  # type: ignore[misc]

    def start_store(self) -> None:
        """Start it, empty or with what its append-only file says."""
        words = ["--bind", HUB, "--port", str(STORE_PORT), "--protected-mode", "no", "--appendonly", "yes", "--save", ""]
        self.store = Program([valkey.program(), "--dir", self.folder, *words], output=self.folder / "store")
        assert wait_until(_store_answers, 15), self.store.printed()

    def records(self, name: str, event: str) -> list[dict[str, object]]:
        """Return the records of one kind of a door."""
        file = self.folder / f"record-{name}"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if line["ev"] == event]

    def delivered(self) -> int:
        """Return how many messages lie in both Maildirs."""
        return sum(len(list((self.folder / f"mail-{name}" / "new").iterdir())) for name in DOORS)

    def end(self) -> None:
        """Drain the doors."""
        for door in self.doors.values():
            door.end()

    def _listens(self, name: str) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((DOORS[name], 25), 1):
            return True
        return False


async def learn(fleet: Fleet) -> dict[str, object]:
    """What one door learns the other uses within a second: early talk, and six good sessions."""
    good, bad = "10.78.1.1", "10.78.1.2"
    first = await session("a", good)
    rest = await asyncio.gather(*(session("a", good) for _ in range(5)))
    early = await asyncio.gather(*(session("a", bad, early=True) for _ in range(2)))
    await asyncio.sleep(1.0)
    known, stranger = await asyncio.gather(session("b", good), session("b", "10.78.1.3"))
    await session("b", bad, delivers=False)
    await asyncio.sleep(0.5)
    reasons = [one["reasons"] for one in fleet.records("b", "close") if one["client"] == bad]
    return {
        "first": asdict(first),
        "rest": [asdict(one) for one in rest],
        "early": [asdict(one) for one in early],
        "known": asdict(known),
        "stranger": asdict(stranger),
        "bad": reasons,
    }


async def outage(fleet: Fleet) -> dict[str, object]:
    """The store is killed, started, hung and let go on while good mail comes in at `RATE`; then it knows again what was learned."""
    running: set[asyncio.Task[Session]] = set()
    ended: list[Session] = []
    number = 0

    async def crowd(seconds: float) -> None:
        nonlocal number
        until = time.monotonic() + seconds
        began, sent = time.monotonic(), 0
        while time.monotonic() < until:
            while sent < (time.monotonic() - began) * RATE:
                sent += 1
                number += 1
                source = f"10.78.{16 + number // 200 % 200}.{1 + number % 200}"
                task = asyncio.create_task(session("ab"[number % 2], source))
                running.add(task)
                task.add_done_callback(lambda task: (ended.append(task.result()), running.discard(task)))
            await asyncio.sleep(0.01)

    assert fleet.store is not None
    await crowd(0.5)
    fleet.store.kill()
    await crowd(1.5)
    await asyncio.to_thread(fleet.start_store)
    await crowd(1.0)
    fleet.store.signal(signal.SIGSTOP)
    await crowd(1.5)
    fleet.store.signal(signal.SIGCONT)
    await crowd(0.5)
    while running:
        await asyncio.sleep(0.05)
    states: dict[str, list[bool]] = {}
    for name in DOORS:
        await asyncio.to_thread(wait_until, lambda name=name: _stores(fleet, name)[-1:] != [True], 15)
        states[name] = _stores(fleet, name)
    await asyncio.to_thread(wait_until, lambda: _known() >= len(ended), 12)
    known = _known()
    learned = await learn(fleet)
    refused = [asdict(one) for one in ended if not one.codes or one.codes[0] != 220 or one.why or 250 != one.codes[-2]]
    acknowledged = sum(one.codes[-2:] == [250, 221] for one in ended)
    fleet.end()
    return {
        "sessions": len(ended),
        "known": known,
        "refused": refused[:20],
        "acknowledged": acknowledged + 8,
        "delivered": fleet.delivered(),
        "longest": max(one.held for one in ended),
        "away": states,
        "learned": learned,
    }


def _stores(fleet: Fleet, name: str) -> list[bool]:
    return [bool(one["on"]) for one in fleet.records(name, "stress") if one["what"] == "store"]


def _known() -> int:
    """Return how many clients the store knows."""
    with redis.Redis(host=HUB, port=STORE_PORT, socket_timeout=5) as client:
        return sum(1 for _ in client.scan_iter("tarry:*10.78.*", count=1000))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, check=False, timeout=20)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.decode()}"


def _namespace(pid: int | str = "self") -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _store_answers() -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HUB, STORE_PORT), 1) as sock:
        sock.sendall(b"PING\r\n")
        return sock.recv(16).startswith(b"+PONG")
    return False


SCENARIOS: dict[str, Callable[[Fleet], Coroutine[None, None, dict[str, object]]]] = {"learn": learn, "outage": outage}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tarry-fleet-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def main() -> None:
    """Play the scenario that the command line names."""
    interfaces = {name for _, name in socket.if_nameindex()}
    assert interfaces == {"lo"}, f"this is no network namespace of its own: {interfaces}"
    with _folder() as folder:
        fleet = Fleet(folder)
        try:
            fleet.begin()
            print(json.dumps(asyncio.run(SCENARIOS[sys.argv[1]](fleet))))
        finally:
            fleet.end()
            if fleet.store is not None:
                fleet.store.kill()


if __name__ == "__main__":
    main()
