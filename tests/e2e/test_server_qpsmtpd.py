"""Self tests of the private qpsmtpd, listening and for one client on stdin and stdout."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import clients, proxyheader, tcpserver
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import is_listening
from tests.e2e.servers.qpsmtpd import Qpsmtpd

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENT = ("203.0.113.9", 4321)
MESSAGE = b"Subject:  qpsmtpd\r\nX-Name: caf\xc3\xa9\r\n\tfolded\r\n\r\n.one\r\n..two\r\ncaf\xe9\r\n" + b"x" * 998 + b"\r\n"
SESSION = b"""EHLO client.example\r
MAIL FROM:<a@client.example>\r
RCPT TO:<nobody@example.org>\r
RCPT TO:<alice@example.org>\r
DATA\r
Subject: piped\r
\r
text\r
.\r
QUIT\r
"""


@pytest.fixture(scope="module")
def qpsmtpd() -> Iterator[Qpsmtpd]:
    need("qpsmtpd")
    with Qpsmtpd() as running:
        yield running


def test_qpsmtpd_delivers_what_a_client_sends(qpsmtpd: Qpsmtpd) -> None:
    """A message is in the mailbox of each recipient with the lines it was sent with, below four header lines."""
    before = len(qpsmtpd.messages("bob@example.org"))

    refused = clients.submit(qpsmtpd.port, MESSAGE, recipients=["alice@example.org", "bob@example.org"])

    assert refused == {}
    (delivered,) = qpsmtpd.messages("bob@example.org")[before:]
    assert MESSAGE.replace(b"\r\n", b"\n") == delivered[delivered.index(b"Subject:") :]
    assert b"Received: from Unknown (HELO client.example) (127.0.0.1)" in delivered


def test_qpsmtpd_refuses_an_unknown_user_in_its_own_words(qpsmtpd: Qpsmtpd) -> None:
    """The verdict on a recipient is qpsmtpd's, so that tests can see it pass unchanged."""
    with RawClient(qpsmtpd.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        replies = [client.command(b"RCPT TO:<nobody@%s>" % domain).raw for domain in (b"example.org", b"example.net")]

    assert [b"550 No such user.\r\n", b"550 Relaying denied (#5.7.1)\r\n"] == replies


def test_qpsmtpd_serves_one_client_on_a_socket(qpsmtpd: Qpsmtpd, tmp_path: Path) -> None:
    """As under tcpserver, the client in log and Received is the one of the environment, not the one at the other end."""
    before = len(qpsmtpd.messages())
    with tcpserver.serving(qpsmtpd.inetd_command, CLIENT, tmp_path / "output") as client:
        client.greeted()
        assert [250, 250] == client.envelope("a@client.example")
        client.command(b"DATA")
        client.send(MESSAGE.replace(b"\r\n.", b"\r\n.."))
        assert client.command(b".").code == 250

    (delivered,) = qpsmtpd.messages()[before:]
    assert MESSAGE.replace(b"\r\n", b"\n") == delivered[delivered.index(b"Subject:") :]
    assert b"Received: from [203.0.113.9] (HELO client.example) (203.0.113.9)" in delivered
    assert qpsmtpd.wait_log(r"Connection from \[203\.0\.113\.9\] \[203\.0\.113\.9\]")


def test_qpsmtpd_serves_one_client_on_pipes(qpsmtpd: Qpsmtpd) -> None:
    """The same where stdin and stdout are no socket."""
    before = len(qpsmtpd.messages())

    done = subprocess.run(
        qpsmtpd.inetd_command, input=SESSION, capture_output=True, env=tcpserver.environment(CLIENT), timeout=20, check=True
    )

    assert [220, 250, 250, 550, 250, 354, 250, 221] == [int(line[:3]) for line in done.stdout.splitlines() if line[3:4] == b" "]
    assert b"Received: from [203.0.113.9]" in qpsmtpd.messages()[before]


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::9"])
def test_qpsmtpd_believes_a_proxy_header_where_it_is_told_to(client: str) -> None:
    """With proxy_protocol it greets before the header, and the client in log and Received is the one that it names."""
    need("qpsmtpd")
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    with Qpsmtpd(proxy_protocol=True) as qpsmtpd, RawClient(qpsmtpd.port) as raw:
        raw.send(proxyheader.v1((client, 4321), (server, 25)))
        raw.greeted()
        assert [250, 250] == raw.envelope()
        raw.command(b"DATA")
        assert raw.command(b"Subject: x\r\n\r\n.").code == 250

        assert qpsmtpd.wait_log(rf"stunnel : {client}:4321")
        assert f"Received: from [{client}] (HELO client.example) ({client})".encode() in qpsmtpd.messages()[0]


def test_qpsmtpd_loads_the_plugins_it_is_told_to() -> None:
    """earlytalker, the first of its kind, refuses who talks before the greeting."""
    need("qpsmtpd")
    with Qpsmtpd(plugins=["earlytalker wait 1"]) as qpsmtpd:
        with RawClient(qpsmtpd.port) as early:
            early.send(b"EHLO early\r\n")
            assert early.read_reply().code == 550
        with RawClient(qpsmtpd.port) as quiet:
            assert quiet.read_reply().code == 220


def test_a_qpsmtpd_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window; after the with block nothing is left of it."""
    need("qpsmtpd")
    with Qpsmtpd() as qpsmtpd, Qpsmtpd() as beside:
        qpsmtpd.halt()
        with pytest.raises(ConnectionRefusedError):
            RawClient(qpsmtpd.port)
        qpsmtpd.resume()
        assert clients.submit(qpsmtpd.port) == {}
        assert len(qpsmtpd.wait_messages(1)) == 1
        assert beside.messages() == []

    assert not any(map(is_listening, [qpsmtpd.port, beside.port]))
    assert not qpsmtpd.folder.exists()
