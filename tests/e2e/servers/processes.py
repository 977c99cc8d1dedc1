"""processes - start a server in a process group of its own, and end all of that group whatever happens.

What     `Program` starts one command as leader of a new session and group; whatever it forks stays in that group.
         `free_port` and `wait_listening` find a port and see it taken into use.
Promise  The group ends when the caller says so, when the interpreter leaves (atexit), and also when it is killed: a
         small shell holds a pipe from us and ends the group once that pipe closes. Only groups made here are signalled.
Not      A program that makes a session of its own escapes. None of our servers does.
Source   proc(5) for /proc/PID/stat and /proc/net/tcp.
"""

import atexit
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LISTENING = "0A"  # TCP_LISTEN in the fourth column of /proc/net/tcp
POLL_EVERY = 0.01
FIRST_PORT, PORTS, PROCESSES = 10240, 2750, 8
_turns = itertools.count(os.getpid() * 7)

# Reads until we say "done" or die; then ends the group politely, a second later for good, and removes the folder.
_GUARD = """
read said && exit 0
kill -TERM -"$1" 2>/dev/null; sleep 1; kill -KILL -"$1" 2>/dev/null
[ -z "$2" ] || rm -rf -- "$2"
"""

_running: "set[Program]" = set()


class NotStarted(RuntimeError):
    """A server did not come up; the text holds what it printed."""


class Program:
    """A running command with everything it forked.

    *output* is a file that gets its stdout and stderr; *folder* is a work folder that the guard removes should this
    process be killed (in all other cases it belongs to the caller).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.output = output
        with output.open("ab") as sink:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=dict(environment) if environment is not None else None,
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.pid), str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _running.add(self)

    @property
    def status(self) -> int | None:
        """The exit status of the leader, negative for a signal; None while it runs."""
        return self._popen.poll()

    def pids(self) -> list[int]:
        """Return the processes of the group that are alive now."""
        return [pid for pid, group in _processes() if group == self.pid]

    def signal(self, number: signal.Signals) -> None:
        """Send *number* to the leader alone; nothing happens when it has gone."""
        self._popen.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Return the exit status of the leader. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(timeout)

    def end(self, patience: float = 5.0) -> int:
        """Ask the leader to go, kill what is left of the group after *patience* seconds, return the exit status."""
        try:
            if self._popen.poll() is None:
                self._popen.terminate()
                self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        return self.kill()

    def kill(self) -> int:
        """Kill the whole group at once and return the leader's exit status."""
        deadline = time.monotonic() + 10
        while self.pids() and time.monotonic() < deadline:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # went by itself in between
                break
            self._popen.poll()
            time.sleep(0.002)
        status = self._popen.wait(10)
        if self._guard.stdin and not self._guard.stdin.closed:
            try:
                self._guard.communicate(b"done\n", timeout=10)
            except BrokenPipeError:  # someone ended the guard; it has nothing left to do
                self._guard.wait(10)
        _running.discard(self)
        return status

    def printed(self) -> str:
        """Return what the program wrote to stdout and stderr so far."""
        return self.output.read_text(errors="backslashreplace")


def free_port(address: str = "127.0.0.1") -> int:
    """Return a TCP port of *address* that nobody uses now.

    Each process of a test run has ports of its own, below those that the kernel gives to whoever asks for any: what one process
    has found free, and not taken yet, no other one takes.
    """
    for _ in range(PORTS):
        port = FIRST_PORT + _number_of_process() * PORTS + next(_turns) % PORTS
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise NotStarted(f"none of {PORTS} ports is free")


def _number_of_process() -> int:
    """Return which process of a test run this is, as pytest-xdist counts them."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0) % PROCESSES


def is_listening(port: int, address: str = "") -> bool:
    """Say whether anyone listens on *port*. It asks the kernel: a connection would leave a trace in the server's log.

    With an IPv6 *address* only IPv6 counts: another worker's server may have the same number on 127.0.0.1.
    """
    wanted = f":{port:04X}"
    for table in (Path("/proc/net/tcp6"),) if ":" in address else (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():  # no IPv6
            continue
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state = line.split(maxsplit=4)[:4]
            if state == LISTENING and local.endswith(wanted):
                return True
    return False


def wait_listening(program: Program, port: int, timeout: float, address: str = "") -> None:
    """Return once *port* is listened on (see `is_listening`). Raises NotStarted when the program leaves or is too slow."""
    if not wait_until(lambda: program.status is not None or is_listening(port, address), timeout) or program.status is not None:
        raise NotStarted(f"status {program.status}, nothing listens on port {port}:\n{program.printed()}")


def own_environment(**more: str) -> dict[str, str]:
    """Return a copy of our environment with *more* in it. Servers are started in threads, too, while pytest writes to it."""
    return {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None} | more


def wait_until(condition: Callable[[], object], timeout: float) -> bool:
    """Return True as soon as *condition* holds, False when it still does not after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_EVERY)
    return True


def is_alive(pid: int) -> bool:
    """Say whether the process *pid* runs. One that has ended and that nobody has waited for does not: init takes its time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _processes() -> list[tuple[int, int]]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):  # gone since the listing
            continue
        state, _, group = stat.rpartition(")")[2].split()[:3]
        if state not in "ZX":
            found.append((int(entry.name), int(group)))
    return found


@atexit.register
def _end_all() -> None:
    for program in list(_running):
        program.kill()
