"""Self tests of the private Exim: each role by itself, without a front door."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, inetd, proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need, need_ipv6
from tests.e2e.servers.processes import is_listening
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MESSAGE = b"Subject: bytes\r\n\r\none\r\n.two\r\n..\r\n\tcaf\xe9 \r\n\r\n"
LOGGED = b"Subject: bytes\n\none\n.two\n..\n\tcaf\xe9 \n\n"

ProxyHeader = Callable[[tuple[str, int], tuple[str, int]], bytes]


@pytest.fixture(scope="module")
def exim() -> Iterator[Exim]:
    need("exim")
    with Exim() as running:
        yield running


@pytest.fixture(scope="module")
def quiet() -> Iterator[Exim]:
    """One that does not listen, for inetd."""
    need("exim")
    with Exim(listen=False) as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


# Receiving


def test_exim_delivers_byte_for_byte(exim: Exim) -> None:
    """A message is in the mailbox with the lines it was sent with, below one header of Exim's own."""
    before = len(exim.messages())

    clients.submit(exim.port, MESSAGE, recipients=["bob@example.org"])

    got = exim.wait_messages(before + 1)[-1]
    assert got.startswith(b"Received: from [127.0.0.1]")
    assert got.endswith(b"+0000\n" + LOGGED)
    assert got in exim.messages("bob@example.org")


def test_exim_refuses_an_unknown_user_in_its_own_words(exim: Exim) -> None:
    """The verdict on a recipient is Exim's, so that tests can see it pass unchanged; so is the one on relaying."""
    with RawClient(exim.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")

        assert client.command(b"RCPT TO:<nobody@example.org>").raw == b"550 Unknown user\r\n"
        assert client.command(b"RCPT TO:<alice@elsewhere.example>").raw == b"550 relay not permitted\r\n"


@pytest.mark.parametrize("pipelining_connect", [False, True])
def test_exim_refuses_early_talk_only_without_pipelining_connect(pipelining_connect: bool) -> None:
    """With PIPECONNECT, which Exim has on by default, it takes early talk for a use of that extension."""
    need("exim")
    # Exim looks once, just before the greeting, so it has to be slow.
    with Exim(pipelining_connect=pipelining_connect, greet_delay=1) as exim, RawClient(exim.port) as client:
        client.send(b"EHLO early\r\n")

        assert client.read_reply().code == (220 if pipelining_connect else 554)


def test_exim_takes_starttls(tls: tuple[Path, Path]) -> None:
    """With a certificate STARTTLS is offered and works, and the message comes through it."""
    need("exim", "curl")
    with Exim(tls=tls) as exim:
        sent = clients.curl(exim.port, "--ssl-reqd", "--insecure")

        assert sent.status == 0, sent.output
        assert b"with esmtps " in exim.wait_messages(1)[0]


def test_exim_listens_on_ipv6() -> None:
    """The address may be ::1, and is the client's too."""
    need("exim")
    need_ipv6()
    with Exim(address="::1") as exim:
        clients.submit(exim.port, host="::1")

        assert b"from [::1]" in exim.wait_messages(1)[0]


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::9"])
@pytest.mark.parametrize("header", [proxyheader.v1, proxyheader.v2])
def test_exim_believes_a_proxy_header_where_it_is_told_to(client: str, header: ProxyHeader) -> None:
    """With proxy_protocol the client in Exim's log and in the reply to EHLO is the one that the header names."""
    need("exim")
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    with Exim(proxy_protocol=True) as exim, RawClient(exim.port) as raw:
        raw.send(header((client, 4321), (server, 25)))

        assert f"[{client}]".encode() in raw.greeted().lines[0]
        raw.envelope("a@client.example", "nobody@example.org")
        assert exim.wait_log(rf"H=\(client\.example\) \[{client}\]:4321 .*Unknown user")


# One client at a time


def test_inetd_starts_exim_on_a_tcp_socket(quiet: Exim) -> None:
    """It reads the client's address from the socket, delivers where the daemon would, and leaves after QUIT."""
    before = len(quiet.messages())
    with inetd.Inetd(quiet.inetd_command) as listener:
        clients.submit(listener.port, MESSAGE, source="127.0.0.9")

        got = quiet.wait_messages(before + 1)[-1]
        assert got.startswith(b"Received: from [127.0.0.9]")
        assert got.endswith(LOGGED)
        assert listener.started[0].wait(10) == 0


def test_inetd_starts_exim_with_a_client_it_is_told(quiet: Exim) -> None:
    """On a socket pair the address comes from -oMa, and its verdicts are those of the daemon."""
    before = len(quiet.messages())
    command = [word.format(client="203.0.113.9", client_port=4321) for word in quiet.pipe_command]
    lines = (b"HELO client.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<nobody@example.org>", b"RCPT TO:<bob@example.org>")
    with inetd.on_socketpair(command) as sock, sock.makefile("rwb", buffering=0) as stream:
        replies = [stream.readline()]
        for line in (*lines, b"DATA", b"Subject: told\r\n\r\n."):
            stream.write(line + b"\r\n")
            replies.append(stream.readline())

    assert [int(reply[:3]) for reply in replies] == [220, 250, 250, 550, 250, 354, 250]
    assert b"Received: from [203.0.113.9] (port=4321 helo=client.example" in quiet.wait_messages(before + 1)[-1]
    assert quiet.wait_log(r"H=\(client\.example\) \[203\.0\.113\.9\]:4321 .*Unknown user")


def test_a_quiet_exim_runs_no_daemon(quiet: Exim) -> None:
    """With listen off it has no port and no processes."""
    assert (quiet.port, quiet.pids()) == (0, [])


# Sending


def test_exim_sends_at_once(tls: tuple[Path, Path]) -> None:
    """The sending role brings a queued message to its relay, over TLS where that is offered, and leaves an empty queue."""
    need("exim")
    for offered in (None, tls):
        with Sink(tls=offered) as sink, Exim(relay_to=sink.port) as sender:
            sender.send("a@client.example", ["bob@example.org", "carol@example.net"], LOGGED)

            (message,) = sink.wait_messages(1)
            assert message.recipients == [b"bob@example.org", b"carol@example.net"]
            assert message.text.endswith(MESSAGE)
            assert sender.queue_empty()
            assert (b"STARTTLS" in sink.lines) is bool(offered)


def test_a_sending_exim_tries_again_within_seconds() -> None:
    """A passing fault of the relay delays a message, and the retry is soon enough for a test to wait for it."""
    need("exim")
    with Sink(Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)) as sink, Exim(relay_to=sink.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: later\n\n")

        assert len(sink.wait_messages(1, timeout=8)) == 1


# Coming and going


def test_an_exim_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window: same port, nothing listening in between."""
    need("exim")
    with Exim() as exim:
        exim.halt()
        assert not is_listening(exim.port)
        exim.resume()

        assert clients.submit(exim.port) == {}


def test_exim_leaves_nothing_behind() -> None:
    """After the with block the ports are free and the folders gone; two run side by side until then."""
    need("exim")
    with Exim() as one, Exim() as other:
        ports = one.port, other.port
        folders = [one.folder, other.folder]

        assert all(map(is_listening, ports))
        assert one.pid in one.pids()

    assert not any(map(is_listening, ports))
    assert not any(folder.exists() for folder in folders)
