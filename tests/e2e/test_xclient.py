"""announce = "xclient": a real Postfix knows the true client, or is not used."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.sink import KEYWORDS, Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

HAS_IPV6 = Path("/proc/net/if_inet6").exists()
ALICE = "alice@example.org"
ACCESS = """check_client_access inline:{ {127.9.8.1 = 554 5.7.1 you are not welcome} {127.9.8.2 = 450 4.7.1 not now} }"""


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    """A Postfix that trusts loopback to say XCLIENT, relays for nobody, and judges clients as soon as it knows them."""
    need("postfix")
    with Postfix(trust=["127.0.0.1"], settings={"smtpd_client_restrictions": ACCESS, "smtpd_delay_reject": "no"}) as running:
        yield running


@pytest.fixture(scope="module")
def tarry(postfix: Postfix) -> Iterator[Tarry]:
    with Tarry(backend=postfix.port, announce="xclient", wait="0s") as running:
        yield running


def send(client: RawClient, helo: bytes = b"EHLO client.example", recipient: str = ALICE) -> list[int]:
    """Send one message; return the codes of the replies."""
    codes = [client.read_reply().code, client.command(helo).code]
    codes += client.envelope("sender@client.example", recipient)
    if codes[-1] == 250:
        codes += [client.command(b"DATA").code, client.command(b"Subject: x\r\n\r\ntext\r\n.").code]
    return codes


def test_postfix_sees_the_true_client(postfix: Postfix, tarry: Tarry) -> None:
    """Its log and the Received line name the client's address, port and HELO name, and nobody else's."""
    with RawClient(tarry.port, source="127.9.8.7") as client:
        port = client.address[1]
        assert send(client, b"EHLO mx.client.example") == [220, 250, 250, 250, 354, 250]
        client.command(b"QUIT")
    (message,) = postfix.wait_messages(1)
    assert re.search(rb"Received: from mx\.client\.example \(unknown \[127\.9\.8\.7\]\)", message)
    assert b"with ESMTP" in message
    assert postfix.wait_log(r"client=unknown\[127\.9\.8\.7\]")
    story = tarry.wait_records(ev="close", port=port)
    assert story[-1]["messages"] == 1


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        (b"EHLO a ADDR=10.9.8.7", "a?ADDR=10.9.8.7"),
        (b"HELO b+20NAME=x", "b+20NAME=x"),
        (b"EHLO " + b"c" * 300, "c" * 300),
        (b"EHLO [192.0.2.1]", "[192.0.2.1]"),
    ],
    ids=["adds an attribute", "xtext", "long", "literal"],
)
def test_a_name_adds_no_attribute(postfix: Postfix, tarry: Tarry, helo: bytes, shown: str) -> None:
    """Whatever a client calls itself, Postfix knows it by its true address, and by that name."""
    before = len(postfix.log_text())
    with RawClient(tarry.port, source="127.9.8.9") as client:
        assert send(client, helo, "nobody@example.org")[-1] == 550
    assert "10.9.8.7]" not in postfix.log_text()[before:]
    # Its log has a question mark in place of a blank.
    assert postfix.wait_log(rf"reject: RCPT from unknown\[127\.9\.8\.9\].*helo=<{re.escape(shown)[:60]}")


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
def test_postfix_sees_an_ipv6_client(postfix: Postfix) -> None:
    """As IPV6:, which a plain address would not be."""
    with (
        Tarry(backend=postfix.port, announce="xclient", wait="0s", address="::1") as tarry,
        RawClient(tarry.port, host="::1") as client,
    ):
        assert send(client)[-1] == 250
        assert postfix.wait_log(r"client=unknown\[::1\]")


def test_an_unknown_user_stays_unknown(postfix: Postfix, tarry: Tarry) -> None:
    """The MTA's own 550 passes unchanged."""
    with RawClient(tarry.port, source="127.9.8.7") as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@b.example>")
        reply = client.command(b"RCPT TO:<nobody@example.org>")
    assert reply.raw.startswith(b"550 5.1.1 <nobody@example.org>: Recipient address rejected")


def test_nobody_relays(postfix: Postfix, tarry: Tarry) -> None:
    """The client is not this host."""
    with RawClient(tarry.port) as client:
        assert send(client, recipient="someone@elsewhere.example")[-1] == 554


@pytest.mark.parametrize(("source", "said"), [("127.9.8.1", rb"554 5\.7\.1 .*not welcome"), ("127.9.8.2", rb"421 4\.3\.2 ")])
def test_a_verdict_on_the_client_is_its_answer(postfix: Postfix, tarry: Tarry, source: str, said: bytes) -> None:
    """Postfix says it in place of its second greeting; what is for now only ends the session for now."""
    with RawClient(tarry.port, source=source) as client:
        client.greeted()
        reply = client.command(b"MAIL FROM:<a@b.example>")
    assert re.match(said, reply.raw)


def test_the_second_greeting_is_nobodys_answer(postfix: Postfix, tarry: Tarry) -> None:
    """In a session of many transactions each command has its own reply."""
    with RawClient(tarry.port, source="127.9.8.7") as client:
        assert client.read_reply().code == 220
        for _ in range(3):
            assert client.command(b"EHLO again").code == 250
            assert client.envelope("a@b.example", ALICE) == [250, 250]
            assert client.command(b"RSET").code == 250
        assert client.command(b"QUIT").code == 221
        assert client.read_until_closed() == b""


def test_an_mta_that_does_not_trust_us_is_not_used() -> None:
    """Each client would be this host to it, which relays: 421, nothing relayed, and the operator is told what to do."""
    need("postfix")
    with Postfix(relay_to=9) as postfix, Tarry(backend=postfix.port, announce="xclient", wait="0s") as tarry:
        with RawClient(tarry.port, source="127.9.8.7") as client:
            assert client.read_reply().code == 421
        (stress,) = tarry.wait_records(ev="stress", what="mta")
        assert "smtpd_authorized_xclient_hosts" in stress["why"]
        assert "smtpd_authorized_xclient_hosts" in tarry.printed()
        assert "client=" not in postfix.log_text()


def test_an_mta_that_ceases_to_trust_us_is_not_used() -> None:
    """What was known at the start does not count: each session looks anew."""
    with Sink() as sink, Tarry(backend=sink.port, announce="xclient", wait="0s") as tarry:
        assert tarry.wait_records(ev="start")
        sink.keywords = [word for word in KEYWORDS if not word.startswith("XCLIENT")]
        with RawClient(tarry.port) as client:
            client.greeted()
            assert client.command(b"MAIL FROM:<a@b.example>").code == 421
        assert sink.wait_closed()
        assert not [message for connection in sink.connections for message in connection.messages]
        assert "MAIL" not in [verb for connection in sink.connections for verb in connection.verbs]


FAULTS = {
    "not authorised": (Fault(at="XCLIENT", reply=b"550 5.7.0 Error: insufficient authorization\r\n"), 421),
    "bad syntax": (Fault(at="XCLIENT", reply=b"501 5.5.4 Bad ADDR syntax\r\n"), 421),
    "250": (Fault(at="XCLIENT", reply=b"250 ok\r\n"), 421),
    "two replies": (Fault(at="XCLIENT", reply=b"220 again\r\n250 ok\r\n"), 421),
    "closes": (Fault(at="XCLIENT", what="close"), 421),
    "refuses": (Fault(at="XCLIENT", reply=b"550 5.7.1 we know you\r\n"), 550),
    "late": (Fault(at="XCLIENT", what="late", seconds=0.2), 250),
}


@pytest.mark.parametrize(("fault", "code"), FAULTS.values(), ids=FAULTS)
def test_what_an_mta_may_answer(fault: Fault, code: int) -> None:
    """Only its verdict on the client is the client's to hear; no fault of its lets MAIL through as tarry's own."""
    with Sink(fault) as sink, Tarry(backend=sink.port, announce="xclient", wait="0s") as tarry:
        with RawClient(tarry.port, source="127.9.8.7") as client:
            client.greeted()
            assert client.command(b"MAIL FROM:<a@b.example>").code == code
        assert sink.wait_closed()
        session = sink.connections[-1]
        assert [b"XCLIENT ADDR=127.9.8.7 NAME=[TEMPUNAVAIL]"] == session.xclient
        assert ("MAIL" in session.verbs) == (code == 250)
