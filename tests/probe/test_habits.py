import pytest

from tarry.probe.habits import CLIENT_HELLO, HALF_CLOSE_AFTER, NAMES, SLOW_LINE, habits
from tarry.probe.steps import Habit, HalfClose, Hear, Kind, Options, Pause, Say
from tarry.probe.trace import Seconds

OPTIONS = Options(sender="me@example.org", recipient="you@example.org", date="Thu, 13 Mar 2003 08:23:47 +0000", token="t1")
WITHOUT_MAIL = Options(deliver=False)


def habit(name: str, options: Options = OPTIONS) -> Habit:
    return next(made for made in habits(options) if made.name == name)


def said(made: Habit) -> bytes:
    return b"".join(step.data for step in made.steps if isinstance(step, Say) and not step.only_if_refused)


def before_greeting(made: Habit) -> bytes:
    steps = made.steps[: [isinstance(step, Hear) for step in made.steps].index(True)]
    return b"".join(step.data for step in steps if isinstance(step, Say))


def test_names_are_those_of_the_habits_in_order() -> None:
    """What --habit accepts is exactly what exists."""
    assert tuple(made.name for made in habits(OPTIONS)) == NAMES


def test_each_kind_is_as_documented() -> None:
    """Two clients must be served, four break no rule, the others are bots."""
    kinds = {made.name: made.kind for made in habits(OPTIONS)}

    assert [name for name, kind in kinds.items() if kind is Kind.HONEST] == ["patient", "slow-writer"]
    assert [name for name, kind in kinds.items() if kind is Kind.ODD] == [
        "half-closer",
        "rcpt-flood",
        "rset-flood",
        "noop-flood",
    ]


@pytest.mark.parametrize("options", [OPTIONS, WITHOUT_MAIL])
def test_every_habit_waits_for_its_goal(options: Options) -> None:
    """A goal that no step hears could never be reached."""
    for made in habits(options):
        assert made.goal in [step.what for step in made.steps if isinstance(step, Hear)], made.name


def test_words_for_the_table_fit_in_80_columns() -> None:
    """The first two columns leave room for the reply."""
    assert max(len(made.name) for made in habits(OPTIONS)) <= 15
    assert max(len(made.did) for made in habits(OPTIONS)) <= 20


def test_only_the_early_talkers_talk_early() -> None:
    """Exactly four habits send something before the greeting."""
    early = [made.name for made in habits(OPTIONS) if before_greeting(made)]

    assert early == ["blind", "one-early-byte", "tls-first", "http-first"]


def test_without_mail_no_habit_says_data() -> None:
    """--no-mail is a promise: nothing can be delivered, and the habit that is all about DATA is left out."""
    assert "data-jumper" not in [made.name for made in habits(WITHOUT_MAIL)]
    for made in habits(WITHOUT_MAIL):
        assert b"DATA" not in said(made).split(b"\r\n") and b"DATA\n" not in said(made), made.name


def test_the_patient_client_alternates() -> None:
    """One command, one reply, from the greeting to QUIT, with the user's own envelope."""
    steps = habit("patient").steps
    lines = [step.data.split(b"\r\n")[0] for step in steps if isinstance(step, Say)]

    assert lines[:4] == [b"EHLO example.org", b"MAIL FROM:<me@example.org>", b"RCPT TO:<you@example.org>", b"DATA"]
    assert [isinstance(step, Hear) for step in steps[:-1]] == [True, False] * 6 + [True]


def test_the_patient_client_without_mail_resets() -> None:
    """It stops after RCPT with RSET and QUIT."""
    assert said(habit("patient", WITHOUT_MAIL)).endswith(b"RCPT TO:<postmaster@localhost>\r\nRSET\r\nQUIT\r\n")


def test_the_message_is_well_formed() -> None:
    """It has the headers of RFC 5322, ends with a lone dot, no line of it begins with one, and it says where it is from."""
    _, _, message = said(habit("patient")).partition(b"DATA\r\n")
    body, dot, rest = message.partition(b"\r\n.\r\n")

    assert (dot, rest) == (b"\r\n.\r\n", b"QUIT\r\n")
    assert b"Date: Thu, 13 Mar 2003 08:23:47 +0000\r\n" in body and b"Message-ID: <t1.patient@" in body
    assert not any(line.startswith(b".") for line in body.split(b"\r\n"))
    assert b"tarry probe" in body


def test_the_blind_client_says_everything_before_it_hears_anything() -> None:
    """From EHLO to QUIT in its first breath, and more of the message once it is refused."""
    made = habit("blind")
    more = [step.data for step in made.steps if isinstance(step, Say) and step.only_if_refused]

    assert before_greeting(made).startswith(b"EHLO ") and before_greeting(made).endswith(b"\r\n.\r\nQUIT\r\n")
    assert len(more) == 1 and more[0] in before_greeting(made)
    assert not made.polite


def test_one_early_byte_is_one_byte_of_a_whole_command() -> None:
    """The early byte and the rest make up EHLO, so that a server which forgives it hears a proper session."""
    made = habit("one-early-byte")

    assert before_greeting(made) == b"E"
    assert said(made).startswith(b"EHLO example.org\r\nMAIL")


def test_tls_first_is_a_client_hello_without_a_newline() -> None:
    """Record and handshake lengths are right, and no byte of it ends an SMTP line."""
    assert CLIENT_HELLO[:3] == b"\x16\x03\x01" and int.from_bytes(CLIENT_HELLO[3:5], "big") == len(CLIENT_HELLO) - 5
    assert CLIENT_HELLO[5] == 1 and int.from_bytes(CLIENT_HELLO[6:9], "big") == len(CLIENT_HELLO) - 9
    assert b"\n" not in CLIENT_HELLO


def test_http_first_asks_for_a_page() -> None:
    """A whole HTTP request, headers and empty line included."""
    assert said(habit("http-first")).startswith(b"GET / HTTP/1.1\r\nHost: ")
    assert said(habit("http-first")).endswith(b"\r\n\r\n")


def test_the_impatient_client_waits_as_long_as_it_is_told() -> None:
    """Its patience is the user's choice and shows in the table."""
    made = habit("impatient", Options(patience=Seconds(0.5)))

    assert made.steps[0] == Hear("greeting", Seconds(0.5))
    assert made.did == "leaves after 0.5 s"


def test_the_half_closer_sends_nothing() -> None:
    """Silence, then the end of its side, then it listens."""
    made = habit("half-closer")

    assert made.steps[:3] == (Pause(HALF_CLOSE_AFTER), HalfClose(), Hear("greeting"))
    assert said(made) == b""


def test_the_data_jumper_sends_its_message_with_data() -> None:
    """DATA and the message leave together, so the 354 cannot have been read."""
    jump = next(step.data for step in habit("data-jumper").steps if isinstance(step, Say) and step.data.startswith(b"DATA"))

    assert jump.endswith(b"\r\n.\r\n")


def test_the_piler_says_helo_and_so_cannot_have_been_offered_pipelining() -> None:
    """Three commands in one segment after the greeting, none before it."""
    pile = habit("piler").steps[1]

    assert pile == Say(b"HELO example.org\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<you@example.org>\r\n")


@pytest.mark.parametrize("options", [OPTIONS, WITHOUT_MAIL])
def test_bare_lf_has_no_carriage_return_anywhere(options: Options) -> None:
    """Lines and message end in LF alone, and it does not wait for ever for a server that wants CRLF."""
    made = habit("bare-lf", options)

    assert b"\r" not in said(made)
    assert (b"\n.\n" in said(made)) == options.deliver
    assert [step.what for step in made.steps if isinstance(step, Hear) and step.within is None] == ["greeting"]


def test_non_smtp_says_headers_where_commands_belong() -> None:
    """Not one line is an SMTP command, and none is empty, since servers differ on that."""
    lines = [step.data for step in habit("non-smtp").steps if isinstance(step, Say)]

    assert lines[0] == b"From: <me@example.org>\r\n"
    assert all(line.endswith(b"\r\n") and line != b"\r\n" for line in lines)


def test_the_slow_writer_types_only_ehlo_slowly() -> None:
    """One line at a pace, the rest at once, all of it a proper session."""
    says = [step for step in habit("slow-writer").steps if isinstance(step, Say)]

    assert (says[0].data[:5], says[0].pace) == (b"EHLO ", SLOW_LINE)
    assert [say.pace for say in says[1:]] == [0.0] * 4


def test_the_null_sender_is_possible() -> None:
    """An empty sender makes MAIL FROM:<> and a From header that still has an address."""
    words = said(habit("patient", Options(sender="")))

    assert b"MAIL FROM:<>\r\n" in words and b"From: <probe@tarry.invalid>\r\n" in words
