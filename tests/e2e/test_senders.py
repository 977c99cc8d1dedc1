"""Every usual sender gets its mail through, under every preset, into the Maildir and to a real Postfix behind."""

import smtplib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e.servers import clients
from tests.e2e.servers.clients import Ran, RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENT = "127.9.8.7"
PRESETS = ("tarry", "carraway-2003", "qpsmtpd-earlytalker", "sendwrap-2004")
SENDERS = ("curl", "msmtp", "postfix", "smtplib", "swaks")
WAIT = "0.4s"  # in place of the presets' 1 s to 35 s


@pytest.fixture(scope="module")
def mta() -> Iterator[Postfix]:
    """A Postfix behind that is told nothing of the client."""
    need("postfix")
    with Postfix() as running:
        yield running


@pytest.fixture(scope="module")
def haproxy_mta() -> Iterator[Postfix]:
    """A Postfix behind that demands a PROXY header, of either version."""
    need("postfix")
    with Postfix(proxy_protocol=True) as running:
        yield running


@pytest.mark.parametrize("preset", PRESETS)
def test_every_sender_reaches_the_maildir(preset: str) -> None:
    """Each of five senders delivers, and nothing speaks against any of them."""
    need("postfix", "swaks", "curl", "msmtp")
    with Tarry(f'preset = "{preset}"', wait=WAIT) as tarry:
        assert dict.fromkeys(SENDERS, "") == send_with_each(tarry.port)

        assert sorted(SENDERS) == sorted(map(subject, tarry.messages()))
        closes = tarry.wait_records(len(SENDERS), ev="close")
        assert [(1, [], "ignore")] * 5 == [(each["messages"], each["reasons"], each["action"]) for each in closes]


@pytest.mark.parametrize(("announce", "seen"), [("none", "127.0.0.1"), ("proxy-v1", CLIENT), ("proxy-v2", CLIENT)])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_sender_reaches_a_postfix_behind(preset: str, announce: str, seen: str, mta: Postfix, haproxy_mta: Postfix) -> None:
    """Each of five senders delivers through to Postfix, whose log shows the true client where it is announced."""
    need("swaks", "curl", "msmtp")
    behind = mta if announce == "none" else haproxy_mta
    mails, logged = len(behind.messages()), len(behind.log_text())
    with Tarry(f'preset = "{preset}"', backend=behind.port, announce=announce, wait=WAIT) as tarry:
        assert dict.fromkeys(SENDERS, "") == send_with_each(tarry.port)

        arrived = behind.wait_messages(mails + len(SENDERS))[mails:]
        assert sorted(SENDERS) == sorted(map(subject, arrived))
        log = behind.log_text()[logged:]
        assert log.count(f"client=unknown[{seen}]") == len(SENDERS)
        closes = tarry.wait_records(len(SENDERS), ev="close")
        assert [(1, [], "ignore")] * 5 == [(each["messages"], each["reasons"], each["action"]) for each in closes]


@pytest.mark.parametrize("preset", PRESETS)
def test_only_sendwrap_exempts_the_loopback_network(preset: str) -> None:
    """The pattern ^127\\. of 2004 lets a local client in at once; the others hold it as long as they say."""
    with Tarry(f'preset = "{preset}"', wait="0.4s") as tarry, RawClient(tarry.port, source=CLIENT) as client:
        waited = client.read_reply().at - client.connected_at
        client.command(b"QUIT")
        (connect,) = tarry.wait_records(1, ev="connect")

    if preset == "sendwrap-2004":
        assert (connect["exempt"], connect["wait"]) == ("exempt", 0.0)
    else:
        assert (connect["exempt"], connect["wait"]) == ("", 0.4)
        assert waited >= 0.39


def test_the_sendwrap_preset_holds_whom_its_patterns_do_not_name() -> None:
    """With patterns that fit no sender all five are held, and all five get through."""
    need("postfix", "swaks", "curl", "msmtp")
    config = "preset = \"sendwrap-2004\"\n[exempt]\npatterns = ['^10\\.0\\.1']"
    with Tarry(config, wait=WAIT) as tarry:
        assert dict.fromkeys(SENDERS, "") == send_with_each(tarry.port)

        closes = tarry.wait_records(len(SENDERS), ev="close")
        assert all(each["held"] >= 0.4 for each in closes)


def test_an_unknown_user_is_refused_in_the_words_of_the_mta(mta: Postfix) -> None:
    """Postfix's 550 for a recipient reaches every sender unchanged, and the sender keeps its own verdict of it."""
    need("swaks", "curl", "msmtp")
    nobody = "nobody-here@example.org"
    words = "550 5.1.1 <nobody-here@example.org>: Recipient address rejected: User unknown in virtual mailbox table"
    with Tarry(backend=mta.port, wait="0.1s") as tarry:
        swaks, curl, msmtp = (run(tarry.port, recipient=nobody) for run in (clients.swaks, clients.curl, clients.msmtp))
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            clients.submit(tarry.port, recipients=[nobody])
        with Postfix(relay_to=tarry.port) as sender:
            sender.send(clients.SENDER, [nobody], b"Subject: x\n\nx\n")
            bounced = sender.wait_log(r"dsn=5\.1\.1, status=bounced \(host \S+ said: " + words.replace(".", r"\."))

    assert words in swaks.output
    assert words in curl.output
    assert words[4:] in msmtp.output
    assert (550, words[4:].encode()) == refused.value.recipients[nobody]
    assert bounced
    assert [0, 0, 0] != [swaks.status, curl.status, msmtp.status]


# The senders


def subject(message: bytes) -> str:
    """Return what follows "Subject: " in a delivered message."""
    return next(line[9:].decode() for line in message.splitlines() if line.startswith(b"Subject: "))


def send_with_each(port: int) -> dict[str, str]:
    """Send one message with each sender, at the same time, from CLIENT; return what went wrong with each, "" for nothing."""
    with ExitStack() as stack:
        relay = stack.enter_context(Postfix(relay_to=port, settings={"smtp_bind_address": CLIENT}))
        senders: dict[str, Callable[[bytes], str]] = {
            "curl": lambda message: _ran(clients.curl(port, "--interface", CLIENT, message=message)),
            "msmtp": lambda message: _ran(clients.msmtp(port, f"--source-ip={CLIENT}", message=message)),
            "postfix": lambda message: _relayed(relay, message),
            "smtplib": lambda message: str(clients.submit(port, message, source=CLIENT) or ""),
            "swaks": lambda message: _ran(clients.swaks(port, "--local-interface", CLIENT, message=message)),
        }
        pool = stack.enter_context(ThreadPoolExecutor(len(senders)))
        running = {
            name: pool.submit(send, clients.MESSAGE.replace(b"Subject: hello", b"Subject: " + name.encode()))
            for name, send in senders.items()
        }
        return {name: each.result() for name, each in running.items()}


def _ran(ran: Ran) -> str:
    return "" if ran.status == 0 else ran.output


def _relayed(relay: Postfix, message: bytes) -> str:
    relay.send(clients.SENDER, [clients.RECIPIENT], message.replace(b"\r\n", b"\n"))
    sent = wait_until(lambda: "status=sent" in relay.log_text(), 20)
    return "" if sent and relay.queue_empty() and "status=bounced" not in relay.log_text() else relay.log_text()
