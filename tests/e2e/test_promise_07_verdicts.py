"""Promise 7: the MTA's own verdict passes unchanged."""

from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

STAGES = {"MAIL": "MAIL", "RCPT": "RCPT", "DATA": "DATA", "message": "dot"}
TAKEN = {
    "terse": b"250\r\n",
    "bare text": b"250 fine\r\n",
    "enhanced": b"250 2.1.5 <alice@example.org>... Recipient ok\r\n",
    "of many lines": b"250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n",
    "blank text": b"250 \r\n",
    "UTF-8": "250 2.0.0 Größe 漢字 ok\r\n".encode(),
    "tabs and blanks": b"250 2.0.0  a\tb  \r\n",
    "of 512 octets": b"250 2.0.0 " + b"x" * 500 + b"\r\n",
    "with a queue id": b"250 2.0.0 Ok: queued as 4C0FFEE\r\n",
}
FORWARDED = {"251": b"251 2.1.5 User not local; will forward\r\n", "252": b"252 2.1.5 cannot verify\r\n"}
GO_AHEAD = {"terse": b"354\r\n", "text": b"354 3.0.0 go ahead\r\n", "of many lines": b"354-one\r\n354 two\r\n"}
REFUSED = {
    "450": b"450 4.2.0 greylisted, see https://example.org/?a=b&c=[d]\r\n",
    "451": b"451 try later\r\n",
    "452 of many lines": b"452-4.3.1 disk full\r\n452-4.3.1 really\r\n452 4.3.1 later\r\n",
    "455": b"455 4.0.0 parameters\r\n",
    "500 terse": b"500\r\n",
    "501": b"501 5.1.7 bad address\r\n",
    "503": b"503 5.5.1 nested\r\n",
    "530": b"530 5.7.0 authenticate first\r\n",
    "550": b"550 5.1.1 <nobody@example.org>: no such user\r\n",
    "550 of many lines": b"550-5.7.1 one\r\n550-5.7.1 \r\n550 5.7.1 three\r\n",
    "550 UTF-8": "550 5.1.1 Empfänger unbekannt — ☹\r\n".encode(),
    "550 latin-1": b"550 5.1.1 Empf\xe4nger\r\n",
    "552": b"552 5.3.4 message too big\r\n",
    "554": b"554 5.7.1 refused by filter %s {client} \\r\\n\r\n",
    "556": b"556 5.1.10 null MX\r\n",
    "571": b"571 5.7.1 not here\r\n",
    "599": b"599 out of range\r\n",
}
CASES = [
    *(pytest.param(stage, text, id=f"{stage} {name}") for stage in ("MAIL", "RCPT", "message") for name, text in TAKEN.items()),
    *(pytest.param("RCPT", text, id=f"RCPT {name}") for name, text in FORWARDED.items()),
    *(pytest.param("DATA", text, id=f"DATA {name}") for name, text in GO_AHEAD.items()),
    *(pytest.param(stage, text, id=f"{stage} {name}") for stage in STAGES for name, text in REFUSED.items()),
]


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use() as door:
        yield door


LINES = {"MAIL": b"MAIL FROM:<a@b.example>", "RCPT": b"RCPT TO:<c@d.example>", "DATA": b"DATA", "message": b"x\r\n."}


def ask(door: Door, stage: str) -> bytes:
    """Go to *stage* and return the reply to it."""
    with door.client() as client:
        client.greeted()
        for name, line in LINES.items():
            reply = client.command(line)
            if name == stage:
                return reply.raw
    raise AssertionError(stage)


@pytest.mark.parametrize(("stage", "said"), CASES)
def test_the_verdict_of_the_mta_passes_unchanged(door: Door, stage: str, said: bytes) -> None:
    """What the MTA says to MAIL, RCPT, DATA and the message reaches the client byte for byte."""
    door.sink.play(Fault(at=STAGES[stage], reply=said))

    assert ask(door, stage) == said


@pytest.mark.parametrize("stage", STAGES)
def test_a_421_of_the_mta_passes_and_ends_the_session(door: Door, stage: str) -> None:
    """A server that says 421 closes; so does tarry, after the MTA's own words."""
    said = b"421 4.7.0 too many connections from you\r\n"
    door.sink.play(Fault(at=STAGES[stage], what="close", reply=said))
    with door.client() as client:
        client.greeted()
        for line in [*LINES.values()][: [*LINES].index(stage) + 1]:
            reply = client.command(line)

        assert (reply.raw, client.read_until_closed()) == (said, b"")


def test_each_recipient_gets_its_own_verdict(door: Door) -> None:
    """Refused and accepted recipients of one message stay what they are, in their order, piled up or not."""
    door.sink.play(
        Fault(at="RCPT", matching=b"nobody", reply=b"550 5.1.1 nobody\r\n"),
        Fault(at="RCPT", matching=b"grey", reply=b"450 4.2.0 grey\r\n"),
    )
    who = [b"a", b"nobody", b"grey", b"b", b"nobody", b"c"]
    with door.client() as client:
        client.greeted()
        client.send(b"MAIL FROM:<a@b.example>\r\n" + b"".join(b"RCPT TO:<%b@d.example>\r\n" % each for each in who) + b"DATA\r\n")
        codes = [client.read_reply().code for _ in range(len(who) + 2)]
        client.command(b"x\r\n.")

    assert codes == [250, 250, 550, 450, 250, 550, 250, 354]
    assert [message.recipients for message in door.messages] == [[b"a@d.example", b"b@d.example", b"c@d.example"]]


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<>",
        b"MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By",
        b"mail from: <A@B.example>",
        b'MAIL FROM:<"odd \\" one"@b.example>',
        "MAIL FROM:<größe@b.example> SMTPUTF8".encode(),
        b"MAIL FROM:<a@b.example>  AUTH=<>\t",
    ],
    ids=repr,
)
def test_the_mta_judges_the_line_that_the_client_sent(door: Door, line: bytes) -> None:
    """The verdict is on the client's own words: MAIL with its parameters is passed as it came."""
    with door.client() as client:
        client.greeted()
        client.command(line)

    assert line in door.lines


@pytest.mark.parametrize("stage", ["chunk", "last chunk"])
def test_the_verdict_on_a_chunk_passes_unchanged(door: Door, stage: str) -> None:
    """BDAT too is answered by the MTA."""
    said = b"452 4.3.1 no space for chunks\r\n"
    door.sink.play(Fault(at="BDAT" if stage == "chunk" else "dot", reply=said))
    with door.client() as client:
        client.greeted()
        client.envelope()
        client.send(b"BDAT 3\r\nabc" if stage == "chunk" else b"BDAT 3 LAST\r\nabc")

        assert client.read_reply().raw == said


def test_the_maildir_says_its_own_words() -> None:
    """The embedded MTA's verdict is one like any other: a refused parameter comes in its text."""
    with Tarry("[listen]\nmax_per_client = 0\n", wait="0s") as tarry, RawClient(tarry.port) as client:
        client.greeted()

        assert client.command(b"MAIL FROM:<a@b.example> SIZE=999999999999").code == 552
