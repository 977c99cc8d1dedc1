"""Promise 1: the client sees 250 only after the MTA's 250."""

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.faulty import CONFIG, play
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.faults import BODY_FAULTS, DOT_FAULTS, WRONG_CLASS, Fault
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

LATE = BODY_FAULTS | DOT_FAULTS | {name: fault for name, fault in WRONG_CLASS.items() if fault.at == "dot"}


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use(CONFIG) as door:
        yield door


@pytest.mark.parametrize("fault", LATE.values(), ids=LATE)
def test_no_250_for_a_message_that_the_mta_did_not_take(door: Door, fault: Fault) -> None:
    """Whatever the MTA does between the 354 and its last word, without its 250 there is none. (Promise 6 has the rest.)"""
    played = play(door, fault)

    assert played.last == "message"
    assert not played.accepted
    assert not any(message.accepted for message in door.messages)


def test_the_250_waits_for_the_mta(door: Door) -> None:
    """A reply that takes its time is waited for, and comes in the MTA's words."""
    door.sink.play(Fault(at="dot", what="late", seconds=0.5, reply=b"250 2.0.0 kept as 4711\r\n"))
    with door.in_data() as client:
        client.send(b"x\r\n.\r\n")
        assert client.read_for(0.3) == b""
        assert client.read_reply().raw == b"250 2.0.0 kept as 4711\r\n"


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("data", [b"", b"x", b"x\r\n", b"x\r\n.", b"x\r\n.\r", b"."], ids=repr)
def test_a_message_that_breaks_off_is_not_ended_by_tarry(door: Door, data: bytes, how: str) -> None:
    """Where the client goes before CRLF.CRLF the MTA sees no dot line, and stores nothing."""
    with door.in_data() as client:
        client.send(data)
        getattr(client, how)()
        if how == "half_close":
            assert client.read_until_closed() == b""
    door.wait_closed()

    assert door.messages == []
    assert [connection.ended in ("eof", "reset") for connection in door.connections] == [True]


def test_a_maildir_that_cannot_store_refuses_for_now() -> None:
    """452 while the folder is not to be written, nothing left behind, and 250 as soon as it is."""
    with Tarry("[listen]\nmax_per_client = 0\n", wait="0s") as tarry:
        shutil.rmtree(tarry.maildir / "tmp")
        (tarry.maildir / "tmp").write_text("a file where the folder was")
        assert _deliver(tarry) == 452
        assert tarry.messages() == []
        (tarry.maildir / "tmp").unlink()
        assert _deliver(tarry) == 250
        assert len(tarry.messages()) == 1


def _deliver(tarry: Tarry) -> int:
    with RawClient(tarry.port) as client:
        client.greeted()
        client.envelope()
        client.command(b"DATA")
        return client.command(b"x\r\n.").code
