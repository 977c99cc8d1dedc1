"""Self tests of the private Exim: what it alone does."""

from collections.abc import Iterator

import pytest

from tests.e2e.servers import inetd
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.need import need

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def quiet() -> Iterator[Exim]:
    """One that does not listen, for inetd."""
    need("exim")
    with Exim(listen=False) as running:
        yield running


@pytest.mark.parametrize("pipelining_connect", [False, True])
def test_exim_refuses_early_talk_only_without_pipelining_connect(pipelining_connect: bool) -> None:
    """With PIPECONNECT, which Exim has on by default, it takes early talk for a use of that extension."""
    need("exim")
    # Exim looks once, just before the greeting, so it has to be slow.
    with Exim(pipelining_connect=pipelining_connect, greet_delay=1) as exim, RawClient(exim.port) as client:
        client.send(b"EHLO early\r\n")

        assert client.read_reply().code == (220 if pipelining_connect else 554)


def test_inetd_starts_exim_with_a_client_it_is_told(quiet: Exim) -> None:
    """On a socket pair the address comes from -oMa, and its verdicts are those of the daemon."""
    before = len(quiet.messages())
    command = [word.format(client="203.0.113.9", client_port=4321) for word in quiet.pipe_command]
    lines = (b"HELO client.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<nobody@example.org>", b"RCPT TO:<bob@example.org>")
    with inetd.on_socketpair(command) as sock, sock.makefile("rwb", buffering=0) as stream:
        replies = [stream.readline()]
        for line in (*lines, b"DATA", b"Subject: told\r\n\r\n.", b"QUIT"):
            stream.write(line + b"\r\n")
            replies.append(stream.readline())

    assert [int(reply[:3]) for reply in replies] == [220, 250, 250, 550, 250, 354, 250, 221]
    assert b"Received: from [203.0.113.9] (port=4321 helo=client.example" in quiet.wait_messages(before + 1)[-1]
    assert quiet.wait_log(r"H=\(client\.example\) \[203\.0\.113\.9\]:4321 .*Unknown user")
