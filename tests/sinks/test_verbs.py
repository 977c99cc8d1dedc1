"""What the events of a session are in postscreen's verbs: sequences of events as the daemon emits them, and the lines for them."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis.strategies import binary, builds, floats, from_type, lists, text, tuples

from tarry.core import replies
from tarry.record.schema import (
    Answer,
    Close,
    Command,
    Connect,
    Greet,
    Handoff,
    Hangup,
    Hold,
    Outcome,
    Readable,
    Reason,
    Reply,
    SessionEvent,
    Tls,
    Verdict,
)
from tarry.record.summary import Summary
from tarry.sinks.verbs import Passed, Said, Session, escaped, plain, seconds, tell, unfold
from tarry.smtp.reply import Reply as Told
from tarry.smtp.text import escape

CONNECT = (Connect("192.0.2.7", 44903, "198.51.100.25:25", 4.3), 0.0)
CONNECTED = "CONNECT from [192.0.2.7]:44903 to [198.51.100.25]:25"
GREET = (Greet(4.3), 4.3)
WHO = "[192.0.2.7]:44903"

Happened = tuple[SessionEvent, float]


def said(*happened: Happened, passed: Passed | None = None) -> list[str]:
    """Return the lines for a session of these events."""
    session, passed = Session(), passed or Passed()
    return [one.text for event, dt in happened for one in tell(session, event, dt, passed)]


def after_connect(*happened: Happened) -> list[str]:
    first, *rest = said(CONNECT, *happened)
    assert CONNECTED == first
    return rest


def says(told: Told, to: str = "", dt: float = 5.0) -> Happened:
    return Reply(told.code, told.last_line.decode(), to), dt


def command(verb: str, arg: str = "", dt: float = 5.0) -> Happened:
    return Command(verb, len(verb) + len(arg) + 2, arg), dt


def reason(check: str, code: str, detail: str = "", action: str = "reject", *, weight: float = 0.0, dt: float = 5.0) -> Happened:
    return Reason(check, code, "helo", detail, weight, action), dt


def verdict(action: str, *reasons: str, phase: str = "rcpt", observed: bool = False, dt: float = 5.0) -> Happened:
    return Verdict(phase, action, reasons, observed), dt


def close(ended: str = "tarry", dt: float = 6.0) -> Happened:
    return Close("192.0.2.7", 44903, "198.51.100.25:25", ended=ended), dt


HANDED = (Handoff("proxy", "127.0.0.1:10025", True, 0.7), 5.0)
TALKED = (Readable("hold", 17, r"EHLO early\\\x07\xff\r\n"), 0.031)


def test_a_client_that_talks_early_and_is_refused() -> None:
    """PREGREET has the count, the time and the text with Postfix's own escapes; as with postscreen's drop, no reject follows."""
    assert [
        rf"PREGREET 17 after 0.03 from {WHO}: EHLO early\\\a\377\r\n",
        f"DISCONNECT {WHO}",
    ] == after_connect(
        TALKED,
        reason("pregreet", "spoke", "EHLO early", dt=0.031),
        verdict("reject", "pregreet.spoke", phase="hold", dt=0.031),
        (Reply(554, "5.7.1 You spoke before the greeting [ID]", "connect"), 0.031),
        close(dt=0.031),
    )


def test_a_client_that_talks_early_and_is_let_in_does_not_pass() -> None:
    """A test that failed stays failed, as with postscreen's ignore: the MTA gets the client, and no PASS is said."""
    assert [f"PREGREET 6 after 1.5 from {WHO}: HELP\\r\\n", f"DISCONNECT {WHO}"] == after_connect(
        (Readable("hold", 6, "HELP\\r\\n"), 1.5),
        reason("pregreet", "spoke", action="tag"),
        verdict("tag", "pregreet.spoke", phase="hold", dt=1.5),
        GREET,
        command("EHLO", "x"),
        command("MAIL", "a@b.example"),
        HANDED,
        close(),
    )


def test_a_clean_client_passes_when_the_mta_takes_it() -> None:
    """PASS NEW the first time, PASS OLD from then on; a hang-up after that is the MTA's to tell."""
    happened = (
        CONNECT,
        (Outcome("pregreet", "passed"), 4.3),
        GREET,
        command("EHLO", "mail.example"),
        command("MAIL", "a@b.example"),
        HANDED,
        (Reply(250, "2.1.0 Ok", "MAIL", "mta"), 5.0),
        (Hangup("mail", "fin"), 5.5),
        close("client"),
    )
    passed = Passed()

    assert [CONNECTED, f"PASS NEW {WHO}", f"DISCONNECT {WHO}"] == said(*happened, passed=passed)
    assert [CONNECTED, f"PASS OLD {WHO}", f"DISCONNECT {WHO}"] == said(*happened, passed=passed)


@pytest.mark.parametrize("why", [Outcome("pregreet", "skipped", "passed before"), Reason("karma", "good", "hold", weight=-1.0)])
def test_a_client_that_is_remembered_is_old(why: SessionEvent) -> None:
    """Also where this process has not seen it pass."""
    happened = [CONNECT, (why, 0.1), (Greet(0.1), 0.1), (Handoff("proxy", "127.0.0.1:10025", True), 0.2)]
    assert [CONNECTED, f"PASS OLD {WHO}"] == said(*happened)


def test_a_client_passes_once() -> None:
    """A connection to the MTA that is opened anew after a long hold is no second PASS."""
    assert [f"PASS NEW {WHO}"] == after_connect(
        GREET, command("MAIL"), HANDED, (Hold("residual", 60.0, 60.0, "due", "rcpt"), 65.0), HANDED
    )


def test_who_has_passed_is_remembered_within_bounds() -> None:
    """The oldest address goes first, and one that comes again is young again."""
    passed = Passed(most=2)

    assert [True, True, False, True, False, True] == [passed.add(address) for address in ("a", "b", "a", "c", "a", "b")]


def test_a_client_that_is_given_away_has_no_last_word() -> None:
    """In modes pass and exec the session goes on without tarry."""
    assert [f"PASS NEW {WHO}"] == after_connect((Handoff("pass", "private/smtpd", True, 0.2), 4.3), close("handoff"))


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (((Hangup("hold", "fin"), 0.204),), "HANGUP after 0.2 from {} in tests before SMTP handshake"),
        ((GREET, (Hangup("greeted", "reset"), 20.4)), "HANGUP after 16 from {} in tests after SMTP handshake"),
        ((GREET, command("EHLO", "x"), (Hangup("helo", "fin"), 5.5)), "HANGUP after 1.2 from {} in tests after SMTP handshake"),
        (
            ((Hangup("hold", "fin"), 1.0), GREET, (Hangup("greeted", "fin"), 4.3)),
            "HANGUP after 1 from {} in tests before SMTP handshake",
        ),
    ],
)
def test_a_hang_up_is_told_once_with_the_time_of_its_tests(happened: tuple[Happened, ...], told: str) -> None:
    """Before the greeting since accept, afterwards since the greeting."""
    assert [told.format(WHO), f"DISCONNECT {WHO}"] == after_connect(*happened, close("client", 30.0))


def test_who_says_quit_does_not_hang_up() -> None:
    """The FIN behind a QUIT is the end that was agreed on."""
    assert [f"DISCONNECT {WHO}"] == after_connect(
        GREET, command("QUIT"), says(replies.BYE, "QUIT"), (Hangup("helo", "fin"), 5.1), close()
    )


def test_an_exempt_client_is_allowlisted() -> None:
    """It passes no tests, so it does not PASS, and does not hang up in any."""
    exempt = (Connect("2001:db8::7", 1, "[2001:db8::1]:25", exempt="exempt"), 0.0)

    assert [
        "CONNECT from [2001:db8::7]:1 to [2001:db8::1]:25",
        "ALLOWLISTED [2001:db8::7]:1",
        "DISCONNECT [2001:db8::7]:1",
    ] == said(exempt, GREET, command("MAIL"), HANDED, (Hangup("mail", "fin"), 5.0), close())


def test_a_denied_client_is_denylisted() -> None:
    """It is refused with 5xx at once, and nothing found speaks against it."""
    assert [f"DENYLISTED {WHO}", f"DISCONNECT {WHO}"] == after_connect(says(replies.denied("ID"), "connect", 0.0), close(dt=0.0))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (replies.too_many_from_client("ID"), "too many connections"),
        (replies.too_many_from_network("ID"), "too many connections"),
        (replies.too_often_from_client("ID"), "too many connections"),
        (replies.too_often_from_network("ID"), "too many connections"),
        (replies.too_many_clients("ID"), "all server ports busy"),
        (replies.GOING_DOWN, "all server ports busy"),
        (replies.unavailable("ID"), "all server ports busy"),
        (replies.not_started("ID"), "all server ports busy"),
    ],
)
def test_a_421_before_the_greeting_is_a_rejected_connect(told: Told, why: str) -> None:
    """postscreen knows two reasons: the client has too many connections, or there is no room for anybody."""
    assert [f"NOQUEUE: reject: CONNECT from {WHO}: {why}"] == after_connect(says(told, "connect"))
    assert [f"NOQUEUE: reject: CONNECT from {WHO}: {why}"] == after_connect(says(told))  # in line, in place of the greeting


def test_a_refusal_before_the_greeting_without_a_test_of_postscreen() -> None:
    """Checks that postscreen has not are told in the form in which smtpd rejects a client."""
    assert [f"NOQUEUE: reject: CONNECT from {WHO}: 421 4.7.1 No name, try again later [ID]; proto=SMTP"] == after_connect(
        verdict("defer", "ptr.none", phase="hold"), (Reply(421, "4.7.1 No name, try again later [ID]", "connect"), 4.3)
    )


def refused_at_rcpt(hello: str = "EHLO", sender: str = "a@b.example", recipient: str = "alice@example.org") -> list[str]:
    return after_connect(
        GREET,
        command(hello, "client.example"),
        verdict("reject", "pipelining.early"),
        command("MAIL", sender),
        says(replies.SENDER_OK, "MAIL"),
        command("RCPT", recipient),
        (Reply(550, "5.7.1 You sent commands without waiting for replies [ID]", "RCPT"), 5.0),
    )


def test_a_refused_recipient_is_told_with_the_whole_envelope() -> None:
    """Reply, sender, recipient, protocol and HELO name, in postscreen's order."""
    assert [
        f"NOQUEUE: reject: RCPT from {WHO}: 550 5.7.1 You sent commands without waiting for replies [ID]; "
        "from=<a@b.example>, to=<alice@example.org>, proto=ESMTP, helo=<client.example>"
    ] == refused_at_rcpt()


def test_without_paths_the_addresses_are_empty() -> None:
    """record.paths = false leaves the paths out of the record, and they read like the null sender here."""
    assert refused_at_rcpt("HELO", "", "")[0].endswith("; from=<>, to=<>, proto=SMTP, helo=<client.example>")


def test_replies_of_the_mta_are_not_told() -> None:
    """They are in the MTA's own log, and a tool that reads both would count them twice."""
    assert [f"PASS NEW {WHO}"] == after_connect(
        GREET, command("MAIL"), HANDED, command("RCPT", "x"), (Reply(550, "5.1.1 no such user", "RCPT", "mta"), 5.0)
    )


@pytest.mark.parametrize(
    ("told", "is_told"),
    [
        (replies.too_many_recipients("ID"), True),
        (replies.unavailable("ID"), True),
        (replies.MAIL_FIRST, False),
        (replies.BROKEN_LINE, False),
    ],
)
def test_what_else_tarry_answers_to_rcpt(told: Told, is_told: bool) -> None:
    """A recipient that is sent away for now is a reject; a mistake in the dialogue is none, with postscreen neither."""
    assert is_told == bool(after_connect(GREET, command("RCPT", "x"), says(told, "RCPT")))


def test_rejects_that_postscreen_cannot_make_have_the_form_of_smtpd() -> None:
    """At MAIL there is no recipient, at the end of the message there is."""
    assert [
        f"NOQUEUE: reject: MAIL from {WHO}: 450 4.7.1 Later [ID]; from=<a@b.example>, proto=SMTP, helo=<>",
        f"NOQUEUE: reject: EHLO from {WHO}: 450 4.7.1 Later [ID]; from=<a@b.example>, proto=ESMTP, helo=<x>",
    ] == after_connect(
        GREET,
        verdict("defer", "helo.literal"),
        command("MAIL", "a@b.example"),
        (Reply(450, "4.7.1 Later [ID]", "MAIL"), 5.0),
        command("EHLO", "x"),
        (Reply(450, "4.7.1 Later [ID]", "EHLO"), 5.0),
    )
    assert (
        f"NOQUEUE: reject: END-OF-MESSAGE from {WHO}: 550 5.7.1 No [ID]; from=<>, to=<b@c.example>, proto=SMTP, helo=<>"
        in after_connect(
            GREET,
            command("MAIL"),
            HANDED,
            command("RCPT", "b@c.example"),
            (Reply(250, "2.1.5 Ok", "RCPT", "mta"), 5.0),
            command("DATA"),
            (Reply(354, "go ahead", "DATA", "mta"), 5.0),
            verdict("reject", "bare_newline.message", phase="message"),
            (Reply(550, "5.7.1 No [ID]", "message"), 5.0),
        )
    )


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
def test_data_without_a_recipient(verb: str) -> None:
    """It is not a reject with postscreen, but a line of its own, whoever asked for it."""
    refused = (Reply(550, "5.7.1 No [ID]", verb), 5.0)
    told = [f"{verb} without valid RCPT from {WHO}"]

    assert told == after_connect(GREET, command(verb), verdict("reject", "x.y"), refused)
    assert told == after_connect(GREET, command(verb), says(replies.RCPT_FIRST, verb))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            reason("pipelining", "early", r"EHLO: MAIL FROM:<a@b>\r\n"),
            r"COMMAND PIPELINING from {} after EHLO: MAIL FROM:<a@b>\r\n",
        ),
        (reason("predata", "spoke", r"Subject: x\x00"), r"COMMAND PIPELINING from {} after DATA: Subject: x\000"),
        (reason("non_smtp", "http", "GET / HTTP/1.1"), "NON-SMTP COMMAND from {} after EHLO: GET / HTTP/1.1"),
        (reason("non_smtp", "header", r"Subject:  hello\x01"), r"NON-SMTP COMMAND from {} after EHLO: Subject:  hello\001"),
        (reason("non_smtp", "text", "-----"), "NON-SMTP COMMAND from {} after EHLO: ----- "),
        (reason("bare_newline", "command", "LF: HELO a.example"), "BARE NEWLINE from {} after HELO a.example"),
        (reason("bare_newline", "command", "LF"), "BARE NEWLINE from {} after "),
        (reason("many_errors", "limit", "11 errors", "drop"), "COMMAND COUNT LIMIT from {} after EHLO"),
        (reason("many_rset", "limit", "9", "reject"), "COMMAND COUNT LIMIT from {} after EHLO"),
    ],
)
def test_each_test_that_failed_has_its_verb_once(found: Happened, told: str) -> None:
    """After where and text are as postscreen writes them; found again, it is not told again."""
    assert [told.format(WHO)] == after_connect(GREET, command("EHLO", "x"), command("GET"), found, found)


def test_a_bare_newline_in_a_message_is_after_data() -> None:
    """The evidence says only which character it was."""
    assert [f"BARE NEWLINE from {WHO} after DATA"] == after_connect(GREET, command("DATA"), reason("bare_newline", "message", "LF"))


def test_a_limit_that_only_tags_ends_nothing() -> None:
    """COMMAND COUNT LIMIT says that the session was ended, and fail2ban bans for it."""
    assert [] == after_connect(GREET, reason("many_errors", "limit", action="tag"))


def test_a_check_that_postscreen_has_not_is_silent() -> None:
    """What it leads to is told, when it comes to that."""
    assert [] == after_connect(GREET, reason("helo", "literal", action="tag"))


@pytest.mark.parametrize(
    ("told", "verb"), [(replies.TOO_SLOW, "COMMAND TIME LIMIT"), (replies.LINE_TOO_LONG, "COMMAND LENGTH LIMIT")]
)
@pytest.mark.parametrize(("said_before", "where"), [((), "CONNECT"), (("EHLO", "NOOP"), "NOOP"), (("XYZZY",), "UNIMPLEMENTED")])
def test_a_limit_names_the_last_command(told: Told, verb: str, said_before: tuple[str, ...], where: str) -> None:
    """CONNECT where there was none, UNIMPLEMENTED for one that postscreen does not know."""
    assert [f"{verb} from {WHO} after {where}"] == after_connect(GREET, *map(command, said_before), says(told))


ZEN = "zen.dnsbl.example"
ANSWER = (Answer(ZEN, ("127.0.0.2", "127.0.0.10"), 300.0, 12.5, "found", "", f"7.2.0.192.{ZEN}"), 0.1)
LISTED = [f"addr 192.0.2.7 listed by domain zen.dnsbl.example as 127.0.0.{last}" for last in (2, 10)]


def test_the_rank_is_the_sum_of_the_weights() -> None:
    """It is told with the verdict that counts the lists; what each list says is dnsblog's to tell, once."""
    assert [*LISTED, f"DNSBL rank 3 for {WHO}", f"DISCONNECT {WHO}"] == after_connect(
        ANSWER,
        reason("dnslists", "listed", "zen.dnsbl.example=127.0.0.2", weight=4.0, dt=0.1),
        reason("dnslists", "listed", "allow.example=", weight=-1.0, dt=0.1),
        verdict("drop", "dnslists.listed", phase="hold", dt=4.3),
        verdict("drop", "dnslists.listed", "ptr.none", phase="hold", dt=4.3),
        (Reply(521, "5.7.1 Service unavailable; client [192.0.2.7] blocked using zen.dnsbl.example", "connect"), 4.3),
        close(dt=4.3),
    )


@pytest.mark.parametrize(
    "answer",
    [
        Answer(ZEN, (), state="nothing", name=f"7.2.0.192.{ZEN}"),
        Answer(ZEN, ("127.0.1.2",), name=f"spam.example.{ZEN}"),
        Answer(ZEN, ("127.0.0.2",), name=f"8.2.0.192.{ZEN}"),
        Answer("names", ("mail.example",), name="192.0.2.7"),
        Answer("addresses", ("192.0.2.7",), name="mail.example"),
        Answer(ZEN, ("2001:db8::1", "x\n"), name=f"7.2.0.192.{ZEN}"),
    ],
)
def test_other_answers_list_nobody(answer: Answer) -> None:
    """About domains, names, other addresses; and what is no IPv4 address."""
    assert [] == after_connect((answer, 0.1))


def test_an_ipv6_client_is_listed_by_its_nibbles() -> None:
    """As it was asked for; one that has no IP address is not listed at all."""
    listed = Answer(ZEN, ("127.0.0.3",), name=f"7.{'0.' * 23}8.b.d.0.1.0.0.2.{ZEN}"), 0.1

    assert f"addr 2001:db8::7 listed by domain {ZEN} as 127.0.0.3" == said((Connect("2001:db8::7", 1, "s:25"), 0.0), listed)[1]
    assert ["CONNECT from [unix]:1 to [s]:25"] == said((Connect("unix", 1, "s:25"), 0.0), listed)


def test_dnsblog_is_another_program() -> None:
    """In Postfix the listings stand under its name."""
    session, passed = Session(), Passed()
    tell(session, *CONNECT, passed)

    assert [Said(LISTED[0], "dnsblog"), Said(LISTED[1], "dnsblog")] == tell(session, *ANSWER, passed)


def test_lists_below_every_threshold_hinder_no_pass() -> None:
    """A reason that no verdict counts is no failed test."""
    assert [f"PASS NEW {WHO}"] == after_connect(
        reason("dnslists", "listed", "", weight=1.0), GREET, command("MAIL"), verdict("tag", "helo.literal"), HANDED
    )


def test_troubles_of_the_shell_are_warnings() -> None:
    """An MTA that cannot be had, and a PROXY header that is none."""
    assert [
        "warning: cannot pass connection to service 127.0.0.1:25: Connection refused",
        "warning: haproxy read: no header in time",
    ] == after_connect(
        (Handoff("proxy", "127.0.0.1:25", False, why="Connection refused"), 5.0),
        (Outcome("proxy_header", "failed", "no header in time"), 5.0),
    )


def test_an_observed_verdict_refuses_nobody() -> None:
    """With --observe the tests are told and the rejects, which were not made, are not."""
    assert [f"DNSBL rank 2 for {WHO}"] == after_connect(
        reason("dnslists", "listed", "", weight=2.0),
        verdict("reject", "dnslists.listed", observed=True),
        GREET,
        command("RCPT", "x"),
        says(replies.MAIL_FIRST, "RCPT"),
    )


def test_who_is_not_known_is_not_spoken_of() -> None:
    """Events of a session whose first record is missing name nobody."""
    assert [] == said(GREET, TALKED, HANDED, close())


def test_other_events_say_nothing() -> None:
    """postscreen has no line for them."""
    assert [] == after_connect((Tls("client", True, "TLSv1.3", "X"), 1.0), (Hold("data_wait", 1.0, 1.0, "due", "data"), 2.0))


# The closing line alone.


def told_from_close(*happened: Happened) -> list[str]:
    """Return what is told when only the sum of these events is there."""
    summary = Summary()
    for event, dt in happened:
        summary.add(event, dt)
    return said(*unfold(summary.close()))


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        ((GREET, command("EHLO", "x"), command("MAIL", "a@b"), HANDED), ["PASS NEW {}", "DISCONNECT {}"]),
        (((Handoff("pass", "x", True), 4.3),), ["PASS NEW {}"]),
        ((TALKED, reason("pregreet", "spoke")), ["PREGREET 0 after 0.03 from {}: ", "DISCONNECT {}"]),
        (((Hangup("hold", "reset"), 2.0),), ["HANGUP after 2 from {} in tests before SMTP handshake", "DISCONNECT {}"]),
        (((Hangup("hold", "fin"), 2.0), GREET), ["HANGUP after 2 from {} in tests before SMTP handshake", "DISCONNECT {}"]),
        ((GREET, (Hangup("greeted", "fin"), 5.3)), ["HANGUP after 1 from {} in tests after SMTP handshake", "DISCONNECT {}"]),
        (
            (GREET, command("EHLO", "x"), reason("pipelining", "early"), verdict("tag", "pipelining.early"), command("QUIT")),
            ["COMMAND PIPELINING from {} after EHLO: ", "DISCONNECT {}"],
        ),
        (
            (reason("dnslists", "listed", "a=127.0.0.2", weight=3.0), verdict("drop", "dnslists.listed", phase="hold")),
            ["DNSBL rank 1 for {}", "DISCONNECT {}"],
        ),
    ],
)
def test_a_closing_line_alone_tells_what_it_knows(happened: tuple[Happened, ...], told: list[str]) -> None:
    """With record.detail = "close" texts, counts and rejects are gone, and the verbs stay."""
    assert [CONNECTED, *(one.format(WHO) for one in told)] == told_from_close(CONNECT, *happened)


# Forms.


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (0.0, "0"), (-1.0, "0"), (0.004, "0"), (0.005, "0.01"), (0.031, "0.03"), (0.2, "0.2"), (0.996, "1"), (1.04, "1"),
        (1.05, "1.1"), (1.25, "1.3"), (9.94, "9.9"), (9.96, "10"), (10.4, "10"), (10.5, "11"), (16.2, "16"), (301.0, "301"),
        (1e300, "1000000000"), (float("nan"), "0"),
    ],
)  # fmt: skip
def test_times_have_two_digits(length: float, told: str) -> None:
    """As format_tv(3) rounds them with Postfix's default of two significant digits, at most two of them behind the point."""
    assert told == seconds(length)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"EHLO x\r\n", r"EHLO x\r\n"),
        (b"\a\b\t\n\v\f\r\\", r"\a\b\t\n\v\f\r\\"),
        (b"\0\x1b\x7f\xff", r"\000\033\177\377"),
        (rb"\x41", r"\\x41"),
    ],
)
def test_text_has_the_escapes_of_postfix(data: bytes, told: str) -> None:
    """Three octal digits where C has no letter; a client's own backslash is doubled, so that it can forge none."""
    assert told == escaped(escape(data))


def test_elsewhere_what_cannot_be_printed_is_a_question_mark() -> None:
    """HELO names, addresses and replies are printed as Postfix prints them."""
    assert r"a?b?c\d" == plain(escape(b"a\x1bb\rc\\d"))


@given(binary(max_size=120))
def test_escapes_never_grow(data: bytes) -> None:
    """What fits a record fits postscreen's 100 characters."""
    assert len(escaped(escape(data))) <= 100


ANY_EVENT = builds(lambda event: event, from_type(get_args(SessionEvent)[0]))
for one in get_args(SessionEvent)[1:]:
    ANY_EVENT |= from_type(one)


@given(lists(tuples(ANY_EVENT, floats(allow_nan=False)), max_size=8), text(max_size=5))
def test_no_session_raises(happened: list[Happened], client: str) -> None:
    """Whatever follows whatever, with any values, lines come back or none."""
    assert all(isinstance(one, str) for one in said((Connect(client, 1, client), 0.0), *happened))
    assert all(isinstance(one, str) for one in told_from_close(*(one for one in happened if not isinstance(one[0], Verdict))))
