"""DATA, BDAT and the message: what reaches the MTA, and what the client hears of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tarry.checks.bare_newline import BareNewline
from tarry.checks.predata import PreDataCheck
from tarry.checks.pregreet import Pregreet
from tarry.core.check import Armed
from tarry.core.client import Phase
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.record import schema
from tests.playbook import armed, policy
from tests.talk import DATA, ENVELOPE, GREETED, HELLO, LOGIN, MAIL, RCPT, SENDING, Slow, Talk, found, slowly

LOGIN_BY_EHLO = LOGIN[LOGIN.index("M< 250-mta") :].lstrip()
GONE = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]\n* abort the MTA\n* close"
TEXT = "C: text\nC: .\nM> text\nM> ."
AGAIN = "C: MAIL FROM:<a@b.example>\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nS: 250 ok"


@pytest.mark.parametrize("answer", ["250 2.0.0 queued", "451 4.3.0 later", "554 5.6.0 spam", "552 too big"])
def test_the_mtas_answer_to_a_message_is_the_clients(answer: str) -> None:
    """Of whatever kind; its octets are recorded, and the session goes on."""
    talk = Talk().plays(SENDING, TEXT, f"M< {answer}\nS: {answer}", AGAIN)
    assert [(int(answer[:3]), "message", "mta", 6)] == [
        (event.code, event.to, event.by, event.size) for event in talk.of(schema.Reply) if event.to == "message"
    ]


@pytest.mark.parametrize("answer", ["220 what", "251 what", "354 go on", "235 what"])
def test_what_is_no_answer_to_a_message(answer: str) -> None:
    """Only 250 accepts one."""
    Talk().plays(SENDING, TEXT, f"M< {answer}\n{GONE}")


@pytest.mark.parametrize("answer", ["250 what", "220 what", "355 what"])
def test_what_is_no_answer_to_data(answer: str) -> None:
    """Only 354 asks for one."""
    Talk().plays(ENVELOPE, f"C: DATA\nM> DATA\nM< {answer}\n{GONE}")


def test_data_refused_by_the_mta() -> None:
    """The refusal is relayed; the client may go on with commands."""
    refused = DATA.replace("354 Go ahead", "451 not now")
    Talk().plays(ENVELOPE, refused, "C: NOOP\nS: 250 2.0.0 Ok")


def test_a_message_behind_a_refused_data_ends_the_session() -> None:
    """Its lines are not read as commands."""
    Talk().plays(ENVELOPE, "C: DATA\nC: Subject: x\nM> DATA\nM< 451 not now\nS: 451 not now\n* abort the MTA\n* close")
    Talk().plays(HELLO, "C: DATA\nC: Subject: x\nS: 503 5.5.1 RCPT first\n* close")


def test_an_empty_message() -> None:
    """Nothing but the dot."""
    Talk().plays(SENDING, "C: .\nM> .\nM< 250 ok\nS: 250 ok")


def test_dots_and_stray_line_ends_are_mended() -> None:
    """Nothing reaches the MTA raw, and the check is told."""
    talk = Talk(policy(BareNewline())).plays(SENDING, r"C+ a\nb\r\n..c\r\n.\r\n", "M> a\nM> b\nM> ..c\nM> .\nM< 250 ok\nS: 250 ok")
    assert [("message", "LF")] == [(event.code, event.detail) for event in talk.of(schema.Reason)]


def test_a_mended_message_may_be_refused() -> None:
    """Then it is aborted at the MTA, and never ended with a dot."""
    refusal = "S: 550 5.7.1 Lines must end in CR LF [K3X9-0001]\n* abort the MTA\n* close"
    Talk(policy(BareNewline(), action=Action.REJECT)).plays(SENDING, r"C+ a\nb\r\n.\r\n", f"M> a\nM> b\n{refusal}")


def test_a_broken_message_is_refused() -> None:
    """Where nothing is mended: with the check's reply, or with tarry's own."""
    strict = {"changes": {"normalize": False}}
    own = "S: 550 5.6.0 A message may hold no bare CR, bare LF or NUL [K3X9-0001]\n* abort the MTA\n* close"
    checks = "S: 450 4.7.1 Lines must end in CR LF, try again later [K3X9-0001]\n* abort the MTA\n* close"
    Talk(policy(BareNewline(), **strict)).plays(SENDING, r"C+ a\0b\r\n", own)
    talk = Talk(policy(BareNewline(), action=Action.DEFER, **strict)).plays(SENDING, r"C+ abc\r\n", "M- abc", "C+ a\\rb", checks)
    assert [("message", 3)] == [(event.to, event.size) for event in talk.of(schema.Reply)][-1:]


# Before the 354.


def test_bytes_before_the_354_are_refused() -> None:
    """Whether they come with DATA, and then the MTA is not asked, or while it is thinking."""
    refusal = "S: 550 5.7.1 You sent data before it was asked for [K3X9-0001]\n* abort the MTA\n* close"
    Talk(policy(PreDataCheck())).plays(ENVELOPE, f"C: DATA\nC: text\n{refusal}")
    Talk(policy(PreDataCheck())).plays(ENVELOPE, f"C: DATA\nM> DATA\nC: text\nM< 354 go\n{refusal}")
    talk = Talk(policy(PreDataCheck(), changes={"data_wait": Span(2.0, 2.0)})).plays(
        ENVELOPE, f"C: DATA\n! 1s\nC: text\n! 1s\n{refusal}"
    )
    assert ["predata.spoke"] == [f"{event.check}.{event.code}" for event in talk.of(schema.Reason)]


def test_bytes_before_the_354_may_be_let_through() -> None:
    """What came early is the beginning of the message."""
    talk = Talk(policy(PreDataCheck(), action=Action.TAG)).plays(
        ENVELOPE, "C: DATA\nC: text\nC: .\nM> DATA\nM< 354 go\nS: 354 go\nM> text\nM> .\nM< 250 ok\nS: 250 ok"
    )
    assert 1 == len(talk.of(schema.Reason))


# Time.


def test_a_message_has_its_time() -> None:
    """A dribble has little more than the limit; a sender at a fair pace is never cut off, however long its message."""
    slow = "S: 421 4.4.2 Timeout, closing the connection\n* abort the MTA\n* close"
    rules = Policy(limits=Limits(data=100.0))
    Talk(rules).plays(SENDING, f"! 60s\nC+ a\nM- a\n! 40s\n! 0.1s\n{slow}")
    Talk(rules).plays(SENDING, f"! 100s\n{slow}")
    block = "x" * 4096
    Talk(rules).plays(SENDING, *(f"C+ {block}\nM- {block}\n! 4s" for _ in range(100)), f"! 99s\n! 1.1s\n{slow}")


def test_the_answer_to_a_message_has_its_time() -> None:
    """limits.message, and not limits.backend."""
    Talk(Policy(limits=Limits(message=50.0, backend=5.0))).plays(SENDING, TEXT, f"! 49s\n! 1s\n{GONE}")


# The MTA goes or speaks too early.


def test_the_mta_goes_while_the_message_comes() -> None:
    """The client is told at once."""
    Talk().plays(SENDING, f"C: text\nM- text\n! MTA left: gone\n{GONE.replace('* abort the MTA', '* abort the MTA')}")
    Talk().plays(SENDING, TEXT, f"! MTA left: gone\n{GONE}")


@pytest.mark.parametrize("leaves", [True, False])
def test_the_mta_refuses_while_the_message_comes(leaves: bool) -> None:
    """The rest of the message is read and not passed on, and the refusal is its answer; whether the MTA stays or not."""
    left, abort = ("! MTA left: gone", "") if leaves else ("", "* abort the MTA")
    talk = Talk().plays(
        SENDING, f"C: text\nM- text\nM< 552 5.3.4 too big\n{left}\nC: more\nC: .\nS: 552 5.3.4 too big\n{abort}\n* close"
    )
    assert [("message", 12)] == [(event.to, event.size) for event in talk.of(schema.Reply)][-1:]


@pytest.mark.parametrize("answer", ["250 ok", "354 go"])
def test_the_mta_accepts_a_message_that_has_not_come(answer: str) -> None:
    """That is no answer to it."""
    Talk().plays(SENDING, f"C: text\nM- text\nM< {answer}\nC: .\n{GONE}")


@pytest.mark.parametrize(("answer", "end"), [("250 ok", GONE), ("452 4.3.1 full", "S: 452 4.3.1 full")])
def test_an_answer_that_has_begun_before_the_end_of_the_message(answer: str, end: str) -> None:
    """It may refuse it, and cannot accept it, wherever the packets were cut."""
    Talk().plays(SENDING, f"C: text\nM- text\nM+ {answer[:2]}\nC: .\nM>\nM> .\nM+ {answer[2:]}\\r\\n\n{end}")
    Talk().plays(ENVELOPE, f"C: BDAT 4 LAST\nM> BDAT 4 LAST\nM+ {answer[:2]}\nC+ text\nM- text\nM+ {answer[2:]}\\r\\n\n{end}")


@pytest.mark.parametrize("said", ["M< 554 too idle", "M+ 5", "M< 250 ok"])
def test_what_the_mta_says_unasked_is_no_answer_to_a_chunk(said: str) -> None:
    """Nor to any other command: the client is told to come again."""
    for line in ("BDAT 4 LAST", "RCPT TO:<e@f.example>", "DATA", "RSET"):
        Talk().plays(ENVELOPE, f"{said}\nC: {line}\n{GONE}")


def test_two_replies_to_data() -> None:
    """The second does not lie in wait for the end of the message."""
    Talk().plays(ENVELOPE, f"C: DATA\nM> DATA\nM< 354 go\nM< 250 ok\nS: 354 go\nC: text\nC: .\n{GONE}")


def test_a_daemon_that_goes_down_waits_for_the_message() -> None:
    """And for a chunk that is only read away."""
    down = "S: 421 4.3.2 Service is going down, try again later"
    Talk().plays(SENDING, "! drain", TEXT, f"M< 250 ok\nS: 250 ok\n{down}\n* abort the MTA\n* close")
    Talk().plays(HELLO, f"C: BDAT 4\n! drain\nC+ text\nS: 503 5.5.1 MAIL first\n{down}\n* close")


# BDAT.


def test_a_chunk_after_helo_was_not_offered() -> None:
    """It is answered, its octets are not read as commands, and the session goes on."""
    Talk().plays(
        GREETED,
        "C: HELO client.example\nS: 250 mail.example",
        MAIL.replace("EHLO client.example", "HELO client.example").replace(LOGIN_BY_EHLO, "M< 250 mta.example\n"),
        "C+ BDAT 6\\r\\nRSET\\r\\n\nS: 502 5.5.1 Command not offered\nC: NOOP\nS: 250 2.0.0 Ok",
    )


def test_chunks() -> None:
    """Each is passed on with its octets untouched, and answered by the MTA; the last one ends the message."""
    talk = Talk().plays(
        ENVELOPE,
        r"""
        C+ BDAT 6\r\n.\r\na\n\0
        M> BDAT 6
        M> .
        M- a\n\x00
        M< 250 6 octets
        S: 250 6 octets
        C: BDAT 0
        M> BDAT 0
        M< 250 0 octets
        S: 250 0 octets
        C+ bdat 4 last\r\n12
        M> BDAT 4 LAST
        M- 12
        C+ 34NOOP\r\n
        M- 34
        M< 250 queued
        S: 250 queued
        S: 250 2.0.0 Ok
        """,
        AGAIN,
    )
    assert [0, 0, 10] == [event.size for event in talk.of(schema.Reply) if event.to in ("BDAT", "message")]


def test_a_message_may_end_with_a_chunk_of_nothing() -> None:
    """RFC 3030 has BDAT 0 LAST for that."""
    Talk().plays(
        ENVELOPE, "C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 250 ok\nS: 250 ok\nC: BDAT 0 LAST\nM> BDAT 0 LAST\nM< 250 ok\nS: 250 ok"
    )


def test_a_chunk_that_the_mta_refuses() -> None:
    """Its answer is relayed, and the client may start anew."""
    Talk().plays(
        ENVELOPE, "C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 554 no\nS: 554 no\nC: RSET\nM> RSET\nM< 250 ok\nS: 250 ok", AGAIN
    )


@pytest.mark.parametrize("answer", ["354 go", "251 ok", "220 x"])
@pytest.mark.parametrize("last", ["", " LAST"])
def test_what_is_no_answer_to_a_chunk(answer: str, last: str) -> None:
    """Only 250 accepts it."""
    Talk().plays(ENVELOPE, f"C+ BDAT 2{last}\\r\\nhi\nM> BDAT 2{last}\nM- hi\nM< {answer}\n{GONE}")


@pytest.mark.parametrize("argument", ["", "x", "-1", "1_0", "4 FIRST", "99999999999999999999"])
def test_a_malformed_bdat_ends_the_session(argument: str) -> None:
    """How much follows is unknown, so nothing that follows may be read."""
    Talk().plays(
        ENVELOPE, f"C: BDAT {argument}\nC: NOOP\nS: 501 5.5.4 BDAT takes a size and, at the end, LAST\n* abort the MTA\n* close"
    )


def test_a_chunk_without_a_transaction_is_read_away() -> None:
    """Its octets are never commands."""
    Talk().plays(HELLO, r"C+ BDAT 6\r\nRSET\r\nNOOP\r\n", "S: 503 5.5.1 MAIL first\nS: 250 2.0.0 Ok")
    Talk().plays(
        HELLO,
        MAIL.replace("250 2.1.0 Sender ok", "550 no"),
        r"C+ BDAT 6 LAST\r\nRSET\r\nNOOP\r\n",
        "S: 503 5.5.1 MAIL first\nS: 250 2.0.0 Ok",
    )


def test_a_chunk_that_is_read_away_has_its_time() -> None:
    """And no more of it for its length."""
    Talk(Policy(limits=Limits(data=10.0))).plays(
        HELLO, "C+ BDAT 900000\\r\\nxx\n! 5s\nC+ xx\n! 5s\nS: 421 4.4.2 Timeout, closing the connection\n* close"
    )


def test_the_mta_does_not_offer_chunking_any_more() -> None:
    """The client was promised what another connection had: it comes again."""
    Talk().plays(
        HELLO,
        MAIL.replace(LOGIN, LOGIN.replace("M< 250-CHUNKING\n", "")),
        f"C: BDAT 4\n{GONE}",
    )


def test_a_helo_client_was_offered_no_chunking() -> None:
    """Its chunk is read away and not offered; the session goes on."""
    hello = "S: 220 mail.example ESMTP\nC: HELO x\nS: 250 mail.example"
    login = "* open the MTA\n! opened\nM< 220 mta\nM> HELO x\nM< 250 mta"
    Talk().plays(
        hello,
        MAIL.replace(LOGIN, login),
        r"C+ BDAT 6 LAST\r\nRSET\r\nNOOP\r\n",
        "S: 502 5.5.1 Command not offered\nS: 250 2.0.0 Ok",
    )


def test_the_mta_goes_between_chunks() -> None:
    """Nothing more of that message is accepted."""
    script = "C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 250 ok\nS: 250 ok"
    gone = GONE.replace("* abort the MTA\n", "")
    Talk().plays(ENVELOPE, script, f"! MTA left: gone\nC: BDAT 2 LAST\n{gone}")


def test_the_mta_refuses_before_the_chunk_is_whole() -> None:
    """The rest is read and not passed on; then its refusal is told, and the session ends."""
    Talk().plays(ENVELOPE, "C+ BDAT 4\\r\\nhi\nM> BDAT 4\nM- hi\nM< 552 too big\nC+ ho\nS: 552 too big\n* abort the MTA\n* close")


# Refused before the message.


def refused_at_message() -> Policy:
    return policy(Pregreet(), action=Action.REJECT, at=Phase.MESSAGE)


def test_a_message_that_tarry_refuses_is_aborted() -> None:
    """The MTA must not come to the end of it: no dot after DATA, and after the last chunk no answer is waited for."""
    refusal = "S: 550 5.7.1 You spoke before the greeting [K3X9-0001]\n* abort the MTA\n* close"
    Talk(refused_at_message(), reasons=(found("pregreet", weight=0.0),)).plays(SENDING, f"C: text\nC: .\nM> text\n{refusal}")
    Talk(refused_at_message(), reasons=(found("pregreet", weight=0.0),)).plays(
        ENVELOPE, f"C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 250 ok\nS: 250 ok\nC: BDAT 0 LAST\n{refusal}"
    )


# Thrown away.


def discarding(at: Phase = Phase.MESSAGE, *more: Armed, **changed: Any) -> Policy:
    return Policy(checks=(armed(Pregreet(), action=Action.DISCARD, at=at, **changed), *more))


def discarded(rules: Policy) -> Talk:
    return Talk(rules, reasons=(found("pregreet", weight=0.0),))


ACCEPTED = "S: 250 2.6.0 Message accepted"
ENVELOPE_AGAIN = MAIL + RCPT


@pytest.mark.parametrize("at", [Phase.HOLD, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.MESSAGE])
def test_a_message_is_thrown_away(at: Phase) -> None:
    """It is taken in whole; the MTA never has its dot, and a new connection serves what comes then. One record of it each."""
    talk = discarded(discarding(at)).plays(SENDING, f"C: text\nC: .\nM> text\n* abort the MTA\n{ACCEPTED}")
    talk.plays(ENVELOPE_AGAIN, DATA, f"C: .\n* abort the MTA\n{ACCEPTED}\nC: QUIT\nS: 221 2.0.0 Bye\n* close at once")
    assert [("discard", ("pregreet.spoke",), False)] * 2 == [(e.action, e.reasons, e.observed) for e in talk.of(schema.Verdict)]
    assert [(250, "tarry", 6), (250, "tarry", 0)] == [(e.code, e.by, e.size) for e in talk.of(schema.Reply) if e.to == "message"]


@pytest.mark.parametrize("piece", ["hi", "h\nC+ i"])
def test_a_message_in_chunks_is_thrown_away(piece: str) -> None:
    """The MTA never has the last octet of its last chunk, or the line of an empty one."""
    first = "C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 250 ok\nS: 250 ok"
    discarded(discarding()).plays(ENVELOPE, first, f"C: BDAT 0 LAST\n* abort the MTA\n{ACCEPTED}")
    discarded(discarding()).plays(
        ENVELOPE, first, f"C: BDAT 2 LAST\nM> BDAT 2 LAST\nC+ hi\nM- h\n* abort the MTA\n{ACCEPTED}", ENVELOPE_AGAIN
    )


def test_the_mtas_own_refusals_stay_its_own() -> None:
    """Of a recipient, of DATA, and of a chunk that is not the last; its failures stay a 421."""
    nobody = RCPT.replace("250 2.1.5 Recipient ok", "550 5.1.1 nobody")
    full = DATA.replace("354 Go ahead", "452 4.3.1 full")
    discarded(discarding()).plays(HELLO, MAIL, nobody, RCPT, full)
    discarded(discarding()).plays(ENVELOPE, "C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 552 too big\nS: 552 too big")
    discarded(discarding()).plays(SENDING, f"C: text\nM- text\n! MTA left: gone\n{GONE}")


@pytest.mark.parametrize("code", [421, 552])
def test_what_the_mta_refuses_while_it_comes_is_refused(code: int) -> None:
    """As without a discard, and whether or not it hangs up then; an acceptance before the end is none that counts."""
    early, end = f"C: a\nM- a\nM< {code} no", f"S: {code} no\n* abort the MTA\n* close"
    discarded(discarding()).plays(SENDING, early, f"C: b\nC: .\n{end}")
    discarded(discarding()).plays(SENDING, early, "! MTA left: gone", f"C: b\nC: .\n{end}".replace("* abort the MTA\n", ""))
    discarded(discarding()).plays(SENDING, f"C: a\nM- a\nM< 250 ok\nC: b\nC: .\n* abort the MTA\n{ACCEPTED}")


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("250 2.6.0 I told you to go away, {client} [{id}]", "250 2.6.0 I told you to go away, 192.0.2.7 [K3X9-0001]"),
        ("550 5.7.1 no", "250 2.6.0 Message accepted"),
    ],
)
def test_the_operator_words_the_250(own: str, told: str) -> None:
    """With a reply that begins with 250; another is for other actions."""
    discarded(discarding(reply=own)).plays(SENDING, f"C: .\n* abort the MTA\nS: {told}")


def test_a_stronger_action_wins() -> None:
    """Where it is due; and the reply that says accepted is never a refusal's."""
    rules = discarding(Phase.MAIL, armed(PreDataCheck(), action=Action.REJECT, at=Phase.MESSAGE))
    talk = Talk(rules, reasons=(found("pregreet", weight=0.0), found("predata", "data", 0.0)))
    refusal = "S: 550 5.7.1 You sent data before it was asked for [K3X9-0001]\n* abort the MTA\n* close"
    talk.plays(SENDING, f"C: .\n{refusal}")
    wrong = policy(Pregreet(), action=Action.REJECT, at=Phase.MAIL, reply="250 2.6.0 what")
    refused = "C: MAIL FROM:<a@b.example>\nS: 550 5.7.1 You spoke before the greeting [K3X9-0001]"
    Talk(wrong, reasons=(found("pregreet"),)).plays(HELLO, refused)


def test_nothing_is_thrown_away_of_those_who_are_spared() -> None:
    """Exempt clients, those that have logged in, and all while tarry only observes."""
    kept = "C: .\nM> .\nM< 250 kept\nS: 250 kept"
    Talk(discarding(), reasons=(found("pregreet"),), is_exempt=True).plays(SENDING, kept)
    observed = discarded(replace(discarding(), observe=True)).plays(SENDING, kept)
    assert [("discard", True)] == [(event.action, event.observed) for event in observed.of(schema.Verdict)]
    talk = discarded(discarding())
    talk.plays(HELLO, f"C: AUTH PLAIN AGEAYg==\n{LOGIN}\nM> AUTH PLAIN AGEAYg==\nM< 235 ok\nS: 235 ok")
    talk.plays(AGAIN, RCPT, DATA, kept)


def test_what_cannot_be_read_to_its_end_is_refused() -> None:
    """A broken message would have to be taken in whole to be thrown away."""
    rules = replace(discarding(), normalize=False)
    own = "550 5.6.0 A message may hold no bare CR, bare LF or NUL [K3X9-0001]"
    discarded(rules).plays(SENDING, f"C+ a\\nb\nS: {own}\n* abort the MTA\n* close")


# Header lines.


HEADER = "X-Tarry-Reasons: pregreet.spoke; client=[192.0.2.7]:40000; id=K3X9-0001"


def tagging() -> Policy:
    return policy(Pregreet(), action=Action.TAG, header="X-Spoke: {reason} {client}", changes={"insert_headers": True})


def test_header_lines_stand_before_the_message() -> None:
    """Once a message, also an empty one."""
    lines = f"M> {HEADER}\nM> X-Spoke: pregreet.spoke 192.0.2.7"
    talk = Talk(tagging(), reasons=(found("pregreet", weight=0.0),))
    talk.plays(SENDING, f"C: Subject: x\n{lines}\nM- Subject: x\nC: .\nM>\nM> .\nM< 250 ok\nS: 250 ok")
    talk.plays(AGAIN, RCPT, DATA, f"C: .\n{lines}\nM> .\nM< 250 ok\nS: 250 ok")


def test_header_lines_count_into_the_first_chunk() -> None:
    """RFC 3030: the size is that of all octets, those of tarry included; later chunks are as they were."""
    size = len(HEADER) + 2 + len("X-Spoke: pregreet.spoke 192.0.2.7") + 2
    talk = Talk(tagging(), reasons=(found("pregreet", weight=0.0),))
    first = f"M> {HEADER}\nM> X-Spoke: pregreet.spoke 192.0.2.7\nM- hi\nM< 250 ok\nS: 250 ok"
    talk.plays(
        ENVELOPE,
        f"C+ BDAT 2\\r\\nhi\nM> BDAT {size + 2}\n{first}",
        "C+ BDAT 2 LAST\\r\\nhi\nM> BDAT 2 LAST\nM- hi\nM< 250 ok\nS: 250 ok",
        AGAIN,
        f"C+ BDAT 2 LAST\\r\\nhi\nM> BDAT {size + 2} LAST\n{first}",
    )


def test_a_refused_mail_inside_a_transaction_brings_no_second_header() -> None:
    """The message under way has its own already."""
    rules = Policy(insert_headers=True)
    header = "X-Tarry-Reasons: none; client=[192.0.2.7]:40000; id=K3X9-0001"
    Talk(rules).plays(
        ENVELOPE,
        f"C+ BDAT 2\\r\\nhi\nM> BDAT {len(header) + 4}\nM> {header}\nM- hi\nM< 250 ok\nS: 250 ok",
        "C: MAIL FROM:<>\nM> MAIL FROM:<>\nM< 503 nested\nS: 503 nested",
        "C+ BDAT 2\\r\\nhi\nM> BDAT 2\nM- hi\nM< 250 ok\nS: 250 ok",
    )


def test_an_mta_that_takes_no_data_is_given_up() -> None:
    """The client waits for the MTA here, so the MTA's deadline holds and not the long one for data."""
    Talk(Policy(limits=Limits(backend=30.0))).plays(
        SENDING, "C+ x\\r\\n\nM- x", "! MTA full", "! 29s", "! MTA takes", "! 500s", "! MTA full", "! 30s", GONE
    )


def test_an_mta_that_is_full_while_it_is_asked_has_its_own_deadline() -> None:
    """Between commands nothing is lost by waiting for a slow MTA to take a line."""
    Talk(Policy(limits=Limits(backend=30.0, command=300.0))).plays(ENVELOPE, "! MTA full", "! 299s", "C: NOOP\nS: 250 2.0.0 Ok")


# A DATA whose refusal is held, or told slowly.


def test_a_message_that_comes_while_the_refusal_is_held_ends_the_session() -> None:
    """As one that was there before it: its lines are not read as commands. Who waits for the refusal goes on."""
    rules = Policy(tarpits=Tarpits(error=Tarpit(0, 5.0)))
    told = "S: 503 5.5.1 RCPT first"
    Talk(rules).plays(HELLO, f"C: DATA\n! 2s\nC: RSET\n! 3s\n{told}\n* close")
    Talk(rules).plays(HELLO, f"C: DATA\n! 5s\n{told}\nC: RSET\nS: 250 2.0.0 Ok")


@pytest.mark.parametrize("sent", ["", "C: RSET\n"])
def test_an_mta_that_ends_the_session_at_data_ends_it_behind_a_slow_reply(sent: str) -> None:
    """Its 421 is told to its end, whatever is said meanwhile, and nothing is read behind it."""
    delay = Delay(Span(10.0, 10.0), Phase.DATA, reply_pace=1.0)
    rules = policy(Pregreet(), action=Action.DELAY, changes={"delay": delay})
    talk = Talk(rules, reasons=(found("pregreet"),), slow=Slow()).plays(ENVELOPE, "C: DATA\n! 6s\nM> DATA")
    begun, rest = slowly("421 bye").split("\n! 1.0s\n", 1)
    talk.plays(f"M< 421 bye\n{begun}\n* abort the MTA\n{sent}! 1s\n{rest}\n* close")
