"""Self tests of the private mailfront, below tcpserver and for one client on stdin and stdout."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import clients, tcpserver
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.mailfront import Mailfront
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import is_listening

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENT = ("203.0.113.9", 4321)
MESSAGE = b"Subject:  mailfront\r\nX-Name: caf\xc3\xa9\r\n\tfolded\r\n\r\n.one\r\n..two\r\ncaf\xe9\0\r\n" + b"x" * 998 + b"\r\n"


@pytest.fixture(scope="module")
def mailfront() -> Iterator[Mailfront]:
    need("mailfront")
    with Mailfront() as running:
        yield running


def test_mailfront_delivers_what_a_client_sends(mailfront: Mailfront) -> None:
    """A message is in the mailbox of each recipient with the lines it was sent with, below one Received."""
    before = len(mailfront.messages("bob@example.org"))

    refused = clients.submit(mailfront.port, MESSAGE, recipients=["alice@example.org", "bob@example.org"])

    assert refused == {}
    (delivered,) = mailfront.messages("bob@example.org")[before:]
    assert MESSAGE.replace(b"\r\n", b"\n") == delivered[delivered.index(b"Subject:") :]
    assert b"Received: from client.example ([127.0.0.1])\n  by mailfront.example.org ([127.0.0.1])" in delivered


def test_mailfront_refuses_an_unknown_user_in_its_own_words(mailfront: Mailfront) -> None:
    """The verdict on a recipient is mailfront's, so that tests can see it pass unchanged."""
    with RawClient(mailfront.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        replies = [client.command(b"RCPT TO:<nobody@%s>" % domain).raw for domain in (b"example.org", b"example.net")]

    assert replies == [
        b"553 sorry, no mailbox here by that name (#5.1.1)\r\n",
        b"550 5.1.0 Mail system is not configured to accept that recipient\r\n",
    ]


def test_mailfront_serves_one_client_on_a_socket(mailfront: Mailfront, tmp_path: Path) -> None:
    """The client in Received is the one of the environment, not the one at the other end."""
    before = len(mailfront.messages())
    with tcpserver.serving(mailfront.inetd_command, CLIENT, tmp_path / "output") as client:
        client.greeted()
        assert [250, 250] == client.envelope("a@client.example")
        client.command(b"DATA")
        client.send(MESSAGE.replace(b"\r\n.", b"\r\n.."))
        assert client.command(b".").code == 250

    (delivered,) = mailfront.messages()[before:]
    assert MESSAGE.replace(b"\r\n", b"\n") == delivered[delivered.index(b"Subject:") :]
    assert b"Received: from client.example ([203.0.113.9])\n  by 192.0.2.1 ([192.0.2.1])" in delivered


def test_mailfront_serves_one_client_on_pipes() -> None:
    """The same where stdin and stdout are no socket, and where nothing listens."""
    need("mailfront")
    session = b"HELO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: piped\r\n\r\n.\r\nQUIT\r\n"
    with Mailfront(listen=False) as mailfront:
        environment = tcpserver.environment(CLIENT)
        done = subprocess.run(mailfront.inetd_command, input=session, capture_output=True, env=environment, timeout=20, check=True)

        assert [220, 250, 250, 250, 354, 250, 221] == [int(line[:3]) for line in done.stdout.splitlines() if line[3:4] == b" "]
        assert b"([203.0.113.9])" in mailfront.messages()[0]
        assert mailfront.wait_log("RCPT TO:<alice@example.org>")
        assert mailfront.pids() == []


def test_a_mailfront_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window; after the with block nothing is left of it."""
    need("mailfront")
    with Mailfront() as mailfront, Mailfront() as beside:
        mailfront.halt()
        with pytest.raises(ConnectionRefusedError):
            RawClient(mailfront.port)
        mailfront.resume()
        assert clients.submit(mailfront.port) == {}
        assert len(mailfront.wait_messages(1)) == 1
        assert beside.messages() == []

    assert not any(map(is_listening, [mailfront.port, beside.port]))
    assert not mailfront.folder.exists()
