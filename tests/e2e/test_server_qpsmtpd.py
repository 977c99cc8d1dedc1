"""Self tests of the private qpsmtpd: what it alone does."""

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.qpsmtpd import Qpsmtpd

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_qpsmtpd_loads_the_plugins_it_is_told_to() -> None:
    """earlytalker, the first of its kind, refuses who talks before the greeting."""
    need("qpsmtpd")
    with Qpsmtpd(plugins=["earlytalker wait 1"]) as qpsmtpd:
        with RawClient(qpsmtpd.port) as early:
            early.send(b"EHLO early\r\n")
            assert early.read_reply().code == 550
        with RawClient(qpsmtpd.port) as quiet:
            assert quiet.read_reply().code == 220
