"""DNS lists and names in the running daemon: what a listing leads to, by every action, class and weight.

The lists are on a real rbldnsd; clients come from loopback addresses, or from any that a PROXY header says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import dns.rcode
import pytest

from tests.e2e.servers.nameservers import NameServer, Query, rbldnsd
from tests.e2e.servers.need import need
from tests.e2e.servers.tarry import Tarry
from tests.e2e.servers.visitor import Visit, each, visit, visits

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ONE, TWO, GOOD, SIX, DOM = "one.test", "two.test", "good.test", "six.test", "dom.test"
KEY = "s3cretk3y"
KEYED = f"{KEY}.keyed.test"
ZONES = {
    ONE: ("ip4set", ":127.0.0.4:listed\n192.0.2.0/25\n127.9.9.0/24\n127.0.0.2\n"),
    TWO: ("ip4set", ":127.0.0.5:listed\n192.0.2.64/26\n192.0.3.0/24\n127.0.0.2\n"),
    GOOD: ("ip4set", ":127.0.2.1:good\n192.0.2.96/27\n198.51.100.0/24\n127.0.0.2\n"),
    KEYED: ("ip4set", ":127.0.0.6:listed\n203.0.113.0/24\n127.0.0.2\n"),
    SIX: ("ip6trie", ":127.0.0.7:listed\n2001:db8:bad::/48\n::ffff:7f00:2/128\n"),
    DOM: ("dnset", ":127.0.1.2:listed\nspam.example\ntest\n"),
}
HOLD = 1.0
LATE = 0.9
ANY_CLIENT = '[listen]\nmax_per_client = 0\nproxy_from = ["127.0.0.1/32"]\n'


@pytest.fixture(scope="module")
def lists() -> Iterator[str]:
    """An rbldnsd; its table of the configuration."""
    need("rbldnsd")
    with rbldnsd(ZONES) as port:
        yield f'[dns]\nservers = ["127.0.0.1:{port}"]\n'


def reasons(door: Tarry, made: Visit) -> list[str]:
    """Return those of its session, in order of their names."""
    (close,) = made.records(door, ev="close")
    return sorted(close["reasons"])


# Weights, allow lists, names for replies.

WEIGHED = f"""
[checks.dnslists]
action = "tag"
header = "X-Listed: {{list}} {{code}}"
zones = [
    {{ zone = "{ONE}", weight = 1 }},
    {{ zone = "{TWO}", answers = "127.0.0.[4..5]", weight = 3 }},
    {{ zone = "{GOOD}", weight = -5 }},
    {{ zone = "{KEYED}", weight = 4, name = "The List" }},
    {{ zone = "{SIX}", weight = 4 }},
]
[score]
delay = 2
reject = 4
at = "connect"
[delay]
target = "2.5s"
[headers]
insert = true
"""
ALLOWED, LISTED = "dnslists.allowed", "dnslists.listed"
# The client's address: the code of the greeting, when it came, whether RCPT was held, and the reasons.
GREETED: dict[str, tuple[int, str, bool, list[str]]] = {
    "192.0.9.9": (220, "due", False, []),
    "2001:db8::1": (220, "due", False, []),
    "192.0.2.1": (220, "due", False, [LISTED]),
    "192.0.3.1": (220, "due", True, [LISTED]),
    "192.0.2.65": (554, "at once", False, [LISTED, LISTED]),
    "192.0.2.97": (220, "at once", False, [ALLOWED, LISTED, LISTED]),
    "198.51.100.1": (220, "at once", False, [ALLOWED]),
    "203.0.113.9": (554, "at once", False, [LISTED]),
    "2001:db8:bad::1": (554, "at once", False, [LISTED]),
}


def when(made: Visit) -> str:
    after = made.greeted_after
    return "at once" if after < LATE else "due" if HOLD <= after < HOLD + LATE else f"after {after:.2f} s"


def test_weights_add_up_and_allow_lists_outweigh(lists: str) -> None:
    """One list tags, a heavier one delays, two refuse; an allow list lets in at once, also who is on two block lists."""
    with Tarry(ANY_CLIENT + WEIGHED + lists, wait=f"{HOLD}s") as door:
        made = visits(door.port, list(GREETED))
        found = {who: reasons(door, one) for who, one in made.items()}
        messages = {text.partition(b"\nSubject: ")[2].split()[0].decode(): text for text in door.messages()}

    assert {who: row[:2] for who, row in GREETED.items()} == {who: (one.codes[""], when(one)) for who, one in made.items()}
    assert {who: row[3] for who, row in GREETED.items()} == found
    let_in = {who: row[2] for who, row in GREETED.items() if row[0] == 220}
    assert let_in.keys() == {who for who, one in made.items() if one.is_delivered} == messages.keys()
    assert let_in == {who: made[who].rcpt_after >= 2.5 for who in let_in}
    headers = {who: sorted(re.findall(rb"\nX-Listed: (.*)\r", text)) for who, text in messages.items()}
    assert ([], [b"one.test listed"]) == (headers["192.0.9.9"], headers["192.0.2.1"])
    assert [b"good.test allowed", b"one.test listed", b"two.test listed"] == headers["192.0.2.97"]


@pytest.mark.parametrize(("action", "code"), [("reject", 554), ("tag", 220)])
def test_the_key_of_a_zone_is_told_to_nobody(action: str, code: int, lists: str) -> None:
    """The public name stands in the reply, and in the header, whatever is made of the listing."""
    header = "X-Listed: {list} {reason} {code} {client}"
    rows = f'action = "{action}"\nheader = "{header}"\nzones = [{{ zone = "{KEYED}", name = "The List" }}]\n'
    config = f"{ANY_CLIENT}[checks.dnslists]\n{rows}[score]\ndelay = 0\n[headers]\ninsert = true\n{lists}"
    with Tarry(config, wait="0.3s") as door:
        made = visit(door.port, "203.0.113.9")
        told = made.heard + b"".join(door.messages())

    assert (code, code == 220) == (made.codes[""], made.is_delivered)
    assert (True, False) == (b"The List" in told, KEY.encode() in told)


# Every action, from addresses of loopback.

REFUSED = {"defer": 421, "reject": 554, "drop": 521}
LOCAL = {"listed": {"address": "127.9.9.9", "announced": False}, "clean": {"address": "127.9.8.1", "announced": False}}


@pytest.mark.parametrize("action", ["ignore", "tag", "delay", "defer", "reject", "drop"])
def test_each_action_of_a_listing(action: str, lists: str) -> None:
    """A clean client beside it is greeted as ever. With ignore nothing is asked."""
    check = f'[checks.dnslists]\naction = "{action}"\nzones = [{{ zone = "{ONE}" }}]\n'
    with Tarry(f'{check}[score]\ndelay = 0\n[delay]\ntarget = "1.2s"\n{lists}', wait="0.3s") as door:
        made = each(door.port, LOCAL)
        closes = door.wait_records(2, ev="close")
        answers = [(record["state"], record["codes"]) for record in door.records(ev="answer")]

    listed, clean = made["listed"], made["clean"]
    assert [("", 220, True)] == [(clean.fault, clean.codes[""], clean.is_delivered)]
    assert 0.3 <= clean.greeted_after < 0.3 + LATE
    assert (REFUSED.get(action, 220), action not in REFUSED) == (listed.codes[""], listed.is_delivered)
    assert (action == "delay") == ("RCPT" in listed.took and listed.rcpt_after >= 1.2)
    assert {action, "ignore"} == {close["action"] for close in closes}
    assert sorted([("found", ["127.0.0.4"]), ("nothing", [])] if action != "ignore" else []) == sorted(answers)


def test_a_listing_is_carried_out_where_the_operator_says(lists: str) -> None:
    """With at = "rcpt" the client is greeted when its hold is over, and refused there; the reply names the list."""
    check = f'[checks.dnslists]\naction = "reject"\nat = "rcpt"\nzones = [{{ zone = "{ONE}" }}]\n'
    with Tarry(check + lists, wait="0.3s") as door:
        made = each(door.port, LOCAL)

    assert (True, [220, 250, 250, 550]) == (made["clean"].is_delivered, list(made["listed"].codes.values()))
    assert "(one.test)" in made["listed"].texts["RCPT"]
    assert 0.3 <= made["listed"].greeted_after < 0.3 + LATE


def test_the_domain_of_the_sender(lists: str) -> None:
    """Refused at RCPT at the latest where it is listed; asked about as it stands, and for the null sender not at all."""
    senders = {"a@spam.example": 550, "b@SPAM.example": 550, "c@sub.spam.example": 250, "d@honest.example": 250, "": 250}
    check = f'[checks.rhsbl]\naction = "reject"\nzones = [{{ zone = "{DOM}" }}]\n'
    with Tarry(ANY_CLIENT + check + lists, wait="0.2s") as door:
        made = each(door.port, {who: {"address": f"192.0.2.{number}", "sender": who} for number, who in enumerate(senders, 1)})
        asked = sorted(record["name"] for record in door.wait_records(4, ev="answer"))

    # At MAIL already, where the answer comes before the MTA's reply.
    assert senders == {who: max(one.codes["MAIL"], one.codes.get("RCPT", 0)) for who, one in made.items()}
    assert all("(dom.test)" in " ".join(made[who].texts.values()) for who, code in senders.items() if code == 550)
    domains = ("honest.example", "spam.example", "spam.example", "sub.spam.example")
    assert [f"{domain}.{DOM}" for domain in domains] == asked


# Classes of holds, and names of clients.

CLASSES = """
[[hold.class]]
name = "dubious"
who = ["listed", "no_ptr", "dynamic_name"]
wait = "2s"
[checks.dnslists]
action = "tag"
zones = [{ zone = "l.test" }, { zone = "w.test", weight = -2 }]
[checks.ptr]
action = "tag"
[checks.dynamic_name]
action = "tag"
[score]
delay = 0
"""
CLIENTS: dict[str, tuple[float, list[str]]] = {
    "192.0.2.1": (1.0, []),
    "192.0.2.2": (2.0, [LISTED]),
    "192.0.2.3": (2.0, ["ptr.none"]),
    "192.0.2.4": (1.0, ["ptr.unconfirmed"]),
    "192.0.2.5": (2.0, ["dynamic_name.digits", "dynamic_name.pattern"]),
    "192.0.2.6": (1.0, []),
    "192.0.2.7": (0.0, [ALLOWED, "ptr.none"]),
}
"""How long each is to be held, and the reasons."""
NAMES = {
    "1.2.0.192.in-addr.arpa": "mail.honest.example.",
    "2.2.0.192.in-addr.arpa": "mail.honest.example.",
    "4.2.0.192.in-addr.arpa": "mail.liar.example.",
    "5.2.0.192.in-addr.arpa": "192-0-2-5.dsl.provider.example.",
}
ADDRESSES = {
    "mail.honest.example": ["192.0.2.1", "192.0.2.2"],
    "mail.liar.example": ["198.51.100.1"],
    "192-0-2-5.dsl.provider.example": ["192.0.2.5"],
    "2.2.0.192.l.test": ["127.0.0.2"],
    "7.2.0.192.w.test": ["127.0.0.2"],
}


def of_names(query: Query) -> None:
    """Nothing is known of 192.0.2.6: its name server fails."""
    name = query.asked.name.lower()
    if name == "6.2.0.192.in-addr.arpa":
        query.send(query.reply(rcode=dns.rcode.SERVFAIL))
    elif query.asked.kind == "PTR" and name in NAMES:
        query.send(query.reply(f"@ 300 PTR {NAMES[name]}"))
    elif query.asked.kind == "A" and name in ADDRESSES:
        query.send(query.reply(*(f"@ 300 A {address}" for address in ADDRESSES[name])))
    else:
        query.send(query.reply(rcode=dns.rcode.NXDOMAIN))


def test_clients_that_look_dubious_are_held_longer() -> None:
    """Who is listed, has no name, or that of a home line; a name server that fails says nothing, and an allow list lets in."""
    with NameServer(of_names) as server:
        config = f'{ANY_CLIENT}{CLASSES}[dns]\nservers = ["{server.address}"]\nself_test = "0s"\n'
        with Tarry(config, wait=f"{HOLD}s") as door:
            made = visits(door.port, list(CLIENTS))
            found = {who: reasons(door, one) for who, one in made.items()}

    assert {who: row[1] for who, row in CLIENTS.items()} == found
    assert {True} == {one.is_delivered for one in made.values()}
    assert {} == {who: one.greeted_after for who, one in made.items() if not 0 <= one.greeted_after - CLIENTS[who][0] < LATE}


# What a name given at EHLO is worth.

HELLO = """
[checks.helo]
action = "reject"
tests = ["no_dns", "no_match", "spoofed"]
spoofed_names = ["honest.example"]
"""
HELLOS: dict[tuple[str, str], list[str]] = {
    ("192.0.2.1", "EHLO mail.honest.example"): [],
    ("192.0.2.6", "EHLO mail.slow.example"): [],
    ("192.0.2.8", "EHLO mail.honest.example"): ["helo.no_match", "helo.spoofed"],
    ("192.0.2.9", "HELO nowhere.example"): ["helo.no_dns"],
    ("192.0.2.6", "EHLO mail.broken.example"): [],
}


def of_hellos(query: Query) -> None:
    """Some names take their time, and some cannot be had."""
    name = query.asked.name.lower()
    if name == "mail.slow.example":
        query.send_later(0.4, query.reply(*(["@ 300 A 192.0.2.6"] if query.asked.kind == "A" else [])))
    elif name == "mail.broken.example":
        query.send(query.reply(rcode=dns.rcode.SERVFAIL))
    else:
        of_names(query)


def test_rcpt_waits_for_what_is_asked_about_the_hello() -> None:
    """And goes on with the answer: refused where the name is not the client's; where nothing is known, or all is well, accepted."""
    with NameServer(of_hellos) as server:
        config = f'{ANY_CLIENT}{HELLO}[dns]\nservers = ["{server.address}"]\n'
        with Tarry(config, wait="0.3s") as door:
            made = each(door.port, {" ".join(who): {"address": who[0], "hello": who[1]} for who in HELLOS})
            closes = door.wait_records(len(HELLOS), ev="close")

    # That the client has no name is known as well, and by default only recorded.
    found = {f"{close['client']} {close['helo']}": sorted({*close["reasons"]} - {"ptr.none"}) for close in closes}
    assert {f"{address} {hello[5:]}": codes for (address, hello), codes in HELLOS.items()} == found
    assert {" ".join(who): not codes for who, codes in HELLOS.items()} == {who: one.is_delivered for who, one in made.items()}
    assert {550} == {list(one.codes.values())[-1] for one in made.values() if not one.is_delivered}
    slow = made["192.0.2.6 EHLO mail.slow.example"]
    assert (slow.took["EHLO"] < 0.3, slow.took["EHLO"] + slow.took["MAIL"] + slow.took["RCPT"] >= 0.4) == (True, True)
