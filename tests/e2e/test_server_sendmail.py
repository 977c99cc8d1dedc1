"""Self tests of the private Sendmail: what it alone does."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers import inetd
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.need import need, need_ipv6
from tests.e2e.servers.sendmail import Sendmail

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def quiet() -> Iterator[Sendmail]:
    """One that does not listen, for inetd."""
    need("sendmail")
    with Sendmail(listen=False) as running:
        yield running


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


def test_inetd_starts_sendmail_on_ipv6(quiet: Sendmail) -> None:
    """It takes a client from an IPv6 socket, too, and its verdicts are those of the daemon."""
    need_ipv6()
    with inetd.Inetd(quiet.inetd_command, "::1") as listener, RawClient(listener.port, "::1") as client:
        assert b"IPv6:0:0:0:0:0:0:0:1" in client.greeted().lines[0]

        assert client.envelope("a@client.example", "nobody@example.org", "x@elsewhere.example") == [250, 550, 550]
