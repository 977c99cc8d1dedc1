"""Promise 8: early talkers never get a byte to the MTA; the one reply they get arrives whole."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest

from tests.e2e.servers import proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors, TlsSink
from tests.e2e.servers.faults import Fault

pytestmark = pytest.mark.e2e

HOLD = 0.4
LAST = 0.05
"""Seconds before the greeting: the time in which postscreen, which looks every 0.2 s, no longer sees early talk."""
HELD = f'[hold]\nwait = "{HOLD * 1000:.0f}ms"\n'
LATE = HELD + "end_early = false\n"
AT_MAIL = HELD + '[checks.pregreet]\nat = "mail"\n[checks.non_smtp]\naction = "ignore"\n'
REFUSAL = re.compile(rb"554 5\.7\.1 [^\r\n]+\r\n")
ATTEMPTS = 5
AT_A_TIME = 6
LATENESS = 3.0  # seconds that a busy machine may add

MAIL = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
OPENINGS = {
    "EHLO": b"EHLO x\r\n",
    "HELO": b"HELO x\r\n",
    "EHLO without an end": b"EHLO",
    "one letter": b"E",
    "one NUL": b"\0",
    "empty line": b"\r\n",
    "bare LF": b"\n",
    "blank": b" ",
    "dot": b".\r\n",
    "QUIT": b"QUIT\r\n",
    "MAIL": b"MAIL FROM:<a@b.example>\r\n",
    "a whole message": MAIL + b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n",
    "BDAT": b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 3 LAST\r\nabc",
    "AUTH": b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\n",
    "STARTTLS": b"EHLO x\r\nSTARTTLS\r\n\x16\x03\x01",
    "TLS ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP CONNECT": b"CONNECT mail.example.org:25 HTTP/1.0\r\n\r\n",
    "SOCKS5": b"\x05\x01\x00",
    "SSH": b"SSH-2.0-x\r\n",
    "XCLIENT": b"XCLIENT ADDR=127.0.0.1\r\n" + MAIL,
    "PROXY v1": proxyheader.v1(("127.0.0.1", 1), ("127.0.0.1", 25)) + MAIL,
    "PROXY v2": proxyheader.v2(("127.0.0.1", 1), ("127.0.0.1", 25)) + MAIL,
    "64 KiB": b"x" * 65536,
    "300 KB of commands": b"NOOP\r\n" * 50_000,
}
MOMENTS = {"at once": 0.0, "in the last 50 ms": HOLD - LAST}


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use(HELD) as door:
        yield door


def speak(door: Door, opening: bytes, wait: float) -> tuple[bytes, int]:
    """Say *opening* after *wait* seconds; return all that came back until the close, and the port.

    Where this machine was too slow to speak before the greeting was due, it is tried again.
    """
    for _ in range(ATTEMPTS):
        began = time.monotonic()
        with door.client() as client:
            time.sleep(max(0.0, wait - (time.monotonic() - began)))
            client.send(opening)
            if time.monotonic() - began < HOLD - 0.005:
                return client.read_until_closed(), client.address[1]
    pytest.fail(f"no attempt out of {ATTEMPTS} spoke in time")


@pytest.fixture(scope="module")
def answered(doors: Doors) -> dict[tuple[str, str], tuple[bytes, dict[str, Any], int]]:
    """Let early talkers come, a few at a time; for each what came back, the end of its story, and all connections to the MTA."""
    cases = list(product(OPENINGS, MOMENTS))
    with doors.use(HELD) as door:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            answers = list(pool.map(lambda case: speak(door, OPENINGS[case[0]], MOMENTS[case[1]]), cases))
        return {
            case: (answer, door.story(port)[-1], len(door.connections)) for case, (answer, port) in zip(cases, answers, strict=True)
        }


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("opening", OPENINGS)
def test_an_early_talker_gets_one_reply_and_the_mta_nothing(
    opening: str, moment: str, answered: dict[tuple[str, str], tuple[bytes, dict[str, Any], int]]
) -> None:
    """Whatever is said and however late: one whole reply, the connection closed, no connection to the MTA."""
    answer, close, connections = answered[opening, moment]

    assert REFUSAL.fullmatch(answer), answer
    assert (close["greeted"], close["mta"], close["action"]) == (False, False, "reject")
    assert close["reasons"][0].startswith("pregreet.")
    assert 0 == connections


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        ("TLS ClientHello", "tls"),
        ("HTTP GET", "http"),
        ("HTTP CONNECT", "http"),
        ("PROXY v1", "proxy"),
        ("PROXY v2", "proxy"),
        ("EHLO", "spoke"),
    ],
)
def test_the_record_tells_what_kind_of_talk_it_was(door: Door, opening: str, code: str) -> None:
    """A misconfigured client and a balancer that is not in proxy_from are told apart from a bot."""
    _, port = speak(door, OPENINGS[opening], 0.0)

    assert door.story(port)[-1]["reasons"] == [f"pregreet.{code}"]


@pytest.mark.parametrize("behind", [1 << 16, 1 << 18, 1 << 19])
def test_the_reply_arrives_although_more_is_piled_in_behind_it(door: Door, behind: int) -> None:
    """What a client still sends after it was refused is drained, so that no reset destroys what it has not read."""
    with door.client() as client:
        client.send(MAIL)
        time.sleep(0.02)
        client.send(b"x" * behind)
        time.sleep(0.1)

        assert REFUSAL.fullmatch(client.read_until_closed())
    assert door.connections == []


def test_a_client_that_closes_its_side_behind_its_talk_still_gets_the_reply(door: Door) -> None:
    """`printf ... | nc` sends all and half-closes."""
    with door.client() as client:
        client.send(MAIL + b"x\r\n.\r\nQUIT\r\n")
        client.half_close()

        assert REFUSAL.fullmatch(client.read_until_closed())
    assert door.connections == []


@pytest.mark.parametrize("at", [0.0, HOLD / 2], ids=["at once", "in the middle"])
def test_a_client_that_half_closes_in_silence_is_held_and_greeted_when_due(door: Door, at: float) -> None:
    """A FIN is not talk: the greeting comes at its time, and the record says when the client closed its side."""
    began = time.monotonic()
    with door.client() as client:
        time.sleep(at)
        client.half_close()
        greeting = client.read_reply()
        port = client.address[1]
        assert client.read_until_closed() == b""
    close = door.story(port)[-1]

    assert greeting.code == 220
    assert HOLD - 0.02 <= greeting.at - began < HOLD + LATENESS
    assert (close["greeted"], close["hangup"] is None, close["mta"]) == (True, False, False)


def test_a_client_that_resets_while_held_is_forgotten(door: Door) -> None:
    """A RST ends the hold, and is recorded at its time."""
    client = door.client()
    port = client.address[1]
    time.sleep(0.05)
    client.reset()
    close = door.story(port)[-1]

    assert (close["greeted"], close["ended"], close["phase"]) == (False, "client", "hold")
    assert close["total"] < HOLD
    assert door.connections == []


def test_a_silent_client_is_greeted_when_due(door: Door) -> None:
    """Nobody who waits is refused, and nobody is greeted before the time."""
    began = time.monotonic()
    with door.client() as client:
        greeting = client.read_reply()
        connected_later = greeting.at - client.connected_at
        codes = [client.command(b"EHLO x").code, *client.envelope()]

    assert connected_later < HOLD + LATENESS
    assert greeting.at - began >= HOLD - 0.005
    assert (greeting.code, codes) == (220, [250, 250, 250])


@pytest.mark.parametrize("opening", ["EHLO", "a whole message", "PROXY v2", "300 KB of commands"])
def test_the_refusal_can_wait_for_the_end_of_the_hold(doors: Doors, opening: str) -> None:
    """With end_early = false an early talker learns nothing before the greeting was due, and still gets its one reply."""
    with doors.use(LATE) as door:
        began = time.monotonic()
        with door.client() as client:
            client.send(OPENINGS[opening])
            answer = client.read_until_closed()
            took = time.monotonic() - began

        assert REFUSAL.fullmatch(answer)
        assert HOLD - 0.02 <= took < HOLD + LATENESS
        assert door.connections == []


@pytest.mark.parametrize("opening", ["EHLO", "HELO", "MAIL", "a whole message", "BDAT", "STARTTLS", "empty line", "QUIT"])
def test_at_mail_the_talker_is_greeted_and_its_mail_refused(doors: Doors, opening: str) -> None:
    """checks.pregreet.at = "mail": the session goes on as usual, MAIL and RCPT are refused, and the MTA is never opened."""
    with doors.use(AT_MAIL) as door:
        with door.client() as client:
            client.send(OPENINGS[opening])
            greeting = client.read_reply()
            client.send(b"\r\nRSET\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nQUIT\r\n")
            rest = client.read_until_closed()
            port = client.address[1]
        close = door.story(port)[-1]

        assert greeting.code == 220
        assert b"354" not in rest
        assert b"250 2.1" not in rest  # neither tarry's nor the sink's yes to MAIL or RCPT
        if opening != "QUIT":
            assert rest.count(b"550 5.7.1 ") >= 1
        assert (close["greeted"], close["mta"]) == (True, False)
        assert door.connections == []


def test_at_mail_tls_is_no_way_round_the_refusal(doors: Doors, tls_sink: TlsSink) -> None:
    """Inside TLS tarry would see no MAIL, so an early talker is refused at STARTTLS already, and the MTA is not opened."""
    with doors.use(AT_MAIL, sink=tls_sink.make) as door, door.client() as client:
        client.send(OPENINGS["EHLO"])
        assert [client.read_reply().code, client.read_reply().code] == [220, 250]

        assert client.command(b"STARTTLS").raw.startswith(b"550 5.7.1 ")
        assert client.command(b"MAIL FROM:<a@b.example>").code == 550
        assert door.connections == []


def test_at_mail_a_wrong_password_changes_nothing(doors: Doors) -> None:
    """Only who has logged in is no longer screened; AUTH is all that the MTA sees of an early talker who has not."""
    with doors.use(AT_MAIL) as door, door.client() as client:
        door.sink.play(Fault(at="AUTH", reply=b"535 5.7.8 no\r\n"))
        client.send(OPENINGS["EHLO"])
        codes = [client.read_reply().code for _ in range(2)]
        codes += [
            client.command(line).code for line in (b"AUTH PLAIN AGEAYg==", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>")
        ]

        assert codes == [220, 250, 535, 550, 550]
        assert [connection.verbs for connection in door.connections] == [["EHLO", "AUTH"]]


def test_at_mail_a_quiet_client_is_served(doors: Doors) -> None:
    """Who waits meets no difference."""
    with doors.use(AT_MAIL) as door, RawClient(door.tarry.port) as client:
        client.greeted()

        assert client.envelope() == [250, 250]
