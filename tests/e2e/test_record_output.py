"""The record as an operator meets it: hostile text, little detail, files that vanish, outputs that fail. Mail always flows."""

import gzip
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import audit, clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.processes import Program, free_port, wait_listening, wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import COMMAND, Tarry, toml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HOSTILE = {
    "escape sequence": b"\x1b[31mred\x1b[0m\x07",
    "line separator": "a\u2028b\u2029c\u0085d\u202egpj".encode(),
    "quotes": b'a","ev":"close","x":"\\"\\u0000',
    "key = value": b"x reason=none client=[10.9.8.7]",
    "markup": b"<script>alert(1)</script>",
    "8-bit": b"\x80\x9b\xfe\xff\xc0\xae",
    "format": b"%s%n{0}$(id)`id`",
    "long": b"A" * 1500,
    "tabs": b"a\tb\x0bc\x0cd\x7f",
}


@pytest.fixture(scope="module")
def tarry() -> Iterator[Tarry]:
    with Tarry(wait="0.02s") as running:
        yield running


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("line", [b"EHLO %b", b"MAIL FROM:<%b@b.example>", b"%b", b"AUTH %b"])
def test_hostile_text_stays_one_printable_line(line: bytes, text: bytes, tarry: Tarry) -> None:
    """Whatever a client says, each record stays one line of printable ASCII with at most 100 characters of it."""
    with RawClient(tarry.port) as client:
        client.greeted()
        client.send(line.replace(b"%b", text) + b"\r\n")
        client.read_reply()
        client.send(b"QUIT\r\n")
        client.read_until_closed()
        port = client.address[1]
    (close,) = tarry.wait_records(1, ev="close", port=port)
    of_session = tarry.records(id=close["id"])

    assert [] == audit.problems(tarry.record_path.read_bytes())
    assert all(len(value) <= 200 for each in of_session for value in each.values() if isinstance(value, str))
    assert all(len(each["arg"]) <= 100 for each in of_session if each["ev"] == "command")


def test_a_bare_cr_forges_no_record(tarry: Tarry) -> None:
    """A CR in a HELO is a broken line, and no line of the record begins in the middle of one."""
    with RawClient(tarry.port) as client:
        client.read_reply()
        client.send(b'EHLO a\r{"v":1,"ev":"close","id":"FORGED"}\r\n')
        client.read_reply()
        port = client.address[1]
    tarry.wait_records(1, ev="close", port=port)

    assert [] == audit.problems(tarry.record_path.read_bytes())
    assert [] == tarry.records(id="FORGED")


def test_the_record_may_hold_no_addresses() -> None:
    """With record.paths off no sender and no recipient is in it."""
    with Tarry("[record]\npaths = false", wait="0.02s") as tarry:
        clients.submit(tarry.port)
        tarry.wait_records(1, ev="close")
        text = tarry.record_path.read_text()

    assert "sender@" not in text
    assert "alice@" not in text


def test_with_detail_close_there_is_one_line_a_session() -> None:
    """The same sums as with all records, and nothing else of the sessions."""
    closes = {}
    for detail in ("all", "close"):
        with Tarry(f'[record]\ndetail = "{detail}"', wait="0.1s") as tarry:
            clients.submit(tarry.port)
            with RawClient(tarry.port) as early:
                early.send(b"EHLO early\r\n")
                early.read_until_closed()
            RawClient(tarry.port).reset()
            found = tarry.wait_records(3, ev="close")
            of_sessions = [each["ev"] for each in tarry.records() if "id" in each]
        changing = ("v", "t", "dt", "id", "n", "port", "server", "held", "total", "early", "hangup", "mta_ms")
        closes[detail] = sorted(json.dumps({name: value for name, value in each.items() if name not in changing}) for each in found)

    assert ["close"] * 3 == of_sessions
    assert closes["all"] == closes["close"]


def test_a_directory_gets_hourly_segments(tmp_path: Path) -> None:
    """record.path may name a directory: the hour in UTC names the file."""
    folder = tmp_path / "records"
    before = time.gmtime()
    with Tarry(f'[record]\npath = "{folder}/"', wait="0.02s") as tarry:
        clients.submit(tarry.port)
    text = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))

    assert {time.strftime("%Y-%m-%dT%H.jsonl", when) for when in (before, time.gmtime())} >= {
        path.name for path in folder.iterdir()
    }
    assert [] == audit.problems(text)
    assert b'"ev":"stop"' in text


@pytest.mark.parametrize("way", ["deleted", "renamed", "renamed, SIGHUP", "truncated", "compressed"])
def test_a_log_that_is_rotated_goes_on(way: str) -> None:
    """Whoever takes the file away finds the next records in a new one, and none lost or torn."""
    with Tarry(wait="0.02s") as tarry:
        clients.submit(tarry.port)
        tarry.wait_records(1, ev="close")
        old = tarry.record_path.with_suffix(".1")
        match way:
            case "deleted":
                tarry.record_path.unlink()
            case "truncated":
                shutil.copy(tarry.record_path, old)
                os.truncate(tarry.record_path, 0)
            case "compressed":
                old.write_bytes(gzip.compress(tarry.record_path.read_bytes()))
                tarry.record_path.unlink()
            case _:
                tarry.record_path.rename(old)
        if way.endswith("SIGHUP"):
            tarry.reload()
            assert wait_until(tarry.record_path.exists, 5)
        clients.submit(tarry.port)

        assert 1 == len(tarry.wait_records(1, ev="close"))
        assert 1 == len(tarry.records(ev="connect"))
        assert 2 == len(tarry.messages())
        assert not old.exists() or way == "compressed" or [] == audit.problems(old.read_bytes())


@pytest.mark.parametrize("path", ["/dev/full", "/nowhere/record.jsonl", "/proc/record.jsonl"])
def test_mail_flows_without_a_record(path: str) -> None:
    """A full disk or a folder that is not there costs records and no mail; the operator hears of what cannot be opened."""
    with Sink() as sink, Tarry(f'[record]\npath = "{path}"', backend=sink.port, wait="0.02s") as tarry:
        for _ in range(20):
            assert {} == clients.submit(tarry.port)
        if path != "/dev/full":
            assert f"cannot be written to {path}" in tarry.printed()
        assert 0 == tarry.stop()

    assert 20 == sum(message.accepted for message in sink.messages)


def test_records_that_were_lost_are_counted_once_the_disk_is_back(tmp_path: Path) -> None:
    """The gap in the record is told in it: how many lines, and why."""
    folder = tmp_path / "logs"
    with Tarry(f'[record]\npath = "{folder}/record.jsonl"', wait="0.02s") as tarry:
        clients.submit(tarry.port)
        time.sleep(0.3)
        folder.mkdir()
        clients.submit(tarry.port)
        (lost,) = tarry.wait_records(1, ev="lost")
        assert 1 == len(tarry.wait_records(1, ev="close"))

    assert lost["count"] >= 10
    assert "ENOENT" in lost["why"]


@pytest.mark.parametrize("stdout", ["read", "closed pipe", "full device", "closed"])
def test_the_record_on_stdout(stdout: str, tmp_path: Path) -> None:
    """JSON where it is read; a reader that has gone, a full device or no stdout at all stop no mail and no stop."""
    port = free_port()
    file = tmp_path / "tarry.toml"
    file.write_text(
        toml({"listen": {"smtp": [f"127.0.0.1:{port}"]}, "hold": {"wait": "0.02s"}, "handoff": {"maildir": f"{tmp_path}/mail"}})
    )
    ends = {
        "read": f'"$0" serve -c {file} > {tmp_path}/stdout',
        "closed pipe": f'"$0" serve -c {file} | true',
        "full device": f'"$0" serve -c {file} > /dev/full',
        "closed": f'"$0" serve -c {file} >&-',
    }
    program = Program(["/bin/sh", "-c", ends[stdout], COMMAND], output=tmp_path / "output", cwd=tmp_path)
    try:
        wait_listening(program, port, 15)
        for _ in range(3):
            assert {} == clients.submit(port)
        pid = min(pid for pid in program.pids() if "serve" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
        time.sleep(0.3)
        subprocess.run(["/bin/kill", "-TERM", str(pid)], check=True)
        assert 0 == program.wait(10)
    finally:
        program.end()

    assert 3 == len(list((tmp_path / "mail/new").iterdir()))
    assert "Traceback" not in program.printed()
    if stdout == "read":
        text = Path(tmp_path, "stdout").read_bytes()
        assert [] == audit.problems(text)
        assert 3 == text.count(b'"ev":"close"')
