"""Self tests of the private OpenSMTPD: what it alone does."""

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_opensmtpd_asks_for_no_names() -> None:
    """A client that /etc/hosts does not know is greeted at once and has no name."""
    need("opensmtpd")
    with OpenSmtpd() as opensmtpd, RawClient(opensmtpd.port, source="127.0.0.9") as client:
        greeting = client.read_reply()

        assert greeting.at - client.connected_at < 2
        assert opensmtpd.wait_log(r"smtp connected address=127\.0\.0\.9 host=<unknown>")


def test_a_sending_opensmtpd_tries_again_when_told() -> None:
    """A passing fault of the relay leaves a message in the queue, and retry brings it there."""
    need("opensmtpd")
    with Sink(Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)) as sink, OpenSmtpd(relay_to=sink.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: later\n\n")
        assert sender.wait_log('result="TempFail" stat="451 4.3.0 later"')
        assert len(sender.queued()) == 1
        sender.retry()

        assert len(sink.wait_messages(1)) == 1
