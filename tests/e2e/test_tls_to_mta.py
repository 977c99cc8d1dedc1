"""tls.to_mta: the way to the MTA is encrypted or not gone at all."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

ALICE = "alice@example.org"


def config(to_mta: str, *, host: str = "127.0.0.1", port: int = 0) -> str:
    """Return a configuration with this setting; *host* is the name under which the MTA is known."""
    address = f'[handoff]\naddress = "{host}:{port}"\n' if port else ""
    return f'[tls]\nmode = "off"\nto_mta = "{to_mta}"\n[limits]\nhandshake = "1s"\nbackend = "5s"\n{address}'


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, which is its own CA, and its key."""
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def postfix(paths: tuple[Path, Path]) -> Iterator[Postfix]:
    """A Postfix that takes mail only inside TLS, and XCLIENT from this host."""
    need("postfix")
    settings = {"smtpd_tls_security_level": "encrypt", "smtpd_tls_received_header": "yes"}
    with Postfix(tls=paths, trust=["127.0.0.1"], settings=settings) as running:
        yield running


def deliver(tarry: Tarry, recipient: str = ALICE) -> int:
    """Send one message from 127.9.8.7; return the code of the last reply."""
    with RawClient(tarry.port, source="127.9.8.7") as client:
        client.greeted()
        codes = client.envelope("a@b.example", recipient)
        if codes == [250, 250]:
            client.command(b"DATA")
            codes.append(client.command(b"Subject: x\r\n\r\ntext\r\n.").code)
        client.command(b"QUIT")
    return codes[-1]


@pytest.mark.parametrize("announce", ["none", "xclient"])
@pytest.mark.parametrize("to_mta", ["starttls", "verify"])
def test_mail_goes_through_tls(postfix: Postfix, paths: tuple[Path, Path], to_mta: str, announce: str) -> None:
    """Postfix notes it in the message; STARTTLS is not offered to the client; XCLIENT goes before it and stays."""
    before = len(postfix.messages())
    environment = {"SSL_CERT_FILE": str(paths[0])}
    with Tarry(config(to_mta), backend=postfix.port, announce=announce, wait="0s", environment=environment) as tarry:
        with RawClient(tarry.port) as client:
            assert b"STARTTLS" not in client.greeted().text
        assert deliver(tarry) == 250
        (tls,) = tarry.wait_records(ev="tls")
        assert (tls["side"], tls["ok"], tls["version"]) == ("mta", True, "TLSv1.3")
    message = postfix.wait_messages(before + 1)[-1]
    assert b"using TLSv1.3" in message
    assert (b"[127.9.8.7]" in message) == (announce == "xclient")


def test_a_certificate_that_nobody_vouches_for(postfix: Postfix) -> None:
    """verify does not use that MTA: the first client is told to come again, and the operator why."""
    with Tarry(config("verify"), backend=postfix.port, wait="0s") as tarry:
        with RawClient(tarry.port) as client:
            assert client.read_reply().code == 421
        (stress,) = tarry.wait_records(ev="stress")
        assert re.match("no TLS: its certificate: self.signed certificate", stress["why"])


@pytest.mark.parametrize(("host", "code"), [("localhost", 250), ("127.0.0.2", 421)])
def test_the_name_that_is_verified_is_the_one_in_the_configuration(
    postfix: Postfix, paths: tuple[Path, Path], host: str, code: int
) -> None:
    """A certificate of another host is nobody's."""
    if host == "127.0.0.2":
        with Sink(tls=paths, address=host) as sink:
            _check_name(sink.port, host, paths[0], code)
    else:
        _check_name(postfix.port, host, paths[0], code)


def _check_name(port: int, host: str, ca: Path, code: int) -> None:
    environment = {"SSL_CERT_FILE": str(ca)}
    with Tarry(config("verify", host=host, port=port), backend=port, wait="0s", environment=environment) as tarry:
        if code == 250:
            assert deliver(tarry) == 250
        else:
            with RawClient(tarry.port) as client:
                assert client.read_reply().code == 421
            assert "IP address mismatch" in tarry.wait_records(ev="stress")[0]["why"]


@pytest.fixture
def door(paths: tuple[Path, Path]) -> Iterator[tuple[Sink, Tarry]]:
    """A front door with a sink behind STARTTLS, whose faults begin after the probe."""
    with Sink(tls=paths) as sink, Tarry(config("starttls"), backend=sink.port, wait="0s") as tarry:
        assert tarry.wait_records(ev="start")
        yield sink, tarry


FAULTS = {
    "reply injection": Fault(at="STARTTLS", reply=b"220 go\r\n250 injected\r\n"),
    "half an injection": Fault(at="STARTTLS", reply=b"220 go\r\n25"),
    "a late injection": Fault(at="STARTTLS", what="drip", seconds=0.005, reply=b"220 go\r\n250 injected\r\n"),
    "refuses": Fault(at="STARTTLS", reply=b"454 4.7.0 not now\r\n"),
    "refuses for good": Fault(at="STARTTLS", reply=b"554 5.7.0 never\r\n"),
    "closes": Fault(at="STARTTLS", what="close", reply=b"220 go\r\n"),
    "resets": Fault(at="STARTTLS", what="reset", reply=b"220 go\r\n"),
    "does not finish the handshake": Fault(at="STARTTLS", what="silent", reply=b"220 go\r\n"),
    "says nothing but 220": Fault(at="STARTTLS", what="stall", reply=b"220 go\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_fault_leads_to_clear_text(door: tuple[Sink, Tarry], fault: Fault) -> None:
    """The client is told to come again, within the handshake's time, and the MTA has seen no envelope."""
    sink, tarry = door
    sink.play(fault)
    with RawClient(tarry.port) as client:
        client.greeted()
        assert client.command(b"MAIL FROM:<a@b.example>").code == 421
        assert client.read_until_closed() == b""
    assert not {"MAIL", "RCPT"} & {verb for connection in sink.connections for verb in connection.verbs}
    assert "Traceback" not in tarry.printed()
    (refused,) = tarry.wait_records(ev="handoff")
    assert not refused["ok"]


def test_an_mta_that_no_longer_offers_starttls(door: tuple[Sink, Tarry]) -> None:
    """Somebody on the way may have taken it out."""
    sink, tarry = door
    sink.tls = None
    with RawClient(tarry.port) as client:
        client.greeted()
        assert client.command(b"MAIL FROM:<a@b.example>").code == 421
    (refused,) = tarry.wait_records(ev="handoff")
    assert refused["why"] == "it does not offer STARTTLS, which tls.to_mta asks for"
    assert not sink.connections[-1].messages


def test_much_mail_inside_tls(door: tuple[Sink, Tarry]) -> None:
    """5 MB in one message, and both connections are closed afterwards."""
    sink, tarry = door
    body = b"0123456789abcde" * 4 + b"\r\n"
    with RawClient(tarry.port, timeout=30) as client:
        client.greeted()
        client.envelope("a@b.example", ALICE)
        client.command(b"DATA")
        client.send(body * 80_000 + b".\r\n")
        assert client.read_reply().code == 250
        client.command(b"QUIT")
    assert sink.wait_closed()
    assert [message.raw == body * 80_000 for connection in sink.connections for message in connection.messages] == [True]
    assert sink.connections[-1].tls == "TLSv1.3"


def test_sessions_that_are_broken_off_leave_nothing(door: tuple[Sink, Tarry]) -> None:
    """A client that leaves while the MTA does not finish the handshake: the MTA's connection goes with it."""
    sink, tarry = door
    sink.play(Fault(at="STARTTLS", what="silent", reply=b"220 go\r\n"))
    clients = [RawClient(tarry.port) for _ in range(5)]
    for client in clients:
        client.greeted()
        client.send(b"MAIL FROM:<a@b.example>\r\n")
    assert wait_until(lambda: sum("STARTTLS" in one.verbs for one in sink.connections) >= 6, 5)
    for client in clients:
        client.reset()
    assert sink.wait_closed(0.9)
    assert "Traceback" not in tarry.printed()
