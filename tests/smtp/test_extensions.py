"""Which EHLO keywords of the MTA tarry offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.smtp.extensions import (
    RELAYED,
    Capabilities,
    ehlo_reply,
    read_capabilities,
    with_starttls,
    without_starttls,
    words_of,
)
from tarry.smtp.reply import Reply, reply

NEVER = ("PIPECONNECT", "X_PIPE_CONNECT", "X_PIPECONNECT", "XCLIENT", "XFORWARD", "XVERP", "ETRN", "VRFY", "EXPN", "TURN", "HELP")


def ehlo(*lines: str | bytes) -> Reply:
    return reply(250, "mta.example.org Hello", *lines)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"SIZE 10240000", ("SIZE", b"SIZE 10240000")),
        (b"size 10", ("SIZE", b"size 10")),
        (b"PIPELINING", ("PIPELINING", b"PIPELINING")),
        (b"AUTH PLAIN LOGIN", ("AUTH", b"AUTH PLAIN LOGIN")),
        (b"AUTH=LOGIN", ("AUTH", b"AUTH=LOGIN")),
        (b"LIMITS RCPTMAX=50", ("LIMITS", b"LIMITS RCPTMAX=50")),
        (b"", None),
        (b" SIZE 10", None),
        (b"SIZE\t10", None),
        (b"SIZES 10", None),
        (b"X-SIZE", None),
        (b"\xd0\x9fIPELINING", None),
        (b"PIPELINING\xff", None),
        *((name.encode(), None) for name in NEVER),
        *((name.lower().encode() + b" NAME ADDR PROTO", None) for name in NEVER),
    ],
)
def test_a_keyword_is_offered_only_from_the_allow_list(line: bytes, kept: tuple[str, bytes] | None) -> None:
    """What tarry does not know how to relay is not offered; what it knows is passed on with its parameters."""
    assert Capabilities("mta.example.org", (kept,) if kept else ()) == read_capabilities(ehlo(line))


@given(lines=st.lists(st.binary(max_size=20).map(lambda line: line.translate(None, b"\r\n\0")) | st.sampled_from(NEVER)))
def test_nothing_else_is_ever_offered(lines: list[bytes | str]) -> None:
    """Whatever the MTA says, each line of tarry's reply begins with a word of the allow-list."""
    answer = ehlo_reply("tarry.example.org", read_capabilities(ehlo(*lines)))
    assert b"tarry.example.org" == answer.lines[0]
    assert {line.upper().replace(b"=", b" ").split(b" ")[0].decode() for line in answer.lines[1:]} <= RELAYED


def test_the_allow_list_holds_nothing_that_opens_the_mta() -> None:
    """PIPECONNECT would allow early talk; XCLIENT and XFORWARD would let a client choose its own address."""
    assert frozenset() == RELAYED & frozenset(NEVER)


def test_keywords_can_be_left_out() -> None:
    """The operator's ``without`` takes keywords away; it adds none."""
    known = read_capabilities(ehlo("SIZE 10", "STARTTLS", "XCLIENT"), without=frozenset({"STARTTLS"}))
    assert (("SIZE", b"SIZE 10"),) == known.keywords
    assert (True, False, False) == (known.offers("SIZE"), known.offers("STARTTLS"), known.offers("XCLIENT"))


def test_a_keyword_that_comes_twice_is_told_twice() -> None:
    """Old MTAs say AUTH in two forms, for old clients."""
    known = read_capabilities(ehlo("AUTH PLAIN", "AUTH=PLAIN"))
    assert Reply(250, b"250-tarry\r\n250-AUTH PLAIN\r\n250 AUTH=PLAIN\r\n") == ehlo_reply("tarry", known)


def test_an_mta_without_extensions() -> None:
    """One line in, one line out; its name is read from it."""
    assert Capabilities("mta.example.org", ()) == read_capabilities(ehlo())
    assert Capabilities("", ()) == read_capabilities(Reply(250, b"250\r\n"))
    assert Reply(250, b"250 tarry\r\n") == ehlo_reply("tarry", Capabilities())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), None),
        (("XCLIENT",), ()),
        (("XCLIENT NAME addr",), ("NAME", "ADDR")),
        (("SIZE 1", "xclient  NAME "), ("NAME",)),
        (("XCLIENT NAME", "XCLIENT ADDR"), ("NAME", "ADDR")),
        (("XCLIENTS NAME", "X XCLIENT", ""), None),
    ],
)
def test_what_stands_behind_a_keyword(lines: tuple[str, ...], words: tuple[str, ...] | None) -> None:
    """In upper case, of all lines with that keyword; the first line is the MTA's name."""
    assert words == words_of(ehlo(*lines), "XCLIENT")
    assert None is words_of(reply(250, "XCLIENT NAME"), "XCLIENT")


@pytest.mark.parametrize("lines", [(), ("SIZE 9",), ("STARTTLS", "SIZE 9"), ("SIZE 9", "starttls now", "STARTTLS")])
def test_starttls_may_be_tarrys_own(lines: tuple[str, ...]) -> None:
    """Whatever the MTA says of its own, it is offered once, without words of the MTA's, or not at all."""
    known = read_capabilities(ehlo(*lines))
    rest = tuple(line.encode() for line in lines if "SIZE" in line)
    assert rest == tuple(line for _, line in without_starttls(known).keywords)
    assert (*rest, b"STARTTLS") == tuple(line for _, line in with_starttls(known).keywords)
    assert known.name == with_starttls(known).name
