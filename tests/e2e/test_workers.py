"""Several workers: one that is killed, a reload, a stop, all under load; and nobody else notices."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import certificate
from tests.e2e.servers.clients import RawClient, submit
from tests.e2e.servers.processes import free_port, is_alive, is_listening, wait_until
from tests.e2e.servers.steady_load import Load, lost
from tests.e2e.servers.tarry import COMMAND, Tarry, toml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SENDERS = 8
WORKERS = "[listen]\nworkers = 2\nmax_per_client = 0\n"


def workers(tarry: Tarry) -> dict[int, int]:
    """Return the process ids of the workers that serve, by number."""
    return {each["worker"]: each["pid"] for each in tarry.records(ev="start")}


def incarnations_of(tarry: Tarry, ports: list[int]) -> set[int]:
    """Return which processes had the clients with these ports. One that was killed takes the records of its last tenth of a second
    with it, so a client that nobody tells of was its own."""
    had = {each["port"]: int(each["id"][8:11], 16) for each in tarry.records(ev="connect")}
    return {had[port] for port in ports if port in had}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tarry]:
    """Two workers, with a certificate."""
    cert, key = certificate.make(tmp_path_factory.mktemp("certificates"))
    config = f'{WORKERS}[tls]\nmode = "terminate"\ncertificate = "{cert}"\nkey = "{key}"\n'
    with Tarry(config, wait="50ms") as tarry:
        tarry.wait_records(2, ev="start")
        yield tarry


def test_each_worker_says_that_it_serves_and_the_operator_hears_it_once(front: Tarry) -> None:
    """Numbers from 1 on, ids of their own, and one line on standard error."""
    assert [1, 2] == sorted(workers(front))
    assert 1 == front.printed().count("listens on")
    assert [(1, "began"), (2, "began")] == [(each["number"], each["what"]) for each in front.records(ev="worker")][:2]


def test_a_worker_that_is_killed_under_load(front: Tarry) -> None:
    """Its own sessions end; nobody is refused, no acknowledged message is lost, no other session breaks; and it is replaced."""
    before = workers(front)
    with Load(front.port, senders=SENDERS) as load:
        load.wait(60)
        for _ in range(3):
            victims = len(front.records(ev="start"))
            os.kill(workers(front)[1], signal.SIGKILL)
            assert wait_until(lambda had=victims: len(front.records(ev="start")) > had, 15)
            load.wait(30)
    killed = {each["pid"] for each in front.records(ev="worker", what="ended")}
    begun = [each["pid"] for each in front.records(ev="worker") if each["what"] != "ended"]
    assert ([], [], []) == (load.refused, load.unheard, lost(load, front.messages()))
    assert {begun.index(pid) + 1 for pid in killed} >= incarnations_of(front, load.cut + load.broken)
    assert len(load.cut) + len(load.broken) <= 3 * SENDERS
    assert before[2] == workers(front)[2]
    ended = front.records(ev="worker", what="ended")
    assert ["killed by SIGKILL"] * 3 == [each["why"].partition(";")[0] for each in ended]
    ids = [each["id"] for each in front.records(ev="connect")]
    assert len(ids) == len(set(ids))


def serial(port: int) -> bytes:
    """Return the certificate that a client is shown behind STARTTLS."""
    with RawClient(port) as client:
        client.greeted()
        assert 220 == client.command(b"STARTTLS").code
        context = certificate.client_context()
        context.check_hostname, context.verify_mode = False, 0  # type: ignore[assignment]
        with context.wrap_socket(client.sock, server_hostname="localhost") as inside:
            return inside.getpeercert(binary_form=True) or b""


def test_a_reload_under_load(front: Tarry, tmp_path: Path) -> None:
    """Both workers take the new certificate; one with errors reaches neither, and nobody notices any of it."""
    old = serial(front.port)
    cert, key = certificate.make(tmp_path)
    good = dict(front.config)
    with Load(front.port) as load:
        load.wait(20)
        front.write({**good, "tls": {**good["tls"], "certificate": str(tmp_path / "none.pem")}})
        front.reload()
        (refused,) = front.wait_records(1, ev="config")
        load.wait(20)
        front.write({**good, "tls": {**good["tls"], "certificate": str(cert), "key": str(key)}})
        front.reload()
        taken = front.wait_records(3, ev="config")[1:]
        load.wait(20)
    assert (False, True, [True, True]) == (refused["ok"], "none.pem" in refused["why"], [each["ok"] for each in taken])
    assert "the configuration stays as it was" in front.printed()
    assert ([], [], [], [], []) == (
        load.refused,
        load.unheard,
        load.cut + load.broken,
        load.sent_away,
        lost(load, front.messages()),
    )
    shown = {serial(front.port) for _ in range(8)}
    assert len(shown) == 1 and old not in shown


def test_what_needs_a_restart_is_told_by_each_worker(front: Tarry) -> None:
    """The number of workers stays until then."""
    before = len(front.records(ev="config"))
    front.write({**front.config, "listen": {**front.config["listen"], "workers": 3}})
    front.reload()
    told = front.wait_records(before + 2, ev="config")[before:]
    assert ["listen.workers as before until a restart"] * 2 == [each["why"] for each in told]


def test_a_worker_that_is_replaced_does_not_take_it_either(tmp_path: Path) -> None:
    """Else it would remember clients in another place than the other workers."""
    other = tmp_path / "other.db"
    with Tarry(WORKERS, wait="0s") as tarry:
        tarry.wait_records(2, ev="start")
        tarry.write({**tarry.config, "store": {"url": f"sqlite:{other}"}})
        tarry.reload()
        tarry.wait_records(2, ev="config")
        os.kill(workers(tarry)[1], signal.SIGKILL)
        tarry.wait_records(3, ev="start")
        tarry.reload()
        told = tarry.wait_records(4, ev="config")
        assert (["store.url as before until a restart"] * 4, False) == ([each["why"] for each in told], other.exists())


def test_a_stop_under_load(front: Tarry) -> None:
    """SIGTERM drains all workers: every message that was acknowledged is there, and the others heard 421 or were not let in."""
    with Load(front.port, pause=0.02) as load:
        load.wait(20)
        front.send_signal(signal.SIGTERM)
        assert wait_until(lambda: front.status is not None, 15)
        load.stop()
    assert 0 == front.status
    assert [] == front.pids()
    assert ([], [], []) == (load.unheard, load.cut + load.broken, lost(load, front.messages()))
    assert all(said.startswith(b"421 ") for said in load.sent_away)
    assert all("refused" in why for why in load.refused), sorted(set(load.refused))
    assert ["SIGTERM"] * 2 == [each["why"] for each in front.records(ev="stop")][-2:]


def test_without_their_supervisor_workers_drain() -> None:
    """A supervisor that is killed takes nobody's session with it; its workers let transactions finish, and end."""
    with Tarry(WORKERS, wait="0s") as tarry:
        tarry.wait_records(2, ev="start")
        pids = list(workers(tarry).values())
        with RawClient(tarry.port) as client:
            client.greeted()
            client.envelope()
            client.command(b"DATA")
            os.kill(tarry.pid, signal.SIGKILL)
            assert wait_until(lambda: not is_listening(tarry.port), 10)
            assert 250 == client.command(b"Subject: x\r\n\r\nwhole\r\n.").code
            assert 421 == client.read_reply().code
        assert wait_until(lambda: not any(map(is_alive, pids)), 10)
        assert ["the supervisor is gone"] * 2 == [each["why"] for each in tarry.records(ev="stop")]


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    """With the message and the status of one process; a second tarry on the address is told so, and takes no clients away."""
    (tmp_path / "file").write_text("")
    with Tarry(WORKERS, wait="0s") as tarry:
        told = {}
        for port, mail in ((tarry.port, "mail"), (free_port(), "file/mail")):
            (tmp_path / "t.toml").write_text(
                toml({**tarry.config, "handoff": {"maildir": mail}, "listen": {"smtp": [f"127.0.0.1:{port}"], "workers": 2}})
            )
            done = subprocess.run(
                [COMMAND, "serve", "-c", "t.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
            )
            told[done.returncode] = done.stderr
        assert {75, 1} == set(told)
        assert "address in use: something listens there already" in told[75]
        assert 1 == told[1].count("Not a directory: 'file/mail")
        assert "" == submitted(tarry.port)


def test_the_clients_of_a_worker_that_cannot_start_are_served_by_the_other(tmp_path: Path) -> None:
    """Its certificate is gone, and the worker is killed: the other one takes its clients, until the certificate is there again."""
    cert, key = certificate.make(tmp_path)
    config = f'{WORKERS}[tls]\nmode = "terminate"\ncertificate = "{cert}"\nkey = "{key}"\n'
    with Tarry(config, wait="50ms") as tarry:
        tarry.wait_records(2, ev="start")
        away = cert.rename(tmp_path / "away.pem")
        os.kill(workers(tarry)[1], signal.SIGKILL)
        assert wait_until(lambda: len(tarry.records(ev="worker", what="ended")) >= 2, 15)
        assert [220] * CROWD == greeted(tarry.port)
        assert "No such file" in tarry.records(ev="worker", what="ended")[-1]["why"]
        away.rename(cert)
        tarry.wait_records(3, timeout=30.0, ev="start")
        assert [220] * CROWD == greeted(tarry.port)
        both = {int(each["id"][8:11], 16) for each in tarry.wait_records(2 * CROWD, ev="connect")[-CROWD:]}
    assert 2 == len(both)  # of CROWD clients at least one comes to each


CROWD = 20


def greeted(port: int) -> list[int]:
    """Return what so many clients are told, one after the other."""
    codes = []
    for _ in range(CROWD):
        with RawClient(port, timeout=5.0) as client:
            codes.append(client.read_reply().code)
    return codes


def submitted(port: int) -> str:
    """Send one message to each worker, most likely; return what went wrong."""
    return "".join(str(submit(port)) for _ in range(4)).replace("{}", "")


# What a supervisor of the system's hands over: descriptor 3 is the socket, which stays open in this process.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="smtp")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_of_systemd_are_shared_and_outlive_a_restart(tmp_path: Path) -> None:
    """Both workers listen on the one socket; who comes while tarry is restarted waits in it, and is greeted afterwards."""
    text = toml({"listen": {"smtp": ["systemd:smtp"], "workers": 2, "max_per_client": 0}, "hold": {"wait": "0s"}})
    (tmp_path / "t.toml").write_text(text + '[record]\npath = "log"\n[store]\nurl = "none"\n[control]\nsocket = ""\n')
    with socket.create_server(("127.0.0.1", 0), backlog=512) as kept, Load(kept.getsockname()[1], senders=6) as load:
        words = [sys.executable, "-c", AS_SYSTEMD, str(kept.fileno()), str(COMMAND), "serve", "-c", "t.toml"]
        for _ in range(2):
            with subprocess.Popen(words, cwd=tmp_path, pass_fds=[kept.fileno()], stderr=subprocess.DEVNULL) as tarry:
                try:
                    load.wait(40)
                finally:
                    tarry.terminate()
                assert 0 == tarry.wait(20)
        with subprocess.Popen(words, cwd=tmp_path, pass_fds=[kept.fileno()], stderr=subprocess.DEVNULL) as tarry:
            load.stop()
            tarry.terminate()
    messages = [path.read_bytes() for path in (tmp_path / "mail" / "new").iterdir()]
    assert ([], [], [], []) == (load.refused, load.unheard, load.cut + load.broken, lost(load, messages))
    assert all(said.startswith(b"421 ") for said in load.sent_away)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    starts = [(line["worker"], line["listen"]) for line in lines if line["ev"] == "start"]
    assert [1, 1, 2, 2] == sorted(number for number, _ in starts[:4])
    assert 1 == len({tuple(where) for _, where in starts})


def test_the_hub_speaks_for_all_workers(tmp_path: Path) -> None:
    """Over one control socket, also after one of them was killed and replaced; no socket is left behind."""
    with Tarry(f'{WORKERS}[control]\nsocket = "{tmp_path}/sock"\n', wait="0s") as tarry:
        tarry.wait_records(2, ev="start")

        def asked() -> dict[str, Any]:
            with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(tmp_path / "sock"))
                client.sendall(b'{"do":"status"}\n')
                told: dict[str, Any] = json.loads(client.makefile("rb").readline())
                return told
            return {}

        def knows_all() -> bool:
            told = json.dumps(asked())
            return all(f'"pid": {pid}' in told for pid in workers(tarry).values())

        assert wait_until(knows_all, 15), asked()
        os.kill(workers(tarry)[1], signal.SIGKILL)
        tarry.wait_records(3, ev="start")
        assert wait_until(knows_all, 15), asked()
        assert 0 == tarry.stop()
        assert [] == list(tmp_path.glob("sock*"))


def test_records_of_many_workers_are_not_mixed(tmp_path: Path) -> None:
    """On standard output, a pipe, where the kernel mixes long writes; in a file the other tests look."""
    with Tarry(f'{WORKERS}[record]\npath = "-"\n', wait="0s") as tarry, Load(tarry.port, senders=12, pause=0.0) as load:
        load.wait(300)
        load.stop()
        tarry.stop()
        lines = [line for line in tarry.printed().splitlines() if not line.startswith("tarry: ")]
    kinds = [json.loads(line)["ev"] for line in lines]
    assert len(load.acknowledged) == kinds.count("close") == kinds.count("connect")


def test_clients_behind_a_proxy_reach_both_workers() -> None:
    """The address that a PROXY header announces is the client's, whichever worker takes it."""
    with Tarry(f'{WORKERS}proxy_from = ["127.0.0.1/32"]\n', wait="0s") as tarry:
        for number in range(12):
            with RawClient(tarry.port) as client:
                client.send(f"PROXY TCP4 192.0.2.{number} 198.51.100.1 4000 25\r\n".encode())
                assert 220 == client.read_reply().code
        closed = tarry.wait_records(12, ev="close")
        assert {f"192.0.2.{number}" for number in range(12)} == {each["client"] for each in closed}
        assert {1, 2} == {int(each["id"][8:11], 16) for each in closed}
