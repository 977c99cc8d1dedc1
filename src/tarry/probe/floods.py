"""floods - clients that say the same thing many times, one after the other, each time waiting for the reply.

What     One Habit each, as in `habits`. Those that break no rule (25 recipients; RFC 5321 §4.5.3.1.8 asks for 100) are ODD: a
         mailing list does the same, and whether a server bears it is for its operator to know.
Leaves   After the greeting each waits `reply_patience` for a reply, as software that sends in bulk has no time, and then leaves.
Safe     No message is offered: they end with RSET and QUIT. rcpt-flood names the user's own recipient again and again;
         dead-recipients names made-up ones of the same domain. (`flood_mail` is for a make-believe server.)
Source   A. Poling, zmailer list, 1997-04-04 (rcpt-flood, rset-flood); D. Carraway, qpsmtpd list, 2003-03-13, and harvesters of
         addresses since (dead-recipients); RFC 5321 §4.5.5 (bounce-flood: a bounce has one recipient, the sender of one message).
Since    0.1
"""

from tarry.probe import dialogue
from tarry.probe.steps import GOODBYE, Habit, Hear, Kind, Options, Say, Step
from tarry.probe.trace import GREETING

# In 1997 a message for 19 recipients or more was thrown away.
RECIPIENTS = 25
# In 1997 the fifth RSET waited.
RESETS = 8
NOOPS = 20
# As many errors as Postfix bears (smtpd_hard_error_limit).
GUESSES = 20
BOUNCES = 5


def rcpt_flood(options: Options) -> Habit:
    """One message for many, as a bulk engine brings it, and a mailing list."""
    ending: tuple[Step, ...] = dialogue.reset_and_quit()
    if options.flood_mail:
        ending = (*dialogue.mail(options, "rcpt-flood", options.reply_patience), *GOODBYE)
    return Habit(
        name="rcpt-flood",
        kind=Kind.ODD,
        did=f"{RECIPIENTS} recipients",
        goal="message" if options.flood_mail else f"rcpt {RECIPIENTS}",
        steps=(*_sender(options), *_recipients(options, RECIPIENTS), *ending),
        gives_up=True,
        repeats="rcpt",
    )


def rset_flood(options: Options) -> Habit:
    """One transaction after the other, each taken back: a bulk engine that goes through its list, or one that tries senders."""
    _, mail, _ = dialogue.commands(options)
    within = options.reply_patience
    again = (
        step
        for number in range(1, RESETS + 1)
        for step in (Say(mail), Hear("mail", within), Say(b"RSET\r\n"), Hear(f"rset {number}", within))
    )
    return Habit(
        name="rset-flood",
        kind=Kind.ODD,
        did=f"{RESETS} times MAIL, RSET",
        goal=f"rset {RESETS}",
        steps=(*_hello(options), *again, *GOODBYE),
        gives_up=True,
        repeats="rset",
    )


def noop_flood(options: Options) -> Habit:
    """A client that keeps its connection without a purpose that one could see."""
    again = (step for number in range(1, NOOPS + 1) for step in (Say(b"NOOP\r\n"), Hear(f"noop {number}", options.reply_patience)))
    return Habit(
        name="noop-flood",
        kind=Kind.ODD,
        did=f"{NOOPS} times NOOP",
        goal=f"noop {NOOPS}",
        steps=(*_hello(options), *again, *GOODBYE),
        gives_up=True,
        repeats="noop",
    )


def dead_recipients(options: Options) -> Habit:
    """Guesses addresses, takes each no as an answer, and comes to one that exists: that is what it was after."""
    _, at, domain = options.recipient.rpartition("@")
    names = (f"nobody-{options.token}-{number}{at}{domain if at else ''}" for number in range(1, GUESSES + 1))
    guesses = (
        step
        for number, name in enumerate(names, 1)
        for step in (Say(dialogue.rcpt(name)), Hear(f"guess {number}", options.reply_patience, bears_refusal=True))
    )
    real = (Say(dialogue.rcpt(options.recipient)), Hear("rcpt", options.reply_patience))
    return Habit(
        name="dead-recipients",
        kind=Kind.BOT,
        did=f"guesses {GUESSES} addresses",
        goal="rcpt",
        steps=(*_sender(options), *guesses, *real, *dialogue.reset_and_quit()),
        gives_up=True,
        repeats="guess",
    )


def bounce_flood(options: Options) -> Habit:
    """A message that says it is a bounce, for several recipients at once."""
    null = Say(b"MAIL FROM:<>\r\n")
    steps = (*_hello(options), null, Hear("mail", options.reply_patience), *_recipients(options, BOUNCES))
    return Habit(
        name="bounce-flood",
        kind=Kind.BOT,
        did=f"null sender, {BOUNCES} rcpts",
        goal=f"rcpt {BOUNCES}",
        steps=(*steps, *dialogue.reset_and_quit()),
        gives_up=True,
        repeats="rcpt",
    )


def _hello(options: Options) -> tuple[Step, ...]:
    return Hear(GREETING), *dialogue.envelope(options, options.reply_patience)[:2]


def _sender(options: Options) -> tuple[Step, ...]:
    return Hear(GREETING), *dialogue.envelope(options, options.reply_patience)[:4]


def _recipients(options: Options, count: int) -> tuple[Step, ...]:
    line = Say(dialogue.rcpt(options.recipient))
    return tuple(step for number in range(1, count + 1) for step in (line, Hear(f"rcpt {number}", options.reply_patience)))
