"""What each check of the conversation finds, and what each action makes of it at each phase."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ACTIONS = ("ignore", "tag", "delay", "defer", "reject", "drop")
REFUSAL = {"defer": 450, "reject": 550, "drop": 521}
LIMIT = 2  # errors
HELD = 1.2


def piled(client: RawClient) -> None:
    client.send(b"NOOP\r\nNOOP\r\n")


def bare(client: RawClient) -> None:
    client.send(b"NOOP\n")


def http(client: RawClient) -> None:
    client.send(b"GET / HTTP/1.0\r\n")


def errors(client: RawClient) -> None:
    for _ in range(LIMIT):
        assert client.command(b"XYZZY").code == 500
    client.send(b"XYZZY\r\n")


# What a client does after its EHLO to be found, and the reason for it.
TRIGGERS: dict[str, tuple[Callable[[RawClient], None], str]] = {
    "pipelining": (piled, "pipelining.group"),
    "bare_newline": (bare, "bare_newline.command"),
    "non_smtp": (http, "non_smtp.http"),
    "many_errors": (errors, "many_errors.limit"),
}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def config(action: str, at: str = "") -> str:
    place = f'at = "{at}"\n' if at else ""
    tables = "".join(f'[checks.{check}]\naction = "{action}"\n{place}' for check in TRIGGERS if check != "many_errors")
    return f'{tables}[checks.many_errors]\naction = "{action}"\nlimit = {LIMIT}\n{place}[delay]\ntarget = "{HELD}s"\n'


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a client: the code of each command after it was found, how long RCPT took, all it heard, its last record."""

    codes: dict[str, int]
    held: float
    said: bytes
    close: dict[str, Any]


@pytest.fixture(scope="module", params=ACTIONS)
def acting(request: pytest.FixtureRequest, sink: Sink) -> tuple[str, dict[str, Found]]:
    """What a tarry does in which every check has the same action, to be carried out where the reason was found."""
    return request.param, found_by(config(request.param), sink)


@pytest.fixture(scope="module", params=["mail", "rcpt", "data"])
def refusing_at(request: pytest.FixtureRequest, sink: Sink) -> tuple[str, dict[str, Found]]:
    """The same with the action reject, to be carried out at a later phase."""
    return request.param, found_by(config("reject", request.param), sink)


@pytest.fixture(scope="module", params=["mail", "rcpt", "data"])
def dropping_at(request: pytest.FixtureRequest, sink: Sink) -> tuple[str, dict[str, Found]]:
    return request.param, found_by(config("drop", request.param), sink)


def found_by(text: str, sink: Sink) -> dict[str, Found]:
    """Let a client of each kind come to a tarry of that configuration, all at the same time."""
    with Tarry(text, backend=sink.port, wait="0.02s") as tarry, ThreadPoolExecutor(len(TRIGGERS)) as pool:
        return dict(zip(TRIGGERS, pool.map(lambda check: be_found(tarry, check), TRIGGERS), strict=True))


def be_found(tarry: Tarry, check: str) -> Found:
    trigger, _ = TRIGGERS[check]
    with RawClient(tarry.port) as client:
        client.greeted()
        trigger(client)
        codes, held = go_on(client)
        said = bytes(client.received)
        port = client.address[1]
    (close,) = tarry.wait_records(1, ev="close", port=port)
    return Found(codes, held, said, close)


def go_on(client: RawClient) -> tuple[dict[str, int], float]:
    """Read what is still due, then say MAIL, RCPT and DATA; return the code of each until the end, and how long RCPT took."""
    codes, held = {}, 0.0
    try:
        client.read_for(0.15)
        for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA"):
            began = time.monotonic()
            reply = client.command(line)
            codes[line[:4].decode().strip()] = reply.code
            if line.startswith(b"RCPT"):
                held = reply.at - began
    except (ConnectionError, BrokenPipeError):
        pass
    return codes, held


@pytest.mark.parametrize("check", TRIGGERS)
def test_each_action_of_each_check(check: str, acting: tuple[str, dict[str, Found]]) -> None:
    """ignore and tag serve, delay holds RCPT, defer and reject refuse from here on, drop says one 521 and ends."""
    action, found = acting[0], acting[1][check]
    codes = found.codes

    assert TRIGGERS[check][1] in found.close["reasons"]
    assert action == found.close["action"]
    if action == "drop":
        assert {} == codes
        assert found.said.count(b"521 ") == 1
    elif action in REFUSAL:
        assert {"MAIL": REFUSAL[action], "RCPT": REFUSAL[action]} == {verb: codes[verb] for verb in ("MAIL", "RCPT")}
        assert codes["DATA"] // 100 in (4, 5)
    else:
        assert {"MAIL": 250, "RCPT": 250, "DATA": 354} == codes
        assert found.held >= HELD - 0.5 if action == "delay" else found.held < HELD - 0.5


@pytest.mark.parametrize("check", TRIGGERS)
def test_a_refusal_may_wait_for_its_phase(check: str, refusing_at: tuple[str, dict[str, Found]]) -> None:
    """Found early, refused at MAIL, RCPT or DATA: before that the client is served as if nothing had been found."""
    refused = {"mail": 0, "rcpt": 1, "data": 2}[refusing_at[0]]
    codes = list(refusing_at[1][check].codes.values())

    assert [250, 250][:refused] == codes[:refused]
    assert all(code // 100 == 5 for code in codes[refused:])
    assert 550 == codes[refused]


@pytest.mark.parametrize("check", TRIGGERS)
def test_a_drop_may_wait_for_its_phase(check: str, dropping_at: tuple[str, dict[str, Found]]) -> None:
    """The 521 is the last word, and it comes at the phase named."""
    at, found = dropping_at

    assert {"mail": [521], "rcpt": [250, 521], "data": [250, 250, 521]}[at] == list(found[check].codes.values())


FIRST_LINES = {
    b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n": ["pipelining.early"],
    b"HELO x\r\nNOOP\r\n": ["pipelining.early"],
    b"RSET\r\nMAIL FROM:<a@b.example>\r\n": ["pipelining.early"],
    b"\r\n": [],
    b"Subject: hello\r\n": ["non_smtp.header"],
    b"=?utf-8?q?spam?=\r\n": ["non_smtp.text"],
    b"POST /x HTTP/1.1\r\n": ["non_smtp.http"],
    b"MIAL FROM:<a@b.example>\r\n": [],
    b"NOOP\0\r\n": ["bare_newline.command"],
    b"NO\rOP\r\n": ["bare_newline.command"],
}


def test_what_is_found_in_a_first_line(sink: Sink) -> None:
    """Each kind of line has its code; an empty line and a slip of the keyboard are no reason."""

    def reasons(said: bytes) -> list[str]:
        with RawClient(tarry.port) as client:
            client.read_reply()
            client.send(said)
            client.read_for(0.1)
            port = client.address[1]
            client.reset()
        (close,) = tarry.wait_records(1, ev="close", port=port)
        return list(close["reasons"])

    text = "[listen]\nmax_per_client = 0\n" + config("tag")
    with Tarry(text, backend=sink.port, wait="0.02s") as tarry, ThreadPoolExecutor(len(FIRST_LINES)) as pool:
        assert FIRST_LINES == dict(zip(FIRST_LINES, pool.map(reasons, FIRST_LINES), strict=True))


def test_a_pipelined_group_is_no_reason(sink: Sink) -> None:
    """RFC 2920: MAIL and RCPTs in one group, DATA at its end, and what follows the dot in the same segment."""
    with Tarry(config("drop"), backend=sink.port, wait="0.02s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.send(b"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n")
        codes = [client.read_reply().code for _ in range(5)]
        client.send(b"x\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 3\r\nxyzBDAT 3 LAST\r\nzyxQUIT\r\n")
        codes += [client.read_reply().code for _ in range(6)]

    assert [250, 250, 250, 250, 354, 250, 250, 250, 250, 250, 221] == codes
    assert [True, True] == [message.accepted for message in sink.messages[-2:]]


def test_weights_add_up_to_an_action_at_rcpt(sink: Sink) -> None:
    """Two tags with weights reach score.reject together, and neither does alone."""
    text = "[checks.pipelining]\nweight = 2\n[checks.bare_newline]\nweight = 3\n[score]\ndelay = 0\nreject = 5\n"
    outcome = []
    with Tarry(text, backend=sink.port, wait="0.02s") as tarry:
        for triggers in ([piled], [bare], [piled, bare]):
            with RawClient(tarry.port) as client:
                client.greeted()
                for trigger in triggers:
                    trigger(client)
                    client.read_for(0.1)
                outcome.append(list(go_on(client)[0].values())[:2])

    assert [[250, 250], [250, 250], [250, 550]] == outcome


def test_an_operators_own_reply_is_what_the_client_hears(sink: Sink) -> None:
    """The text of checks.*.reply, with the session's facts in it."""
    text = '[checks.non_smtp]\nreply = "554 5.7.1 {client} said {reason}, ask with {id}"'
    with Tarry(text, backend=sink.port, wait="0.02s") as tarry, RawClient(tarry.port, source="127.9.8.7") as client:
        client.greeted()
        reply = client.command(b"GET / HTTP/1.0")
        client.close()
        (close,) = tarry.wait_records(1, ev="close")

    assert f"554 5.7.1 127.9.8.7 said non_smtp.http, ask with {close['id']}\r\n".encode() == reply.raw
