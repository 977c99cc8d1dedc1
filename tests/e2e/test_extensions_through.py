"""What the MTA's EHLO offers works through tarry: SMTPUTF8, 8BITMIME, DSN, SIZE, CHUNKING, STARTTLS, AUTH."""

import hashlib
import random
import re
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UTF8_USER = "δοκιμή@example.org"
BIG = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def mta(certificates: tuple[Path, Path]) -> Iterator[Postfix]:
    """A Postfix that offers all it can."""
    need("postfix")
    with Postfix(recipients=["alice@example.org", UTF8_USER], tls=certificates) as running:
        yield running


@pytest.fixture(scope="module")
def proxied(mta: Postfix) -> Iterator[Tarry]:
    with Tarry(backend=mta.port, wait="0.05s") as running:
        yield running


@pytest.fixture(scope="module")
def into_maildir() -> Iterator[Tarry]:
    with Tarry(wait="0.05s") as running:
        yield running


def test_ehlo_offers_what_postfix_offers_less_what_cannot_be_relayed(proxied: Tarry, mta: Postfix) -> None:
    """Each keyword of Postfix that tarry relays is offered with Postfix's own parameters, and no other."""
    with RawClient(mta.port) as direct, RawClient(proxied.port) as through:
        of_postfix, of_tarry = direct.greeted().lines, through.greeted().lines

    assert of_tarry == tuple(line for line in of_postfix if line not in (b"ETRN", b"VRFY"))


def test_an_smtputf8_message_arrives_to_the_byte(proxied: Tarry, mta: Postfix) -> None:
    """An internationalised sender, recipient and header come to Postfix as they were sent."""
    before = len(mta.messages())
    with RawClient(proxied.port) as client:
        client.greeted()
        codes = [
            client.command("MAIL FROM:<früh@client.example> SMTPUTF8 BODY=8BITMIME".encode()).code,
            client.command(f"RCPT TO:<{UTF8_USER}>".encode()).code,
            client.command(b"DATA").code,
            client.command("Subject: grüße\r\n\r\n\u20ac 100\r\n.".encode()).code,
        ]
        arrived = mta.wait_messages(before + 1)[-1]

    assert [250, 250, 354, 250] == codes
    assert "Subject: grüße\n".encode() in arrived
    assert "\n\n€ 100\n".encode() in arrived
    assert "früh@client.example".encode() in arrived


@pytest.mark.parametrize("where", ["proxied", "into_maildir"])
def test_eight_bit_text_and_two_megabytes_arrive_to_the_byte(where: str, request: pytest.FixtureRequest, mta: Postfix) -> None:
    """A message of 2 MB with every octet that a line may hold is delivered unchanged."""
    tarry: Tarry = request.getfixturevalue(where)
    dice = random.Random(1)
    octets = bytes(each for each in range(1, 256) if each not in (10, 13))
    lines = [bytes(dice.choices(octets, k=dice.randrange(900))) for _ in range(BIG // 450)]
    body = b"\r\n".join(lines) + b"\r\n"
    before = len(mta.messages()) if where == "proxied" else len(tarry.messages())

    with smtplib.SMTP("127.0.0.1", tarry.port, timeout=30) as client:
        client.sendmail(clients.SENDER, [clients.RECIPIENT], b"Subject: big\r\n\r\n" + body, ["BODY=8BITMIME", f"SIZE={BIG * 2}"])

    if where == "proxied":
        arrived, sent = mta.wait_messages(before + 1)[-1], body.replace(b"\r\n", b"\n")
    else:
        arrived, sent = tarry.messages()[before], body
    assert hashlib.sha256(sent).digest() == hashlib.sha256(arrived[-len(sent) :]).digest()


def test_dsn_parameters_reach_postfix(proxied: Tarry, mta: Postfix) -> None:
    """RET, ENVID, NOTIFY and ORCPT are Postfix's to act on: a delivery asked to be told is told to the sender."""
    before, logged = len(mta.messages()), len(mta.log_text())
    with RawClient(proxied.port) as client:
        client.greeted()
        codes = [
            client.command(b"MAIL FROM:<alice@example.org> RET=HDRS ENVID=tarry+2B1").code,
            client.command(b"RCPT TO:<alice@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first@example.org").code,
            client.command(b"DATA").code,
            client.command(b"Subject: dsn\r\n\r\nx\r\n.").code,
        ]
        arrived = mta.wait_messages(before + 2)[before:]  # the message, and the notice of its delivery

    assert [250, 250, 354, 250] == codes
    notice = next(each for each in arrived if b"Successful Mail Delivery Report" in each)
    assert b"Original-Envelope-Id: tarry+1" in notice
    assert b"Original-Recipient: rfc822;first@example.org" in notice
    assert "status=sent" in mta.log_text()[logged:]


def test_a_size_that_postfix_does_not_take_is_refused_by_postfix(proxied: Tarry) -> None:
    """SIZE is the MTA's to judge, at MAIL, in its own words."""
    with RawClient(proxied.port) as client:
        client.greeted()

        assert client.command(b"MAIL FROM:<a@client.example> SIZE=99999999999").raw == (
            b"552 5.3.4 Message size exceeds fixed limit\r\n"
        )


def test_chunks_arrive_as_one_message(proxied: Tarry, mta: Postfix) -> None:
    """BDAT in three chunks, cut anywhere and pipelined, is one message at Postfix with its bytes unchanged."""
    before = len(mta.messages())
    with RawClient(proxied.port) as client:
        client.greeted()
        client.envelope()
        client.send(b"BDAT 17\r\nSubject: chunks\r\nBDAT 9\r\n\r\none\r\n.t", cut_every=5)
        assert [250, 250] == [client.read_reply().code, client.read_reply().code]
        client.send(b"BDAT 12 LAST\r\nwo\r\n.\r\nend\r\nQUIT\r\n")
        assert [250, 221] == [client.read_reply().code, client.read_reply().code]
        arrived = mta.wait_messages(before + 1)[-1]

    assert b"Subject: chunks\n" in arrived
    assert arrived.endswith(b"\n\none\n.two\n.\nend\n")


def test_postfix_as_a_sender_needs_no_chunks() -> None:
    """Postfix 3.7 sends DATA where CHUNKING is offered, and its pipelined group is no reason against it."""
    need("postfix")
    with Sink() as sink, Tarry(backend=sink.port, wait="0.05s") as tarry, Postfix(relay_to=tarry.port) as sender:
        sender.send("a@client.example", ["b@example.org", "c@example.org"], b"Subject: x\n\nx\n")
        (message,) = sink.wait_messages(1)
        (close,) = tarry.wait_records(1, ev="close")

    assert ("DATA", 2) == (message.via, len(message.recipients))
    assert [] == close["reasons"]


def test_starttls_goes_through_to_postfix(proxied: Tarry, mta: Postfix, certificates: tuple[Path, Path]) -> None:
    """The handshake is Postfix's: the client sees its certificate, and a message sent inside TLS is delivered."""
    before, logged = len(mta.messages()), len(mta.log_text())
    with smtplib.SMTP("127.0.0.1", proxied.port, "client.example", timeout=20) as client:
        context = certificate.client_context(certificates[0])
        context.check_hostname = False
        code, _ = client.starttls(context=context)
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail(clients.SENDER, [clients.RECIPIENT], b"Subject: secret\r\n\r\nx\r\n")
    (close,) = [each for each in proxied.wait_records(1, ev="close", blind=True) if each["blind"]]

    assert code == 220
    assert b"Subject: secret\n" in mta.wait_messages(before + 1)[-1]
    assert re.search(r"with ESMTPS", mta.messages()[-1].decode())
    assert "lost connection" not in mta.log_text()[logged:]
    assert (close["mta"], close["messages"]) == (True, 0)


@pytest.mark.parametrize("sender", ["msmtp", "curl", "postfix"])
def test_senders_that_use_tls_deliver_through(sender: str, mta: Postfix, proxied: Tarry) -> None:
    """What real senders do with STARTTLS survives being pumped, their TLS shutdown included."""
    need("msmtp", "curl")
    before = len(mta.messages())
    match sender:
        case "msmtp":
            assert clients.msmtp(proxied.port, "--tls=on", "--tls-certcheck=off").status == 0
        case "curl":
            assert clients.curl(proxied.port, "--ssl-reqd", "--insecure").status == 0
        case _:
            with Postfix(relay_to=proxied.port, settings={"smtp_tls_security_level": "encrypt"}) as relay:
                relay.send(clients.SENDER, [clients.RECIPIENT], b"Subject: tls\n\nx\n")
                assert relay.wait_log("status=sent"), relay.log_text()

    assert b"with ESMTPS" in mta.wait_messages(before + 1)[-1]


def test_the_end_of_either_side_ends_the_pump(mta: Postfix, proxied: Tarry) -> None:
    """A client that leaves inside TLS, by FIN or RST, is gone at Postfix as well."""
    for leave in (RawClient.close, RawClient.reset):
        logged = len(mta.log_text())
        client = RawClient(proxied.port)
        client.greeted()
        client.command(b"STARTTLS")
        client.start_tls()
        leave(client)
        assert mta.wait_log(r"disconnect from", 10), mta.log_text()[logged:]


def test_plain_text_behind_starttls_is_refused(proxied: Tarry) -> None:
    """What was piled up behind STARTTLS is neither run nor passed on; the session ends with one 503."""
    with RawClient(proxied.port) as client:
        client.greeted()
        client.send(b"STARTTLS\r\nMAIL FROM:<injected@client.example>\r\n")

        assert client.read_reply().code == 503
        assert client.read_until_closed() == b""


def test_auth_lines_pass_unread(proxied: Tarry) -> None:
    """Credentials reach an MTA that offers AUTH, and never the record."""
    with Sink() as sink, Tarry(backend=sink.port, wait="0.05s") as tarry:
        with smtplib.SMTP("127.0.0.1", tarry.port, "client.example", timeout=10) as client:
            code, _ = client.login("user@example.org", "correct horse")
        assert [(b"user@example.org", b"correct horse")] == sink.connections[-1].credentials
        tarry.wait_records(1, ev="close")
        text = tarry.record_path.read_text()

    assert code == 235
    assert "correct" not in text
    assert "Y29ycmVjdC" not in text


def test_an_unread_unix_socket_is_as_good_as_a_port(tmp_path: Path) -> None:
    """handoff.address may be a Unix socket; one nobody listens on is 421 and not a 5xx."""
    path = tmp_path / "mta.sock"
    config = f'[handoff]\nmode = "proxy"\naddress = "unix:{path}"'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with Tarry(config, wait="0.05s") as tarry, RawClient(tarry.port) as client:
            assert client.read_reply().code == 421
