"""Real senders through the door, with the holds on: five MTAs with a queue and six programs, all at the same time.

Each is let through at its first attempt and without a reason against it, and its message arrives once and as it was sent: under
every preset, by every way to a Postfix behind, in the clear and over TLS that ends in Postfix or in tarry.
"""

import importlib.util
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import certificate, clients, relays, senders
from tests.e2e.servers.ahead import Ahead
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.exim import Exim
from tests.e2e.servers.need import need
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.relays import RELAYS, Relay
from tests.e2e.servers.sendmail import Sendmail
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENT = "127.9.8.7"
PRESETS = ("tarry", "carraway-2003", "qpsmtpd-earlytalker", "sendwrap-2004", "zmailer-1997", "postscreen", "spamd")
"""Not flavell-2004: it asks name servers about this host, and senders give at EHLO the name that this host happens to have."""
SENDERS = (*senders.SENDERS, *RELAYS)
SOURCES = {name: f"127.9.8.{number}" for number, name in enumerate(SENDERS, 10)}  # by which records and logs tell them apart
WAIT = "0.4s"  # in place of the presets' 1 s to 35 s
BODY = (
    b"A line.\r\n..two dots, of which a sender sends three\r\n.\tone dot\r\n.\r\n\r\n  blanks before and behind  \r\n\ttab\t\r\n"
    + b"x" * 900
    + b"\r\nquoted =3D, caf\xc3\xa9\r\nFrom here on\r\nQUIT\r\n\r\n\r\nthe end\r\n"
)
HEADER = b"".join(
    line + b"\r\n"
    for line in (
        b"From: <sender@client.example>",
        b"To: <alice@example.org>",
        b"Subject: %b",
        b"Date: Sat, 21 Nov 2026 09:00:00 +0000",
        b"Message-Id: <%b@client.example>",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to the Postfix behind: what it is told (tables of TOML, ``{port}`` and ``{socket}`` to be filled in), and who it is."""

    handoff: str
    proxy_protocol: bool = False
    trust: tuple[str, ...] = ()
    knows_client: bool = True
    sees_mail: bool = True  # tarry does, since it stays in line


PROXY = 'mode = "proxy"\naddress = "127.0.0.1:{port}"\nannounce = '
WAYS = {
    "none": Way(handoff=PROXY + '"none"', knows_client=False),
    "proxy-v1": Way(handoff=PROXY + '"proxy-v1"', proxy_protocol=True),
    "proxy-v2": Way(handoff=PROXY + '"proxy-v2"', proxy_protocol=True),
    "xclient": Way(handoff=PROXY + '"xclient"', trust=("127.0.0.0/8",)),
    "announce-pass": Way(handoff='mode = "proxy"\naddress = "unix:{socket}"\nannounce = "pass"'),
    "pass": Way(handoff='mode = "pass"\nsocket = "{socket}"', sees_mail=False),
}


# What makes each reuse its connection within a second or two, and whether it must have found the door shut before.
AT_ONCE = {"default_destination_concurrency_limit": "1", "initial_destination_concurrency": "1"}
REUSE = {"smtp_connection_cache_destinations": "static:all", "smtp_tls_connection_reuse": "yes"}
OVER_TLS = {"smtp_tls_security_level": "may"}
REUSING: dict[str, tuple[Callable[[int], AbstractContextManager[Relay]], bool]] = {
    "exim": (lambda port: Exim(relay_to=port, reuse=True, source=CLIENT), True),
    "opensmtpd": (lambda port: OpenSmtpd(relay_to=port, source=CLIENT, settings=["mta limit max-conn-per-host 1"]), False),
    "postfix": (
        lambda port: Postfix(relay_to=port, settings={"smtp_bind_address": CLIENT, **AT_ONCE, **REUSE, **OVER_TLS}),
        False,
    ),
    "sendmail": (lambda port: Sendmail(relay_to=port, source=CLIENT), True),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_sender_reaches_the_maildir(preset: str) -> None:
    """Each of the eleven delivers, and nothing speaks against any of them."""
    need_senders()
    with Tarry(f'preset = "{preset}"', wait=WAIT) as door:
        assert NOTHING_WRONG == send_with_each(door.port)

        assert_arrived(door.messages())
        assert_let_through(door)


def test_every_sender_waits_for_as_long_as_the_door_holds_it() -> None:
    """3 s to 6 s before the greeting, as by default: nobody gives up, and nobody comes twice."""
    need_senders()
    with Tarry(wait="3s..6s") as door:
        assert NOTHING_WRONG == send_with_each(door.port)

        assert_arrived(door.messages())
        assert_let_through(door)
        assert [] == [each["held"] for each in door.records(ev="close") if not 3 <= each["held"] < 7]


def test_every_sender_reaches_the_maildir_over_tls(pair: tuple[Path, Path]) -> None:
    """TLS ends in tarry, which sees each message."""
    need_senders("terminate")
    with Tarry(tls_table("terminate", pair), wait=WAIT) as door:
        assert NOTHING_WRONG == send_with_each(door.port, starttls=True)

        assert_arrived(door.messages())
        assert_let_through(door, tls="terminate")


@pytest.mark.parametrize(
    ("way", "tls"),
    [
        ("none", ""),
        ("proxy-v1", ""),
        *(("xclient", tls) for tls in ("", "relay")),
        *(("proxy-v2", tls) for tls in ("", "relay", "terminate")),
        *(("announce-pass", tls) for tls in ("", "relay", "terminate")),
        *(("pass", tls) for tls in ("", "relay")),
    ],
    ids=lambda value: value or "plain",
)
def test_every_sender_reaches_a_postfix_behind(way: str, tls: str, pair: tuple[Path, Path]) -> None:
    """Each of the eleven delivers; Postfix sees the true client where it is announced, and TLS where that is relayed."""
    need_senders(tls)
    told, over_tls = WAYS[way], tls == "relay"
    tls_behind = pair if over_tls else None
    with Postfix(proxy_protocol=told.proxy_protocol, trust=told.trust, tls=tls_behind) as behind:
        handoff = told.handoff.format(port=behind.port, socket=behind.pass_socket)
        with Tarry(f"{tls_table(tls, pair)}\n[handoff]\n{handoff}", wait=WAIT) as door:
            assert NOTHING_WRONG == send_with_each(door.port, starttls=bool(tls))

            arrived = behind.wait_messages(len(SENDERS))
            assert_arrived(arrived)
            assert_let_through(door, tls=tls, sees_mail=told.sees_mail)
            log = behind.log_text()
            seen = SOURCES.values() if told.knows_client else ["127.0.0.1"] * len(SENDERS)
            assert Counter(seen) == Counter(re.findall(r": client=unknown\[(\S+)\]", log))
            assert [over_tls] * len(SENDERS) == [b" with ESMTPS " in b" ".join(each.split()) for each in arrived]
            assert "reject:" not in log


@pytest.fixture(scope="module")
def sent(pair: tuple[Path, Path]) -> Iterator[Ahead[tuple[str, str], None]]:
    with Ahead(lambda case: send_several(*case, pair), product(REUSING, ("", "relay", "terminate"))) as ahead:
        yield ahead


@pytest.mark.parametrize("tls", ["", "relay", "terminate"], ids=lambda value: value or "plain")
@pytest.mark.parametrize("name", REUSING)
def test_an_mta_sends_several_messages_over_one_connection(name: str, tls: str, sent: Ahead[tuple[str, str], None]) -> None:
    """Five messages to three recipients each: all arrive once for each recipient, over fewer connections than messages."""
    sent.of((name, tls))


def send_several(name: str, tls: str, pair: tuple[Path, Path]) -> None:
    """Let that MTA send them through a door; fail where they do not come, or over too many connections."""
    need("postfix", name)
    need_termination(tls)
    start, finds_shut = REUSING[name]
    three = [f"{who}@example.org" for who in ("alice", "bob", "carol")]
    with (
        reserved_port() as port,
        Postfix(recipients=three, proxy_protocol=True, tls=pair if tls == "relay" else None) as behind,
        start(port) as sender,
        Tarry(tls_table(tls, pair), backend=behind.port, announce="proxy-v2", port=port, wait=WAIT) as door,
    ):
        if finds_shut:
            door.stop()
        for number in range(5):
            message = HEADER.replace(b"%b", str(number).encode()) + b"\r\n" + BODY
            sender.send("sender@client.example", three, message.replace(b"\r\n", b"\n"))
        if finds_shut:
            door.start()

        arrived = behind.wait_messages(15, 20)
        assert sorted([*"01234"] * 3) == sorted(subject(each.partition(b"\n\n")[0]) for each in arrived)
        assert {BODY.replace(b"\r\n", b"\n")} == {each.partition(b"\n\n")[2] for each in arrived}
        assert sender.queue_empty()
        begun = len(door.records(ev="connect"))
        sender.halt()
        closes = door.wait_records(begun, ev="close")

    assert 1 <= begun < 5
    assert [([], "ignore", tls == "relay", tls == "terminate")] * begun == [
        (each["reasons"], each["action"], each["blind"], each["tls"].startswith("TLSv1")) for each in closes
    ]
    if tls != "relay":
        assert (5, 15) == (sum(each["messages"] for each in closes), sum(each["rcpts_accepted"] for each in closes))


@pytest.mark.parametrize("preset", PRESETS)
def test_only_sendwrap_exempts_the_loopback_network(preset: str) -> None:
    """The pattern ^127\\. of 2004 lets a local client in at once; the others hold it as long as they say."""
    with Tarry(f'preset = "{preset}"', wait="0.4s") as door, RawClient(door.port, source=CLIENT) as client:
        waited = client.read_reply().at - client.connected_at
        client.command(b"QUIT")
        (connect,) = door.wait_records(1, ev="connect")

    if preset == "sendwrap-2004":
        assert (connect["exempt"], connect["wait"]) == ("exempt", 0.0)
    else:
        assert (connect["exempt"], connect["wait"]) == ("", 0.4)
        assert waited >= 0.39


def test_the_sendwrap_preset_holds_whom_its_patterns_do_not_name() -> None:
    """With patterns that fit no sender all are held, and all get through."""
    need_senders()
    config = "preset = \"sendwrap-2004\"\n[exempt]\npatterns = ['^10\\.0\\.1']"
    with Tarry(config, wait=WAIT) as door:
        assert NOTHING_WRONG == send_with_each(door.port)

        assert_let_through(door)
        assert all(each["held"] >= 0.4 for each in door.records(ev="close"))


def test_an_unknown_user_is_refused_in_the_words_of_the_mta() -> None:
    """Postfix's 550 for a recipient reaches every sender unchanged, and each takes it for a failure."""
    need_senders()
    nobody = "nobody-here@example.org"
    words = f"5.1.1 <{nobody}>: Recipient address rejected: User unknown in virtual mailbox table"
    with Postfix() as behind, Tarry(backend=behind.port, wait="0.1s") as door:
        failed = send_with_each(door.port, recipient=nobody)

    assert {} == {name: output for name, output in failed.items() if words not in output or "550" not in output}


# The senders

NOTHING_WRONG = dict.fromkeys(SENDERS, "")


def need_senders(tls: str = "") -> None:
    """Skip unless all eleven can be used, and *tls*, where that is a mode."""
    need_termination(tls)
    need(*RELAYS, *(each for name in senders.SENDERS for each in senders.needs(name, starttls=bool(tls))))


def need_termination(tls: str) -> None:
    """Skip where *tls* is terminate and this tarry cannot do that yet."""
    if tls == "terminate" and importlib.util.find_spec("tarry.core.starttls") is None:
        pytest.skip("this tarry does not end TLS yet")


@contextmanager
def reserved_port() -> Iterator[int]:
    """Give a port that nobody else gets, also while nothing listens on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def tls_table(mode: str, pair: tuple[Path, Path]) -> str:
    """Return the table [tls] for *mode*; nothing for none."""
    lines = [f'mode = "{mode}"']
    if mode == "terminate":
        lines += [f'certificate = "{pair[0]}"', f'key = "{pair[1]}"']
    return "\n".join(["[tls]", *lines]) if mode else ""


def send_with_each(port: int, *, recipient: str = clients.RECIPIENT, starttls: bool = False) -> dict[str, str]:
    """Send one message with each sender, at the same time, each from its own address; return what went wrong, "" for nothing."""

    def send(name: str) -> str:
        by = relays.send if name in RELAYS else senders.send
        message = (HEADER.replace(b"%b", name.encode())) + b"\r\n" + BODY
        sender = f"{name}@client.example"
        ran = by(name, port, sender=sender, recipient=recipient, message=message, starttls=starttls, source=SOURCES[name])
        return ran.output if ran.status else ""

    with ThreadPoolExecutor(len(SENDERS)) as pool:
        return dict(zip(SENDERS, pool.map(send, SENDERS), strict=True))


def assert_arrived(messages: Iterable[bytes]) -> None:
    """Each sender's message is there, once, with all its header lines and its body."""
    parts = [message.replace(b"\r\n", b"\n").partition(b"\n\n") for message in messages]
    heads = {subject(head): head.splitlines() for head, _, _ in parts}
    assert sorted(SENDERS) == sorted(subject(head) for head, _, _ in parts)
    sent = {name: HEADER.replace(b"%b", name.encode()).splitlines() for name in SENDERS}
    assert {} == {name: lost for name, lines in sent.items() if (lost := [line for line in lines if line not in heads[name]])}
    assert [] == [subject(head) for head, _, body in parts if body != BODY.replace(b"\r\n", b"\n")]


def subject(head: bytes) -> str:
    """Return what follows "Subject: " in a header."""
    return next(line[9:].decode() for line in head.splitlines() if line.startswith(b"Subject: "))


def assert_let_through(door: Tarry, *, tls: str = "", sees_mail: bool = True) -> None:
    """Each sender came once; nothing spoke against it, nothing was refused, and the record tells where TLS ended."""
    closes = door.wait_records(len(SENDERS), ev="close")
    assert sorted(SENDERS) == sorted(map(name_of, closes)) == sorted(map(name_of, door.records(ev="connect")))
    blind = sees_mail and tls == "relay"
    expected = {
        "messages": int(sees_mail and not blind),
        "reasons": [],
        "action": "ignore",
        "blind": blind,
        "tls": tls == "terminate",
    }
    # In this order: what is different is told by name.
    assert dict.fromkeys(SENDERS, expected) == {
        name_of(each): {**{key: each[key] for key in expected}, "tls": each["tls"].startswith("TLSv1")} for each in closes
    }
    assert [] == [each for each in door.records(ev="reply") if each["code"] >= 400]


def name_of(record: dict[str, Any]) -> str:
    """Return whose session the record is of."""
    return {source: name for name, source in SOURCES.items()}[record["client"]]
