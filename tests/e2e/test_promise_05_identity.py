"""Promise 5: a client cannot choose its address. Nothing that names one to the MTA is offered or gets through."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.servers import proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.sink import Sink

pytestmark = pytest.mark.e2e

REJECT = '[smtp]\nbare_newline = "reject"\n'
# The checks that end a session are off, so that the attack goes as far as it can.
PATIENT = "".join(f'[checks.{name}]\naction = "ignore"\n' for name in ("many_errors", "non_smtp", "pregreet", "predata"))
EVIL = re.compile(rb"(?i)10\.9\.8\.7|xclient|xforward|proxy|\x0a\x09\x08\x07")
V2 = proxyheader.v2(("10.9.8.7", 1), ("10.0.0.1", 25))

COMMANDS = {
    "XCLIENT": b"XCLIENT ADDR=10.9.8.7",
    "XCLIENT in lower case": b"xclient addr=10.9.8.7",
    "XCLIENT in mixed case": b"XcLiEnT NAME=evil ADDR=10.9.8.7",
    "XCLIENT and tab": b"XCLIENT\tADDR=10.9.8.7",
    "XCLIENT alone": b"XCLIENT",
    "XFORWARD": b"XFORWARD ADDR=10.9.8.7 SOURCE=LOCAL",
    "XFORWARD in lower case": b"xforward addr=10.9.8.7",
    "XCLIENT6": b"XCLIENT ADDR=IPV6:::1 LOGIN=root 10.9.8.7",
    "PROXY v1": b"PROXY TCP4 10.9.8.7 10.0.0.1 1 25",
    "PROXY v1 in lower case": b"proxy tcp4 10.9.8.7 10.0.0.1 1 25",
    "PROXY v2": V2,
}
BEFORE = {
    "alone": b"",
    "behind a blank": b" ",
    "behind a tab": b"\t",
    "behind a NUL": b"\0",
    "behind a BOM": b"\xef\xbb\xbf",
    "behind a bare LF": b"NOOP\n",
    "behind a bare CR": b"NOOP\r",
    "behind an empty line": b"\r\n",
    "behind a NUL line end": b"NOOP\r\0\n",
    "behind a pipelined RSET": b"RSET\r\n",
    "behind a form feed": b"\x0c",
}
WHEN = {
    "at once": (),
    "in a session": (b"EHLO a", b"MAIL FROM:<a@b.example>"),
}


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use(PATIENT) as door:
        yield door


def check_nothing_came(door: Door) -> None:
    door.wait_closed()
    assert EVIL.search(door.received) is None, door.received
    assert [connection.xclient for connection in door.connections if connection.xclient] == []


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_client_cannot_name_itself(door: Door, command: str, before: str, when: str) -> None:
    """In any form the command is refused, answered by tarry alone, and no byte of it reaches the MTA."""
    with door.client() as client:
        client.read_reply()
        for line in WHEN[when]:
            client.command(line)
        client.send(BEFORE[before] + COMMANDS[command] + b"\r\n" + b"RSET\r\nQUIT\r\n")
        answers = client.read_until_closed()

    assert not re.search(rb"(?m)^220", answers)
    assert re.search(rb"(?m)^5[0-9][0-9] ", answers)
    check_nothing_came(door)


@pytest.mark.parametrize("before", ["behind a bare LF", "behind a bare CR", "behind a NUL line end"])
@pytest.mark.parametrize("command", ["XCLIENT", "XFORWARD", "PROXY v1"])
def test_a_strict_door_reads_no_command_behind_a_stray_byte(doors: Doors, command: str, before: str) -> None:
    """With bare_newline = "reject" such a line is one error; behind a bare LF nothing more is read."""
    with doors.use(REJECT + PATIENT) as door:
        with door.client() as client:
            client.greeted()
            client.send(BEFORE[before] + COMMANDS[command] + b"\r\nQUIT\r\n")
            codes = [int(line[:3]) for line in client.read_until_closed().splitlines()]
        check_nothing_came(door)

    assert codes == ([500, 221] if before == "behind a bare CR" else [500])


@pytest.mark.parametrize("where", [0, 1, 2])
def test_nothing_of_it_is_offered(door: Door, where: int) -> None:
    """EHLO names neither XCLIENT, XFORWARD nor PIPECONNECT, before and while the MTA, which offers all three, is open."""
    with door.client() as client:
        client.greeted()
        for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>")[:where]:
            client.command(line)
        offered = client.command(b"EHLO again").text.upper()

    assert not re.search(rb"XCLIENT|XFORWARD|CONNECT", offered)


TAILS = (*range(2030, 2064), 511, 512, 1000, 1023, 1024, 4095, 4096, 4097, 8192, 16384, 32768, 65535, 65536, 65537, 131072)


@pytest.mark.parametrize("length", TAILS)
def test_the_tail_of_a_long_line_is_no_command(door: Door, length: int) -> None:
    """However long a line is, its tail belongs to it; a line beyond the limit is one 421 and the end."""
    tail = b"XCLIENT ADDR=10.9.8.7\r\n"
    with door.client() as client:
        client.greeted()
        client.send(b"B" * length + tail + b"MAIL FROM:<a@b.example>\r\n" + b"QUIT\r\n")
        codes = [int(line[:3]) for line in client.read_until_closed().splitlines()]

    assert codes == ([500, 250, 221] if length + len(tail) <= 2048 else [421])
    check_nothing_came(door)


@pytest.mark.parametrize("payload", [*COMMANDS.values()], ids=[*COMMANDS])
@pytest.mark.parametrize("state", ["no MAIL", "no RCPT"])
def test_the_octets_of_a_refused_chunk_are_no_command(door: Door, payload: bytes, state: str) -> None:
    """A BDAT that is refused hides nothing: before MAIL its octets do not go to the MTA, behind MAIL only as counted octets."""
    octets = payload + b"\r\n"
    with door.client() as client:
        client.greeted()
        if state == "no RCPT":
            client.command(b"MAIL FROM:<a@b.example>")
        client.send(b"BDAT %d LAST\r\n" % len(octets) + octets + b"QUIT\r\n")

        assert [client.read_reply().code, client.read_reply().code] == [503, 221]
    door.wait_closed()
    assert not any(EVIL.search(line) for line in door.lines)
    if state == "no MAIL":
        assert EVIL.search(door.received) is None


@pytest.mark.parametrize("start", [b"AUTH LOGIN", b"AUTH PLAIN"])
@pytest.mark.parametrize("line", [b"x\nXCLIENT ADDR=1", b"x\rXCLIENT ADDR=1", b"x\0XCLIENT ADDR=1", b"\nXCLIENT"])
def test_an_auth_exchange_hides_no_second_line(door: Door, start: bytes, line: bytes) -> None:
    """A continuation with a stray byte in it ends the session: the two ends might differ on where the next line begins."""
    with door.client() as client:
        client.greeted()
        assert client.command(start).code == 334
        client.send(line + b"\r\nMAIL FROM:<a@b.example>\r\n")
        codes = [int(reply[:3]) for reply in client.read_until_closed().splitlines()]

    assert codes == [500]
    check_nothing_came(door)


def test_an_auth_continuation_is_a_line_of_auth_and_nothing_else(door: Door) -> None:
    """XCLIENT in place of a base64 line is passed as the answer to the 334 and judged as such by the MTA."""
    with door.client() as client:
        client.greeted()
        client.command(b"AUTH PLAIN")
        assert client.command(b"XCLIENT ADDR=10.9.8.7").code == 501
        assert client.command(b"XCLIENT ADDR=10.9.8.7").code == 500
    door.wait_closed()
    assert [connection.xclient for connection in door.connections if connection.xclient] == []


@pytest.mark.parametrize("name", [b"a ADDR=10.9.8.7", b"a\tXCLIENT", b"[10.9.8.7]", b"a\r\nXCLIENT ADDR=10.9.8.7"])
def test_a_helo_name_adds_nothing(door: Door, name: bytes) -> None:
    """What the client calls itself is passed as one EHLO line, as any MTA would get it."""
    with door.client() as client:
        client.read_reply()
        client.send(b"EHLO " + name + b"\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n")
        client.read_until_closed()
    door.wait_closed()

    (connection,) = door.connections
    assert connection.lines[0] == b"EHLO " + name.split(b"\r\n")[0]
    assert connection.xclient == []
    assert "XCLIENT" not in connection.verbs


@pytest.mark.parametrize("cut_every", [1, 7])
def test_the_session_goes_on_at_the_true_address(doors: Doors, cut_every: int) -> None:
    """After all these attempts the MTA still knows the client by its own address."""
    with doors.use(PATIENT, announce="proxy-v2", sink=_proxied) as door:
        with RawClient(door.tarry.port, source="127.9.8.7") as client:
            client.greeted()
            for command in COMMANDS.values():
                if command != V2:  # it holds a QUIT
                    client.send(command + b"\r\n", cut_every=cut_every)
            client.send(b"MAIL FROM:<a@b.example>\r\nQUIT\r\n")
            client.read_until_closed()
            address = client.address
        (connection,) = door.connections

    assert connection.proxy is not None
    assert connection.proxy.client == address


def _proxied() -> Sink:
    return Sink(proxy=True)
