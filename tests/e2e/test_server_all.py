"""Self tests of the private servers, without a front door: what several of them do; what one alone does is in a file of its own."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import clients, inetd, proxyheader, tcpserver
from tests.e2e.servers.aiosmtpd_server import Aiosmtpd
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.haraka import Haraka
from tests.e2e.servers.mailfront import Mailfront
from tests.e2e.servers.need import need, need_ipv6
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.processes import is_listening
from tests.e2e.servers.qpsmtpd import Qpsmtpd
from tests.e2e.servers.sendmail import Sendmail
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HEADER = (
    b"Date: Sat, 21 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@client.example>\r\n"  # which OpenSMTPD would add
    b"Subject:  two blanks\r\nX-Name: caf\xc3\xa9\r\n\tfolded\r\n"
)
BODY = b".one\r\n..two\r\n..\r\n.\t\r\n\tcaf\xe9 \r\nnul\0\r\n" + b"x" * 998 + b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server and what it says.

    ``received`` is a pattern for what it puts above a message, ``told`` one for its log when a PROXY header of one of the versions
    in ``proxy`` names the ``{client}``. ``unknown`` and ``elsewhere`` are its replies to a user and to a domain it does not know.
    """

    server: Callable[..., Any]
    received: str
    unknown: bytes
    elsewhere: bytes
    line_end: bytes = b"\n"
    keeps_nul: bool = True
    proxy: tuple[Callable[..., bytes], ...] = ()
    told: str = ""
    source: str = "127.9.8.7"  # from where it takes such a header
    greets_by_address: bool = False  # in the reply to EHLO
    ipv6: bytes = b""  # in Received
    over_tls: bytes | None = None  # in Received, where it offers STARTTLS
    inetd_log: str = ""
    processes: int = 1  # at least
    transactions: int = 1  # for one message to two domains
    keeps_header: bool = True  # when it sends: nothing of its own comes between


V1, V2 = proxyheader.v1, proxyheader.v2
KINDS = {
    "exim": Kind(
        server=Exim,
        received=r"Received: from \[{client}\] \(.* \+0000\n",
        unknown=b"550 Unknown user\r\n",
        elsewhere=b"550 relay not permitted\r\n",
        proxy=(V1, V2),
        told=r"H=\(client\.example\) \[{client}\]:4321 .*Unknown user",
        greets_by_address=True,
        ipv6=b"from [::1]",
        over_tls=b"with esmtps ",
        inetd_log=r"<= sender@client\.example H=\(client\.example\) \[127\.0\.0\.9\]",
    ),
    "sendmail": Kind(
        server=Sendmail,
        received=r"Received: from client\.example \((localhost )?\[{client}\]\).* GMT\n",
        unknown=b"550 5.1.1 <nobody@example.org>... User unknown\r\n",
        elsewhere=b"550 5.7.1 <x@elsewhere.example>... Relaying denied\r\n",
        ipv6=b"[IPv6:0:0:0:0:0:0:0:1]",
        over_tls=b"version=TLSv1",
        inetd_log=r"from=<sender@client\.example>.* relay=\[127\.0\.0\.9\]",
        keeps_header=False,
    ),
    "opensmtpd": Kind(
        server=OpenSmtpd,
        received=(
            r"Return-Path: .*\nReceived: from client\.example \((localhost|<unknown>) \[(IPv6:)?{client}\]\)\n"
            r".* \+0000 \(UTC\)\n"
        ),
        unknown=b"550 Invalid recipient: <nobody@example.org>\r\n",
        elsewhere=b"550 Invalid recipient: <x@elsewhere.example>\r\n",
        keeps_nul=False,
        proxy=(V2,),
        told=r"smtp connected address=\[?{client}\]? ",
        greets_by_address=True,
        ipv6=b"[::1]",
        processes=2,
    ),
    "haraka": Kind(
        server=Haraka,
        received=r"Received: from client\.example \(unknown \[{client}\]\)\r\n.* \+0000\r\n",
        unknown=b"550 I cannot deliver mail for <nobody@example.org>\r\n",
        elsewhere=b"550 I cannot deliver mail for <x@elsewhere.example>\r\n",
        line_end=b"\r\n",
        proxy=(V1,),
        told=r"HAProxy proto=TCP[46] src_ip={client}:4321",
        greets_by_address=True,
        over_tls=b"with ESMTPS ",
        transactions=2,
        keeps_header=False,
    ),
    "qpsmtpd": Kind(
        server=Qpsmtpd,
        received=(
            r"Return-Path: .*\nReceived: from (Unknown|\[{client}\]) \(HELO client\.example\) \({client}\)\n"
            r".*Authentication-Results: qpsmtpd\.example\.org; auth=none\n"
        ),
        unknown=b"550 No such user.\r\n",
        elsewhere=b"550 Relaying denied (#5.7.1)\r\n",
        proxy=(V1,),
        told=r"stunnel : {client}:4321",
        source="127.0.0.1",
        inetd_log=r"Connection from \[203\.0\.113\.9\] \[203\.0\.113\.9\]",
    ),
    "mailfront": Kind(
        server=Mailfront,
        received=(
            r"Received: from client\.example \(\[{client}\]\)\n"
            r"  by (mailfront\.example\.org \(\[127\.0\.0\.1\]\)|192\.0\.2\.1 \(\[192\.0\.2\.1\]\))\n[^\n]*\n"
        ),
        unknown=b"553 sorry, no mailbox here by that name (#5.1.1)\r\n",
        elsewhere=b"550 5.1.0 Mail system is not configured to accept that recipient\r\n",
        inetd_log="RCPT TO:<alice@example.org>",
    ),
    "aiosmtpd": Kind(
        server=Aiosmtpd,
        received=r"Received: from client\.example \(\[{client}\]\) by aiosmtpd\.example\.org\r\n",
        unknown=b"550 5.1.1 <nobody@example.org>: no such user\r\n",
        elsewhere=b"550 5.1.1 <x@elsewhere.example>: no such user\r\n",
        line_end=b"\r\n",
        proxy=(V1, V2),
        told=r"for \[{client}\]:4321",
        over_tls=b"",
    ),
}
QUEUES = ("exim", "sendmail", "opensmtpd", "haraka")
TOLD = ("203.0.113.9", 4321)

Started = Callable[..., Any]


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    """Give the server of that name and with those options, which is started once."""
    running: dict[object, Any] = {}
    with ExitStack() as stack:

        def start(name: str, **options: object) -> Any:
            need_server(name)
            key = (name, *sorted(options.items()))
            if key not in running:
                running[key] = stack.enter_context(KINDS[name].server(**options))
            return running[key]

        yield start


def need_server(name: str) -> None:
    if KINDS[name].server.is_fetched:
        need(name)


def message_for(kind: Kind) -> bytes:
    """Return a message that it delivers as it is."""
    return HEADER + b"\r\n" + (BODY if kind.keeps_nul else BODY.replace(b"\0", b""))


def assert_delivered(kind: Kind, delivered: bytes, client: str) -> None:
    """It has the lines that were sent, and above them the server's own and nothing else."""
    sent = message_for(kind).replace(b"\r\n", kind.line_end)
    assert delivered.endswith(sent)
    above = delivered.removesuffix(sent).decode()
    assert re.fullmatch(kind.received.format(client=re.escape(client)), above, re.DOTALL), above


# Receiving


@pytest.mark.parametrize("name", KINDS)
def test_it_delivers_byte_for_byte(name: str, started: Started) -> None:
    """A message is in the mailbox of each recipient with the lines it was sent with, below the server's own header lines."""
    server, kind = started(name), KINDS[name]
    before = len(server.messages())

    refused = clients.submit(server.port, message_for(kind), recipients=["alice@example.org", "bob@example.org"])

    assert refused == {}
    got = server.wait_messages(before + 2)[before:]
    assert 2 == len(got)
    for each in got:
        assert_delivered(kind, each, "127.0.0.1")
    assert sorted(got) == sorted(server.messages(f"{who}@example.org")[-1] for who in ("alice", "bob"))


@pytest.mark.parametrize("name", KINDS)
def test_it_refuses_an_unknown_user_in_its_own_words(name: str, started: Started) -> None:
    """The verdict on a recipient is the server's, so that tests can see it pass unchanged; so is the one on relaying."""
    with RawClient(started(name).port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")

        assert KINDS[name].unknown == client.command(b"RCPT TO:<nobody@example.org>").raw
        assert KINDS[name].elsewhere == client.command(b"RCPT TO:<x@elsewhere.example>").raw


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.over_tls is not None])
def test_it_takes_starttls(name: str, started: Started, tls_files: tuple[Path, Path]) -> None:
    """With a certificate STARTTLS is offered and works, and the message comes through it."""
    server = started(name, tls=tls_files)
    with RawClient(server.port) as client:
        assert b"STARTTLS" in client.greeted().lines
        assert 220 == client.command(b"STARTTLS").code
        client.start_tls(tls_files[0])
        assert 250 == client.command(b"EHLO client.example").code
        assert [250, 250, 354] == [*client.envelope(), client.command(b"DATA").code]
        assert 250 == client.command(b"Subject: inside\r\n\r\n.").code

    assert KINDS[name].over_tls in server.wait_messages(1)[0]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.ipv6])
def test_it_listens_on_ipv6(name: str, started: Started) -> None:
    """The address may be ::1, and is the client's too."""
    need_ipv6()
    server = started(name, address="::1")
    clients.submit(server.port, host="::1")

    assert KINDS[name].ipv6 in server.wait_messages(1)[0]


@pytest.mark.parametrize("client", [TOLD[0], "2001:db8::9"])
@pytest.mark.parametrize(("name", "header"), [(name, header) for name, kind in KINDS.items() for header in kind.proxy])
def test_it_believes_a_proxy_header_where_it_is_told_to(
    name: str, header: Callable[..., bytes], client: str, started: Started
) -> None:
    """With proxy_protocol the client in its log and in Received is the one that the header names."""
    server, kind = started(name, proxy_protocol=True), KINDS[name]
    before = len(server.messages())
    with RawClient(server.port, source=kind.source) as raw:
        raw.send(header((client, 4321), ("2001:db8::1" if ":" in client else "192.0.2.1", 25)))
        hello = raw.greeted().lines[0]
        assert not kind.greets_by_address or f"[{client}]".encode() in hello
        assert [250, 550, 250] == raw.envelope("a@client.example", "nobody@example.org", "alice@example.org")
        assert 354 == raw.command(b"DATA").code
        assert 250 == raw.command(message_for(kind).replace(b"\r\n.", b"\r\n..") + b".").code

    assert server.wait_log(kind.told.format(client=re.escape(client)))
    assert_delivered(kind, server.wait_messages(before + 1)[-1], client)


# One client at a time


@pytest.mark.parametrize("name", ["exim", "sendmail"])
def test_inetd_starts_it_on_a_tcp_socket(name: str, started: Started) -> None:
    """It reads the client's address from the socket, asks for no name, delivers where the daemon would, and leaves after QUIT."""
    quiet, kind = started(name, listen=False), KINDS[name]
    before = len(quiet.messages())
    with inetd.Inetd(quiet.inetd_command) as listener:
        clients.submit(listener.port, message_for(kind), source="127.0.0.9")

        assert_delivered(kind, quiet.wait_messages(before + 1)[-1], "127.0.0.9")
        assert 0 == listener.started[0].wait(10)
    assert quiet.wait_log(kind.inetd_log)


@pytest.mark.parametrize("name", ["qpsmtpd", "mailfront"])
def test_it_serves_one_client_on_a_socket(name: str, started: Started, tmp_path: Path) -> None:
    """As under tcpserver, the client in log and Received is the one of the environment, not the one at the other end."""
    quiet, kind = started(name, listen=False), KINDS[name]
    before = len(quiet.messages())
    with tcpserver.serving(quiet.inetd_command, TOLD, tmp_path / "output") as client:
        client.greeted()
        assert [250, 250] == client.envelope("a@client.example")
        client.command(b"DATA")
        assert 250 == client.command(message_for(kind).replace(b"\r\n.", b"\r\n..") + b".").code

    (delivered,) = quiet.messages()[before:]
    assert_delivered(kind, delivered, TOLD[0])
    assert quiet.wait_log(kind.inetd_log)


@pytest.mark.parametrize("name", ["qpsmtpd", "mailfront"])
def test_it_serves_one_client_on_pipes(name: str, started: Started) -> None:
    """The same where stdin and stdout are no socket."""
    quiet, kind = started(name, listen=False), KINDS[name]
    before = len(quiet.messages())
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<alice@example.org>\r\n"
    session = b"EHLO client.example\r\n" + envelope + b"DATA\r\nSubject: piped\r\n\r\ntext\r\n.\r\nQUIT\r\n"
    environment = tcpserver.environment(TOLD)

    done = subprocess.run(quiet.inetd_command, input=session, capture_output=True, env=environment, timeout=20, check=True)

    codes = [int(line[:3]) for line in done.stdout.splitlines() if line[3:4] == b" "]
    assert [220, 250, 250, int(kind.unknown[:3]), 250, 354, 250, 221] == codes
    assert TOLD[0].encode() in quiet.messages()[before]


@pytest.mark.parametrize("name", ["exim", "sendmail", "qpsmtpd", "mailfront"])
def test_a_quiet_one_runs_no_daemon(name: str, started: Started) -> None:
    """With listen off it has no port and no processes."""
    quiet = started(name, listen=False)

    assert (0, []) == (quiet.port, quiet.pids())


# Sending


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", QUEUES)
def test_it_sends_at_once(name: str, over_tls: bool, tls_files: tuple[Path, Path]) -> None:
    """A queued message comes to the relay, from the address and over TLS where that is offered, and leaves an empty queue."""
    need_server(name)
    kind = KINDS[name]
    message = message_for(kind)
    with Sink(tls=tls_files if over_tls else None) as sink, kind.server(relay_to=sink.port, source="127.9.8.7") as sender:
        sender.send("a@client.example", ["bob@example.org", "carol@example.net"], message.replace(b"\r\n", b"\n"))
        taken = sink.wait_messages(kind.transactions)

        assert sender.queue_empty()
        assert kind.transactions == len(taken)
        assert [b"bob@example.org", b"carol@example.net"] == sorted(each for one in taken for each in one.recipients)
        for one in taken:
            assert one.sender == b"a@client.example"
            assert HEADER in one.text
            assert one.text.endswith(message if kind.keeps_header else message.removeprefix(HEADER))
        assert {"127.9.8.7"} == {each.peer[0] for each in sink.connections}
        assert {over_tls} == {each.tls.startswith("TLSv1.") for each in sink.connections}


@pytest.mark.parametrize("name", [name for name in QUEUES if name != "opensmtpd"])
def test_it_tries_again_within_seconds(name: str) -> None:
    """A passing fault of the relay delays a message, and the retry is soon enough for a test to wait for it."""
    need_server(name)
    fault = Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)
    with Sink(fault) as sink, KINDS[name].server(relay_to=sink.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: later\n\n")

        assert 1 == len(sink.wait_messages(1, timeout=8))


# Coming and going


@pytest.mark.parametrize("name", KINDS)
def test_it_comes_back_on_its_port(name: str, started: Started) -> None:
    """halt and resume are the MTA's maintenance window: same port, nothing listening in between, and the mail stays."""
    server = started(name)
    before = server.messages()
    server.halt()
    assert (False, []) == (is_listening(server.port), server.pids())
    with pytest.raises(ConnectionRefusedError):
        RawClient(server.port)
    server.resume()

    assert {} == clients.submit(server.port)
    assert before == server.wait_messages(len(before) + 1)[:-1]


@pytest.mark.parametrize("name", KINDS)
def test_it_leaves_nothing_behind(name: str, started: Started) -> None:
    """Two run side by side; then the port of one is free, its folder gone, and nothing of it runs or is mounted."""
    beside, mounted = started(name), Path("/proc/self/mounts").read_text()
    before = beside.messages()
    with KINDS[name].server() as server:
        assert [True, True] == [is_listening(each.port) for each in (server, beside)]
        assert server.pid in server.pids()
        assert KINDS[name].processes <= len(server.pids())
        assert Path("/proc/self/mounts").read_text() == mounted
        clients.submit(server.port)
        assert 1 == len(server.wait_messages(1))

    assert (False, False, []) == (is_listening(server.port), server.folder.exists(), server.pids())
    assert before == beside.messages()
