"""What tarry says by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tarry.core import replies
from tarry.core.admission import REFUSALS
from tarry.record import schema
from tarry.smtp.reply import Reply

ID = "K3X9-0001"
FOR_GOOD = (replies.denied, replies.broken_message)
TOLD = (*FOR_GOOD, *(say for say in REFUSALS.values() if say is not replies.denied), replies.too_many_recipients)
CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


@pytest.mark.parametrize("name", sorted(CONSTANTS))
def test_every_reply_is_one_line_with_an_enhanced_code_of_its_class(name: str) -> None:
    """RFC 3463: the enhanced status code begins with the class of the reply; and 512 octets hold it."""
    one = CONSTANTS[name]
    assert re.fullmatch(rb"([245])[0-9][0-9] \1\.[0-9]\.[0-9] [ -~]+\r\n", one.raw)
    assert 512 >= len(one.raw)


def test_refusals_name_the_session() -> None:
    """So that the operator finds it in the log."""
    assert b"421 4.3.2 Service not available, try again later [K3X9-0001]\r\n" == replies.unavailable("K3X9-0001").raw
    later = b"451 4.3.0 What was accepted before is not accepted any more, try again later [K3X9-0001]\r\n"
    assert later == replies.taken_back("K3X9-0001").raw
    assert b"421 4.3.0 The mail server cannot be started, try again later [K3X9-0001]\r\n" == replies.not_started("K3X9-0001").raw
    assert b"554 5.7.1 Not accepted from this address [K3X9-0001]\r\n" == replies.denied("K3X9-0001").raw


@pytest.mark.parametrize("say", TOLD)
def test_refusals_of_the_policy_name_the_page_for_help(say: Callable[..., Reply]) -> None:
    """Behind the session, where the operator has one."""
    plain, helped = say(ID), say(ID, "https://x.example/refused")
    assert plain.raw.endswith(f" [{ID}]\r\n".encode())
    assert plain.raw[:-2] + b" https://x.example/refused\r\n" == helped.raw
    assert re.fullmatch(rb"([45])[0-9][0-9] \1\.[0-9]\.[0-9] [ -~]+\r\n", plain.raw)


def test_the_greeting() -> None:
    """It has the server's name and the word ESMTP."""
    assert b"220 mail.example.org ESMTP\r\n" == replies.greeting("mail.example.org").raw


def test_the_teaser() -> None:
    """It is a line that another follows, and may have the server's name in it."""
    assert b"220-mail.example.org ESMTP\r\n" == replies.teaser("{name} ESMTP", "mail.example.org")
    assert b"220-wait {for} it\r\n" == replies.teaser("wait {for} it", "mail.example.org")


def test_nothing_permanent_is_said_for_trouble_of_our_own() -> None:
    """What is not the client's fault is a 4xx, so that it comes again."""
    own = [CONSTANTS[name] for name in ("LINE_TOO_LONG", "TOO_SLOW", "GOING_DOWN")]
    own += [say(ID) for say in (*TOLD, replies.unavailable, replies.taken_back, replies.not_started) if say not in FOR_GOOD]
    assert {4} == {one.code // 100 for one in own}


def test_the_record_of_a_last_word() -> None:
    """What a client got that is not greeted."""
    assert schema.Reply(554, "5.7.1 Not accepted from this address [K3X9-0001]", "connect") == replies.at_connect(
        replies.denied("K3X9-0001")
    )
