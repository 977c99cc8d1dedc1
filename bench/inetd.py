"""inetd - what a process a client costs: CPU from the start of `tarry inetd` to the end of the command that it becomes.

    python -m bench.inetd [RUNS]

Each row is RUNS starts (40) on a loopback connection, the rows in turn so that a busy moment meets all of them. The figure is
user and system time by RUSAGE_CHILDREN, so /bin/true is in it (0.5 ms); the first start, which compiles modules, is not counted.
Peers: Python that does nothing but exec, and Perl with what sendwrap loaded.
"""

import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TARRY = str(Path(sys.executable).with_name("tarry"))
TRUE = "/bin/true"
EXEC = f"import os; os.execv({TRUE!r}, ['true'])"


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as folder:
        rows = commands(Path(folder))
        taken: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(runs + 1):
            for name, command in rows.items():
                taken[name].append(cost(command))
    print(f"{'CPU ms a client':44} {'best':>6} {'median':>7}")
    for name, values in taken.items():
        print(f"{name:44} {min(values[1:]):6.1f} {statistics.median(values[1:]):7.1f}")


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the rows: what each is called, and its command."""
    record = f'[record]\npath = "{folder / "log"}"\n'
    zero = '[hold]\nwait = "0s"\n'
    texts = {
        "tarry inetd": zero,
        "tarry inetd, records to a file": zero + record,
        "tarry inetd, sendwrap-2004, records to a file": f'preset = "sendwrap-2004"\n{zero}{record}',
    }
    found = {}
    for number, (name, text) in enumerate(texts.items()):
        file = folder / f"{number}.toml"
        file.write_text(text)
        found[name] = [TARRY, "inetd", "-c", str(file), "--", TRUE]
    found["python -c exec"] = [sys.executable, "-c", EXEC]
    found["python -I -S -c exec"] = [sys.executable, "-I", "-S", "-c", EXEC]
    if shutil.which("perl"):
        found["perl -MSocket -e exec"] = ["perl", "-MSocket", "-e", f"exec '{TRUE}'"]
    return found


def cost(command: list[str]) -> float:
    """Serve one client with *command*; return the CPU that it took, in ms."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted = listening.accept()[0]
    with client, accepted:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            command, stdin=accepted.fileno(), stdout=accepted.fileno(), stderr=subprocess.DEVNULL, env=environ, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


if __name__ == "__main__":
    main()
