"""Access lists of postscreen with their tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.found import Found, ImportProblem, Source
from tarry.config.imports.networks import spelled
from tarry.config.imports.postfix_files import words
from tarry.config.imports.postfix_tables import AccessList, pairs

HERE = Source("main.cf", 1, "postscreen_access_list")
FILES = {
    "/c.cidr": "# comment\n192.0.2.1 dunno\n192.0.2.0/24\treject\n[2001:db8::]/32  permit\n",
    "/if.cidr": "if 10.0.0.0/8\n10.1.0.0/16 permit\nendif\n!192.0.2.0/24 reject\n192.0.2.7 OK\nexample.org permit\n",
    "/nets": "10.0.0.0/8\n# x\n10.9.0.0/16, /nets2\n",
    "/nets2": "198.51.100.0/24",
    "/hash": "192.0.2.1 permit\n192.0.2.2 REJECT\n192.0.2.3\n",
}


def read(name: str) -> str:
    if name == "/binary":
        raise ImportProblem(name, 0, "the file is no text", "")
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory", name)
    return FILES[name]


def followed(value: str, mynetworks: str | None = "192.0.2.0/25") -> tuple[list[str], Found]:
    """Return the rules of a list as text, and what was told."""
    found = Found("Postfix")
    mine = None if mynetworks is None else [(word, Source("main.cf", 9, "mynetworks")) for word in mynetworks.split()]
    access = AccessList(found, read, mine)
    access.follow([(word, HERE) for word in words(value)])
    return [f"{spelled(rule.network)} {rule.verdict} {rule.source.place}" for rule in access.rules], found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("permit_mynetworks", ["192.0.2.0/25 permit main.cf:9"]),
        ("PERMIT", ["0.0.0.0/0 permit main.cf:1", "::/0 permit main.cf:1"]),
        ("dunno, permit_mynetworks", ["0.0.0.0/0 dunno main.cf:1", "::/0 dunno main.cf:1"]),
        (
            "cidr:/c.cidr",
            ["192.0.2.1 dunno /c.cidr:2", "192.0.2.0/24 reject /c.cidr:3", "2001:db8::/32 permit /c.cidr:4"],
        ),
        ("cidr:{ {192.0.2.1 permit}, {192.0.2.2 reject} }", ["192.0.2.1 permit main.cf:1", "192.0.2.2 reject main.cf:1"]),
        ("inline:{192.0.2.1=permit, { 192.0.2.2 = reject }}", ["192.0.2.1 permit main.cf:1", "192.0.2.2 reject main.cf:1"]),
        ("static:reject", ["0.0.0.0/0 reject main.cf:1", "::/0 reject main.cf:1"]),
        ("static:{dunno}", ["0.0.0.0/0 dunno main.cf:1", "::/0 dunno main.cf:1"]),
        ("hash:/hash proxy:btree:/hash", 2 * ["192.0.2.1 permit /hash:1", "192.0.2.2 reject /hash:2"]),
    ],
)
def test_lists_are_followed(value: str, expected: list[str]) -> None:
    """Commands and tables give rules in their order, each with its place; a bare verdict ends the list."""
    assert expected == followed(value)[0]


@pytest.mark.parametrize(
    ("mynetworks", "expected"),
    [
        ("127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128", ["127.0.0.0/8 permit", "127.0.0.0/8 permit", "::1 permit"]),
        ("!10.1.0.0/16 10.0.0.0/8", ["10.1.0.0/16 dunno", "10.0.0.0/8 permit"]),
        ("/nets", ["10.0.0.0/8 permit", "10.9.0.0/16 permit", "198.51.100.0/24 permit"]),
        ("cidr:/c.cidr", ["192.0.2.1 permit", "192.0.2.0/24 permit", "2001:db8::/32 permit"]),
    ],
)
def test_mynetworks_is_followed(mynetworks: str, expected: list[str]) -> None:
    """Files and tables too; of a table every key counts, and an exclamation mark takes out."""
    assert expected == [rule.rpartition(" ")[0] for rule in followed("permit_mynetworks", mynetworks)[0]]


def test_mynetworks_that_are_not_in_the_file() -> None:
    """Postfix works them out on its host: here it is the host, and the rest is told."""
    rules, found = followed("permit_mynetworks", None)
    assert ["127.0.0.0/8 permit main.cf:1", "::1 permit main.cf:1"] == rules
    assert ["ask `postconf mynetworks` and add them to exempt.networks"] == [one.instead for one in found.missing]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("cidr:/nothing", "the file cannot be read: No such file or directory"),
        ("cidr:/binary", "the file is no text"),
        ("hash:/binary", "the file is no text"),
        ("hash:/nothing", "the file cannot be read: No such file or directory"),
        ("pcre:/x", "a table of type pcre cannot be read here"),
        ("mysql:/x", "a table of type mysql cannot be read here"),
        ("nonsense", "this is no command of an access list"),
        ("static:maybe", '"maybe" is no answer that has a counterpart'),
        ("inline:{192.0.2.1=permit_mynetworks}", '"permit_mynetworks" is no answer that has a counterpart'),
        ("inline:{mail.example.org=permit}", "this is no address or network"),
    ],
)
def test_what_cannot_be_followed_is_told(value: str, why: str) -> None:
    """With the reason, and no rule."""
    rules, found = followed(value)
    assert ([], [why]) == (rules, [one.why for one in found.missing])


def test_conditions_of_a_cidr_table_are_told() -> None:
    """The lines inside belong to them."""
    rules, found = followed("cidr:/if.cidr")
    assert [] == rules
    assert ["/if.cidr:1", "/if.cidr:4", "/if.cidr:5", "/if.cidr:6"] == [one.source.place for one in found.missing]


@pytest.mark.parametrize(
    ("word", "instead"), [("example.org", "add them to exempt.networks"), ("!/nets", "add them to exempt.networks")]
)
def test_names_in_mynetworks_are_told(word: str, instead: str) -> None:
    """As are files that are taken out."""
    rules, found = followed("permit_mynetworks", word)
    assert ([], [instead]) == (rules, [one.instead for one in found.missing])


def test_a_file_may_not_name_itself_for_ever() -> None:
    """Depth is bounded."""
    FILES["/self"] = "/self 10.0.0.0/8"
    rules, found = followed("permit_mynetworks", "/self")
    assert (3, 1) == (len(rules), len(found.missing))


def test_pairs_of_a_table() -> None:
    """Keys and values, with their lines."""
    assert [("192.0.2.1", "permit", 1), ("192.0.2.2", "REJECT", 2), ("192.0.2.3", "", 3)] == [
        (key, value, where.line) for key, value, where in pairs("texthash", "/hash", HERE, read)
    ]


@given(st.text(alphabet=st.sampled_from("acdikmnoprstu:{}=,! /.0129 []"), max_size=60), st.text(max_size=20))
def test_any_list_is_followed(value: str, mynetworks: str) -> None:
    """Nothing is raised."""
    followed(value, mynetworks)
