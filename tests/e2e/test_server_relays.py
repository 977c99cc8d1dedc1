"""Self tests of the relays: each MTA's log is read rightly, whether our own sink takes the message, puts it off or refuses it."""

from pathlib import Path

import pytest

from tests.e2e.servers import certificate, relays
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SOURCE = "127.9.8.7"
FAULTS = {
    "deferred": Fault(at="MAIL", reply=b"451 4.3.0 later\r\n"),
    "refused": Fault(at="RCPT", reply=b"550 5.1.1 no such user here\r\n"),
    "no connection": Fault(at="connect", what="refuse"),
}


@pytest.mark.parametrize("name", relays.RELAYS)
@pytest.mark.parametrize("starttls", [False, True], ids=["plain", "starttls"])
def test_a_relay_delivers(name: str, starttls: bool, tmp_path: Path) -> None:
    """One message comes from the address it was told to use, over TLS where that is offered, and the status says so."""
    need("openssl", name)
    with Sink(tls=certificate.make(tmp_path) if starttls else None) as sink:
        ran = relays.send(name, sink.port, starttls=starttls, source=SOURCE)

        assert (0, 1) == (ran.status, len(sink.messages)), ran.output
        (connection,) = sink.connections
        assert (SOURCE, starttls) == (connection.peer[0], bool(connection.tls))


@pytest.mark.parametrize("name", relays.RELAYS)
def test_a_relay_tells_of_tls_that_was_not_used(name: str) -> None:
    """A message sent in the clear is a failure where TLS was wanted."""
    need(name)
    with Sink() as sink:
        ran = relays.send(name, sink.port, starttls=True)

    assert (1, "it should have sent over TLS") == (ran.status, ran.output.splitlines()[0])


@pytest.mark.parametrize("name", relays.RELAYS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_relay_tells_of_what_was_not_taken(name: str, fault: Fault) -> None:
    """What is put off or refused, or finds no server, is a failure, whatever comes of it later."""
    need(name)
    with Sink(fault) as sink:
        ran = relays.send(name, sink.port)

    assert ran.status == 1
    assert ran.output.startswith("not taken: ")
