"""The access file of Sendmail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.found import Found, ImportProblem
from tarry.config.imports.sendmail_access import entries, read_access
from tests.config.imports.mapped import keys, told, whole


def access(text: str) -> Found:
    found = Found("Sendmail")
    read_access(text, "access", found)
    return whole(found)


def classes(text: str) -> list[tuple[object, object, object]]:
    """Return name, networks and wait of each class."""
    made = keys(access(text)).get("hold.class", [])
    assert isinstance(made, list)
    return [(one["name"], one["networks"], one["wait"]) for one in made]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GreetPause:127.0.0.1\t0\n", [("greet_pause_0", ["127.0.0.1"], "0s")]),
        ("GreetPause:192.168 500\n", [("greet_pause_500", ["192.168.0.0/16"], "500ms")]),
        ("greetpause:IPv6:2001:db8 2000\n", [("greet_pause_2000", ["2001:db8::/32"], "2s")]),
        (
            "GreetPause:10.1 0\nGreetPause:10.2 0\nGreetPause:10.3 1000\n",
            [("greet_pause_0", ["10.1.0.0/16", "10.2.0.0/16"], "0s"), ("greet_pause_1000", ["10.3.0.0/16"], "1s")],
        ),
        (
            "GreetPause:10 1000\nGreetPause:192.0.2 1000\nGreetPause:10.1 0\nGreetPause:10.1.2.3 1000\n",
            [
                ("greet_pause_1000", ["10.1.2.3"], "1s"),
                ("greet_pause_1000_2", ["192.0.2.0/24"], "1s"),
                ("greet_pause_0", ["10.1.0.0/16"], "0s"),
                ("greet_pause_1000_3", ["10.0.0.0/8"], "1s"),
            ],
        ),
        ("GreetPause:10 1000\nGreetPause:10.1 1000\n", [("greet_pause_1000", ["10.0.0.0/8", "10.1.0.0/16"], "1s")]),
    ],
)
def test_pauses_are_classes(text: str, expected: list[tuple[str, list[str], str]]) -> None:
    """In milliseconds; where two differ and overlap, the smaller network stands first, since the first match counts."""
    assert expected == classes(text)


def test_a_pause_of_everybody_is_the_wait() -> None:
    """A key without a client."""
    assert {"hold.wait": "3s"} == keys(access("GreetPause: 3000\n"))


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("Connect:192.0.2.1 REJECT", "deny.networks", ["192.0.2.1"]),
        ("Connect:192.0.2 DISCARD", "deny.networks", ["192.0.2.0/24"]),
        ('Connect:192.0.2 ERROR:"550 no"', "deny.networks", ["192.0.2.0/24"]),
        ("Connect:192.0.2 550 We do not take mail from you", "deny.networks", ["192.0.2.0/24"]),
        ("192.0.2 REJECT", "deny.networks", ["192.0.2.0/24"]),
        ("Connect:127 RELAY", "exempt.networks", ["127.0.0.0/8"]),
        ("Connect:[192.0.2.9] OK", "exempt.networks", ["192.0.2.9"]),
        ("IPv6:2001:db8 OK", "exempt.networks", ["2001:db8::/32"]),
        ("ClientConn: 12", "listen.max_per_client", 12),
    ],
)
def test_a_line_is_a_key(line: str, key: str, value: object) -> None:
    """Refused networks and exempt ones, and the connections of everybody."""
    assert {key: value} == keys(access(f"{line}\n"))


@pytest.mark.parametrize(
    "line",
    [
        "GreetPause:localhost 0",
        "GreetPause:example.org 5000",
        "GreetPause:10 soon",
        "GreetPause:10 400000",
        "Connect:example.org REJECT",
        "Connect:192.0.2.1 QUARANTINE:x",
        "ClientConn:192.0.2.1 3",
        "ClientConn: many",
        "ClientRate: 60",
        "ClientRate:192.0.2.1 60",
    ],
)
def test_what_has_no_counterpart_is_told(line: str) -> None:
    """Under the key as it is written: names above all."""
    assert [line.split()[0]] == told(access(f"{line}\n"))


def test_lines_about_messages_are_told_in_one() -> None:
    """They stay with the MTA; SKIP says nothing at all."""
    found = access("From:a@example.org REJECT\nspammer@example.org REJECT\nTo:b@ REJECT\nFrom:c@ OK\nConnect:192.0.2.1 SKIP\n")
    assert [("From:, untagged, To:", "4 lines about senders, recipients or TLS")] == [
        (one.source.name, one.why) for one in found.missing
    ]


def test_a_line_without_a_value_is_a_problem() -> None:
    """With its number."""
    with pytest.raises(ImportProblem, match=r"^access:3: "):
        list(entries("# x\nConnect:1.2.3.4 OK\nlonely\n", "access"))


@given(st.lists(st.tuples(st.sampled_from(["GreetPause:", "Connect:", "ClientConn:", "", "From:", "IPv6:"]), st.text(max_size=12))))
def test_any_text_is_read_or_is_a_problem(lines: list[tuple[str, str]]) -> None:
    """Nothing but ImportProblem is raised."""
    try:
        read_access("".join(f"{tag}{rest}\n" for tag, rest in lines), "access", Found("Sendmail"))
    except ImportProblem:
        pass
