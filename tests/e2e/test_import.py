"""tarry import, on a real Postfix: its list of parameters, what its postconf prints, its cache, a front door in its place."""

import json
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tarry.config.imports.postscreen_words import DEFAULTS, MAPPED, TLS_PREFIXES, WITHOUT
from tests.e2e.servers import install
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.nameservers import rbldnsd
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix, Postscreen
from tests.e2e.servers.qpsmtpd import Qpsmtpd
from tests.e2e.servers.sendmail import Sendmail
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SETTINGS = {
    "postscreen_greet_action": "enforce",
    "postscreen_non_smtp_command_enable": "yes",
    "postscreen_pipelining_enable": "no",
    "postscreen_greet_ttl": "${stress?{1}:{2}}d",
    "postscreen_access_list": "permit_mynetworks, cidr:{ {203.0.113.7 dunno}, {203.0.113.0/28 reject} }",
    "postscreen_denylist_action": "drop",
    "mynetworks": "192.0.2.0/24, [2001:db8::]/32",
    "postscreen_cache_cleanup_interval": "0",
}


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    need("postfix")
    with Postfix(
        postscreen=Postscreen(greet_wait=2, remember=True, settings=SETTINGS), settings={"mynetworks": SETTINGS["mynetworks"]}
    ) as running:
        yield running


def imported(*args: str | Path, stdin: bytes = b"") -> tuple[str, str]:
    """Run `tarry import` and return what it wrote to either stream. It succeeds."""
    ran = subprocess.run([COMMAND, "import", *args], input=stdin, capture_output=True, timeout=60, check=False)
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout.decode(), ran.stderr.decode()


def checked(text: str, folder: Path) -> str:
    """Return what `tarry config check` says of a file; it finds no error."""
    path = folder / "tarry.toml"
    path.write_text(text)
    ran = subprocess.run([COMMAND, "config", "check", path], capture_output=True, timeout=60, check=False)
    assert 0 == ran.returncode, ran.stdout
    return ran.stdout.decode()


def test_every_parameter_of_postscreen_is_known(postfix: Postfix) -> None:
    """Each that this Postfix has, with the default that the import takes for it."""
    printed = postfix._tool("postconf", "-d").decode()
    theirs = dict(re.findall(r"^(\w+) =[ \t]*(.*)$", printed, re.MULTILINE))
    assert [] == [
        name
        for name in theirs
        if name.startswith("postscreen_") and name not in MAPPED | set(WITHOUT) and not name.startswith(TLS_PREFIXES)
    ]
    here = {name: value for name, value in DEFAULTS.items() if name in theirs and name.startswith("postscreen_")}
    assert len(here) > 20
    assert {name: theirs[name] for name in here} == here


def test_what_postconf_prints_is_imported(postfix: Postfix, tmp_path: Path) -> None:
    """From main.cf and from `postconf -n` alike, and the result passes `tarry config check`."""
    etc = postfix.folder / "etc"
    text, told = imported("postfix", etc / "main.cf")
    read = tomllib.loads(text)
    assert ("2s", "postfix.example.org postscreen") == (read["hold"]["wait"], read["hold"]["teaser"])
    assert ("reject", "rcpt", "2d") == tuple(read["checks"]["pregreet"][name] for name in ("action", "at", "remember"))
    assert ("drop", "ignore") == (read["checks"]["non_smtp"]["action"], read["checks"]["pipelining"]["action"])
    assert ["192.0.2.0/24", "2001:db8::/32"] == read["exempt"]["networks"]
    assert 4 == len(read["deny"]["networks"])
    assert [f"127.0.0.1:{postfix.port}"] == read["listen"]["smtp"]
    assert {"mode": "proxy", "announce": "pass", "address": f"unix:{postfix.pass_socket}"} == {
        name: value for name, value in read["handoff"].items() if name != "max_waiting"
    }
    assert "postscreen_cache_cleanup_interval = 0" in told
    assert "is fine: listens on" in checked(text, tmp_path)

    from_postconf, _ = imported("postfix", "-", "--master", etc / "master.cf", stdin=postfix._tool("postconf", "-n"))
    assert read == tomllib.loads(from_postconf)


def test_the_result_takes_postscreens_place(postfix: Postfix) -> None:
    """A patient client reaches smtpd, which sees its address; an early talker is refused at RCPT, as `enforce` does it."""
    read, _ = imported("postfix", postfix.folder / "etc" / "main.cf")
    text = re.sub(r"^\[listen\]\nsmtp = .*$", "[listen]", read, count=1, flags=re.MULTILINE)
    with Tarry(text) as tarry:
        with RawClient(tarry.port, source="127.9.8.7") as client:
            began = time.monotonic()
            assert client.read_reply().raw.startswith(b"220-postfix.example.org postscreen")
            assert time.monotonic() - began >= 1.9
            assert client.envelope() == [250, 250]
        assert postfix.wait_log(r"smtpd\[\d+\]: connect from unknown\[127\.9\.8\.7\]")
        with RawClient(tarry.port, source="127.66.6.6") as client:
            client.send(b"EHLO early\r\n")
            client.read_reply()
            client.read_reply()
            assert client.command(b"MAIL FROM:<a@client.example>").code == 250
            assert client.command(b"RCPT TO:<alice@example.org>").code == 550


LISTS = """
postscreen_dnsbl_sites = bl.example=127.0.0.[2..11]*2, bl.example=127.0.0.[10;11]*1, wl.example=127.0.[0..255].[1..3]*-3
postscreen_dnsbl_threshold = 3
postscreen_dnsbl_action = enforce
postscreen_dnsbl_allowlist_threshold = -2
"""


def test_dns_lists_weigh_as_in_postscreen(postfix: Postfix) -> None:
    """Two filters of one zone add up to the threshold, one does not, and an allow list ends the wait."""
    need("rbldnsd")
    etc = postfix.folder / "etc"
    main = (etc / "main.cf").read_text() + LISTS
    read, _ = imported("postfix", "-", "--master", etc / "master.cf", stdin=main.encode())
    text = re.sub(r"^\[listen\]\nsmtp = .*$", "[listen]", read, count=1, flags=re.MULTILINE)
    zones = {
        "bl.example": ("ip4set", "127.66.6.10 :127.0.0.10:twice\n127.66.6.4 :127.0.0.4:once\n"),
        "wl.example": ("ip4set", "127.9.9.9 :127.0.5.2:friend\n"),
    }
    with rbldnsd(zones) as port, Tarry(f'{text}\n[dns]\nservers = ["127.0.0.1:{port}"]\nself_test = "0s"\n') as tarry:

        def told(source: str) -> tuple[bool, list[int]]:
            with RawClient(tarry.port, source=source) as client:
                client.greeted()
                return time.monotonic() - client.connected_at > 1.9, client.envelope()

        expected = {"127.66.6.10": (True, [250, 550]), "127.66.6.4": (True, [250, 250]), "127.9.9.9": (False, [250, 250])}
        with ThreadPoolExecutor(len(expected)) as pool:
            assert expected == dict(zip(expected, pool.map(told, expected), strict=True))


def test_a_real_cache_gives_passes(tmp_path: Path) -> None:
    """Of a client that has waited: until two days from now for the greeting test, and nothing for one that talked."""
    need("postfix")
    settings = {"postscreen_greet_action": "enforce", "postscreen_greet_ttl": "2d"}
    with Postfix(postscreen=Postscreen(greet_wait=1, remember=True, settings=settings)) as postfix:
        for source, early in (("127.9.8.7", b""), ("127.66.6.6", b"EHLO early\r\n")):
            with RawClient(postfix.port, source=source) as client:
                client.send(early)
                client.greeted() if not early else client.read_reply()
                client.command(b"QUIT")
        assert postfix.wait_log(r"PASS NEW \[127\.9\.8\.7\]")
        postfix.halt()
        cache = postfix._tool("postmap", "-s", f"btree:{postfix.folder}/data/postscreen_cache")
    assert b"127.9.8.7\t" in cache

    _, told = imported("postfix", "--cache", "-", "--passes", tmp_path / "passes", stdin=cache)

    passes = [json.loads(line) for line in (tmp_path / "passes").read_text().splitlines()]
    greeting = [one for one in passes if one["check"] == "pregreet"]
    assert ["127.9.8.7"] == [one["address"] for one in greeting]
    assert abs(greeting[0]["until"] - time.time() - 2 * 86400) < 60
    assert "passes of 1 clients (pregreet 1" in told


def fate(port: int) -> tuple[int, ...]:
    """Talk early, go on to MAIL where that is possible, and return the codes of all replies."""
    with RawClient(port) as client:
        client.send(b"EHLO early.example\r\n")
        codes = [client.read_reply().code]
        if codes == [220]:
            codes.append(client.read_reply().code)
            codes.append(client.command(b"MAIL FROM:<a@client.example>").code)
    return tuple(codes)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("earlytalker wait 0.4", (550,)),
        ("check_earlytalker wait 0.4 reject_type temp", (450,)),
        ("earlytalker wait 0.4 reject 0", (220, 250, 250)),
        ("earlytalker wait 0.4 defer-reject 1", (220, 250, 450)),
        ("earlytalker wait 0.4 defer-reject no reject_type perm", (220, 250, 550)),
        ("earlytalker wait 0.4 defer-reject 0", (450,)),
        ("earlytalker wait 0.4 action denysoft", (550,)),
        ("earlytalker wait 0.4 action log", (220, 250, 250)),
        ("earlytalker wait 0.4 action deny defer-reject 1", (220, 250, 450)),
        ("earlytalker wait 0.4 check-at DATA", (220, 250, 250)),
        ("earlytalker wait", (220, 250, 250)),
    ],
)
def test_an_early_talker_fares_as_with_the_real_plugin(line: str, expected: tuple[int, ...], tmp_path: Path) -> None:
    """The same codes from qpsmtpd with a line and from tarry with what is made of it, quirks and all."""
    need("qpsmtpd")
    (tmp_path / "plugins").write_text(f"{line}\n")
    text, _ = imported("qpsmtpd", tmp_path / "plugins")
    with Qpsmtpd(plugins=[line]) as qpsmtpd, Tarry(text) as tarry:
        assert (expected, expected) == (fate(qpsmtpd.port), fate(tarry.port))


def test_an_early_talker_fares_as_with_sendmail(tmp_path: Path) -> None:
    """The same 554 from greet_pause and from tarry with what is made of it."""
    need("sendmail")
    (tmp_path / "sendmail.mc").write_text("FEATURE(`access_db')dnl\nFEATURE(`greet_pause', `400')dnl\n")
    text, _ = imported("sendmail", tmp_path / "sendmail.mc")
    with Sendmail(greet_pause=400) as sendmail, Tarry(text) as tarry:
        assert ((554,), (554,)) == (fate(sendmail.port)[:1], fate(tarry.port))


@pytest.mark.parametrize(
    ("server", "verb", "name"),
    [
        ("postfix", "postfix", "usr/share/postfix/main.cf.dist"),
        ("postfix", "postfix", "usr/share/postfix/main.cf.debian"),
        ("sendmail", "sendmail", "usr/share/sendmail/cf/debian/sendmail.mc"),
    ],
)
def test_the_files_that_debian_ships_are_imported(server: str, verb: str, name: str, tmp_path: Path) -> None:
    """As they are, with their comments; the result passes `tarry config check`."""
    need(server)
    text, _ = imported(verb, install.folder(server) / name)
    assert "is fine: listens on" in checked(text, tmp_path)


def test_the_master_cf_that_debian_ships_is_read(tmp_path: Path) -> None:
    """postscreen is a comment in it, and so is the pass service: both are told."""
    need("postfix")
    (tmp_path / "main.cf").write_text("postscreen_greet_wait = 4s\n")
    (tmp_path / "master.cf").write_text((install.folder("postfix") / "usr/share/postfix/master.cf.dist").read_text())
    _, told = imported("postfix", tmp_path / "main.cf")
    assert "no service of type inet runs postscreen" in " ".join(told.split())
