"""The wait before the greeting: how long, who talks or leaves in it, and what is recorded of that."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e.servers.ahead import Ahead
from tests.e2e.servers.clients import RawClient, Reply
from tests.e2e.servers.crowd import Crowd
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LATE = 3.0  # seconds that a busy machine may add
ATTEMPTS = 5  # where it was too slow to speak in time


@pytest.fixture(scope="module")
def long_hold() -> Iterator[Tarry]:
    with Tarry("[listen]\nmax_per_client = 0", wait="30s") as running:
        yield running


@pytest.fixture(scope="module")
def short_hold() -> Iterator[Tarry]:
    with Tarry(wait="0.6s") as running:
        yield running


# How long


def test_a_range_is_drawn_anew_for_each_client() -> None:
    """Thirty clients wait thirty different times, all within the range, and nobody less than was drawn for it."""
    with Tarry("[listen]\nmax_per_client = 0", wait="0.3s..0.9s") as tarry:
        with Crowd(tarry.port, 30):
            greeted = {each["id"]: each["held"] for each in tarry.wait_records(30, ev="greet")}
        drawn = {each["id"]: each["wait"] for each in tarry.records(ev="connect")}

    assert all(0.3 <= wait <= 0.9 for wait in drawn.values())
    assert len(set(drawn.values())) >= 25  # of 600 possible milliseconds
    assert max(drawn.values()) - min(drawn.values()) > 0.2
    assert all(drawn[name] - 0.001 <= held <= drawn[name] + LATE for name, held in greeted.items())


def test_a_fixed_wait_is_the_same_for_everybody(short_hold: Tarry) -> None:
    """No client is greeted before it, by the client's own clock."""
    with ExitStack() as stack:
        many = [stack.enter_context(RawClient(short_hold.port)) for _ in range(10)]
        waits = [client.read_reply().at - client.connected_at for client in many]

    assert all(0.59 <= wait <= 0.6 + LATE for wait in waits)


def test_nothing_is_said_before_the_greeting(long_hold: Tarry) -> None:
    """A held client hears nothing at all."""
    with RawClient(long_hold.port) as client:
        assert client.read_for(0.5) == b""


def test_a_teaser_is_sent_at_once_and_the_last_line_after_the_hold() -> None:
    """The greeting is one reply in two parts; who takes the first for the whole is an early talker."""
    config = '[hold]\nteaser = "please wait"\nwait = "0.6s"'
    with Tarry(config) as tarry, RawClient(tarry.port) as patient, RawClient(tarry.port) as hasty:
        assert b"220-please wait\r\n" == hasty.sock.recv(100)
        assert time.monotonic() - hasty.connected_at < 0.5
        hasty.send(b"EHLO hasty\r\n")
        greeting = patient.read_reply()
        refusal = hasty.read_reply()

    assert (220, 2, b"please wait") == (greeting.code, len(greeting.lines), greeting.lines[0])
    assert greeting.at - patient.connected_at >= 0.59
    assert 554 == refusal.code


# Who talks


def test_bytes_in_the_last_milliseconds_are_early(short_hold: Tarry) -> None:
    """Whoever speaks 50 ms to 5 ms before the greeting is due is refused like one that spoke at once."""

    def speak(before: float) -> tuple[bool, Reply]:
        with RawClient(short_hold.port) as client:
            due = client.connected_at + 0.6  # tarry accepts after this, so the greeting is due later still
            time.sleep(max(0.0, due - before - time.monotonic()))
            client.send(b"EHLO early\r\n")
            return client.has_arrived(due), client.read_reply()

    for _ in range(ATTEMPTS):
        with ThreadPoolExecutor(10) as pool:
            told = list(pool.map(speak, [count * 0.005 for count in range(1, 11)]))
        if in_time := [reply for arrived, reply in told if arrived]:
            break

    assert in_time, "the machine is too slow to speak in time"
    assert {554} == {reply.code for reply in in_time}
    early = [short_hold.wait_records(1, ev="close", id=reply.id)[0]["early"] for reply in in_time]
    assert max(early) > 0.54


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"EHLO x\r\n", "spoke"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "tls"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http"),
        (b"PROXY TCP4 10.9.8.7 10.0.0.1 1 25\r\n", "proxy"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "proxy"),
        (b"\0", "spoke"),
        (b"A" * 500_000, "spoke"),
    ],
    ids=["SMTP", "TLS", "HTTP", "PROXY v1", "PROXY v2", "NUL", "much"],
)
def test_an_early_talker_gets_one_reply_at_once(first: bytes, code: str, long_hold: Tarry) -> None:
    """One whole 554 and the end, long before the hold is over, and a reason that says what kind of talker it is."""
    with RawClient(long_hold.port) as client:
        client.send(first)
        reply = client.read_reply()
        rest = client.read_until_closed()
        port = client.address[1]
    (close,) = long_hold.wait_records(1, ev="close", port=port)

    assert (554, b"") == (reply.code, rest)
    assert reply.at - client.connected_at < 10
    assert [f"pregreet.{code}"] == close["reasons"]
    assert (False, "reject") == (close["greeted"], close["action"])
    assert close["early"] < 10


# Action, what an early talker is told: before the greeting, at MAIL, at RCPT.
ACTIONS = {
    ("ignore", "connect"): [220, 250, 250],
    ("tag", "connect"): [220, 250, 250],
    ("delay", "connect"): [220, 250, 250],
    ("defer", "connect"): [421],
    ("reject", "connect"): [554],
    ("drop", "connect"): [521],
    ("defer", "mail"): [220, 450, 450],
    ("reject", "mail"): [220, 550, 550],
    ("drop", "mail"): [220, 521],
    ("defer", "rcpt"): [220, 250, 450],
    ("reject", "rcpt"): [220, 250, 550],
    ("drop", "rcpt"): [220, 250, 521],
}


@pytest.fixture(scope="module")
def become() -> Iterator[Ahead[tuple[str, str], tuple[list[int], bool]]]:
    with Ahead(become_of, ACTIONS) as ahead:
        yield ahead


@pytest.mark.parametrize(("action", "at"), ACTIONS)
def test_what_becomes_of_an_early_talker(action: str, at: str, become: Ahead[tuple[str, str], tuple[list[int], bool]]) -> None:
    """Each action is carried out at the phase that the operator names, with its own reply; a refusal is the end."""
    codes, has_ended = become.of((action, at))

    assert ACTIONS[action, at] == codes
    assert has_ended == (codes[-1] in (521, 421, 554))


def become_of(case: tuple[str, str]) -> tuple[list[int], bool]:
    """Return what an early talker is told, and whether it is cut off."""
    action, at = case
    config = f'[checks.pregreet]\naction = "{action}"\nat = "{at}"\n[delay]\ntarget = "0.5s"'
    with Tarry(config, wait="0.2s") as tarry, RawClient(tarry.port) as client:
        client.send(b"EHLO early\r\n")
        codes = [client.read_reply().code]
        if codes == [220]:
            assert client.read_reply().code == 250
            for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"):
                codes.append(client.command(line).code)
                if codes[-1] == 521:
                    break
        return codes, codes[-1] in (521, 421, 554) and client.read_until_closed() == b""


@pytest.mark.parametrize(("end_early", "action"), [(True, "reject"), (False, "reject"), (False, "tag")])
def test_end_early_says_when_a_talker_is_sent_away(end_early: bool, action: str) -> None:
    """At once when it is on; off, a talker waits as long as anyone and learns nothing of having been noticed."""
    config = f'[hold]\nend_early = {str(end_early).lower()}\n[checks.pregreet]\naction = "{action}"'
    with Tarry(config, wait="4s" if end_early else "1s") as tarry, RawClient(tarry.port) as client:
        client.send(b"EHLO early\r\n")
        reply = client.read_reply()
        took = reply.at - client.connected_at

    assert (554 if action == "reject" else 220) == reply.code
    assert took < 3.9 if end_early else took >= 0.99


def test_observing_lets_everybody_through_and_tells_what_would_have_been() -> None:
    """With --observe an early talker, a talker before 354 and a non-SMTP line are recorded and served."""
    with Tarry(arguments=["--observe"], wait="0.3s") as tarry:
        with RawClient(tarry.port) as client:
            client.send(b"EHLO early\r\n")
            codes = [client.read_reply().code for _ in range(2)]
            codes += client.envelope()
            client.send(b"DATA\r\nSubject: unasked\r\n\r\nx\r\n.\r\n")
            codes += [client.read_reply().code for _ in range(2)]
            codes.append(client.command(b"GET / HTTP/1.0").code)
            codes.append(client.command(b"QUIT").code)
            client.read_until_closed()
        (close,) = tarry.wait_records(1, ev="close")
        verdicts = tarry.records(ev="verdict")

    assert [220, 250, 250, 250, 354, 250, 500, 221] == codes
    assert {"pregreet.spoke", "predata.spoke", "non_smtp.http"} <= set(close["reasons"])
    assert (True, "drop", 1) == (close["observed"], close["action"], close["messages"])
    assert {True} == {each["observed"] for each in verdicts}
    assert {"reject", "drop"} == {each["action"] for each in verdicts}


# Who leaves


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_departure_during_the_hold_is_recorded_at_once(how: str, long_hold: Tarry) -> None:
    """The time at which a held client hangs up is in the record at once, although a FIN does not end its hold."""
    client = RawClient(long_hold.port)
    port = client.address[1]
    time.sleep(0.7)
    gone_at = time.monotonic() - client.connected_at
    client.close() if how == "fin" else client.reset()
    (connect,) = long_hold.wait_records(1, ev="connect", port=port)
    (hangup,) = long_hold.wait_records(1, ev="hangup", id=connect["id"])

    assert ("hold", how) == (hangup["phase"], hangup["how"])
    assert gone_at - 0.1 <= hangup["dt"] <= gone_at + LATE
    if how == "reset":
        (close,) = long_hold.wait_records(1, ev="close", id=connect["id"])
        assert ("client", hangup["dt"], hangup["dt"]) == (close["ended"], close["hangup"], close["held"])


def test_a_half_closed_client_is_still_held_and_served(short_hold: Tarry) -> None:
    """It hears its greeting after the hold, and the end, since it can say nothing any more."""
    with RawClient(short_hold.port) as client:
        client.half_close()
        greeting = client.read_reply()
        rest = client.read_until_closed()
        port = client.address[1]
    (close,) = short_hold.wait_records(1, ev="close", port=port)

    assert (220, b"") == (greeting.code, rest)
    assert greeting.at - client.connected_at >= 0.59
    assert close["hangup"] < 0.5
    assert ("client", True) == (close["ended"], close["greeted"])


def test_a_talker_that_has_hung_up_is_both(long_hold: Tarry) -> None:
    """Bytes and FIN in one segment: early talk first, refused, whole."""
    with RawClient(long_hold.port) as client:
        client.send(b"EHLO x\r\nQUIT\r\n")
        client.half_close()

        assert client.read_until_closed().startswith(b"554 5.7.1 You spoke before the greeting")
