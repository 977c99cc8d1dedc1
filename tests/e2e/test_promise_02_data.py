"""Promise 2, DATA: one message stays one message, whatever stands where an end of data could be and whatever the MTA believes."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.dialect import DIALECTS, SLOPPY, STRICT, Dialect, cutting
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

REJECT = '[smtp]\nbare_newline = "reject"\n'
GOOD = "good@client.example"
SMUGGLED = b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n"
SECOND = SMUGGLED.removesuffix(b"\r\n.\r\n")

ENDS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CR.CR": b"\r.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "CRLF.LFCR": b"\r\n.\n\r",
    "LFCR.LFCR": b"\n\r.\n\r",
    "LFLF.LFLF": b"\n\n.\n\n",
    "CRCR.CRCR": b"\r\r.\r\r",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "CRCRLF.CRCR": b"\r\r\n.\r\r",
    "CRLFLF.LF": b"\r\n\n.\n",
    "NUL before the dot": b"\r\n\0.\r\n",
    "NUL behind the dot": b"\r\n.\0\r\n",
    "NUL in the last line end": b"\r\n.\r\0\n",
    "NUL in the first line end": b"\r\0\n.\r\n",
    "NULs all over": b"\r\0\n\0.\0\r\0\n",
    "blank behind the dot": b"\r\n. \r\n",
    "tab behind the dot": b"\r\n.\t\r\n",
    "blank before the dot": b"\r\n .\r\n",
    "form feed behind the dot": b"\r\n.\x0c\r\n",
    "VT.VT": b"\x0b.\x0b",
    "FF.FF": b"\x0c.\x0c",
    "FS.FS": b"\x1c.\x1c",
    "GS.GS": b"\x1d.\x1d",
    "RS.RS": b"\x1e.\x1e",
    "NEL.NEL": b"\x85.\x85",
    "UTF-8 NEL.NEL": b"\xc2\x85.\xc2\x85",
    "U+2028": b"\xe2\x80\xa8.\xe2\x80\xa8",
    "U+2029": b"\xe2\x80\xa9.\xe2\x80\xa9",
    "CRLF.VT": b"\r\n.\x0b",
    "CRLF.NEL": b"\r\n.\x85",
    "dot with bit 8": b"\r\n\xae\r\n",
    "CR and LF with bit 8": b"\x8d\x8a.\x8d\x8a",
    "overlong UTF-8 dot": b"\r\n\xc0\xae\r\n",
    "stuffed twice": b"\r\n..\r\n",
    "LF..LF": b"\n..\n",
}
STARTS = {
    "dot and LF": b".\n",
    "dot and CR": b".\r",
    "dot and CRCRLF": b".\r\r\n",
    "dot, NUL and CRLF": b".\0\r\n",
    "dot, blank and CRLF": b". \r\n",
    "two dots": b"..\r\n",
    "LF and dot": b"\n.\r\n",
    "CR and dot": b"\r.\r\n",
    "NUL and dot": b"\0.\r\n",
}
STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
TRUSTING = {
    # What such an MTA takes for an end is legal in a message; tarry may not change it, so nobody can keep the promise there.
    "stripping": re.compile(rb"\n[ \0\r]"),  # tarry makes a blank of a stray CR or NUL
    "seven-bit": re.compile(rb"[\x8a\x8d\xae]"),
    "splitlines": re.compile(rb"[\x0b\x0c\x1c-\x1e\x85]|\xe2\x80"),
}
WHOLE = [
    pytest.param(end, dialect, id=f"{name}, {dialect.name}")
    for name, end in ENDS.items()
    for dialect in DIALECTS.values()
    if not (dialect.name in TRUSTING and TRUSTING[dialect.name].search(end))
]
SOME = (
    "LF.LF",
    "LF.CRLF",
    "CRLF.LF",
    "CR.CRLF",
    "CRLF.CRCRLF",
    "LFCR.LFCR",
    "NULs all over",
    "blank behind the dot",
    "stuffed twice",
)


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use() as door:
        yield door


@pytest.fixture
def rejecting(doors: Doors) -> Iterator[Door]:
    with doors.use(REJECT) as door:
        yield door


@pytest.fixture(scope="module")
def maildir() -> Iterator[Tarry]:
    with Tarry("[listen]\nmax_per_client = 0\n", wait="0s") as running:
        yield running


def send_message(door: Door, data: bytes, *, cut_at: int | None = None) -> list[int]:
    """Send one message and then QUIT; return the codes of all replies to them."""
    with door.in_data(GOOD) as client:
        if cut_at is not None:
            client.send(data[:cut_at])
            time.sleep(0.002)  # long enough for tarry to have read the first part alone
            data = data[cut_at:]
        client.send(data + b"\r\n.\r\n")
        codes = [client.read_reply().code]
        if codes == [250]:
            codes.append(client.command(b"QUIT").code)
        assert client.read_until_closed() == b""
    door.wait_closed()
    return codes


def check_one(door: Door, codes: list[int]) -> None:
    """The sink took one message, which holds what looked like a second; no line of the message was a command."""
    assert codes == [250, 221]
    (message,) = door.messages
    assert message.sender == GOOD.encode()
    assert b"smuggled@evil.example" in message.raw
    assert [connection.verbs for connection in door.connections] == [["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]]


@pytest.mark.parametrize(("end", "dialect"), WHOLE)
def test_what_is_no_end_of_data_ends_nothing(door: Door, end: bytes, dialect: Dialect) -> None:
    """Only CRLF.CRLF ends a message, in tarry and, by what tarry lets through, in an MTA that believes in other ends."""
    door.sink.dialect = dialect

    check_one(door, send_message(door, b"Subject: good\r\n\r\ngood" + end + SECOND))


@pytest.mark.parametrize("dialect", [STRICT, SLOPPY], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_dot_behind_the_354_is_held_to_the_same_rule(door: Door, start: bytes, dialect: Dialect) -> None:
    """The first line of a message has a line end before it by definition, and only .CRLF is the end."""
    door.sink.dialect = dialect

    check_one(door, send_message(door, start + SECOND))


@pytest.mark.parametrize("dialect", [STRICT, SLOPPY], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("name", SOME)
def test_packets_do_not_make_an_end(door: Door, name: str, dialect: Dialect) -> None:
    """The same bytes cut in two at every place mean the same."""
    door.sink.dialect = dialect
    before, end = b"good", ENDS[name]
    for cut_at in range(len(before), len(before) + len(end) + 2):
        door.begin()
        door.sink.dialect = dialect
        check_one(door, send_message(door, before + end + SECOND, cut_at=cut_at))


@pytest.mark.parametrize("cut_at", range(1, 5))
def test_the_true_end_is_found_however_it_is_cut(door: Door, cut_at: int) -> None:
    """CRLF.CRLF in two packets ends the message, and the command behind it is one."""
    with door.in_data(GOOD) as client:
        client.send(b"good" + b"\r\n.\r\n"[:cut_at])
        time.sleep(0.01)
        client.send(b"\r\n.\r\n"[cut_at:] + b"QUIT\r\n")

        assert [client.read_reply().code, client.read_reply().code] == [250, 221]
    assert [message.raw for message in door.messages] == [b"good\r\n"]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_true_end_begins_the_next_transaction(door: Door, length: int) -> None:
    """Two messages in one packet are two messages, each with its own reply: the strictness loses nothing."""
    body = b"x\r\n" * length
    with door.in_data(GOOD) as client:
        client.send(body + b".\r\n" + b"MAIL FROM:<second@client.example>\r\nRCPT TO:<b@example.org>\r\n")
        codes = [client.read_reply().code for _ in range(3)]
        codes.append(client.command(b"DATA").code)
        codes.append(client.command(body + b".").code)

    assert codes == [250, 250, 250, 354, 250]
    assert [(each.sender, each.raw) for each in door.messages] == [(GOOD.encode(), body), (b"second@client.example", body)]


@pytest.mark.parametrize(("name", "end"), [*ENDS.items(), *STARTS.items()], ids=[*ENDS, *STARTS])
def test_reject_refuses_stray_bytes_and_stores_nothing(rejecting: Door, name: str, end: bytes) -> None:
    """With bare_newline = "reject" a stray CR, LF or NUL gets one 5xx and the end; what is clean passes as one message."""
    rejecting.sink.dialect = SLOPPY if STRAY.search(end) else STRICT
    before = b"" if name in STARTS else b"good"
    codes = send_message(rejecting, before + end + SECOND)

    if STRAY.search(end):
        assert codes == [550]
        assert rejecting.messages == []
        assert b"smuggled" not in rejecting.received
        assert all(b"QUIT" not in connection.lines for connection in rejecting.connections)
    else:
        check_one(rejecting, codes)


PILED = b"DATA\r\n" + SMUGGLED + b"QUIT\r\n"


def test_a_message_that_is_sent_unasked_is_not_read_as_commands(door: Door) -> None:
    """A client that does not wait for the 354 is refused by default, and the session ends: its lines are nothing."""
    with door.client() as client:
        client.greeted()
        client.envelope(GOOD)
        client.send(PILED)
        reply = client.read_reply()

        assert (reply.code, client.read_until_closed()) == (550, b"")
    door.wait_closed()
    assert door.messages == []
    assert b"smuggled" not in door.received


def test_a_message_that_is_sent_unasked_is_one_message_where_that_is_let_pass(doors: Doors) -> None:
    """With the check off the MTA's 354 comes, what was piled in is the message up to its end, and what follows is a command."""
    with doors.use('[checks.predata]\naction = "ignore"\n') as door:
        with door.client() as client:
            client.greeted()
            client.envelope(GOOD)
            client.send(PILED)
            assert [client.read_reply().code for _ in range(3)] == [354, 250, 221]
        assert [(each.sender, each.raw) for each in door.messages] == [(GOOD.encode(), SMUGGLED.removesuffix(b".\r\n"))]


@pytest.mark.parametrize("before", [b"", b"MAIL FROM:<a@b.example>\r\n"], ids=["no MAIL", "no RCPT"])
def test_a_message_behind_a_refused_data_is_not_read_as_commands(doors: Doors, before: bytes) -> None:
    """DATA out of order with the message behind it: one 5xx and the end."""
    with doors.use('[checks.predata]\naction = "ignore"\n') as door:
        with door.client() as client:
            client.greeted()
            if before:
                client.command(before.removesuffix(b"\r\n"))
            client.send(PILED)
            reply = client.read_reply()
            assert (reply.code, client.read_until_closed()) == (503, b"")
        door.wait_closed()
        assert b"smuggled" not in door.received


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_maildir_gets_one_message_too(maildir: Tarry, end: bytes) -> None:
    """The embedded MTA is behind the same filter: one file, which holds all of it."""
    before = set(maildir.maildir.glob("new/*"))
    with RawClient(maildir.port) as client:
        client.greeted()
        client.envelope(GOOD)
        client.command(b"DATA")
        client.send(b"good" + end + SECOND + b"\r\n.\r\nQUIT\r\n")
        codes = [client.read_reply().code, client.read_reply().code]
    (path,) = set(maildir.maildir.glob("new/*")) - before

    assert codes == [250, 221]
    assert b"Return-Path: <" + GOOD.encode() + b">" in path.read_bytes()
    assert SECOND.splitlines()[0] in path.read_bytes()


LENGTHS = (*range(998, 1003), *range(1022, 1026), 2046, 2047, 2048, 2049, 4095, 4096, 8191, 8192, 16384, 32768, 65534, 65535, 65536)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_long_line_is_never_cut(door: Door, length: int) -> None:
    """However long the line before it, a dot at its end is text: tarry passes the line whole."""
    body = b"A" * length + b".\r\n" + SECOND
    codes = send_message(door, body)

    check_one(door, codes)
    assert [message.raw for message in door.messages] == [body + b"\r\n"]


@pytest.mark.parametrize("length", [998, 1000, 2048, 65536])
def test_the_long_lines_would_split_in_an_mta_that_cuts_them(door: Door, length: int) -> None:
    """The probe of the test above is a real one: an MTA with a line buffer of that size sees two messages."""
    door.sink.dialect = cutting(length)
    with door.in_data(GOOD) as client:
        client.send(b"A" * length + b".\r\n" + SMUGGLED)
        client.read_for(0.05)
    door.wait_closed()

    assert GOOD.encode() == door.messages[0].sender
    assert door.messages[0].raw == b"A" * length
