"""Promise 3: legal mail passes byte for byte; where header lines are inserted, they are whole lines before an identical rest."""

import random
import re
from collections.abc import Iterator
from email import message_from_bytes

import pytest

from tests.e2e.servers import clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

INSERT = "[headers]\ninsert = true\n"
INSERTED = re.compile(rb"(?:X-Tarry-Reasons: [!-~ ]{1,900}\r\n)")
HEADER = b"From: <a@client.example>\r\nSubject: hello\r\n"

BODIES = {
    "empty message": b"",
    "one line": b"hello\r\n",
    "no body": HEADER,
    "no header": b"\r\nbody only\r\n",
    "empty lines": b"\r\n" * 50,
    "header and body": HEADER + b"\r\nHello.\r\n",
    "a lone dot": HEADER + b"\r\n.\r\nafter\r\n",
    "only a dot": b".\r\n",
    "many dots": b".\r\n..\r\n...\r\n....\r\n.\r\n",
    "dots before text": b".hello\r\n..hello\r\n. hello\r\n.\tx\r\n",
    "dots after text": b"hello.\r\nhello..\r\n",
    "dots in the last line": b"hello\r\n...\r\n",
    "looks like commands": b"QUIT\r\nRSET\r\nMAIL FROM:<x@y.example>\r\nDATA\r\n.\r\nQUIT\r\n",
    "looks like BDAT": b"BDAT 10 LAST\r\n0123456789\r\n",
    "looks like replies": b"250 Ok\r\n354 go\r\n421 bye\r\n",
    "looks like a PROXY header": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    "looks like the inserted header": b"X-Tarry-Reasons: none; client=[10.0.0.1]:1; id=0\r\n" + HEADER,
    "line of 998": b"x" * 998 + b"\r\n",
    "line of 999": b"x" * 999 + b"\r\n",
    "line of 65,536": b"x" * 65536 + b"\r\n",
    "line of a megabyte": b"x" * (1 << 20) + b"\r\n",
    "line of dots": b"." * 5000 + b"\r\n",
    "every byte of 8 bits": bytes(each for each in range(1, 256) if each not in b"\r\n") + b"\r\n",
    "8-bit line ends": b"a\x85b\xc2\x85c\xe2\x80\xa8d\x0be\x0cf\x1cg\x8d\x8ah\r\n\xae\r\n",
    "UTF-8": "Subject: Größe Ω 漢字 🙂\r\n\r\nτέλος\r\n".encode(),
    "broken UTF-8": b"\xff\xfe\xc0\xae\xed\xa0\x80\r\n",
    "blanks at line ends": b"hello \r\nhello\t\r\n \r\n\t\r\n   .\r\n",
    "continued header": b"Subject: a\r\n b\r\n\tc\r\n\r\nx\r\n",
    "a dot at each block's edge": (b"x" * 4093 + b"\r\n.") * 20 + b"\r\n",
    "short lines": b"x\r\n.\r\n" * 5000,
    "mbox From": b"From x\r\n>From y\r\n\r\nFrom z\r\n",
    "1 MB": HEADER + b"\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * (1 << 14),
    "5 MB": HEADER + b"\r\n" + (b".0123456789abcde" * 4 + b"\r\n") * (5 << 14),
}
ODD = {
    "bare LF": b"a\nb\n.\n",
    "bare CR": b"a\rb\r.\r",
    "NUL": b"a\0b",
    "end of data": b"a\r\n.\r\nQUIT\r\n",
    "no line end": b"abc",
}
SEEDS = range(30)


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use() as door:
        yield door


@pytest.fixture
def inserting(doors: Doors) -> Iterator[Door]:
    with doors.use(INSERT) as door:
        yield door


@pytest.fixture(scope="module")
def maildir() -> Iterator[Tarry]:
    with Tarry("[listen]\nmax_per_client = 0\n", wait="0s") as running:
        yield running


def random_body(seed: int) -> bytes:
    """Lines of bytes that tend to be dots, blanks and 8-bit ones, with legal line ends."""
    chance = random.Random(seed)
    alphabet = [*b"..... \tab", *range(0x80, 0x100), *range(1, 9)]
    return b"".join(
        bytes(chance.choices(alphabet, k=int(chance.expovariate(0.05)))) + b"\r\n" for _ in range(chance.randrange(200))
    )


def stuffed(body: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"..", body)


def send_data(client: RawClient, body: bytes, cut_every: int | None = None) -> int:
    assert client.command(b"DATA").code == 354
    client.send(stuffed(body) + b".\r\n", cut_every=cut_every)
    return client.read_reply().code


def send_chunks(client: RawClient, body: bytes, sizes: list[int]) -> list[int]:
    """Send *body* in chunks of *sizes* octets and a last one of what is left."""
    codes = []
    for size in sizes:
        client.send(b"BDAT %d\r\n" % len(body[:size]) + body[:size])
        codes.append(client.read_reply().code)
        body = body[size:]
    client.send(b"BDAT %d LAST\r\n" % len(body) + body)
    return [*codes, client.read_reply().code]


def deliver(door: Door, via: str, body: bytes, *, cut_every: int | None = None, sizes: tuple[int, ...] = ()) -> bytes:
    """Send *body* and return what the sink took for the message."""
    with door.client(timeout=30) as client:
        client.greeted()
        assert client.envelope() == [250, 250]
        if via == "DATA":
            assert send_data(client, body, cut_every) == 250
        else:
            assert set(send_chunks(client, body, list(sizes))) == {250}
        assert client.command(b"QUIT").code == 221
    (message,) = door.messages
    assert message.via == via
    return message.text


@pytest.mark.parametrize("via", ["DATA", "BDAT"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_nasty_mail_passes_byte_for_byte(door: Door, via: str, body: bytes) -> None:
    """What the sender wrote is what the MTA reads."""
    # Not compared within the assertion: pytest takes minutes to explain a difference of 5 MB.
    same = deliver(door, via, body) == body

    assert same


@pytest.mark.parametrize("via", ["DATA", "BDAT"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_mail_passes_byte_for_byte(door: Door, via: str, seed: int) -> None:
    """Any body of legal lines arrives as it was, in packets and chunks of any size."""
    body = random_body(seed)
    chance = random.Random(seed)
    sizes = tuple(chance.randrange(0, 300) for _ in range(chance.randrange(6)))
    same = deliver(door, via, body, cut_every=chance.choice([None, 7, 100, 1460]), sizes=sizes) == body

    assert same


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_octets_of_bdat_are_opaque(door: Door, body: bytes) -> None:
    """BINARYMIME: what no line can hold passes in a chunk."""
    assert deliver(door, "BDAT", body) == body


def test_a_dot_that_the_sender_did_not_stuff_reads_as_the_mta_would_read_it(door: Door) -> None:
    """RFC 5321 §4.5.2: a line that begins with a dot and more text loses the dot, once."""
    with door.in_data() as client:
        client.send(b".hello\r\n..hello\r\n. \r\n.\r\n")
        assert client.read_reply().code == 250
    assert [message.text for message in door.messages] == [b"hello\r\n.hello\r\n \r\n"]


def test_the_wire_too_is_the_same_for_mail_that_is_stuffed(door: Door) -> None:
    """Nothing is rewritten that need not be: stuffed data leaves as it came."""
    sent = stuffed(BODIES["many dots"] + BODIES["dots before text"])
    with door.in_data() as client:
        client.send(sent + b".\r\n")
        assert client.read_reply().code == 250
    assert [message.raw for message in door.messages] == [sent]


def split_inserted(text: bytes) -> tuple[bytes, bytes]:
    found = INSERTED.match(text)
    assert found is not None, text[:200]
    return found[0], text[found.end() :]


@pytest.mark.parametrize("via", ["DATA", "BDAT"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_inserted_lines_stand_whole_before_an_identical_rest(inserting: Door, via: str, body: bytes) -> None:
    """headers.insert adds its lines at the very beginning and touches nothing else, so that signatures stay valid."""
    inserted, rest = split_inserted(deliver(inserting, via, body))
    same = rest == body

    assert same
    assert b"; client=[127.0.0.1]:" in inserted


@pytest.mark.parametrize("sizes", [(0,), (1,), (1, 1, 1), (0, 0, 5), (20, 0, 3), (1000,), (70_000, 3)], ids=str)
def test_inserted_lines_are_counted_into_the_first_chunk(inserting: Door, sizes: tuple[int, ...]) -> None:
    """With several chunks the lines come once, before the first octet of the first one, and every size fits its octets."""
    body = HEADER + b"\r\n" + b"\r\n.\r\nx\0\n" * 10_000
    _, rest = split_inserted(deliver(inserting, "BDAT", body, sizes=sizes))
    same = rest == body

    assert same


def test_each_message_of_a_session_gets_its_lines_once(inserting: Door) -> None:
    """Transactions do not share header lines: DATA, BDAT, an abandoned BDAT, BDAT."""
    with inserting.client() as client:
        client.greeted()
        client.envelope()
        assert send_data(client, HEADER) == 250
        client.envelope()
        assert send_chunks(client, HEADER, [3]) == [250, 250]
        client.envelope()
        client.send(b"BDAT 3\r\nabc")
        assert client.read_reply().code == 250
        assert client.command(b"RSET").code == 250
        client.envelope()
        assert send_chunks(client, HEADER, [5, 5]) == [250] * 3

    assert [split_inserted(message.text)[1] for message in inserting.messages] == [HEADER] * 3


@pytest.mark.parametrize("command", [b"MAIL FROM:<other@client.example>", b"DATA", b"NOOP", b"RCPT TO:<b@example.org>"])
def test_a_command_between_chunks_does_not_insert_lines_again(inserting: Door, command: bytes) -> None:
    """Whatever the MTA says to a command in the middle of a BDAT message, the message goes on as one."""
    with inserting.client() as client:
        client.greeted()
        client.envelope()
        client.send(b"BDAT 10\r\n" + HEADER[:10])
        assert client.read_reply().code == 250
        client.command(command)
        client.send(b"BDAT %d LAST\r\n" % len(HEADER[10:]) + HEADER[10:])
        assert client.read_reply().code == 250

    assert [split_inserted(message.text)[1] for message in inserting.messages] == [HEADER]


@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if len(body) < 60_000 or name == "5 MB"])
def test_the_maildir_keeps_mail_byte_for_byte(maildir: Tarry, name: str) -> None:
    """Behind the trace lines of delivery the file is the message."""
    before = set(maildir.maildir.glob("new/*"))
    with RawClient(maildir.port, timeout=30) as client:
        client.greeted()
        client.envelope()
        assert send_data(client, BODIES[name]) == 250
    (path,) = set(maildir.maildir.glob("new/*")) - before
    kept = path.read_bytes()
    same = kept.endswith(BODIES[name]) and kept[: len(kept) - len(BODIES[name])].count(b"\r\n") == 4

    assert same
    assert message_from_bytes(kept)["Delivered-To"] == clients.RECIPIENT
