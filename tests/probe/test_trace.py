from tarry.probe.trace import Ending, Reply, Seconds, Trace


def test_a_reply_reads_as_on_the_wire_and_garbage_without_a_code() -> None:
    """Code 0 marks what is no SMTP reply and is not shown."""
    assert str(Reply(521, "no", Seconds(1.0))) == "521 no"
    assert str(Reply(250, "", Seconds(1.0))) == "250"
    assert str(Reply(0, "HTTP/1.1 400", Seconds(1.0))) == "HTTP/1.1 400"


def test_positive_means_2xx_and_3xx() -> None:
    """A reply is a yes from 200 up to 399."""
    yes = [code for code in (0, 199, 200, 220, 354, 399, 400, 421, 554) if Reply(code, "", Seconds(0.0)).is_positive]

    assert yes == [200, 220, 354, 399]


def test_a_trace_finds_replies_by_what_they_answer() -> None:
    """The greeting is the reply to the greeting, and an unheard reply answers nothing."""
    greeting, extra = Reply(220, "hi", Seconds(1.0), "greeting"), Reply(500, "what", Seconds(2.0))
    trace = Trace(habit="blind", replies=(greeting, extra), ended=Ending.SERVER, ended_after=Seconds(2.0))

    assert trace.greeting == greeting
    assert trace.reply_to("ehlo") is None


def test_rounds_are_the_numbered_replies_with_the_seconds_that_each_took() -> None:
    """Counted from the reply before, whatever that answered; other replies are none."""
    seen = [(220, 3.0, "greeting"), (250, 3.5, "mail"), (250, 4.0, "rcpt 1"), (550, 6.0, "rcpt 2"), (250, 6.5, "rset")]
    replies = tuple(Reply(code, "", Seconds(at), to) for code, at, to in seen)
    trace = Trace(habit="x", replies=replies, ended=Ending.CLIENT, ended_after=Seconds(9.0))

    assert [(replies[2], 0.5), (replies[3], 2.0)] == list(trace.rounds("rcpt"))
    assert () == trace.rounds("noop")
