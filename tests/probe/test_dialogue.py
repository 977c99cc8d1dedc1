from tarry.probe import dialogue
from tarry.probe.steps import Hear, Options, Say
from tarry.probe.trace import Seconds

OPTIONS = Options(sender="me@example.org", recipient="you@example.org")


def test_the_envelope_is_three_commands_and_their_replies() -> None:
    """Each is answered before the next is said, within the time that is given, or without a bound."""
    lines = [step.data for step in dialogue.envelope(OPTIONS) if isinstance(step, Say)]

    assert [b"EHLO example.org\r\n", b"MAIL FROM:<me@example.org>\r\n", b"RCPT TO:<you@example.org>\r\n"] == lines
    assert [None] * 3 == [step.within for step in dialogue.envelope(OPTIONS) if isinstance(step, Hear)]
    assert [9.0] * 3 == [step.within for step in dialogue.envelope(OPTIONS, Seconds(9.0)) if isinstance(step, Hear)]


def test_a_mail_is_data_and_a_message_that_ends() -> None:
    """DATA waits for its reply, and so does the final dot."""
    data, wait, message, end = dialogue.mail(OPTIONS, "x", Seconds(9.0))

    assert (Say(b"DATA\r\n"), Hear("data", Seconds(9.0)), Hear("message", Seconds(9.0))) == (data, wait, end)
    assert isinstance(message, Say) and message.data.endswith(b"\r\n.\r\n")


def test_leaving_without_a_message_takes_the_recipients_back() -> None:
    """RSET, then QUIT."""
    assert [b"RSET\r\n", b"QUIT\r\n"] == [step.data for step in dialogue.reset_and_quit() if isinstance(step, Say)]
