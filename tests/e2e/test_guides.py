"""The guides' own lines: what an operator pastes from docs/guides runs, and the server knows the client.

Ports and paths are replaced by those of this test, and nothing else; each test sends from an address that is not tarry's.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.servers import clients, install
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.haraka import Haraka
from tests.e2e.servers.mailfront import Mailfront
from tests.e2e.servers.need import need
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.processes import Program, free_port, wait_listening
from tests.e2e.servers.qpsmtpd import Qpsmtpd
from tests.e2e.servers.sendmail import Sendmail
from tests.e2e.servers.tarry import Tarry, toml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
CLIENT = "127.9.8.7"
RELAYED, DENIED = "127.9.8.6", "127.9.8.5"
STRANGER = "stranger@example.net"


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def block(page: str, holding: str) -> str:
    """Return the only indented block of a guide that holds this text."""
    text = re.sub(r"^```.*?^```$", "", GUIDES.joinpath(page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [each for each in re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE) if holding in each]
    assert 1 == len(found), (page, holding, found)
    return textwrap.dedent(found[0])


def handoff(page: str, number: int = 0, /, **replaced: str | list[str]) -> str:
    """Return the table [handoff] of the guide's configuration of that number, with some values replaced that are there."""
    configurations = re.findall(
        r"^```toml\n(.*?)^```$", GUIDES.joinpath(page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    table = tomllib.loads(configurations[number])["handoff"]
    assert set() == set(replaced) - set(table)
    return toml({"handoff": {**table, **replaced}})


def delivers(door: Tarry, client: str = CLIENT) -> None:
    """Send a message as that client."""
    assert {} == clients.submit(door.port, source=client)


def may_relay(door: Tarry) -> bool:
    with RawClient(door.port, source=CLIENT, timeout=20) as client:
        client.greeted()
        assert 250 == client.command(b"MAIL FROM:<sender@client.example>").code
        return client.command(f"RCPT TO:<{STRANGER}>".encode()).code == 250


def first_received(messages: list[bytes]) -> bytes:
    """Return the topmost Received line of the only message, unfolded."""
    (message,) = messages
    found = re.search(rb"^Received: .*(?:\r?\n[ \t].*)*", message, re.MULTILINE)
    assert found is not None, message
    return found[0]


def exim_settings() -> dict[str, str]:
    lines = block("exim.md", "hosts_proxy").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def test_exim_behind_proxy_v2(running: ExitStack) -> None:
    """Exim listens where the guide's local_interfaces says, knows the client there, and offers PIPECONNECT to nobody."""
    need("exim")
    port, other = free_port(), free_port()
    settings = {name: value.replace("10025", str(port)) for name, value in exim_settings().items()}
    settings["local_interfaces"] += f" ; [127.0.0.1]:{other}"
    server = running.enter_context(Exim(listen=False, settings=settings))
    daemon = Program([*server.inetd_command[:-1], "-bdf"], output=server.folder / "output", environment=install.environment("exim"))
    running.callback(daemon.end)
    wait_listening(daemon, port, timeout=20)
    with RawClient(other) as local:
        assert b"PIPECONNECT" not in local.greeted().raw, "a port in the list that is not tarry's wants no header"
    door = running.enter_context(Tarry(handoff("exim.md", address=f"127.0.0.1:{port}"), wait="0.3s"))

    delivers(door)

    assert f"[{CLIENT}]".encode() in first_received(server.wait_messages(1))
    assert server.wait_log(rf"<= sender@client\.example H=\S+ \[{re.escape(CLIENT)}\]")
    assert not may_relay(door)


@pytest.mark.parametrize("number", [1, 2], ids=["socket", "pipe"])
def test_exim_by_exec(number: int, running: ExitStack) -> None:
    """Both commands of the guide tell Exim the client, by its socket and by -oMa."""
    need("exim")
    settings = {name: value for name, value in exim_settings().items() if name == "pipelining_connect_advertise_hosts"}
    server = running.enter_context(Exim(listen=False, settings=settings, pipelining_connect=True))
    command = tomllib.loads(handoff("exim.md", number))["handoff"]["command"]
    assert ["/usr/sbin/exim4", "-bs"] == command[:2]
    door = running.enter_context(Tarry(handoff("exim.md", number, command=[*server.inetd_command, *command[2:]]), wait="0.3s"))

    delivers(door)

    assert f"[{CLIENT}]".encode() in first_received(server.wait_messages(1))
    assert not may_relay(door)


def test_sendmail_by_exec(running: ExitStack) -> None:
    """The guide's command, with the same words after the program, tells Sendmail the client by its socket."""
    need("sendmail")
    server = running.enter_context(Sendmail(listen=False))
    command = tomllib.loads(handoff("sendmail.md"))["handoff"]["command"]
    assert ["/usr/sbin/sendmail", "-bs"] == command[:2]
    program = server.folder / "program"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(server.inetd_command[:-1])} "$@"\n')
    program.chmod(0o755)
    door = running.enter_context(Tarry(handoff("sendmail.md", command=[str(program), *command[1:]]), wait="0.3s"))

    delivers(door)

    assert f"[{CLIENT}]".encode() in first_received(server.wait_messages(1))
    assert server.wait_log(rf"relay=\[{re.escape(CLIENT)}\]")
    assert not may_relay(door)


@pytest.mark.parametrize("announce", ["proxy-v2", "none"])
def test_opensmtpd(announce: str, running: ExitStack) -> None:
    """The guide's listen line tells OpenSMTPD the client; and without an announcement it is an open relay, as the guide warns."""
    need("opensmtpd")
    port = free_port()
    (listen,) = block("opensmtpd.md", "listen on").splitlines()
    debian = ['action "relay" relay', 'match from local for any action "relay"']
    if announce == "none":
        listen = listen.removesuffix(" proxy-v2")
    server = running.enter_context(OpenSmtpd(settings=[listen.replace("10025", str(port)), *debian]))
    text = handoff("opensmtpd.md", address=f"127.0.0.1:{port}", announce=announce)
    door = running.enter_context(Tarry(text, wait="0.3s"))

    assert (announce == "none") == may_relay(door)
    if announce == "proxy-v2":
        delivers(door)
        assert f"[{CLIENT}]".encode() in first_received(server.wait_messages(1))
        assert server.wait_log(r"smtp event=proxy address=127\.0\.0\.1")
        assert server.wait_log(rf"smtp connected address={re.escape(CLIENT)} ")


def test_haraka_behind_proxy_v1(running: ExitStack) -> None:
    """The file that Haraka ships, with the guide's lines in it, makes it know the client; and long lines stay whole as it says."""
    need("haraka")
    shipped = Path(install.folder("haraka"), "node_modules/Haraka/config/connection.ini").read_text()
    section, hosts = block("haraka.md", "[haproxy]").splitlines()
    length = re.search(r"`(data_line_length=\d+)`", GUIDES.joinpath("haraka.md").read_text(encoding="utf-8"))
    assert section in shipped and length is not None
    edited = re.sub(r"^hosts\[\].*$", hosts, shipped, flags=re.MULTILINE)
    edited = re.sub(r"^data_line_length=.*$", length[1], edited, flags=re.MULTILINE)
    server = running.enter_context(Haraka(settings={"connection.ini": edited}))
    door = running.enter_context(Tarry(handoff("haraka.md", address=f"127.0.0.1:{server.port}"), wait="0.3s"))

    assert {} == clients.submit(door.port, b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\n", source=CLIENT)

    messages = server.wait_messages(1)
    assert f"[{CLIENT}]".encode() in first_received(messages)
    assert b"\r\n" + b"x" * 998 + b"\r\n" in messages[0]
    assert server.wait_log(rf"HAProxy proto=TCP4 src_ip={re.escape(CLIENT)}:")
    assert not may_relay(door)


@pytest.mark.parametrize("stdio", ["socket", "pipe"])
def test_the_run_script_for_qmail(stdio: str, tmp_path: Path, running: ExitStack) -> None:
    """The script applies tcprules for the true client, RELAYCLIENT and deny, and its server knows the client (mailfront here)."""
    need("mailfront")
    tree = install.folder("mailfront") / "usr/bin"
    rules = tmp_path / "rules.cdb"
    text = f'{RELAYED}:allow,RELAYCLIENT="",DATABYTES="1000"\n{DENIED}:deny\n:allow\n'
    subprocess.run([tree / "tcprules", rules, tmp_path / "rules.tmp"], input=text, text=True, check=True)
    server = running.enter_context(Mailfront(listen=False))
    told = tmp_path / "told"
    witness = f"env >>{shlex.quote(str(told))}; exec {shlex.join(server.inetd_command)}"
    script = block("qmail.md", "tcprulescheck /etc/tcp.smtp.cdb)")
    for ours, line in {
        "/usr/local/bin/tcprulescheck": str(tree / "tcprulescheck"),
        "/etc/tcp.smtp.cdb": str(rules),
        "exec setuidgid qmaild /var/qmail/bin/qmail-smtpd": witness,
    }.items():
        assert 1 == script.count(ours)
        script = script.replace(ours, line)
    program = tmp_path / "smtpd"
    program.write_text(script)
    program.chmod(0o755)
    door = running.enter_context(Tarry(handoff("qmail.md", command=[str(program)]) + f'stdio = "{stdio}"\n', wait="0.3s"))

    delivers(door)
    assert f"[{CLIENT}]".encode() in first_received(server.wait_messages(1))
    assert not may_relay(door)
    assert "RELAYCLIENT" not in told.read_text()
    assert "TCPLOCALHOST=mail.example.org\n" in told.read_text()
    with RawClient(door.port, source=DENIED, timeout=20) as denied:
        replies = [denied.read_reply().code]
        if replies == [220]:  # in line, the command is first run for MAIL
            replies = [denied.command(each).code for each in (b"EHLO x", b"MAIL FROM:<a@b.example>")]
        assert 554 == replies[-1]
    delivers(door, RELAYED)
    assert "\nRELAYCLIENT=\n" in told.read_text()
    assert f"\nTCPREMOTEIP={RELAYED}\n" in told.read_text()


@pytest.mark.parametrize("stdio", ["socket", "pipe"])
def test_the_start_script_for_qpsmtpd(stdio: str, running: ExitStack) -> None:
    """The start script of the guide serves one client, and qpsmtpd knows it."""
    need("qpsmtpd")
    server = running.enter_context(Qpsmtpd(listen=False))
    ours = Path(server.inetd_command[-1])
    before = ours.read_text().partition("use Qpsmtpd::TcpServer;")[0]  # where its modules are, and no DNS
    script = block("qmail.md", "Qpsmtpd::TcpServer").replace("/etc/qpsmtpd", str(server.folder / "config"))
    ours.write_text(before + script)
    told = re.search(r'`command = (\[.*start\.pl"\])`', GUIDES.joinpath("qmail.md").read_text(encoding="utf-8"))
    assert told is not None
    command = [*json.loads(told[1])[:-1], str(ours)]
    door = running.enter_context(Tarry(handoff("qmail.md", command=command) + f'stdio = "{stdio}"\n', wait="0.3s"))

    delivers(door)

    assert f"{CLIENT}".encode() in first_received(server.wait_messages(1))
    assert not may_relay(door)
