"""Checks of the operator's in a running front door: one that finds, some that fail, and reloads with whole and broken files."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from tests.config.own import SOURCE
from tests.e2e.servers.clients import RawClient, submit
from tests.e2e.servers.nameservers import NameServer, Query
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FAILING = '''
"""failing - fail in every way that there is."""

import sys

from tarry.core.border import Hello, Recipient, Sender
from tarry.core.check import NoOptions, Settings
from tarry.core.result import Action, Failed


class Failing:
    name = "failing"
    complaint = "You should not see this"
    codes = {"found": "something was found"}
    settings = Settings(action=Action.DROP)
    options = NoOptions
    triggers = (Hello, Sender, Recipient)

    def asks(self, seen, options):
        raise OSError("no questions")

    def look(self, seen, options):
        match seen.moment:
            case Hello():
                raise ValueError(f"hello\\r\\n{seen.moment.name}")
            case Sender():
                sys.exit(3)
            case _:
                return FOUND


CHECKS = [Failing]
'''
RUBBISH = {
    "None": "the check returned NoneType, which is no outcome",
    "'text'": "the check returned str, which is no outcome",
    "[Failed('found')]": "the check returned list, which is no outcome",
    "Failed('other')": "the check found other, which is none of its codes",
    "Failed('found', weight='heavy')": "the check found found with a weight that is no number",
}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def whys(tarry: Tarry, check: str) -> list[str]:
    """Return why a check was unknown, in the order of the record."""
    return [record["why"] for record in tarry.records(ev="outcome", check=check, result="unknown")]


def written(folder: Path, **files: str) -> str:
    """Write plugin files; return the line that names them, by whole paths."""
    paths = []
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.write_text(text)
        paths.append(str(path))
    return f"plugins = {json.dumps(paths)}\n"


def test_an_own_check_finds_and_refuses(tmp_path: Path, sink: Sink) -> None:
    """With its own options, complaint and phase; its reason is in the record, and a client without it gets its mail through."""
    text = written(tmp_path, own=SOURCE) + '[checks.greeter]\nwords = ["dynamic"]\n'
    with Tarry(text, backend=sink.port, wait="0.05s") as tarry:
        with RawClient(tarry.port) as client:
            client.greeted(b"EHLO dynamic.example")
            reply = client.command(b"MAIL FROM:<a@b.example>")
        assert (550, True) == (reply.code, reply.text.startswith(b"5.7.1 Your name is not wanted ["))
        (reason,) = tarry.wait_records(ev="reason")
        assert ("greeter", "word", "dynamic", "reject") == tuple(reason[name] for name in ("check", "code", "detail", "action"))
        assert {} == submit(tarry.port)


@pytest.mark.parametrize("found", RUBBISH)
def test_an_own_check_that_fails_hurts_nobody(found: str, tmp_path: Path, sink: Sink) -> None:
    """It raises, ends the process, returns rubbish: the client is served to the end, and the record says why it was unknown."""
    with Tarry(written(tmp_path, failing=FAILING.replace("FOUND", found)), backend=sink.port, wait="0.05s") as tarry:
        before = len(sink.messages)
        assert {} == submit(tarry.port)
        assert before + 1 == len(sink.messages)
        tarry.wait_records(ev="close")
        assert [
            "the check raised ValueError: hello\\r\\nclient.example",
            "the check raised SystemExit: 3",
            RUBBISH[found],
        ] == whys(tarry, "failing")
        assert [] == tarry.records(ev="reason")


def test_a_reload_takes_new_checks_and_leaves_sessions_theirs(tmp_path: Path, sink: Sink) -> None:
    """What is in the file now holds for later clients; who is there keeps the check that it began with."""
    with Tarry(written(tmp_path, own=SOURCE), backend=sink.port, wait="0.05s") as tarry:
        with RawClient(tarry.port) as early:
            early.greeted(b"EHLO dyn.example")
            (tmp_path / "own.py").write_text(SOURCE.replace("not wanted", "refused").replace('"dyn"', '"client"'))
            tarry.reload()
            assert [True] == [record["ok"] for record in tarry.wait_records(ev="config")]
            with RawClient(tarry.port) as late:
                late.greeted(b"EHLO client.example")
                assert late.command(b"MAIL FROM:<a@b.example>").text.startswith(b"5.7.1 Your name is refused [")
            assert early.command(b"MAIL FROM:<a@b.example>").text.startswith(b"5.7.1 Your name is not wanted [")
        with RawClient(tarry.port) as late:
            late.greeted(b"EHLO dyn.example")
            assert 250 == late.command(b"MAIL FROM:<a@b.example>").code


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def (", "own.py:1: SyntaxError: "),
        (SOURCE + "\n1 / 0\n", "ZeroDivisionError: division by zero"),
        (SOURCE.replace("complaint =", "complained ="), "Greeter has no complaint"),
        (None, "there is no such file"),
    ],
)
def test_a_reload_with_a_broken_check_changes_nothing(text: str | None, why: str, tmp_path: Path, sink: Sink) -> None:
    """The record and the operator are told, and the old check goes on finding."""
    with Tarry(written(tmp_path, own=SOURCE), backend=sink.port, wait="0.05s") as tarry:
        path = tmp_path / "own.py"
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        tarry.reload()
        (record,) = tarry.wait_records(ev="config")
        assert not record["ok"] and "plugins: " in record["why"] and why in record["why"]
        assert "the configuration stays as it was" in tarry.printed()
        with RawClient(tarry.port) as client:
            client.greeted(b"EHLO dyn.example")
            assert 550 == client.command(b"MAIL FROM:<a@b.example>").code
        path.write_text(SOURCE)
        tarry.reload()
        assert [False, True] == [one["ok"] for one in tarry.wait_records(2, ev="config")]


def test_nothing_is_started_with_a_broken_check(tmp_path: Path) -> None:
    """Its line and that of the configuration are told, and the status is 1."""
    (tmp_path / "own.py").write_text("import os\nos.nothing\n")
    (tmp_path / "tarry.toml").write_text('# mine\nplugins = ["own.py"]\n')
    ran = subprocess.run([COMMAND, "serve", "-c", tmp_path / "tarry.toml"], capture_output=True, text=True, timeout=30, check=False)
    assert 1 == ran.returncode
    told = f"{tmp_path}/tarry.toml:2: error: plugins: own.py:2: AttributeError: module 'os' has no attribute 'nothing'"
    assert told in ran.stderr


PAGE = (Path(__file__).parents[2] / "docs" / "own-checks.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_the_first_example_of_the_page(tmp_path: Path, sink: Sink) -> None:
    """Mail from outside with a sender of ours is refused at RCPT; from below the domain it passes, and the record names it."""
    written(tmp_path, local_checks=EXAMPLES["local_checks"])
    (text,) = (block for block in re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "own_sender" in block)
    with Tarry(text.replace("local_checks.py", f"{tmp_path}/local_checks.py"), backend=sink.port, wait="0.05s") as tarry:
        with RawClient(tarry.port) as client:
            client.greeted()
            assert 250 == client.command(b"MAIL FROM:<boss@Example.org>").code
            reply = client.command(b"RCPT TO:<alice@example.org>")
        assert (550, True) == (reply.code, reply.text.startswith(b"5.7.1 Mail from this domain is not sent from your address ["))
        assert {} == submit(tarry.port, sender="news@lists.example.org")
        assert ["domain", "below"] == [record["code"] for record in tarry.wait_records(2, ev="reason", check="own_sender")]


NAMES = {
    ("7.9.9.127.in-addr.arpa.", "PTR"): "mx.trusted.example.",
    ("8.9.9.127.in-addr.arpa.", "PTR"): "forged.trusted.example.",
    ("mx.trusted.example.", "A"): "127.9.9.7",
}


def named(query: Query) -> None:
    """Answer as NAMES has it; nothing is there otherwise."""
    asked = query.message.question[0]
    answer = dns.message.make_response(query.message)
    found = NAMES.get((asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)))
    if found:
        answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", dns.rdatatype.to_text(asked.rdtype), found))
    query.send(answer)


def test_the_second_example_asks_dns(tmp_path: Path, sink: Sink) -> None:
    """Its question is asked during the hold: a client with a confirmed name is greeted at once, one that forges it waits."""
    with NameServer(named) as server:
        text = written(tmp_path, trusted_names=EXAMPLES["trusted_names"])
        text += f'[checks.trusted_name]\ndomains = ["trusted.example"]\n[dns]\nservers = ["{server.address}"]\n'
        with Tarry(text, backend=sink.port, wait="3s") as tarry:
            waits = {}
            for source in ("127.9.9.7", "127.9.9.8"):
                began = time.monotonic()
                with RawClient(tarry.port, source=source) as client:
                    client.greeted()
                waits[source] = time.monotonic() - began
            assert waits["127.9.9.7"] < 2.5 < waits["127.9.9.8"]
            (reason,) = tarry.wait_records(ev="reason", check="trusted_name")
            assert ("trusted_name", "trusted", "mx.trusted.example", -1.0) == tuple(
                reason[name] for name in ("check", "code", "detail", "weight")
            )


def test_inetd_has_own_checks_too(tmp_path: Path) -> None:
    """Before the greeting; what one prints reaches neither the client nor the command."""
    source = SOURCE.replace("import Hello", "import Readable").replace("(Hello,)", "(Readable,)")
    source = source.replace("seen.moment.name", "seen.moment.first.decode()").replace("Phase.MAIL", "Phase.CONNECT")
    (tmp_path / "own.py").write_text(
        source.replace("        found =", "        print('printed')\n        found =") + "print('loaded')\n"
    )
    text = 'plugins = ["own.py"]\n[checks.pregreet]\naction = "ignore"\n[hold]\nwait = "5s"\n[record]\npath = "record.jsonl"\n'
    (tmp_path / "tarry.toml").write_text(text)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            program = subprocess.Popen(
                [COMMAND, "inetd", "-c", "tarry.toml", "--", "/bin/false"],
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.PIPE,
                cwd=tmp_path,
                env={"TCPREMOTEIP": "192.0.2.7", "PATH": "/bin:/usr/bin"},
            )
        ours.settimeout(20)
        ours.sendall(b"EHLO dyn.example\r\n")
        heard = b""
        while piece := ours.recv(4096):
            heard += piece
    _, told = program.communicate(timeout=20)
    assert heard.startswith(b"554 5.7.1 Your name is not wanted [") and heard.count(b"\n") == 1
    assert b"loaded\nprinted\n" == told
    assert wait_until(lambda: (tmp_path / "record.jsonl").exists(), 5)
    assert '"check":"greeter"' in (tmp_path / "record.jsonl").read_text()


def test_explain_and_show_know_own_checks(tmp_path: Path) -> None:
    """As a command, with the file that names the plugin."""
    (tmp_path / "own.py").write_text(SOURCE)
    (tmp_path / "tarry.toml").write_text('plugins = ["own.py"]\n[checks.greeter]\naction = "defer"\n')
    for words, told in (
        (("explain", "greeter.word"), "the client is told: 450 4.7.1 Your name is not wanted, try again later [ID]"),
        (("config", "show", "--changed"), "[checks.greeter]"),
        (("config", "check"), "Own checks: greeter."),
    ):
        ran = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path)
        assert told in ran.stdout
