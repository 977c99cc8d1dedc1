"""Hand-over to a command that is run for each client: with the client's socket, or on a pipe with tarry in line."""

import contextlib
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import accounting
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.crowd import Crowd
from tests.e2e.servers.need import need_ipv6
from tests.e2e.servers.processes import is_alive, wait_until
from tests.e2e.servers.tarry import Tarry
from tests.e2e.test_pass import converse

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

AWAY = b"421 4.3.2 Service not available, try again later ["

# An MTA in a few lines: it agrees to everything, says who it takes the client for, and ends with the status that NOOP asks for.
MTA = r"""#!/bin/sh
say() { printf '%s\r\n' "$1"; }
say "220 mta.example $TCPREMOTEIP $1"
while IFS= read -r line; do
    case "$line" in
    EHLO*) say "250 mta.example" ;;
    DATA*) say "354 go"
        while IFS= read -r line; do case "$line" in .?) break ;; esac; done
        say "250 stored" ;;
    ENVIRONMENT*) say "250 $(env | sort | tr '\n' ' ')" ;;
    DESCRIPTORS*) found=
        for fd in 0 1 2 3 4 5 6 7 8 9 11 12 13 14 15 16; do [ -e /proc/$$/fd/$fd ] && found="$found $fd"; done
        say "250$found" ;;
    PID*) say "250 $$" ;;
    EXIT*) exit 7 ;;
    KILL*) kill -KILL $$ ;;
    QUIT*) say "221 bye"; exit 0 ;;
    *) say "250 ok" ;;
    esac
done
"""


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("mta") / "mta", MTA)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def front(mta: Path, config: str = "", *, keys: str = "", wait: str = "0.2s", address: str = "127.0.0.1") -> Tarry:
    """Return a front door that runs *mta* for each client; *keys* are further ones of [handoff]."""
    listen = "" if "[listen]" in config else "[listen]\nmax_per_client = 0\n"
    handoff = f'[handoff]\nmode = "exec"\ncommand = ["{mta}", "{{client}}"]\n{keys}\n'
    return Tarry(f"{config}\n{listen}{handoff}", wait=wait, address=address)


@pytest.fixture(scope="module")
def tarry(mta: Path) -> Iterator[Tarry]:
    with front(mta) as running:
        yield running


def story(tarry: Tarry, port: int) -> list[str]:
    """Return the names of the records of the client that came from *port*, once it is closed."""
    assert wait_until(lambda: tarry.records(ev="close", port=port), 10)
    (connect,) = tarry.records(ev="connect", port=port)
    return [each["ev"] for each in tarry.records(id=connect["id"])]


def children(pid: int) -> list[int]:
    """Return the processes that *pid* has started and not reaped."""
    return [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]


# With the socket.


def test_a_command_has_the_client(tarry: Tarry) -> None:
    """It greets, answers, and is told who the client is; one record tells its start, one its end."""
    with RawClient(tarry.port, source="127.9.8.7") as client:
        assert client.read_reply().raw == b"220 mta.example 127.9.8.7 127.9.8.7\r\n"
        assert client.envelope() == [250, 250]
        client.send(b"EXIT\r\n")
        assert client.read_until_closed() == b""
        assert story(tarry, client.address[1])[-3:] == ["handoff", "exit", "close"]
    (close,) = tarry.records(ev="close", client="127.9.8.7")
    (left,) = tarry.records(ev="exit", id=close["id"])

    assert (close["ended"], close["greeted"], close["mta"]) == ("handoff", True, True)
    assert (left["status"], 0 < left["seconds"] < 60) == (7, True)


def test_what_the_command_finds(tarry: Tarry) -> None:
    """The variables of a UCSPI server and no secrets of tarry's; three descriptors."""
    with RawClient(tarry.port, source="127.9.8.6") as client:
        client.read_reply()
        port = client.address[1]
        environment = dict(each.split("=", 1) for each in client.command(b"ENVIRONMENT").text.decode().split(" ") if "=" in each)
        descriptors = client.command(b"DESCRIPTORS").text
    of_the_shell = ("PATH", "LANG", "LC_ALL", "TZ", "PWD", "OLDPWD", "_")
    told = {name: value for name, value in environment.items() if name not in of_the_shell}

    assert told == {
        "TCPREMOTEIP": "127.9.8.6",
        "TCPREMOTEPORT": str(port),
        "TCPLOCALIP": "127.0.0.1",
        "TCPLOCALPORT": str(tarry.port),
        "PROTO": "TCP",
    }
    assert descriptors == b"0 1 2"  # at 10 the shell has its script


def test_a_command_on_ipv6(mta: Path) -> None:
    """In bare form."""
    need_ipv6()
    with front(mta, address="::1") as tarry, RawClient(tarry.port, "::1") as client:
        assert client.read_reply().raw == b"220 mta.example ::1 ::1\r\n"


def test_a_command_that_is_killed(tarry: Tarry) -> None:
    """The record has the signal."""
    with RawClient(tarry.port, source="127.9.8.5") as client:
        client.read_reply()
        client.send(b"KILL\r\n")
        assert client.read_until_closed() == b""
        (close,) = tarry.wait_records(1, ev="close", client="127.9.8.5")
    (left,) = tarry.records(ev="exit", id=close["id"])

    assert left["status"] == -signal.SIGKILL


def test_an_early_talker_costs_no_process(tarry: Tarry) -> None:
    """It is refused by tarry."""
    with RawClient(tarry.port, source="127.66.6.6") as client:
        client.send(b"EHLO early\r\n")
        assert client.read_reply().code == 554
        client.read_until_closed()
        assert "handoff" not in story(tarry, client.address[1])


def test_early_talk_that_is_let_through_is_the_commands(mta: Path) -> None:
    """It reads what the client said before the greeting."""
    with front(mta, '[checks.pregreet]\naction = "ignore"') as tarry, RawClient(tarry.port) as client:
        client.send(b"EHLO early\r\nQUIT\r\n")
        assert [client.read_reply().code for _ in range(3)] == [220, 250, 221]


def test_above_max_children_clients_are_told_to_come_again(mta: Path) -> None:
    """With a 421, or behind a teaser with a whole greeting and then the 421; when a command has ended there is a place."""
    with front(mta, '[hold]\nteaser = "wait"', keys="max_children = 2") as tarry, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(RawClient(tarry.port)) for _ in range(2))
        for client in (first, second):
            assert client.read_reply().raw.startswith(b"220-wait\r\n220 mta.example")
        third = stack.enter_context(RawClient(tarry.port))
        assert third.read_reply().lines[0] == b"wait"
        assert third.command(b"EHLO x").raw.startswith(AWAY)
        tarry.config["hold"]["teaser"] = ""
        tarry.write(tarry.config)
        tarry.reload()
        tarry.wait_records(1, ev="config")
        fourth = stack.enter_context(RawClient(tarry.port))
        assert fourth.read_reply().raw.startswith(AWAY)
        first.command(b"QUIT")
        tarry.wait_records(1, ev="exit")
        fifth = stack.enter_context(RawClient(tarry.port))
        assert fifth.read_reply().raw.startswith(b"220 mta.example")
        whys = {each["why"] for each in tarry.records(ev="handoff", ok=False)}

    assert whys == {"cannot be run: 2 commands run already"}


def test_the_probe_takes_no_clients_place(mta: Path) -> None:
    """With one child at a time the first client is served, although tarry has asked the command for itself."""
    slow = written(mta.with_name("slow"), MTA.replace('say "220', '[ "$TCPREMOTEPORT" = 25 ] && sleep 5\nsay "220'))
    with front(slow, keys="max_children = 1") as tarry, RawClient(tarry.port) as client:
        assert client.read_reply().code == 220


def test_a_command_that_is_missing(tmp_path: Path, mta: Path) -> None:
    """A note at the start, 421 to clients; and a reload with the right one mends it."""
    with front(tmp_path / "no-such-mta") as tarry:
        assert "does not answer yet ([Errno 2] No such file or directory" in tarry.printed()
        with RawClient(tarry.port) as client:
            assert client.read_reply().raw.startswith(AWAY)
        (handoff,) = tarry.wait_records(1, ev="handoff")
        assert (handoff["ok"], handoff["why"]) == (False, "cannot be run: No such file or directory")
        change_command(tarry, [str(mta), "mended"])
        with RawClient(tarry.port) as client:
            assert client.read_reply().raw == b"220 mta.example 127.0.0.1 mended\r\n"


def change_command(tarry: Tarry, command: list[str]) -> None:
    tarry.config["handoff"]["command"] = command
    tarry.write(tarry.config)
    tarry.reload()
    assert tarry.wait_records(1, ev="config")


def test_a_reload_changes_the_command_for_new_clients(mta: Path) -> None:
    """Those that run go on."""
    with front(mta) as tarry, RawClient(tarry.port) as old:
        assert old.read_reply().raw == b"220 mta.example 127.0.0.1 127.0.0.1\r\n"
        change_command(tarry, [str(mta), "new"])
        with RawClient(tarry.port) as client:
            assert client.read_reply().raw == b"220 mta.example 127.0.0.1 new\r\n"
        assert old.command(b"NOOP").code == 250


@pytest.mark.parametrize("keys", ["", 'stdio = "pipe"'], ids=["socket", "pipe"])
def test_nothing_is_left_after_three_hundred_clients(keys: str, mta: Path) -> None:
    """No process, no zombie and no descriptor."""
    with front(mta, keys=f"max_children = 300\n{keys}") as tarry:
        with RawClient(tarry.port) as client:  # what is opened once, by the first client, is no leak
            converse([client.sock], LINES)
        assert wait_until(lambda: not children(tarry.pid), 10)
        before = accounting.descriptors([tarry.pid])
        with Crowd(tarry.port, 300) as crowd:
            assert converse(crowd.sockets, LINES) == [[220, 250, 250, 250, 221]] * 300
        assert len(tarry.wait_records(301, ev="close")) == 301

        assert wait_until(lambda: not children(tarry.pid), 10)
        assert wait_until(lambda: accounting.descriptors([tarry.pid]) <= before, 10)
        if not keys:
            assert [each["status"] for each in tarry.records(ev="exit")] == [0] * 301


LINES = [b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"QUIT\r\n"]


# tarry goes down.


def test_sigterm_leaves_commands_alone(mta: Path) -> None:
    """It waits for them within limits.drain, and goes without them after that; their clients notice nothing."""
    with front(mta, '[limits]\ndrain = "1s"') as tarry, RawClient(tarry.port) as client:
        client.read_reply()
        pid = int(client.command(b"PID").text)
        began = time.monotonic()
        tarry.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert tarry.status is None
        assert client.command(b"NOOP").code == 250
        assert wait_until(lambda: tarry.status is not None, 10)
        assert (tarry.status, time.monotonic() - began > 0.9) == (0, True)
        assert client.command(b"NOOP").code == 250
        assert client.command(b"QUIT").code == 221
        assert wait_until(lambda: not is_alive(pid), 10)
        assert [each["ended"] for each in tarry.records(ev="close")] == ["handoff"]


def test_sigterm_ends_when_the_last_command_has_ended(mta: Path) -> None:
    """And its status is in the record."""
    with front(mta) as tarry, RawClient(tarry.port) as client:
        client.read_reply()
        tarry.send_signal(signal.SIGTERM)
        client.send(b"EXIT\r\n")
        assert client.read_until_closed() == b""
        assert wait_until(lambda: tarry.status == 0, 5)
        assert [each["status"] for each in tarry.records(ev="exit")] == [7]


# On a pipe, with tarry in line.


@pytest.fixture(scope="module")
def piped(mta: Path) -> Iterator[Tarry]:
    with front(mta, '[tarpit.rcpt]\nfree = 1\nstep = "300ms"', keys='stdio = "pipe"') as running:
        yield running


def test_a_session_through_a_pipe(piped: Tarry) -> None:
    """tarry greets, and all that it can do after the greeting applies; the command knows the client by its variables and words."""
    with RawClient(piped.port, source="127.9.8.4") as client:
        assert client.read_reply().code == 220
        client.command(b"EHLO x")
        client.command(b"MAIL FROM:<a@b.example>")
        client.command(b"RCPT TO:<c@d.example>")
        began = time.monotonic()
        assert client.command(b"RCPT TO:<e@f.example>").code == 250
        assert time.monotonic() - began >= 0.29
        (pid,) = [each for each in children(piped.pid) if b"127.9.8.4" in Path(f"/proc/{each}/cmdline").read_bytes()]
        assert b"TCPREMOTEIP=127.9.8.4" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert client.command(b"DATA").code == 354
        assert client.command(b"Subject: x\r\n\r\nx\r\n.").raw == b"250 stored\r\n"
        assert client.command(b"QUIT").code == 221
    (close,) = piped.wait_records(1, ev="close", client="127.9.8.4")

    assert (close["ended"], close["mta"], close["messages"]) == ("client", True, 1)
    assert wait_until(lambda: pid not in children(piped.pid), 10)


def test_a_command_on_a_pipe_that_ends_in_the_middle(mta: Path) -> None:
    """The client is told to come again."""
    dying = written(mta.with_name("dying"), MTA.replace('DATA*) say "354 go"', "DATA*) exit 1; "))
    with front(dying, keys='stdio = "pipe"') as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.envelope()
        assert client.command(b"DATA").raw.startswith(AWAY)


def test_a_command_on_a_pipe_that_is_missing(tmp_path: Path) -> None:
    """421 in place of the greeting, since nothing is known of the MTA."""
    with front(tmp_path / "no-such-mta", keys='stdio = "pipe"') as tarry, RawClient(tarry.port) as client:
        assert client.read_reply().raw.startswith(AWAY)


def test_max_children_on_a_pipe(mta: Path) -> None:
    """The one above it is told to come again when it needs the MTA."""
    with front(mta, keys='stdio = "pipe"\nmax_children = 1') as tarry, RawClient(tarry.port) as first:
        first.greeted()
        assert first.envelope() == [250, 250]
        with RawClient(tarry.port) as second:
            second.greeted()
            assert second.command(b"MAIL FROM:<a@b.example>").raw.startswith(AWAY)
