"""Hand-over to Postfix's own pass service: the client itself (mode pass), or one end of a pipe in its name (announce = pass)."""

import contextlib
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.servers import accounting, certificate, clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.crowd import Crowd
from tests.e2e.servers.need import need, need_ipv6
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# With all the headers that Postfix would add for a client of its own host.
HEADERS = b"From: <a@client.example>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\nMessage-Id: <1@client.example>\r\n"
MESSAGE = HEADERS + b"Subject: bytes\r\n\r\none\r\n.two\r\n..\r\n\tcaf\xe9 \r\n" + b"x" * 900 + b"\r\n\r\n"
STUFFED = MESSAGE.replace(b"\r\n.", b"\r\n..") + b"."
LOGGED = MESSAGE.replace(b"\r\n", b"\n")
BOTH = pytest.mark.parametrize("mode", ["pass", "in line"])
AWAY = b"421 4.3.2 Service not available, try again later ["


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    need("postfix")
    with Postfix() as running:
        yield running


def front(postfix: Postfix, mode: str = "pass", config: str = "", *, wait: str = "0.2s", address: str = "127.0.0.1") -> Tarry:
    """Return a front door to *postfix*, by its pass service alone; *config* is laid over it."""
    keys = {
        "pass": f'mode = "pass"\nsocket = "{postfix.pass_socket}"',
        "in line": f'mode = "proxy"\naddress = "unix:{postfix.pass_socket}"\nannounce = "pass"',
    }
    listen = "" if "[listen]" in config else "[listen]\nmax_per_client = 0\n"
    return Tarry(f"{config}\n{listen}[handoff]\n{keys[mode]}\n", wait=wait, address=address)


@pytest.fixture(scope="module", params=["pass", "in line"])
def tarry(request: pytest.FixtureRequest, postfix: Postfix) -> Iterator[Tarry]:
    with front(postfix, request.param) as running:
        yield running


# The MTA sees the client, and the client sees the MTA.


def test_postfix_sees_the_true_client(tarry: Tarry, postfix: Postfix) -> None:
    """In its log, and so in its access lists and limits."""
    with RawClient(tarry.port, source="127.9.8.7") as client:
        client.greeted()
        client.envelope()
        client.command(b"QUIT")
    assert postfix.wait_log(r"smtpd\[\d+\]: connect from unknown\[127\.9\.8\.7\]")
    assert postfix.wait_log(r"smtpd\[\d+\]: disconnect from unknown\[127\.9\.8\.7\]")


@BOTH
def test_postfix_sees_a_client_on_ipv6(mode: str, postfix: Postfix) -> None:
    """As it writes such addresses itself."""
    need_ipv6()
    with front(postfix, mode, address="::1") as tarry, RawClient(tarry.port, "::1") as client:
        client.greeted()
        assert client.envelope() == [250, 250]
        assert postfix.wait_log(r"smtpd\[\d+\]: connect from unknown\[::1\]")


def test_replies_are_the_mtas_own(tarry: Tarry, postfix: Postfix) -> None:
    """The 550 for an unknown user is the same as without tarry, byte for byte."""
    replies = []
    for port in (postfix.port, tarry.port):
        with RawClient(port) as client:
            client.greeted()
            client.command(b"MAIL FROM:<a@client.example>")
            replies.append(client.command(b"RCPT TO:<nobody@example.org>").raw)
    assert replies[0] == replies[1]
    assert replies[0].startswith(b"550 5.1.1 ")


def test_a_message_arrives_byte_for_byte(tarry: Tarry, postfix: Postfix) -> None:
    """Below Postfix's own header lines, which name the client."""
    before = len(postfix.messages())

    assert clients.submit(tarry.port, MESSAGE, source="127.9.8.8") == {}

    got = postfix.wait_messages(before + 1)[-1]
    assert got.endswith(LOGGED)
    assert b"[127.9.8.8]" in got[: got.index(LOGGED)]


def test_an_early_talker_never_reaches_smtpd(tarry: Tarry, postfix: Postfix) -> None:
    """It gets tarry's refusal, and Postfix does not hear of it."""
    with RawClient(tarry.port, source="127.66.6.6") as client:
        client.send(b"EHLO early\r\n")
        assert client.read_reply().code == 554
        client.read_until_closed()
    with RawClient(tarry.port, source="127.66.6.7") as client:
        client.greeted()
        client.envelope()
    assert postfix.wait_log(r"connect from unknown\[127\.66\.6\.7\]")
    assert "127.66.6.6" not in postfix.log_text()


def test_the_record_of_a_given_client(postfix: Postfix) -> None:
    """One line when smtpd has it: handed over, with how long that took; its further way is in Postfix's log."""
    with front(postfix, config="[listen]\nmax_per_client = 1") as tarry, RawClient(tarry.port) as client:
        assert client.read_reply().code == 220
        (close,) = tarry.wait_records(1, ev="close")
        (handoff,) = tarry.records(ev="handoff")
        with RawClient(tarry.port) as second:  # the first one's place is free, although its session goes on
            assert second.read_reply().code == 220

    assert (close["ended"], close["greeted"], close["mta"], close["commands"]) == ("handoff", True, True, 0)
    assert (handoff["mode"], handoff["to"], handoff["ok"]) == ("pass", f"unix:{postfix.pass_socket}", True)
    assert 0 < handoff["ms"] < 5000


@BOTH
@pytest.mark.parametrize("preset", ["tarry", "carraway-2003", "qpsmtpd-earlytalker", "sendwrap-2004", "postscreen"])
def test_presets(preset: str, mode: str, postfix: Postfix) -> None:
    """Each works as it is; postscreen's refuses at RCPT, so that it needs two lines where the client is given away before."""
    before = len(postfix.messages())
    more = 'checks.pregreet.at = "connect"\nscore.at = "connect"\n' if (preset, mode) == ("postscreen", "pass") else ""
    with front(postfix, mode, f'preset = "{preset}"\n{more}') as tarry:
        clients.submit(tarry.port, MESSAGE)
    assert postfix.wait_messages(before + 1)[-1].endswith(LOGGED)


def test_what_cannot_work_is_told(tmp_path: Path) -> None:
    """A client that is given away can be slowed no more: a sentence says so, and what to do."""
    file = tmp_path / "tarry.toml"
    file.write_text('[handoff]\nmode = "pass"\n[tarpit.rcpt]\nstep = "5s"\n')
    done = subprocess.run([COMMAND, "config", "check", file], capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 1
    assert 'handoff.mode = "pass" gives the client away at the greeting; set handoff.mode = "proxy"' in done.stdout + done.stderr


# Back-pressure.


def converse(sockets: Sequence[socket.socket], lines: Sequence[bytes], timeout: float = 60.0) -> list[list[int]]:
    """Let each client say one line after the other, each after the reply to the last; return the codes that each one got."""
    codes: dict[socket.socket, list[int]] = {sock: [] for sock in sockets}
    heard = dict.fromkeys(sockets, b"")
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(1.0):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                with contextlib.suppress(ConnectionResetError):
                    heard[sock] += (piece := sock.recv(65536))
                last = heard[sock].rstrip(b"\r\n").rpartition(b"\n")[2]
                if not piece or (heard[sock].endswith(b"\n") and last[3:4] == b" "):
                    number = len(codes[sock])
                    codes[sock].append(int(last[:3] or 0))
                    heard[sock] = b""
                    if number < len(lines) and piece:
                        sock.sendall(lines[number])
                    else:
                        selector.unregister(sock)
    return list(codes.values())


@BOTH
def test_three_hundred_clients_and_five_smtpds(mode: str) -> None:
    """All come at once, nobody is refused, and each is served when its turn has come."""
    need("postfix")
    lines = [b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"QUIT\r\n"]
    with Postfix(process_limit=5) as postfix, front(postfix, mode) as tarry, Crowd(tarry.port, 300) as crowd:
        codes = converse(crowd.sockets, lines)
        closed = tarry.wait_records(300, ev="close")

        assert codes == [[220, 250, 250, 221]] * 300
        assert len(closed) == 300
        assert {each["mta"] for each in closed} == {True}
        assert wait_until(lambda: len(postfix.log_text().split("]: disconnect from unknown[127.20.")) == 301, 10)


def test_early_talk_while_all_smtpds_are_busy() -> None:
    """Who talks while it waits for an smtpd is refused when its turn comes; the one behind it is served."""
    need("postfix")
    with Postfix(process_limit=1) as postfix, front(postfix) as tarry, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(RawClient(tarry.port)) for _ in range(5)]
        assert busy[0].read_reply().code == 220
        tarry.wait_records(5, ev="connect")
        talker = stack.enter_context(RawClient(tarry.port, source="127.66.7.7", timeout=20))
        time.sleep(0.5)  # longer than the hold: it waits for its turn now
        behind = stack.enter_context(RawClient(tarry.port, source="127.66.7.8", timeout=20))
        time.sleep(0.5)
        talker.send(b"EHLO early\r\n")
        for client in busy:
            if not client.replies:
                client.read_reply()
            client.command(b"QUIT")
            client.close()

        assert talker.read_reply().raw.startswith(b"554 5.7.1 You spoke before the greeting")
        assert behind.read_reply().code == 220
        assert "127.66.7.7" not in postfix.log_text()


# Postfix is away.


def test_postfix_is_stopped_and_comes_again() -> None:
    """Clients get 421 meanwhile and are served afterwards, with no restart of tarry."""
    need("postfix")
    with Postfix() as postfix, front(postfix) as tarry:
        postfix.halt()
        with RawClient(tarry.port) as client:
            assert client.read_reply().raw.startswith(AWAY)
            assert client.read_until_closed() == b""
            (close,) = tarry.wait_records(1, ev="close")
        postfix.resume()
        with RawClient(tarry.port) as client:
            assert client.read_reply().raw.startswith(b"220 postfix.example.org")
        (why,) = [each["why"] for each in tarry.records(ev="handoff") if not each["ok"]]

    assert (close["ended"], close["greeted"], close["mta"]) == ("mta", False, False)
    assert why in ("cannot be reached: Connection refused", "cannot be reached: No such file or directory")


def test_a_teaser_is_no_broken_greeting() -> None:
    """Where Postfix is away behind a first line: the greeting is finished, the first command gets 421, and QUIT 221."""
    need("postfix")
    with Postfix() as postfix, front(postfix, config='[hold]\nteaser = "wait a moment"') as tarry:
        with RawClient(tarry.port) as client:
            assert client.read_reply().raw.startswith(b"220-wait a moment\r\n220 postfix.example.org ")
        postfix.halt()
        with RawClient(tarry.port) as client, RawClient(tarry.port) as quitter:
            greeting = client.read_reply()
            assert (greeting.code, greeting.lines[0], len(greeting.lines)) == (220, b"wait a moment", 2)
            assert client.command(b"EHLO x").raw.startswith(AWAY)
            assert client.read_until_closed() == b""
            quitter.read_reply()
            assert quitter.command(b"QUIT").code == 221
            assert quitter.read_until_closed() == b""


def _comes_late() -> tuple[str, int, list[bool]]:
    """Start tarry, and Postfix after it: return what tarry printed, the greeting's code, and the stress in the record."""
    with Postfix() as postfix:
        postfix.halt()
        with front(postfix) as tarry:
            printed = tarry.printed()
            postfix.resume()
            with RawClient(tarry.port) as client:
                code = client.read_reply().code
            return printed, code, [each["on"] for each in tarry.wait_records(2, ev="stress")]


@pytest.fixture(scope="module", autouse=True)
def late() -> Iterator[Future[tuple[str, int, list[bool]]]]:
    """What happens where Postfix comes after tarry, which asks for it again after five seconds: other tests run meanwhile."""
    need("postfix")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_comes_late)


def test_postfix_comes_after_tarry(late: Future[tuple[str, int, list[bool]]]) -> None:
    """The start says that it is away, the record when it is there; clients are served as soon as it is."""
    printed, code, stress = late.result(60)

    assert "does not answer yet" in printed
    assert (220, [True, False]) == (code, stress)


# The way to the MTA changes.


TALKER = r"""#!/bin/sh
printf '220 exec\r\n'
while read -r line; do
    case $line in QUIT*) break ;; esac
    printf '250 ok\r\n'
done
printf '221 bye\r\n'
"""


def test_reloads_while_clients_come_and_wait(tmp_path: Path) -> None:
    """From pass to exec, back, and to proxy: each client gets one greeting and its own session, and nothing is left."""
    need("postfix")
    mta = tmp_path / "mta"
    mta.write_text(TALKER)
    mta.chmod(0o755)
    lines = [b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"QUIT\r\n"]
    with Postfix(process_limit=5) as postfix, front(postfix) as tarry, contextlib.ExitStack() as stack:
        ways = (
            {"mode": "exec", "command": [str(mta)], "max_children": 300},
            {"mode": "pass", "socket": str(postfix.pass_socket)},
            {"mode": "proxy", "address": f"unix:{postfix.pass_socket}", "announce": "pass"},
        )
        with RawClient(tarry.port) as client:  # what is opened once, by the first client, is no leak
            converse([client.sock], lines)
        before = accounting.descriptors([tarry.pid])
        crowds, codes = [], []
        for number in range(6):
            crowds.append(stack.enter_context(Crowd(tarry.port, 60)))
            tarry.write({**tarry.config, "handoff": ways[number % 3]})
            tarry.reload()
            assert len(tarry.wait_records(number + 1, ev="config")) == number + 1
            if number % 3 == 0:  # the crowd may be greeted before or after: this one by exec, and the last one by proxy
                codes += converse([stack.enter_context(RawClient(tarry.port)).sock], lines)
        last = stack.enter_context(RawClient(tarry.port))
        codes += converse([*(sock for crowd in crowds for sock in crowd.sockets), last.sock], lines)
        closed = tarry.wait_records(364, ev="close")

        assert codes == [[220, 250, 250, 221]] * 363
        assert len(closed) == len({each["id"] for each in closed}) == 364
        assert {each["mode"] for each in tarry.records(ev="handoff", ok=True)} == {"pass", "exec", "proxy"}
        assert wait_until(lambda: accounting.descriptors([tarry.pid]) <= before, 10)
        assert tarry.stop() == 0


# tarry goes down.


def test_sigterm_while_clients_wait_for_an_smtpd() -> None:
    """Who waits in tarry is told to come again; who waits in Postfix's own queue is served by it, although tarry has gone."""
    need("postfix")
    config = '[limits]\ndrain = "500ms"\n'
    with Postfix(process_limit=1) as postfix, front(postfix, config=config) as tarry, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(RawClient(tarry.port)) for _ in range(6)]
        assert waiting[0].read_reply().code == 220
        time.sleep(1.0)  # the others have come to where they wait
        assert tarry.stop() == 0
        replies = [waiting[0].command(b"QUIT").code]
        waiting[0].close()
        for client in waiting[1:]:
            replies.append(client.read_reply().code)
            if replies[-1] == 220:
                client.command(b"QUIT")
                client.close()

    assert replies[0] == 221
    assert {220, 421} == set(replies[1:])
    assert sorted(replies[1:]) == replies[1:]  # who came first is with Postfix


def test_sigkill_leaves_given_clients_alone() -> None:
    """They are Postfix's: a session goes on to the end, and its message is delivered."""
    need("postfix")
    with Postfix() as postfix, front(postfix) as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        tarry.wait_records(1, ev="close")
        tarry.kill()
        assert client.command(b"RCPT TO:<alice@example.org>").code == 250
        assert client.command(b"DATA").code == 354
        assert client.command(STUFFED).code == 250
        assert client.command(b"QUIT").code == 221
        assert postfix.wait_messages(1)[0].endswith(LOGGED)


def test_sigterm_waits_for_no_given_client(postfix: Postfix) -> None:
    """They are not tarry's any more."""
    with front(postfix) as tarry, RawClient(tarry.port) as client:
        client.greeted()
        tarry.wait_records(1, ev="close")
        began = time.monotonic()
        tarry.send_signal(signal.SIGTERM)
        assert wait_until(lambda: tarry.status == 0, 10)
        assert time.monotonic() - began < 5
        assert client.command(b"NOOP").code == 250


# In line, in the client's name: all that tarry can do after the greeting applies.


def test_checks_and_delays_apply_in_line(postfix: Postfix) -> None:
    """A tarpit slows recipients, and who sends its message before the 354 is refused; Postfix sees the true client."""
    config = '[tarpit.rcpt]\nfree = 1\nstep = "400ms"\n[checks.predata]\naction = "reject"\n'
    with front(postfix, "in line", config) as tarry, RawClient(tarry.port, source="127.9.9.9") as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        client.command(b"RCPT TO:<alice@example.org>")
        began = time.monotonic()
        assert client.command(b"RCPT TO:<bob@example.org>").code == 250
        assert time.monotonic() - began >= 0.39
        client.send(b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n")
        assert client.read_reply().code == 550
        client.close()
        (close,) = tarry.wait_records(1, ev="close")

    assert close["reasons"] == ["predata.spoke"]
    assert close["delayed"] >= 0.39
    assert postfix.wait_log(r"disconnect from unknown\[127\.9\.9\.9\]")


def test_starttls_through_the_pipe(tmp_path: Path) -> None:
    """Postfix does the handshake with the client through tarry, and the message comes inside it."""
    need("postfix", "openssl")
    paths = certificate.make(tmp_path)
    with Postfix(tls=paths) as postfix:
        for mode in ("pass", "in line"):
            with front(postfix, mode) as tarry, RawClient(tarry.port) as client:
                assert b"STARTTLS" in client.greeted().lines
                assert client.command(b"STARTTLS").code == 220
                client.start_tls(paths[0])
                client.command(b"EHLO inside")
                assert client.envelope() == [250, 250]
                assert client.command(b"DATA").code == 354
                assert client.command(STUFFED).code == 250
        assert [message.endswith(LOGGED) for message in postfix.wait_messages(2)] == [True, True]
