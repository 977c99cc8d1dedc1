"""Self tests of the private Sendmail: each role by itself, without a front door."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, inetd
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need, need_ipv6
from tests.e2e.servers.processes import is_listening
from tests.e2e.servers.sendmail import Sendmail
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MESSAGE = b"Subject: bytes\r\n\r\none\r\n.two\r\n..\r\n\tcaf\xe9 \r\n\r\n"
DELIVERED = b"Subject: bytes\n\none\n.two\n..\n\tcaf\xe9 \n\n"


@pytest.fixture(scope="module")
def sendmail() -> Iterator[Sendmail]:
    need("sendmail")
    with Sendmail() as running:
        yield running


@pytest.fixture(scope="module")
def quiet() -> Iterator[Sendmail]:
    """One that does not listen, for inetd."""
    need("sendmail")
    with Sendmail(listen=False) as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


# Receiving


def test_sendmail_delivers_byte_for_byte(sendmail: Sendmail) -> None:
    """A message is in the mailbox with the lines it was sent with, below one header of Sendmail's own."""
    before = len(sendmail.messages())

    clients.submit(sendmail.port, MESSAGE, recipients=["bob@example.org"])

    got = sendmail.wait_messages(before + 1)[-1]
    assert got.startswith(b"Received: from client.example (localhost [127.0.0.1])")
    assert got.endswith(b" GMT\n" + DELIVERED)
    assert got in sendmail.messages("bob@example.org")


def test_sendmail_refuses_an_unknown_user_in_its_own_words(sendmail: Sendmail) -> None:
    """The verdict on a recipient is Sendmail's, so that tests can see it pass unchanged; so is the one on relaying."""
    with RawClient(sendmail.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")

        assert client.command(b"RCPT TO:<nobody@example.org>").raw == b"550 5.1.1 <nobody@example.org>... User unknown\r\n"
        assert client.command(b"RCPT TO:<x@elsewhere.example>").raw == b"550 5.7.1 <x@elsewhere.example>... Relaying denied\r\n"


def test_sendmail_pauses_before_the_greeting() -> None:
    """A quiet client gets the greeting after the pause; one that talks in it is refused at once and logged."""
    need("sendmail")
    with Sendmail(greet_pause=1000) as sendmail:
        with RawClient(sendmail.port) as quiet:
            assert quiet.read_reply().code == 220
            assert time.monotonic() - quiet.connected_at > 0.9
        with RawClient(sendmail.port) as early:
            early.send(b"EHLO early\r\n")

            assert early.read_reply().code == 554
            assert sendmail.wait_log("rejecting commands from localhost .* due to pre-greeting traffic")


def test_sendmail_takes_starttls(tls: tuple[Path, Path]) -> None:
    """With a certificate STARTTLS is offered and works, and the message comes through it."""
    need("sendmail", "curl")
    with Sendmail(tls=tls) as sendmail:
        sent = clients.curl(sendmail.port, "--ssl-reqd", "--insecure")

        assert sent.status == 0, sent.output
        assert b"version=TLSv1" in sendmail.wait_messages(1)[0]


def test_sendmail_takes_options() -> None:
    """An option of the caller's wins over the one that sendmail.cf has."""
    need("sendmail")
    with (
        Sendmail(options={"MaxMessageSize": "5000", "SmtpGreetingMessage": "ours"}) as sendmail,
        RawClient(sendmail.port) as client,
    ):
        assert b"220 ours ESMTP\r\n" == client.read_reply().raw
        assert b"SIZE 5000" in client.command(b"EHLO client.example").lines
        assert 552 == client.command(b"MAIL FROM:<a@client.example> SIZE=5001").code


def test_sendmail_listens_on_ipv6() -> None:
    """The address may be ::1, and is the client's too."""
    need("sendmail")
    need_ipv6()
    with Sendmail(address="::1") as sendmail:
        clients.submit(sendmail.port, host="::1")

        assert b"[IPv6:0:0:0:0:0:0:0:1]" in sendmail.wait_messages(1)[0]


# One client at a time


def test_inetd_starts_sendmail_on_a_tcp_socket(quiet: Sendmail) -> None:
    """It reads the client's address from the socket, without asking for its name, and delivers where the daemon would."""
    before = len(quiet.messages())
    with inetd.Inetd(quiet.inetd_command) as listener:
        clients.submit(listener.port, MESSAGE, source="127.0.0.9")

        got = quiet.wait_messages(before + 1)[-1]
        assert got.startswith(b"Received: from client.example ([127.0.0.9])")
        assert got.endswith(DELIVERED)
        assert listener.started[0].wait(10) == 0
    assert quiet.wait_log(r"from=<sender@client\.example>.* relay=\[127\.0\.0\.9\]")


def test_inetd_starts_sendmail_on_ipv6(quiet: Sendmail) -> None:
    """The same for a client that has come by IPv6, and its verdicts are those of the daemon."""
    need_ipv6()
    with inetd.Inetd(quiet.inetd_command, "::1") as listener, RawClient(listener.port, "::1") as client:
        assert b"IPv6:0:0:0:0:0:0:0:1" in client.greeted().lines[0]

        assert client.envelope("a@client.example", "nobody@example.org", "x@elsewhere.example") == [250, 550, 550]


def test_a_quiet_sendmail_runs_no_daemon(quiet: Sendmail) -> None:
    """With listen off it has no port and no processes."""
    assert (quiet.port, quiet.pids()) == (0, [])


# Sending


def test_sendmail_sends_at_once(tls: tuple[Path, Path]) -> None:
    """The sending role brings a queued message to its relay, over TLS where that is offered, and leaves an empty queue."""
    need("sendmail")
    for offered in (None, tls):
        with Sink(tls=offered) as sink, Sendmail(relay_to=sink.port) as sender:
            sender.send("a@client.example", ["bob@example.org", "carol@example.net"], DELIVERED)

            (message,) = sink.wait_messages(1)
            assert sorted(message.recipients) == [b"bob@example.org", b"carol@example.net"]
            assert message.text.endswith(MESSAGE.partition(b"\r\n")[2])
            assert sender.queue_empty()
            assert (b"STARTTLS" in sink.lines) is bool(offered)


def test_a_sending_sendmail_tries_again_within_seconds() -> None:
    """A passing fault of the relay delays a message, and the retry is soon enough for a test to wait for it."""
    need("sendmail")
    with Sink(Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)) as sink, Sendmail(relay_to=sink.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: later\n\n")

        assert len(sink.wait_messages(1, timeout=8)) == 1


# Coming and going


def test_a_sendmail_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window: same port, nothing listening in between."""
    need("sendmail")
    with Sendmail() as sendmail:
        sendmail.halt()
        assert not is_listening(sendmail.port)
        sendmail.resume()

        assert clients.submit(sendmail.port) == {}


def test_sendmail_leaves_nothing_behind() -> None:
    """After the with block the ports are free, the folders gone and nothing is mounted; two run side by side until then."""
    need("sendmail")
    mounted = Path("/proc/self/mounts").read_text()
    with Sendmail() as one, Sendmail() as other:
        ports = one.port, other.port
        folders = [one.folder, other.folder]

        assert all(map(is_listening, ports))
        assert one.pid in one.pids()
        assert Path("/proc/self/mounts").read_text() == mounted

    assert not any(map(is_listening, ports))
    assert not any(folder.exists() for folder in folders)
