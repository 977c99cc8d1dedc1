"""habits - what known kinds of clients do, one declaration each.

What     Each function makes one Habit out of what the user chose; `habits` makes them all, with those of `floods` and `helos`.
         Nothing here does anything.
Safe     One message of a few lines at most is offered by each habit here; with `deliver` off none is.
Source   D. Carraway, qpsmtpd list, 2003-03-13 (blind); postscreen(8) (one-early-byte, tls-first, piler, bare-lf, non-smtp);
         Postfix smtpd_forbidden_commands (http-first); RFC 5321 §4.3.1 and RFC 2920 §3.1 (data-jumper);
         CVE-2023-51764 (bare-lf); RFC 9293 §3.6 (half-closer).
Since    0.1
"""

from collections.abc import Callable

from tarry.probe import dialogue, floods, helos
from tarry.probe.steps import BOT_WAIT, GOODBYE, Habit, HalfClose, Hear, Kind, Listen, Options, Pause, Say, Step
from tarry.probe.trace import GREETING, Seconds

# Early in any hold worth the name, late enough that the server has seen the client silent first.
HALF_CLOSE_AFTER = Seconds(0.2)
# The whole of the slow writer's EHLO line.
SLOW_LINE = Seconds(2.0)


def habits(options: Options) -> tuple[Habit, ...]:
    """Return all habits in table order, leaving out those that make no sense when no mail may be delivered."""
    made = (make(options) for make in _ALL)
    return tuple(habit for habit in made if habit is not None)


def patient(options: Options) -> Habit:
    """The client of RFC 5321: one command, one reply."""
    steps = (Hear(GREETING), *dialogue.envelope(options))
    goal = "message" if options.deliver else "rcpt"
    ending = (*dialogue.mail(options, "patient"), *GOODBYE) if options.deliver else dialogue.reset_and_quit()
    return Habit(name="patient", kind=Kind.HONEST, did="waits for each reply", goal=goal, steps=(*steps, *ending))


def slow_writer(options: Options) -> Habit:
    """A hand at a keyboard, or a bad line: a command may come in many segments."""
    hello, *rest = dialogue.envelope(options)
    assert isinstance(hello, Say)
    return Habit(
        name="slow-writer",
        kind=Kind.HONEST,
        did="types EHLO slowly",
        goal="rcpt",
        steps=(Hear(GREETING), Say(hello.data, pace=SLOW_LINE), *rest, *dialogue.reset_and_quit()),
    )


def blind(options: Options) -> Habit:
    """The agents of 2003: from EHLO to QUIT in one go, and further talk into the refusal."""
    commands = b"".join(dialogue.commands(options))
    message = dialogue.message(options, "blind")
    whole = commands + (b"DATA\r\n" + message + b".\r\n" if options.deliver else b"RSET\r\n") + b"QUIT\r\n"
    dues = (*dialogue.ENVELOPE, *(("data", "message") if options.deliver else ("rset",)), "quit")
    return Habit(
        name="blind",
        kind=Kind.BOT,
        did="says all at once",
        goal="message" if options.deliver else "rcpt",
        # The message once more without DATA: what a refused agent of that kind feeds to a server that goes on answering.
        steps=(Say(whole), Hear(GREETING), Say(message, only_if_refused=True), *(Hear(due) for due in dues), Listen()),
        polite=False,
    )


def one_early_byte(options: Options) -> Habit:
    """The smallest violation: the first letter of EHLO before the greeting, the rest when it is time."""
    hello, *rest = dialogue.envelope(options)
    assert isinstance(hello, Say)
    return Habit(
        name="one-early-byte",
        kind=Kind.BOT,
        did="one byte too early",
        goal="rcpt",
        steps=(Say(hello.data[:1]), Hear(GREETING), Say(hello.data[1:]), *rest, *dialogue.reset_and_quit()),
    )


def tls_first(_: Options) -> Habit:
    """A scanner, or a mail program set to TLS on the wrong port."""
    steps = (Say(CLIENT_HELLO), Hear(GREETING), Listen())
    return Habit(name="tls-first", kind=Kind.BOT, did="starts TLS at once", goal=GREETING, steps=steps, polite=False)


def http_first(_: Options) -> Habit:
    """A web scanner that tries every port."""
    request = b"GET / HTTP/1.1\r\nHost: tarry.invalid\r\nUser-Agent: tarry-probe\r\n\r\n"
    steps = (Say(request), Hear(GREETING), Listen())
    return Habit(name="http-first", kind=Kind.BOT, did="asks for a web page", goal=GREETING, steps=steps, polite=False)


def impatient(options: Options) -> Habit:
    """Bulk software with a short time-out: a hold longer than its patience is enough."""
    return Habit(
        name="impatient",
        kind=Kind.BOT,
        did=f"leaves after {options.patience:g} s",
        goal=GREETING,
        steps=(Hear(GREETING, options.patience), *GOODBYE),
        gives_up=True,
    )


def half_closer(_: Options) -> Habit:
    """A client that will send nothing more but still listens; several servers greet it at once and so can be hurried."""
    steps = (Pause(HALF_CLOSE_AFTER), HalfClose(), Hear(GREETING), Listen())
    return Habit(name="half-closer", kind=Kind.ODD, did="closes its half", goal=GREETING, steps=steps, polite=False)


def data_jumper(options: Options) -> Habit | None:
    """Polite up to RCPT, then it does not wait for the 354."""
    if not options.deliver:
        return None
    mail = Say(b"DATA\r\n" + dialogue.message(options, "data-jumper") + b".\r\n")
    return Habit(
        name="data-jumper",
        kind=Kind.BOT,
        did="mails before the 354",
        goal="message",
        steps=(Hear(GREETING), *dialogue.envelope(options), mail, Hear("data"), Hear("message"), *GOODBYE),
    )


def piler(options: Options) -> Habit:
    """Waits for the greeting and for nothing after it, though it was never told that the server can pipeline."""
    _, mail, rcpt = dialogue.commands(options)
    pile = Say(b"HELO " + options.hello + b"\r\n" + mail + rcpt)
    return Habit(
        name="piler",
        kind=Kind.BOT,
        did="piles up commands",
        goal="rcpt",
        steps=(Hear(GREETING), pile, *(Hear(due) for due in dialogue.ENVELOPE), *dialogue.reset_and_quit()),
    )


def bare_lf(options: Options) -> Habit:
    """Ends lines, and the message, with LF alone, as in mail smuggling."""
    ending = (*dialogue.mail(options, "bare-lf"), *GOODBYE) if options.deliver else dialogue.reset_and_quit()
    return Habit(
        name="bare-lf",
        kind=Kind.BOT,
        did="bare LF line ends",
        goal="message" if options.deliver else "rcpt",
        steps=tuple(_with_bare_lf(step) for step in (Hear(GREETING), *dialogue.envelope(options), *ending)),
    )


def non_smtp(options: Options) -> Habit:
    """Waits for the greeting and then says header lines and text where commands belong."""
    # Not the empty line: servers differ in whether they answer one at all.
    lines = [line + b"\r\n" for line in dialogue.message(options, "non-smtp").split(b"\r\n") if line]
    talk = (step for number, line in enumerate(lines, 1) for step in (Say(line), Hear(f"line {number}", BOT_WAIT)))
    return Habit(
        name="non-smtp",
        kind=Kind.BOT,
        did="headers as commands",
        goal=GREETING,
        steps=(Hear(GREETING), *talk),
        polite=False,
    )


_ALL: tuple[Callable[[Options], Habit | None], ...] = (
    patient,
    slow_writer,
    half_closer,
    blind,
    one_early_byte,
    tls_first,
    http_first,
    impatient,
    data_jumper,
    piler,
    bare_lf,
    non_smtp,
    floods.rcpt_flood,
    floods.rset_flood,
    floods.noop_flood,
    floods.dead_recipients,
    floods.bounce_flood,
    helos.forged_helo,
    helos.own_helo,
    helos.local_helo,
    helos.bare_helo,
)
NAMES = tuple(make.__name__.replace("_", "-") for make in _ALL)


def _with_bare_lf(step: Step) -> Step:
    match step:
        case Say(data=data):
            return Say(data.replace(b"\r\n", b"\n"))
        case Hear(what=what) if what != GREETING:
            return Hear(what, BOT_WAIT)  # a strict server waits for the CRLF that never comes
        case _:
            return step


# A well-formed TLS 1.2 ClientHello: record (16 03 01), handshake type 1, version 3.3, a random that is not random (the same
# bytes on every run, none of them a newline), no session, two ciphers, no compression, the renegotiation_info extension.
_HELLO_BODY = b"\x03\x03" + bytes(range(0x40, 0x60)) + b"\x00\x00\x04\xc0\x2f\xc0\x30\x01\x00" + b"\x00\x05\xff\x01\x00\x01\x00"
CLIENT_HELLO = (
    b"\x16\x03\x01" + (len(_HELLO_BODY) + 4).to_bytes(2, "big") + b"\x01" + len(_HELLO_BODY).to_bytes(3, "big") + _HELLO_BODY
)
