"""One client from the door to its end: a real connection, and a command that is not really run."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tarry.inetd as inetd
from tarry.config.load import load
from tarry.core.client import Client, Endpoint
from tarry.net import alone, peer, stdio
from tarry.net.alone import Waiter
from tarry.record.schema import AnyEvent, read_line
from tarry.record.summary import fold
from tests.shell import await_mask, pair, read_all, reset

CLIENT = Client(Endpoint("192.0.2.7", 4711), Endpoint("198.51.100.1", 25))
ID = "1A2B-3C"


class Stderr:
    """A standard error that keeps what goes there."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.lines: list[bytes] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def write(self, line: bytes) -> None:
        self.lines.append(line)


class House:
    """A client, a configuration, and what was run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, text: str = "", *, fails: str = "") -> None:
        self.sock, self.client = pair()
        self.stderr = Stderr()
        self.run: list[tuple[str, list[str], dict[str, str]]] = []
        self.file = folder / "log.jsonl"
        self.text = text if "[record]" in text else f'{text}\n[record]\npath = "{self.file}"\n'
        self.fails = fails
        self.waiter = Waiter()
        monkeypatch.setattr(stdio, "become", self._become)
        monkeypatch.setattr(alone, "LONGEST", 0.05)

    def _become(self, path: str, words: list[str], environ: dict[str, str], stderr: object) -> str:
        self.run.append((path, words, environ))
        if not self.fails:
            raise SystemExit(0)
        return self.fails

    def visit(self, *command: str, client: Client = CLIENT, observe: bool = False) -> int | None:
        """Serve the client; return the exit status, None where the command took over."""
        loaded = load(None, text=self.text, alone=True)
        assert () == loaded.errors
        visit = inetd._Visit(
            self.sock,
            client,
            loaded,
            self.waiter,
            self.stderr,  # type: ignore[arg-type]
            ID,
            time.monotonic(),
            observe,
        )
        try:
            return visit.run(command or ("/bin/cat", "{client}"))
        except SystemExit:
            return None
        finally:
            visit.log.flush()

    def records(self) -> list[AnyEvent]:
        return [record.event for record in map(read_line, self.file.read_bytes().splitlines())]

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.records()]

    def said(self) -> bytes:
        self.sock.close()
        return read_all(self.client)


Make = Callable[..., House]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    return lambda text="", **how: House(monkeypatch, tmp_path, text, **how)


NOW = '[hold]\nwait = "0s"\n'


def test_who_survives_gets_the_command(make: Make) -> None:
    """With the client in its words and in its environment; the session is closed before it is run."""
    house = make(NOW)
    assert None is house.visit("sh", "{client}:{client_port}", "{other}")
    path, words, environ = house.run[0]
    assert "/sh" == path[-3:]
    assert ["sh", "192.0.2.7:4711", "{other}"] == words
    assert ("192.0.2.7", "25") == (environ["TCPREMOTEIP"], environ["TCPLOCALPORT"])
    assert ["Connect", "Outcome", "Handoff", "Close"] == house.names()
    *records, close = map(read_line, house.file.read_bytes().splitlines())
    assert fold(records) == close.event
    assert ("handoff", True, ID) == (close.event.ended, close.event.mta, close.stamp.id)  # type: ignore[union-attr]


def test_a_hold_is_waited_out(make: Make) -> None:
    """In the time that the configuration says; the teaser comes first."""
    house = make('[hold]\nwait = "20ms"\nteaser = "wait"\n')
    began = time.monotonic()
    assert None is house.visit()
    assert 0.02 <= time.monotonic() - began
    assert b"220-wait\r\n" == house.said()


def test_early_talk_is_refused(make: Make) -> None:
    """One reply, and nothing is run."""
    house = make('[hold]\nwait = "30s"\n')
    house.client.send(b"EHLO x\r\n")
    assert 0 == house.visit()
    assert (f"554 5.7.1 You spoke before the greeting [{ID}]\r\n".encode(), []) == (house.said(), house.run)
    assert ["Connect", "Readable", "Reason", "Verdict", "Reply", "Close"] == house.names()


@pytest.mark.parametrize("way", ["observe", "tag", "ignore"])
def test_early_talk_that_is_let_in(make: Make, way: str) -> None:
    """It is recorded, and the bytes are the command's."""
    house = make(NOW if way == "observe" else f'{NOW}[checks.pregreet]\naction = "{way}"\n')
    house.client.send(b"EHLO x\r\n")
    await_mask(house.sock, select.POLLIN)
    assert None is house.visit(observe=way == "observe")
    assert b"EHLO x\r\n" == house.sock.recv(100)
    assert "Reason" in house.names()


def test_exempt_clients_are_not_looked_at(make: Make) -> None:
    """By network or by pattern, as sendwrap had it."""
    for exempt in ('networks = ["192.0.2.0/24"]', r"patterns = ['^192\.0\.']"):
        house = make(f'[hold]\nwait = "30s"\nteaser = "x"\n[exempt]\n{exempt}\n')
        house.client.send(b"EHLO x\r\n")
        assert None is house.visit()
        assert b"EHLO x\r\n" == house.sock.recv(100)
        assert ["Connect", "Handoff", "Close"] == house.names()[-3:]
        assert b"" == house.said()


def test_denied_clients_are_turned_away(make: Make) -> None:
    """At once."""
    house = make('[hold]\nwait = "30s"\n[deny]\nnetworks = ["2001:db8::/32"]\n')
    assert 0 == house.visit(client=Client(Endpoint("2001:db8::1", 1), CLIENT.server))
    assert f"554 5.7.1 Not accepted from this address [{ID}]\r\n".encode() == house.said()
    assert ["Connect", "Reply", "Close"] == house.names()


def test_files_of_networks_count(make: Make, tmp_path: Path) -> None:
    """A denied network with an allowed one in it."""
    (tmp_path / "bad").write_text("2001:db8::/32\n")
    (tmp_path / "good").write_text("2001:db8:1::/48\n")
    text = f'[hold]\nwait = "30s"\n[deny]\nfiles = ["{tmp_path}/bad"]\n[exempt]\nfiles = ["{tmp_path}/good"]\n'
    house = make(text)
    assert 0 == house.visit(client=Client(Endpoint("2001:db8::1", 1), CLIENT.server))
    assert house.said().startswith(b"554 5.7.1 ")
    house = make(text)
    assert None is house.visit(client=Client(Endpoint("2001:db8:1::1", 1), CLIENT.server))
    assert 1 == len(house.run)


def test_a_client_that_resets_is_forgotten(make: Make) -> None:
    """Quietly."""
    house = make('[hold]\nwait = "30s"\n')
    reset(house.client)
    assert (0, []) == (house.visit(), house.run)
    assert ["Connect", "Hangup", "Close"] == house.names()


def test_a_stop_in_the_hold(make: Make) -> None:
    """The client is told to come again."""
    house = make('[hold]\nwait = "30s"\n')
    house.waiter._on_signal(signal.SIGTERM, None)
    assert 0 == house.visit()
    assert b"421 4.3.2 Service is going down, try again later\r\n" == house.said()


def test_a_stop_before_the_hold(make: Make) -> None:
    """While the configuration was read, or the client is exempt: the command would not hear of it, so it is not run."""
    for text in (NOW, '[exempt]\nnetworks = ["192.0.2.0/24"]\n'):
        house = make(text)
        house.waiter._on_signal(signal.SIGTERM, None)
        assert 0 == house.visit()
        assert [] == house.run
        assert house.said().startswith(b"421 4.3.2 ")


@pytest.mark.parametrize(("command", "fails", "why"), [("/nothing/there", "", "ENOENT"), ("/bin/sh", "ENOEXEC", "ENOEXEC")])
def test_a_command_that_cannot_be_run(make: Make, command: str, fails: str, why: str) -> None:
    """The client is told to come again, the operator why; where only exec knew it, a second closing line sums up the whole."""
    house = make(NOW, fails=fails)
    assert 75 == house.visit(command)
    assert f"421 4.3.0 The mail server cannot be started, try again later [{ID}]\r\n".encode() == house.said()
    assert ["Handoff", "Reply", "Close"] == house.names()[-3:]
    assert [f"tarry inetd: {command} cannot be run ({why}); the client was told to come again"] == house.stderr.told
    *records, close = map(read_line, house.file.read_bytes().splitlines())
    assert fold(records) == close.event
    assert list(range(1, len(records) + 2)) == [record.stamp.n for record in (*records, close)]


def test_a_greeting_that_a_teaser_began_is_finished(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the 421 answers the first command."""
    house = make('[smtp]\nname = "mx.example"\n[hold]\nwait = "0s"\nteaser = "{name} wait"\n[checks.pregreet]\naction = "ignore"\n')
    house.client.send(b"QUIT\r\n")
    assert 75 == house.visit("/nothing/there")
    assert b"220-mx.example wait\r\n220 mx.example ESMTP\r\n221 2.0.0 Bye\r\n" == house.said()
    again = make(f'{NOW}teaser = "wait"\n')

    def stopped(*_: object) -> tuple[str, str]:
        again.waiter._on_signal(signal.SIGTERM, None)
        return "", "ENOENT"

    monkeypatch.setattr(stdio, "find", stopped)
    assert 75 == again.visit("/nothing/there")


def test_without_a_file_one_line_goes_to_standard_error(make: Make) -> None:
    """Standard output is the client."""
    house = make(f'{NOW}[record]\npath = "-"\n')
    house.visit()
    assert [b'"ev":"close"'] == [line.split(b",")[5] for line in house.stderr.lines]


def verbs(text: bytes) -> list[bytes]:
    """Return the first word of each line of a mail log."""
    return [line.partition(b"]: ")[2].split()[0] for line in text.splitlines()]


POSTSCREEN = 'style = "postscreen"\n'


def test_the_lines_of_postscreen(make: Make, tmp_path: Path) -> None:
    """One renderer sees the whole session, also where lines are written while the client waits."""
    house = make(f'[hold]\nwait = "0.01s"\n[record]\n{POSTSCREEN}path = "{tmp_path}/mail.log"\n')
    assert None is house.visit()
    assert [b"CONNECT", b"PASS"] == verbs((tmp_path / "mail.log").read_bytes())


def test_the_lines_of_postscreen_on_standard_error(make: Make) -> None:
    """They are told from the one closing line."""
    house = make(f'{NOW}[record]\n{POSTSCREEN}path = "-"\n')
    house.visit()
    assert [b"CONNECT", b"PASS"] == verbs(b"".join(house.stderr.lines))
    assert 2 == len(house.stderr.lines)


def test_records_that_cannot_be_written_harm_nobody(make: Make) -> None:
    """The operator is told."""
    house = make(f'{NOW}[record]\npath = "/dev/full"\n')
    assert None is house.visit()
    assert ["tarry inetd: 4 record(s) could not be written to /dev/full (ENOSPC)"] == house.stderr.told
    house = make(f'{NOW}[record]\n{POSTSCREEN}path = "/dev/full"\n')
    assert None is house.visit()
    assert ["tarry inetd: 4 record(s) could not be written to /dev/full (ENOSPC)"] == house.stderr.told


def test_hourly_files(make: Make, tmp_path: Path) -> None:
    """The folder is made."""
    house = make(f'{NOW}[record]\npath = "{tmp_path}/log/"\n')
    house.visit()
    (file,) = (tmp_path / "log").iterdir()
    assert (4, 0o640) == (len(file.read_bytes().splitlines()), stat.S_IMODE(file.stat().st_mode) & 0o640)


def test_a_draw_is_a_number_below_one() -> None:
    """As the policy expects it."""
    assert all(0 <= inetd._random() < 1 for _ in range(100))


def test_a_stop_while_a_client_is_sent_off() -> None:
    """Ends at once: the reply is on its way."""
    waiter = Waiter()
    waiter._on_signal(signal.SIGTERM, None)
    ours, client = pair()
    inetd._send_off(ours, inetd.replies.GOING_DOWN, waiter)
    ours.close()
    assert b"421" == read_all(client)[:3]


def test_the_clock_is_the_machines() -> None:
    """Both hands of it."""
    assert abs(inetd._CLOCK.wall() - time.time()) < 5 > abs(inetd._CLOCK.monotonic() - time.monotonic())


# `serve`: what comes before there is a visit.


def serve(monkeypatch: pytest.MonkeyPatch, taken: Callable[..., object], file: str = "") -> tuple[int, Stderr]:
    stderr = Stderr()
    monkeypatch.setattr(peer, "take", taken)
    monkeypatch.setattr(Waiter, "listen", lambda *_: None)
    return inetd.serve(("/nothing/there",), file, observe=False, stderr=stderr), stderr  # type: ignore[arg-type]


def test_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told, with 2."""

    def taken(fd: int, environ: object) -> None:
        raise peer.Unusable("standard input is no client's socket")

    status, stderr = serve(monkeypatch, taken)
    assert (2, ["tarry inetd: standard input is no client's socket"]) == (status, stderr.told)


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to do, and nothing to say."""
    with socket.socket() as gone:
        status, stderr = serve(monkeypatch, lambda fd, environ: (gone, None))
    assert (0, []) == (status, stderr.told)


def test_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each error is told with its line; the client comes again when it is mended."""
    (tmp_path / "t.toml").write_text('[hold]\nwait = "6"\n[checks.predata]\naction = "reject"\n[handoff]\nmode = "proxy"\n')
    ours, client = pair()
    client.shutdown(socket.SHUT_WR)
    status, stderr = serve(monkeypatch, lambda fd, environ: (ours, CLIENT), str(tmp_path / "t.toml"))
    ours.close()
    assert (1, b"421 4.3.0") == (status, read_all(client)[:9])
    places = [told.partition(f"{tmp_path}/")[2].split(": ")[:3] for told in stderr.told]
    assert [["t.toml:2", "error", "hold.wait"], ["t.toml:4", "error", "checks.predata.action"]] == places
    assert "`tarry inetd` gives the client away at the greeting; run `tarry serve` with" in stderr.told[1]


def test_a_client_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From end to end, under a name of its own."""
    (tmp_path / "t.toml").write_text(f'{NOW}[record]\npath = "{tmp_path}/log"\n')
    monkeypatch.setattr(alone, "LONGEST", 0.05)
    ours, client = pair()
    status, _ = serve(monkeypatch, lambda fd, environ: (ours, CLIENT), str(tmp_path / "t.toml"))
    ours.close()
    assert (75, b"421 4.3.0") == (status, read_all(client)[:9])
    (name,) = {read_line(line).stamp.id for line in (tmp_path / "log").read_bytes().splitlines()}
    assert f"{os.getpid():X}" == name.partition("-")[2]
