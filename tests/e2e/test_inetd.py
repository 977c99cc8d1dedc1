"""tarry inetd, started as it is meant to be: by inetd, xinetd, tcpserver and systemd, and by a loop of ours that looks closer."""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarry.record.schema import read_line
from tarry.record.summary import fold
from tests.e2e.servers import inetds
from tests.e2e.servers.clients import submit
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.mailfront import Mailfront
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import own_environment, wait_until
from tests.e2e.servers.tarry import COMMAND

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LOOK = 'cat /proc/self/status /proc/self/fdinfo/0 /proc/self/fdinfo/1; ls /proc/self/fd; env; echo "$*"; echo ---; exec cat'
"""What a command finds, and then whatever the client says."""

EARLY = b"EHLO client.example\r\n\x00\x80\xff\r\nMAIL FROM:<>\r\n"
LET_IN = '[checks.pregreet]\naction = "ignore"\n'


def configured(folder: Path, text: str = "", wait: str = "50ms") -> str:
    path = folder / "tarry.toml"
    path.write_text(f'[hold]\nwait = "{wait}"\n{text}')
    return str(path)


def hears(client: socket.socket) -> bytes:
    """Return all that comes until the other side closes. A reset is an error."""
    client.settimeout(20)
    heard = b""
    while piece := client.recv(65536):
        heard += piece
    return heard


@pytest.mark.parametrize("kind", inetds.KINDS)
def test_a_command_gets_the_client_whole(kind: str, tmp_path: Path) -> None:
    """Its first byte and all others, its address; three descriptors, blocking, and signals as a fresh process has them."""
    command = [
        str(COMMAND),
        "inetd",
        "-c",
        configured(tmp_path, LET_IN),
        "--",
        inetds.script(tmp_path, LOOK),
        "{client}",
        "{client_port}",
    ]
    with inetds.started_by(kind, command, tmp_path) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(EARLY)
        time.sleep(0.02)
        client.sendall(EARLY)
        client.shutdown(socket.SHUT_WR)
        found, _, echoed = hears(client).partition(b"---\n")
        lines = found.decode().splitlines()
        own = client.getsockname()
    assert EARLY * 2 == echoed
    environ = dict(line.split("=", 1) for line in lines if "=" in line)
    assert ["127.0.0.1", str(own[1]), "127.0.0.1", str(port), "TCP"] == [
        environ[name] for name in ("TCPREMOTEIP", "TCPREMOTEPORT", "TCPLOCALIP", "TCPLOCALPORT", "PROTO")
    ]
    assert not {"LISTEN_FDS", "LISTEN_PID"} & set(environ)
    assert f"127.0.0.1 {own[1]}" == lines[-1]
    ignored = int(next(line for line in lines if line.startswith("SigIgn")).split()[1], 16)
    assert 0 == ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))
    assert 0 == int(next(line for line in lines if line.startswith("SigBlk")).split()[1], 16)
    assert [0, 0] == [int(line.split()[1], 8) & os.O_NONBLOCK for line in lines if line.startswith("flags:")]
    assert ["0", "1", "2", "3"] == [line for line in lines if line.isdigit()]  # 3 is the folder that ls reads


@pytest.mark.parametrize("kind", inetds.KINDS)
def test_a_refusal_arrives(kind: str, tmp_path: Path) -> None:
    """One reply, although 100 KB lie unread in the socket; the command is not run."""
    ran = tmp_path / "ran"
    command = [str(COMMAND), "inetd", "-c", configured(tmp_path, wait="20s"), "--", "/usr/bin/touch", str(ran)]
    with inetds.started_by(kind, command, tmp_path) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"MAIL FROM:<x@client.example>\r\n" * 3500)
        heard = hears(client)
    assert (b"554 5.7.1 You spoke before the greeting [", 1) == (heard[:41], heard.count(b"\r\n"))
    assert not ran.exists()


@pytest.mark.parametrize("kind", inetds.KINDS)
def test_words_for_the_operator_never_reach_the_client(kind: str, tmp_path: Path) -> None:
    """An old inetd gives the client as standard error too; the others have a log."""
    command = [str(COMMAND), "inetd", "-c", configured(tmp_path, "[nonsense]\n"), "--", "/bin/true"]
    with inetds.started_by(kind, command, tmp_path) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.shutdown(socket.SHUT_WR)
        heard = hears(client)
    assert (b"421 4.3.0 The mail server cannot be started", 1) == (heard[:43], heard.count(b"\r\n"))
    assert (kind not in inetds.HAS_CLIENT_AS_ERROR) == ("nonsense" in (tmp_path / "output").read_text())


@pytest.mark.parametrize("mta", [Mailfront, Exim], ids=["mailfront", "exim"])
def test_a_real_mta_takes_mail_from_the_true_client(mta: type[Mailfront] | type[Exim], tmp_path: Path) -> None:
    """The message arrives, and the Received line names the address that connected."""
    need(mta.__name__.lower())
    with mta(listen=False) as server:
        command = [str(COMMAND), "inetd", "-c", configured(tmp_path), "--", *server.inetd_command]
        with inetds.started_by("tcpserver", command, tmp_path) as port:
            assert {} == submit(port, source="127.9.8.7")
        (message,) = server.wait_messages(1)
    assert b"127.9.8.7" in message.partition(b"\n\n")[0]
    assert b"Hello." in message


# Looked at closer: one process, one client.


class Visit:
    """A process of `tarry inetd` and its client. ``error`` says what is descriptor 2: the client, or a pipe."""

    def __init__(self, *words: str, error: str = "pipe", pair: bool = False, environ: dict[str, str] | None = None) -> None:
        if pair:
            ours, self.client = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                self.client = socket.create_connection(listening.getsockname())
                ours = listening.accept()[0]
        with ours:
            self.process = subprocess.Popen(
                [COMMAND, "inetd", *words],
                stdin=ours,
                stdout=ours,
                stderr=ours if error == "client" else subprocess.PIPE,
                env=own_environment(**(environ or {})),
            )

    def end(self) -> tuple[int, str]:
        """Return the exit status and what was said to the operator."""
        said = self.process.communicate(timeout=20)[1]
        return self.process.returncode, (said or b"").decode()


@contextmanager
def visit(*words: str, error: str = "pipe", pair: bool = False, environ: dict[str, str] | None = None) -> Iterator[Visit]:
    one = Visit(*words, error=error, pair=pair, environ=environ)
    try:
        with one.client:
            yield one
    finally:
        one.process.kill()
        one.process.communicate()


def test_nothing_is_lost_wherever_it_is_cut(tmp_path: Path) -> None:
    """200 random cuts: before the hold, in it, at its end and after it."""
    file = configured(tmp_path, LET_IN, wait="30ms")
    draw = random.Random(20040507)
    for _ in range(20):
        data = draw.randbytes(draw.randint(200, 70_000))
        cuts = sorted(draw.randrange(len(data)) for _ in range(10))
        with visit("-c", file, "--", "/bin/cat") as one:
            heard: list[bytes] = []
            listening = threading.Thread(target=lambda sock=one.client, heard=heard: heard.append(hears(sock)))
            listening.start()
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                one.client.sendall(data[start:end])
                time.sleep(draw.random() * 0.02)
            one.client.shutdown(socket.SHUT_WR)
            listening.join(20)
            assert [data] == heard


def test_a_half_closed_client_is_held_and_served(tmp_path: Path) -> None:
    """A FIN says only that there is nothing more to come."""
    with visit("-c", configured(tmp_path, wait="200ms"), "--", "/bin/echo", "220 hello") as one:
        began = time.monotonic()
        one.client.shutdown(socket.SHUT_WR)
        assert b"220 hello\n" == hears(one.client)
        assert 0.2 <= time.monotonic() - began


def test_a_reset_ends_it_quietly(tmp_path: Path) -> None:
    """Status 0, one record, no command."""
    with visit("-c", configured(tmp_path, wait="20s"), "--", "/bin/echo", "run", error="pipe") as one:
        wait_for_process(one)
        one.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.client.close()
        status, said = one.end()
    close = json.loads(said)
    assert (0, "close", "client", "hold") == (status, close["ev"], close["ended"], close["phase"])


def wait_for_process(one: Visit) -> None:
    """Return when the process waits for its client: it sleeps, and does so again a moment later."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if all((time.sleep(0.03), _is_polling(one.process.pid))[1] for _ in range(2)):
            return
    raise AssertionError("it does not wait")


def _is_polling(pid: int) -> bool:
    return (
        "poll" in Path(f"/proc/{pid}/wchan").read_text()
        or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_hold(number: signal.Signals, tmp_path: Path) -> None:
    """The client is told to come again, and the process ends."""
    with visit("-c", configured(tmp_path, wait="20s"), "--", "/bin/echo", "run") as one:
        wait_for_process(one)
        one.process.send_signal(number)
        assert b"421 4.3.2 Service is going down, try again later\r\n" == hears(one.client)
        assert 0 == one.end()[0]


@pytest.mark.parametrize(("command", "reply"), [(b"EHLO x\r\n", b"421 4.3.0 The mail server"), (b"QUIT\r\n", b"221 2.0.0 Bye")])
def test_a_teaser_and_a_command_that_is_not_there(command: bytes, reply: bytes, tmp_path: Path) -> None:
    """The greeting is finished, and the 421 answers the first command (X21)."""
    with visit("-c", configured(tmp_path, 'teaser = "please wait"\n'), "--", "/nothing/there") as one:
        words = one.client.makefile("rb")
        assert b"220-please wait\r\n" == words.readline()
        assert b"220 " == words.readline()[:4]
        one.client.sendall(command)
        assert words.readline().startswith(reply)
        assert b"" == words.read()
        words.close()
        one.client.close()
        status, said = one.end()
    assert 75 == status
    assert "tarry inetd: /nothing/there cannot be run (ENOENT); the client was told to come again\n" in said


def test_a_script_without_its_interpreter(tmp_path: Path) -> None:
    """Only exec knows. Both closing lines are there, the last one is right."""
    (tmp_path / "bad").write_text("#!/nothing/there\n")
    (tmp_path / "bad").chmod(0o755)
    log = tmp_path / "log"
    with visit("-c", configured(tmp_path, f'[record]\npath = "{log}"\n'), "--", str(tmp_path / "bad"), error="client") as one:
        assert b"421 4.3.0" == hears(one.client)[:9]
        one.client.close()
        assert 75 == one.end()[0]
    records = [read_line(line) for line in log.read_bytes().splitlines()]
    assert records[-1].event == fold(records[:-1])


def test_a_socket_pair_with_a_client_that_is_told(tmp_path: Path) -> None:
    """As under a program that stands between tcpserver and tarry."""
    told = {"TCPREMOTEIP": "192.0.2.7", "TCPREMOTEPORT": "4711", "TCPREMOTEHOST": "a.example", "TCPLOCALIP": "198.51.100.1"}
    with visit("-c", configured(tmp_path), "--", "/usr/bin/env", pair=True, environ=told) as one:
        found = dict(line.split("=", 1) for line in hears(one.client).decode().splitlines())
        assert {**told, "PROTO": "TCP"} == {name: found[name] for name in (*told, "PROTO")}
        assert "TCPLOCALPORT" not in found
        assert '"client":"192.0.2.7","port":4711' in one.end()[1]


@pytest.mark.parametrize(
    ("given", "environ", "said"),
    [
        (subprocess.DEVNULL, {}, "start it by inetd (nowait), xinetd, tcpserver or systemd"),
        (subprocess.PIPE, {}, "standard input is no client's socket"),
        (subprocess.PIPE, {"TCPREMOTEIP": "192.0.2.7"}, "early talk can be seen only on the client's own socket"),
    ],
)
def test_what_is_no_client(given: int, environ: dict[str, str], said: str) -> None:
    """Wrong usage, which says how it is meant to be run."""
    done = subprocess.run(
        [COMMAND, "inetd", "--", "/bin/echo", "run"],
        stdin=given if given == subprocess.DEVNULL else None,
        input=None if given == subprocess.DEVNULL else b"",
        capture_output=True,
        env=own_environment(**environ),
        timeout=20,
        check=False,
    )
    assert (2, b"", True) == (done.returncode, done.stdout, said in done.stderr.decode())


def test_many_share_one_log(tmp_path: Path) -> None:
    """Every line is whole, every id is one client's, and each closing line is the sum of its records."""
    log = tmp_path / "log"
    file = configured(tmp_path, f'{LET_IN}[record]\npath = "{log}"\n')
    visits = [Visit("-c", file, "--", "/bin/cat") for _ in range(12)]
    for one in visits:
        one.client.sendall(b"x")
        one.client.shutdown(socket.SHUT_WR)
    for one in visits:
        assert b"x" == hears(one.client)
        one.client.close()
        assert (0, "") == one.end()
    sessions: dict[str, list[object]] = {}
    for line in log.read_bytes().splitlines():
        record = read_line(line)
        sessions.setdefault(record.stamp.id, []).append(record)
    assert {12} == {len(sessions)}
    for *records, close in sessions.values():
        assert fold(records) == close.event  # type: ignore[arg-type, attr-defined]


def test_the_record_of_a_held_client_can_be_read_while_it_waits(tmp_path: Path) -> None:
    """It is not kept back until the end."""
    log = tmp_path / "log"
    with visit("-c", configured(tmp_path, f'[record]\npath = "{log}"\n', wait="20s"), "--", "/bin/true"):
        deadline = time.monotonic() + 10
        while not log.exists() or not log.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert b'"ev":"connect"' in log.read_bytes()


def test_a_held_client_costs_no_wakeups(tmp_path: Path) -> None:
    """Not even one that has talked and closed its side, which poll would tell again and again."""
    log = tmp_path / "log"
    text = f'end_early = false\n[checks.pregreet]\naction = "reject"\n[record]\npath = "{log}"\n'
    with visit("-c", configured(tmp_path, text, wait="3s"), "--", "/bin/true") as one:
        one.client.sendall(EARLY)
        one.client.shutdown(socket.SHUT_WR)
        assert wait_until(lambda: log.exists() and b'"ev":"hangup"' in log.read_bytes(), 10)
        time.sleep(0.1)  # it sleeps again
        before = _wakeups(one.process.pid)
        time.sleep(0.4)
        assert all(now - then <= 1 for then, now in zip(before, _wakeups(one.process.pid), strict=True))
        assert b"554" == hears(one.client)[:3]


def _wakeups(pid: int) -> tuple[int, int]:
    """Return how often a process has gone to sleep, and for how many hundredths of a second it has worked."""
    status = Path(f"/proc/{pid}/status").read_text()
    (slept,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return slept, int(stat[11]) + int(stat[12])
