"""Self tests of the sink and the clients: a fault that is not real proves nothing about the front door that survives it."""

import base64
import contextlib
import signal
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, faults, proxyheader
from tests.e2e.servers.clients import MESSAGE, RawClient
from tests.e2e.servers.dialect import DIALECTS, SLOPPY, STRICT, Body, Dialect, cutting
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink, stored

pytestmark = pytest.mark.e2e

SMUGGLED = b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nevil\r\n"


# Sink: what it records


def test_the_sink_records_every_byte() -> None:
    """What arrived is kept to the byte, however it was cut, and a message is kept with and without its stuffed dots."""
    said = b"EHLO x\r\nMAIL FROM:<a@b.example> SIZE=9\r\nRCPT TO:<c@d.example>\r\nDATA\r\n..\xff\0\r\nx\r\n.\r\nQUIT\r\n"
    with Sink() as sink:
        with RawClient(sink.port) as client:
            client.send(said, cut_every=7)
            client.read_until_closed()
        (connection,) = sink.connections
        (message,) = connection.messages

    assert bytes(connection.received) == said
    assert bytes(connection.sent) == bytes(client.received)
    assert connection.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert (message.raw, message.text) == (b"..\xff\0\r\nx\r\n", b".\xff\0\r\nx\r\n")
    assert (message.sender, message.recipients, message.accepted) == (b"a@b.example", [b"c@d.example"], True)
    assert connection.ended == "quit"


def test_the_sink_takes_chunks_as_plain_octets() -> None:
    """BDAT ends after its count and nowhere else, dots and line ends included."""
    with Sink() as sink, RawClient(sink.port) as client:
        client.greeted()
        client.envelope()
        client.send(b"BDAT 9\r\na\r\n.\r\nb\r\nBDAT 3 LAST\r\n\n.\n")

        assert [client.read_reply().code, client.read_reply().code] == [250, 250]
        (message,) = sink.messages
        assert (message.via, message.raw) == ("BDAT", b"a\r\n.\r\nb\r\n\n.\n")


def test_the_sink_consumes_a_chunk_that_it_refuses() -> None:
    """The octets of a BDAT out of order are never run as commands."""
    with Sink() as sink, RawClient(sink.port) as client:
        client.greeted()
        client.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")

        assert [client.read_reply().code, client.read_reply().code] == [503, 250]


@pytest.mark.parametrize("header", [proxyheader.v1, proxyheader.v2])
def test_the_sink_reads_the_proxy_header_it_demands(header: object) -> None:
    """The header is parsed, recorded and not taken for a command."""
    assert callable(header)
    with Sink(proxy=True) as sink, RawClient(sink.port) as client:
        client.send(header(("203.0.113.9", 4321), ("192.0.2.1", 25)), cut_every=5)
        client.greeted()
        (connection,) = sink.connections

        assert connection.proxy is not None
        assert connection.proxy.client == ("203.0.113.9", 4321)
        assert connection.verbs == ["EHLO"]


def test_the_sink_hangs_up_without_the_proxy_header_it_demands() -> None:
    """Anything else in its place ends the connection unanswered."""
    with Sink(proxy=True) as sink, RawClient(sink.port) as client:
        client.send(b"EHLO x\r\n")

        assert client.read_until_closed() == b""


def test_the_sink_speaks_tls_and_drops_what_was_said_before(tmp_path: Path) -> None:
    """Plain text behind STARTTLS is recorded apart, not run; after the handshake a new session begins."""
    need("openssl")
    paths = certificate.make(tmp_path)
    with Sink(tls=paths) as sink, RawClient(sink.port) as client:
        client.greeted()
        client.send(b"STARTTLS\r\nMAIL FROM:<injected@b.example>\r\n")
        assert client.read_reply().code == 220
        client.start_tls(paths[0])
        assert b"STARTTLS" not in client.command(b"EHLO x").text
        (connection,) = sink.connections

        assert connection.left_before_tls == b"MAIL FROM:<injected@b.example>\r\n"
        assert connection.verbs == ["EHLO", "STARTTLS", "EHLO"]


def test_the_sink_takes_credentials() -> None:
    """AUTH PLAIN and LOGIN are understood, with an initial response and without."""
    plain = base64.b64encode(b"\0user\0secret")
    with Sink() as sink, RawClient(sink.port) as client:
        client.greeted()
        codes = [client.command(b"AUTH PLAIN " + plain).code, client.command(b"AUTH PLAIN").code, client.command(plain).code]
        codes += [client.command(line).code for line in (b"AUTH LOGIN", b"dXNlcg==", b"c2VjcmV0")]

        assert codes == [235, 334, 235, 334, 334, 235]
        assert sink.connections[0].credentials == [(b"user", b"secret")] * 3


def test_the_sink_greets_again_after_xclient() -> None:
    """As in Postfix, XCLIENT starts the session anew with a second 220."""
    with Sink() as sink, RawClient(sink.port) as client:
        client.greeted()

        assert client.command(b"XCLIENT ADDR=203.0.113.9").code == 220
        assert client.command(b"MAIL FROM:<>").code == 503
        assert sink.connections[0].xclient == [b"XCLIENT ADDR=203.0.113.9"]


def test_a_killed_sink_has_stored_what_it_accepted(tmp_path: Path) -> None:
    """A message is on disk before its 250, so SIGKILL right after the 250 loses nothing."""
    store = tmp_path / "store"
    command = [sys.executable, "-m", "tests.e2e.servers.sink", "--store", str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with RawClient(int(process.stdout.readline())) as client:
            client.greeted()
            client.envelope()
            client.command(b"DATA")
            reply = client.command(b"kept\r\n.")
            process.send_signal(signal.SIGKILL)

    assert (reply.code, [record["text"] for record in stored(store)]) == (250, ["kept\r\n"])


# Sink: dialects


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n.\r\r\n", b"\n\r.\n\r"])
def test_a_sloppy_sink_splits_a_smuggled_message_and_a_strict_one_does_not(end: bytes) -> None:
    """The same bytes are one message to RFC 5321 and two to a server that takes other line ends."""
    found = {}
    for dialect in (STRICT, SLOPPY):
        with Sink(dialect=dialect) as sink:
            with RawClient(sink.port) as client:
                client.greeted()
                client.envelope()
                client.command(b"DATA")
                client.send(b"good" + end + SMUGGLED + b"\r\n.\r\nQUIT\r\n")
                client.read_until_closed()
            found[dialect.name] = [message.sender for message in sink.messages]

    assert found == {
        "strict": [b"sender@client.example"],
        "sloppy": [b"sender@client.example", b"smuggled@evil.example"],
    }


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("nul-dropping", b"\r\0\n.\r\n"),
        ("nul-dropping", b"\r\n\0.\r\n"),
        ("stripping", b"\r\n. \r\n"),
        ("stripping", b"\r\n.\x0c\r\n"),
        ("seven-bit", b"\x8d\x8a.\r\n"),
        ("seven-bit", b"\r\n\xae\r\n"),
        ("splitlines", b"\x85.\x85"),
        ("splitlines", b"\xe2\x80\xa8.\r\n"),
    ],
)
def test_each_dialect_has_the_fault_it_is_named_for(name: str, end: bytes) -> None:
    """An end of data that this dialect alone believes in is none to a strict server."""
    assert _ends(DIALECTS[name], b"x" + end)
    assert not _ends(STRICT, b"x" + end)


def test_a_cutting_dialect_finds_a_dot_behind_a_long_line() -> None:
    """A server with a fixed line buffer takes the tail of a long line for a line."""
    assert _ends(cutting(998), b"A" * 998 + b".\r\n")
    assert not _ends(cutting(998), b"A" * 997 + b".\r\n")


@pytest.mark.parametrize("dialect", [*DIALECTS.values(), cutting(3)], ids=lambda dialect: dialect.name)
def test_a_dialect_does_not_depend_on_packet_borders(dialect: Dialect) -> None:
    """A message ends at the same byte however the stream is cut."""
    stream = b"one\r\n..two\r\n\r\0\nthree\n\n\rfour\r\n.\r\nrest of it"
    whole = Body(dialect)
    whole.feed(stream)

    for size in (1, 2, 3, 5):
        body = Body(dialect)
        for start in range(0, len(stream), size):
            if body.feed(stream[start : start + size]):
                left = body.rest + stream[start + size :]
                break
        assert (body.raw, body.text, left) == (whole.raw, whole.text, whole.rest)


# Sink: faults


@pytest.mark.parametrize("name", [*faults.COMMAND_FAULTS, *faults.WRONG_CLASS, *faults.BODY_FAULTS, *faults.DOT_FAULTS])
def test_each_fault_in_a_session_is_real(name: str) -> None:
    """A client that goes through a transaction meets the fault where its name says, and nothing like it before."""
    fault = faults.FAULTS[name]
    message = b"x" * 400 + b"\r\n.\r\n"
    steps = {
        "EHLO": b"EHLO x\r\n",
        "MAIL": b"MAIL FROM:<a@b.example>\r\n",
        "RCPT": b"RCPT TO:<c@d.example>\r\n",
        "DATA": b"DATA\r\n",
        "dot" if fault.at == "dot" else "body": message,
    }
    with Sink(fault) as sink, RawClient(sink.port) as client:
        assert client.read_reply().code == 220
        for at, data in steps.items():
            with contextlib.suppress(ConnectionError) if at == fault.at else contextlib.nullcontext():
                client.send(data)  # a reset may come before it is out
            if at == fault.at:
                break
            assert client.read_reply().code in (250, 354)

        _expect(fault, client)


@pytest.mark.parametrize("name", [name for name in faults.GREETING_FAULTS if "second" not in name])
def test_each_fault_at_the_greeting_is_real(name: str) -> None:
    """The first thing the client meets is the fault."""
    fault = faults.FAULTS[name]
    with Sink(fault) as sink:
        try:
            client = RawClient(sink.port)
        except ConnectionResetError:  # the reset overtook the end of connect(2)
            assert fault.what == "reset"
            return
        with client:
            _expect(fault, client)


def test_a_dripping_greeting_comes_a_byte_at_a_time() -> None:
    """drip leaves the given time before each byte."""
    with Sink(Fault(at="greeting", what="drip", reply=b"220 x\r\n", seconds=0.05)) as sink, RawClient(sink.port) as client:
        reply = client.read_reply()

    assert reply.raw == b"220 x\r\n"
    assert reply.at - client.connected_at > 7 * 0.05


def test_a_late_reply_is_late_and_the_session_goes_on() -> None:
    """late delays the usual reply and changes nothing else."""
    with Sink(Fault(at="MAIL", what="late", seconds=0.3)) as sink, RawClient(sink.port) as client:
        before = client.greeted().at
        client.envelope()

    assert [reply.code for reply in client.replies] == [220, 250, 250, 250]
    assert client.replies[2].at - before > 0.3


def test_a_refusing_sink_has_a_port_where_nobody_listens() -> None:
    """Connections are refused, and taken again after listen, on the same port."""
    with Sink(Fault(at="connect", what="refuse")) as sink:
        with pytest.raises(ConnectionRefusedError):
            RawClient(sink.port)
        sink.play()
        sink.listen()

        assert clients.submit(sink.port) == {}


def test_a_dropping_sink_leaves_a_connect_without_any_answer() -> None:
    """The SYN is neither accepted nor refused."""
    with Sink(Fault(at="connect", what="drop")) as sink, pytest.raises(TimeoutError):
        RawClient(sink.port, timeout=0.4)


def test_a_fault_strikes_only_on_the_occasions_it_names() -> None:
    """skip, times and matching choose among the occasions, counted over all connections."""
    fault = Fault(at="RCPT", reply=b"550 5.1.1 no\r\n", matching=rb"no.*@", skip=1, times=1)
    with Sink(fault) as sink, RawClient(sink.port) as client:
        client.greeted()
        codes = client.envelope("a@b.example", "nora@x.example", "bob@x.example", "nobody@x.example", "noone@x.example")

    assert codes == [250, 250, 250, 550, 250]


def test_a_fault_in_a_chunk_comes_before_its_end() -> None:
    """A back end may close in the midst of the octets of a BDAT."""
    with Sink(Fault(at="chunk", what="close", after_bytes=4)) as sink, RawClient(sink.port) as client:
        client.greeted()
        client.envelope()
        client.send(b"BDAT 10 LAST\r\n1234")

        assert client.read_until_closed() == b""
        assert sink.messages == []


def test_a_silent_sink_reads_on_and_a_stalled_one_does_not() -> None:
    """Against stall a client's bytes pile up; against silence they are recorded."""
    with Sink(Fault(at="EHLO", what="silent")) as sink, RawClient(sink.port) as client:
        client.send(b"EHLO x\r\n" + b"y" * 100_000)

        assert sink.wait(lambda it: len(it.connections[0].received) == 100_008)

    with Sink(Fault(at="EHLO", what="stall")) as sink, RawClient(sink.port) as client:
        client.sock.settimeout(0.3)
        client.send(b"EHLO x\r\n")
        with pytest.raises(TimeoutError):
            client.send(b"y" * 50_000_000)


def test_the_sink_knows_how_a_connection_ended() -> None:
    """FIN, RST and QUIT are told apart, also inside a message, which is then not one."""
    with Sink() as sink:
        for leave in (RawClient.half_close, RawClient.reset):
            with RawClient(sink.port) as client:
                client.greeted()
                client.envelope()
                client.command(b"DATA")
                client.send(b"unfinished\r\n")
                assert sink.wait(lambda it: it.connections[-1].received.endswith(b"unfinished\r\n"))
                leave(client)
                assert sink.wait_closed()

        assert [connection.ended for connection in sink.connections] == ["eof", "reset"]
        assert [connection.body_left for connection in sink.connections] == [b"unfinished\r\n"] * 2
        assert sink.messages == []


# Clients


@pytest.mark.parametrize("name", ["swaks", "curl", "msmtp"])
def test_each_client_program_sends_a_message(name: str) -> None:
    """What the client was given arrives, and its output shows that it was taken."""
    need(name)
    with Sink() as sink:
        ran = getattr(clients, name)(sink.port)
        (message,) = sink.messages

    assert (ran.status, message.sender) == (0, b"sender@client.example"), ran.output
    assert b"\r\nHello.\r\n" in message.text


def test_a_raw_client_comes_from_the_address_it_is_told() -> None:
    """Tests choose among the loopback addresses, so that each can be a client of its own."""
    with Sink() as sink:
        for source in ("127.9.8.7", "127.0.0.2"):
            with RawClient(sink.port, source=source) as client:
                client.greeted()
                assert client.address[0] == source

        assert [connection.peer[0] for connection in sink.connections] == ["127.9.8.7", "127.0.0.2"]


def test_clients_and_the_sink_speak_ipv6() -> None:
    """::1 serves as well, where the machine has it."""
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as missing:
            pytest.skip(f"no IPv6 loopback: {missing}")
    with Sink(address="::1") as sink:
        assert clients.submit(sink.port, host="::1") == {}
        assert sink.connections[0].peer[0] == "::1"


def test_smtplib_reports_the_recipients_that_were_refused() -> None:
    """submit returns what the server said to each refused recipient and raises when all are."""
    with Sink(Fault(at="RCPT", reply=b"550 5.1.1 no\r\n", matching=b"nobody")) as sink:
        refused = clients.submit(sink.port, MESSAGE, recipients=("nobody@example.org", "alice@example.org"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            clients.submit(sink.port, MESSAGE, recipients=("nobody@example.org",))

    assert refused == {"nobody@example.org": (550, b"5.1.1 no")}


def _ends(dialect: Dialect, message: bytes) -> bool:
    return Body(dialect).feed(message + b"MAIL")


def _expect(fault: Fault, client: RawClient) -> None:
    """Check that *client* now meets *fault*."""
    match fault.what:
        case "reply":
            assert client.read_reply().raw == fault.reply[: fault.reply.find(b"\n") + 1] or client.replies[-1].raw == fault.reply
        case "close":
            assert client.read_until_closed() == fault.reply
        case "reset":
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                client.send(b"NOOP\r\n")
                client.read_reply()
        case "silent":
            assert client.read_for(0.3) == b""
        case "endless":
            assert wait_until(lambda: client.read_for(0.05) and len(client.received) > 200_000, 8)
            assert fault.reply * 1000 in client.received
        case _:
            raise AssertionError(fault)
