"""What is done to clients that give reasons, in front of real servers: thrown away, held in a tarpit, told slowly."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers.aiosmtpd_server import Aiosmtpd
from tests.e2e.servers.clients import RECIPIENT, RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DISCARD = '[checks.pregreet]\naction = "discard"\nreply = "250 2.6.0 I told you to go away [{id}]"\n'
PACE = 0.1
PACED = f'[delay]\nreply_pace = "{PACE}s"\nreply_pace_clients = 1\n[tarpit.rset]\nfree = 0\nstep = "0.3s"\n'
TOLD = b"250 2.0.0 Ok\r\n"


@pytest.fixture(scope="module")
def aiosmtpd() -> Iterator[Aiosmtpd]:
    with Aiosmtpd() as running:
        yield running


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    need("postfix")
    with Postfix() as running:
        yield running


def send(client: RawClient, text: bytes, *, chunks: bool) -> bytes:
    """Send a message behind an envelope, and return the answer to it."""
    if chunks:
        client.send(b"BDAT 4\r\nA: b" + b"BDAT %d LAST\r\n%b" % (len(text) + 4, b"\r\n\r\n" + text))
        assert client.read_reply().code == 250
    else:
        assert client.command(b"DATA").code == 354
        client.send(b"A: b\r\n\r\n" + text + b".\r\n")
    return client.read_reply().raw


@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
def test_what_is_thrown_away_never_arrives(chunks: bool, postfix: Postfix) -> None:
    """Two messages of an early talker are answered 250 and come to nothing; the MTA refuses whom it does not know as ever."""
    before = len(postfix.messages())
    with Tarry(DISCARD, backend=postfix.port, wait="0.3s") as tarry:
        with RawClient(tarry.port) as client:
            client.send(b"EHLO early\r\n")
            assert [220, 250] == [client.read_reply().code, client.read_reply().code]
            for _ in range(2):
                assert [250, 550, 250] == client.envelope("spam@client.example", "nobody@example.org", RECIPIENT)
                told = send(client, b"thrown away\r\n", chunks=chunks)
                assert told.startswith(b"250 2.6.0 I told you to go away [")
            assert client.command(b"QUIT").code == 221
        with RawClient(tarry.port) as honest:
            honest.greeted()
            honest.envelope("good@client.example", RECIPIENT)
            assert b"kept" not in send(honest, b"kept\r\n", chunks=chunks)
        closes = {each["discarded"]: each["messages"] for each in tarry.wait_records(2, ev="close")}
        verdicts = [(each["action"], each["reasons"]) for each in tarry.records(ev="verdict") if each["phase"] != "hold"]
        told_to = [each["by"] for each in tarry.records(ev="reply") if each["to"] == "message"]

    assert {2: 0, 0: 1} == closes
    assert [("discard", ["pregreet.spoke"])] * 2 == verdicts
    assert ["tarry", "tarry", "mta"] == told_to
    assert postfix.queue_empty()
    arrived = postfix.wait_messages(before + 1)[before:]
    assert [True] == [b"kept" in message for message in arrived]
    assert [] == [message for message in postfix.messages() if b"thrown away" in message]


def test_what_is_thrown_away_is_in_no_maildir() -> None:
    """Neither whole nor in part; the next client's message is."""
    with Tarry(DISCARD, wait="0.3s") as tarry:
        for early, text in ((b"EHLO early\r\n", b"thrown away\r\n"), (b"", b"kept\r\n")):
            with RawClient(tarry.port) as client:
                client.send(early)
                assert client.read_reply().code == 220
                assert (client.read_reply() if early else client.command(b"EHLO client.example")).code == 250
                client.envelope()
                assert send(client, text, chunks=False).startswith(b"250 ")
        tarry.wait_records(2, ev="close")
        kept = tarry.messages()
        left = [path for path in tarry.maildir.rglob("*") if path.is_file()]

    assert [True] == [b"kept" in message for message in kept]
    assert 1 == len(left)


def test_refused_recipients_wait_longer_and_longer(postfix: Postfix) -> None:
    """The client hears only after the hold what the MTA says at once. Good recipients wait for nothing."""
    config = '[tarpit.refused]\nfree = 1\nstart = "0.4s"\nfactor = 2\ncap = "10s"\n[handoff]\npark_after = "0.5s"\n'
    with Tarry(config, backend=postfix.port, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@b.example>")
        took = []
        for name in ("nobody", "alice", "nobody", "alice", "nobody", "alice"):
            began = time.monotonic()
            code = client.command(f"RCPT TO:<{name}@example.org>".encode()).code
            assert (550 if name == "nobody" else 250) == code
            took.append(time.monotonic() - began)
        assert client.command(b"DATA").code == 354
        assert client.command(b"x\r\n.").code == 250
        holds = [(each["why"], each["asked"], each["ended"]) for each in tarry.wait_records(2, ev="hold")]
        (parked,) = tarry.wait_records(1, ev="parked")

    assert [("tarpit.refused", 0.4, "due"), ("tarpit.refused", 0.8, "due")] == holds
    assert (took[2] >= 0.4, took[4] >= 0.8) == (True, True)
    assert max(took[0], took[1], took[3]) < 3.0
    assert 2 == parked["rcpts"]


def octets(client: RawClient, count: int) -> list[tuple[float, bytes]]:
    """Read until *count* octets have come; return each piece with its time."""
    pieces: list[tuple[float, bytes]] = []
    while sum(len(piece) for _, piece in pieces) < count:
        piece = client.sock.recv(100)
        assert piece, pieces
        pieces.append((time.monotonic(), piece))
    return pieces


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "TLS"])
def test_a_held_reply_goes_out_an_octet_at_a_time(
    has_tls: bool, aiosmtpd: Aiosmtpd, terminate: str, tls_files: tuple[Path, Path]
) -> None:
    """As many pieces as octets; what is said meanwhile is answered afterwards. For a second client there is no place then."""
    with Tarry(PACED + terminate, backend=aiosmtpd.port, wait="0.05s") as tarry:
        with RawClient(tarry.port) as client, RawClient(tarry.port) as other:
            other.greeted()
            client.greeted()
            if has_tls:
                client.command(b"STARTTLS")
                client.start_tls(tls_files[0])
                client.command(b"EHLO inside")
            began = time.monotonic()
            client.send(b"RSET\r\n")
            first, *rest = octets(client, 3)
            other.send(b"RSET\r\n")
            assert [TOLD] == [piece for _, piece in octets(other, len(TOLD))]
            client.send(b"NOOP\r\n")
            rest += octets(client, 2 * len(TOLD) - 3)

            pieces = [first, *rest]
            assert TOLD * 2 == b"".join(piece for _, piece in pieces)
            assert len(TOLD) - 3 <= len(pieces) <= len(TOLD) + 1  # a busy machine may bring two together
            assert first[0] - began >= 0.3
            assert pieces[-1][0] - began >= 0.3 + PACE * (len(TOLD) - 1) - 0.01
        holds = [(each["why"], each["asked"], each["ended"]) for each in tarry.wait_records(3, ev="hold")]

    assert [("tarpit.rset", 0.3, "due")] * 2 + [("reply_pace", 1.3, "due")] == sorted(holds, key=lambda hold: hold[1])


def test_a_client_that_leaves_a_slow_reply_is_gone_at_once(aiosmtpd: Aiosmtpd) -> None:
    """It is recorded when it left, and the next client has its place."""
    with Tarry(PACED.replace("0.1s", "2s"), backend=aiosmtpd.port, wait="0.05s") as tarry:
        with RawClient(tarry.port) as client:
            client.greeted()
            client.send(b"RSET\r\n")
            octets(client, 1)
            client.reset()
        _, left = tarry.wait_records(2, ev="hold")
        with RawClient(tarry.port) as client:
            client.greeted()
            client.send(b"RSET\r\n")
            assert [b"2"] == [piece for _, piece in octets(client, 1)]

    assert ("reply_pace", 26.0, "left") == (left["why"], left["asked"], left["ended"])
    assert left["held"] < 5.0


def test_a_drained_daemon_says_the_rest_at_once(aiosmtpd: Aiosmtpd) -> None:
    """Whoever is being told something slowly hears it whole, and then that tarry goes down."""
    with Tarry(PACED.replace("0.1s", "2s"), backend=aiosmtpd.port, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.send(b"RSET\r\n")
        octets(client, 1)
        began = time.monotonic()
        tarry.send_signal(signal.SIGTERM)
        rest = client.read_until_closed(10)

    assert TOLD[1:] + b"421 4.3.2 Service is going down, try again later\r\n" == rest
    assert time.monotonic() - began < 5.0
