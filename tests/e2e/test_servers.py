"""Self tests of the private Postfix, the processes, the installer and the wrapper of the front door."""

import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import accounting, clients, install, proxyheader, tarry
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.load import smtp_sink, smtp_source
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix, Postscreen
from tests.e2e.servers.processes import NotStarted, Program, free_port, is_alive, is_listening, wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry, toml

pytestmark = pytest.mark.e2e

# Listens where its configuration says, records that, and leaves with 7 on SIGTERM.
STAND_IN = """#!{python}
import json, signal, socket, sys, tomllib
assert sys.argv[1:3] == ["serve", "-c"]
config = tomllib.load(open(sys.argv[3], "rb"))
host, port = config["listen"]["smtp"][0].rsplit(":", 1)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with open(config["record"]["path"], "a") as record:
    print(json.dumps({{"ev": "start", "config": config}}), file=record)
listener = socket.create_server((host, int(port)))
signal.pause()
"""


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    need("postfix")
    with Postfix() as running:
        yield running


# Postfix


def test_postfix_delivers_what_a_client_sends(postfix: Postfix) -> None:
    """A message for a known recipient is in its mailbox with the lines it was sent with."""
    before = len(postfix.messages())

    refused = clients.submit(postfix.port, b"Subject: smtplib\r\n\r\none\r\n.two\r\n")

    assert refused == {}
    assert b"\none\n.two\n" in postfix.wait_messages(before + 1)[-1]


def test_postfix_refuses_an_unknown_user_in_its_own_words(postfix: Postfix) -> None:
    """The verdict on a recipient is Postfix's, so that tests can see it pass unchanged."""
    with RawClient(postfix.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        reply = client.command(b"RCPT TO:<nobody@example.org>")

    assert (reply.code, reply.text[:6]) == (550, b"5.1.1 ")


def test_postfix_offers_the_extensions_that_a_front_door_must_relay(postfix: Postfix) -> None:
    """EHLO lists everything that tests of relayed extensions rely on."""
    with RawClient(postfix.port) as client:
        offered = {line.split()[0] for line in client.greeted().lines}

    assert {b"CHUNKING", b"SMTPUTF8", b"PIPELINING", b"DSN", b"8BITMIME", b"SIZE"} <= offered


def test_one_postfix_sends_to_another(postfix: Postfix) -> None:
    """The sending role brings a queued message to its relay at once and leaves an empty queue."""
    before = len(postfix.messages())
    with Postfix(relay_to=postfix.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: relayed\n\ncaf\xe9\n")

        assert sender.queue_empty(10)
        assert b"\ncaf\xe9\n" in postfix.wait_messages(before + 1)[-1]


def test_a_sending_postfix_tries_again_within_seconds() -> None:
    """A passing fault of the relay delays a message, and the retry is soon enough for a test to wait for it."""
    need("postfix")
    with Sink(Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)) as sink, Postfix(relay_to=sink.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: later\n\n")

        assert len(sink.wait_messages(1, timeout=8)) == 1


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::9"])
@pytest.mark.parametrize("header", [proxyheader.v1, proxyheader.v2])
def test_postfix_believes_a_proxy_header_where_it_is_told_to(client: str, header: object) -> None:
    """With proxy_protocol the client in Postfix's log is the one that the header names."""
    need("postfix")
    assert callable(header)
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    with Postfix(proxy_protocol=True) as postfix, RawClient(postfix.port) as raw:
        raw.send(header((client, 4321), (server, 25)))

        assert raw.read_reply().code == 220
        assert postfix.wait_log(rf"connect from unknown\[{client}\]")


def test_postscreen_waits_greets_and_refuses_early_talk() -> None:
    """A quiet client gets a teaser, the wait, and the real greeting; one that talks in the wait is logged and not greeted."""
    need("postfix")
    with Postfix(postscreen=Postscreen(greet_wait=1)) as postfix:
        with RawClient(postfix.port) as quiet:
            teaser_and_greeting = quiet.read_reply()
        with RawClient(postfix.port, source="127.0.0.9") as early:
            early.send(b"EHLO early\r\n")

            assert postfix.wait_log(r"PREGREET 12 after \S+ from \[127\.0\.0\.9\]")
        assert (teaser_and_greeting.code, len(teaser_and_greeting.lines)) == (220, 2)
        assert teaser_and_greeting.at - quiet.connected_at > 0.9
        assert b"postscreen" in teaser_and_greeting.lines[0]


def test_postfix_filters_before_the_queue(postfix: Postfix) -> None:
    """With filter_to, the back end has answered before the client is told 250."""
    with Sink() as sink, Postfix(filter_to=sink.port) as front:
        clients.submit(front.port)

        assert [message.sender for message in sink.messages] == [b"sender@client.example"]


def test_postfix_takes_load_and_throws_it_away() -> None:
    """The discard role stores nothing and leaves no queue, so that a benchmark measures the way there."""
    need("postfix")
    with Postfix(discard=True) as postfix:
        smtp_source(postfix.port, "-s", "5", "-m", "500", "-f", "a@client.example", "-t", "alice@example.org")

        assert postfix.queue_empty(10)
        assert postfix.messages() == []
        assert accounting.cpu_seconds(postfix.pids()) > 0


def test_postfix_load_tools_talk_to_each_other(tmp_path: Path) -> None:
    """smtp-sink takes what smtp-source sends, as the peer of a benchmark."""
    need("postfix")
    sink = smtp_sink(port := free_port(), tmp_path / "output")
    try:
        assert smtp_source(port, "-s", "2", "-m", "20") < 10
    finally:
        sink.end()


def test_a_postfix_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window: same port, nothing listening in between."""
    need("postfix")
    with Postfix() as postfix:
        postfix.halt()
        with pytest.raises(ConnectionRefusedError):
            RawClient(postfix.port)
        postfix.resume()

        assert clients.submit(postfix.port) == {}


def test_postfix_leaves_nothing_behind() -> None:
    """After the with block there is no process, no folder, and the port is free; two run side by side until then."""
    need("postfix")
    with Postfix() as one, Postfix() as other:
        ports = one.port, other.port
        pids = [*one.pids(), *other.pids()]
        folders = [one.folder, other.folder]

        assert all(map(is_listening, ports))

    assert not any(map(is_listening, ports))
    assert not any(map(is_alive, pids))
    assert not any(folder.exists() for folder in folders)


# Processes, and what is installed


def test_a_program_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """Children end with their leader, even those that ignore SIGTERM."""
    program = Program(["/bin/sh", "-c", "trap '' TERM; sleep 60 & sleep 60"], output=tmp_path / "output")
    assert wait_until(lambda: len(program.pids()) == 3, 5)

    program.end(patience=0.1)

    assert program.pids() == []


def test_a_program_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    """No server outlives an interrupted test run, not even one that ended by SIGKILL."""
    owner = (
        "import os, pathlib, sys\n"
        "from tests.e2e.servers.processes import Program\n"
        "print(Program(['sleep', '60'], output=pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", owner, str(tmp_path / "output")], capture_output=True, text=True, timeout=20)
    orphan = int(done.stdout)

    assert wait_until(lambda: not is_alive(orphan), 5)


def test_listening_is_seen_without_a_connection() -> None:
    """is_listening asks the kernel; the server's log stays empty."""
    port = free_port()
    assert not is_listening(port)

    with Sink(port=port) as sink:
        assert is_listening(port)
        assert sink.connections == []


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason of a skipped test says what is not there and what to do."""
    monkeypatch.setenv("TARRY_SERVERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert install.missing("postfix") == "postfix is not unpacked: run make servers"
    assert install.missing("swaks") == "swaks is not installed: run make servers"
    assert install.missing("haraka") == "haraka is not unpacked: run make servers"


def test_nothing_is_fetched_when_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installer runs nothing on a machine that has everything."""
    need(*install.SERVERS, *install.MODULES, *install.TOOLS)
    monkeypatch.setattr(install, "_run", None)

    assert install.main() == 0


def test_the_front_door_is_started_with_what_the_test_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tables of a test lie over the defaults, records are read, a restart keeps the port, SIGTERM gives the exit status."""
    stand_in = tmp_path / "tarry"
    stand_in.write_text(STAND_IN.format(python=sys.executable))
    stand_in.chmod(0o755)
    monkeypatch.setattr(tarry, "COMMAND", stand_in)
    with Tarry("[hold]\nwait = '0s'\n[handoff]\nannounce = 'proxy-v2'\n", backend=4321) as door:
        port = door.port
        (record,) = door.wait_records(ev="start")
        statuses = [door.stop(), door.status]
        door.start()
        killed = door.kill()

    assert record["config"]["handoff"] == {"mode": "proxy", "address": "127.0.0.1:4321", "announce": "proxy-v2"}
    assert record["config"]["hold"] == {"wait": "0s"}
    assert record["config"]["listen"] == {"smtp": [f"127.0.0.1:{port}"], "workers": 1}
    assert (door.port, statuses, killed) == (port, [7, 7], -signal.SIGKILL)


def test_a_front_door_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it printed is in the exception, so that a failed test shows the configuration problem."""
    broken = tmp_path / "tarry"
    broken.write_text("#!/bin/sh\necho tarry.toml:3: no such key >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(tarry, "COMMAND", broken)

    with pytest.raises(NotStarted, match=r"status 1.*\n.*no such key"):
        Tarry().__enter__()


def test_a_configuration_is_written_as_it_was_read() -> None:
    """toml and tomllib are inverse for everything that a test passes."""
    config = {
        "preset": "tarry",
        "listen": {"smtp": ["127.0.0.1:1", "[::1]:2"], "workers": 1, "tls": True, "share": 0.5},
        "checks": {"dnslists": {"zones": [{"zone": 'a "b" \\ é', "weight": 3}], "action": "tag"}},
    }

    assert tomllib.loads(toml(config)) == config
