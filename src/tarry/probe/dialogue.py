"""dialogue - what clients of all kinds say: the envelope, a message, and how they leave.

What     Pieces of which habits are made. *within* bounds the wait for each reply; None leaves it to the time-out of the habit.
Since    0.1
"""

from tarry.probe.steps import BOT_WAIT, GOODBYE, Hear, Options, Say, Step
from tarry.probe.trace import Seconds

ENVELOPE = ("ehlo", "mail", "rcpt")


def commands(options: Options) -> tuple[bytes, bytes, bytes]:
    """Return EHLO, MAIL and RCPT."""
    sender = options.sender.encode("ascii")
    return b"EHLO " + options.hello + b"\r\n", b"MAIL FROM:<" + sender + b">\r\n", rcpt(options.recipient)


def rcpt(recipient: str) -> bytes:
    """Return RCPT for any recipient."""
    return b"RCPT TO:<" + recipient.encode("ascii") + b">\r\n"


def envelope(options: Options, within: Seconds | None = None) -> tuple[Step, ...]:
    """Return EHLO, MAIL and RCPT, each waiting for its reply."""
    pairs = zip(commands(options), ENVELOPE, strict=True)
    return tuple(step for line, due in pairs for step in (Say(line), Hear(due, within)))


def mail(options: Options, name: str, within: Seconds | None = None) -> tuple[Step, ...]:
    """Return DATA and the message, each waiting for its reply."""
    return Say(b"DATA\r\n"), Hear("data", within), Say(message(options, name) + b".\r\n"), Hear("message", within)


def reset_and_quit() -> tuple[Step, ...]:
    """Return how a client leaves that has named recipients and brings them nothing."""
    return Say(b"RSET\r\n"), Hear("rset", BOT_WAIT), *GOODBYE


def message(options: Options, name: str) -> bytes:
    """Return a small message without its final dot; no line of it begins with one."""
    lines = (
        f"From: <{options.sender or 'probe@tarry.invalid'}>",
        f"To: <{options.recipient}>",
        f"Subject: tarry probe: the {name} client",
        f"Date: {options.date}",
        f"Message-ID: <{options.token}.{name}@probe.tarry.invalid>",
        "Auto-Submitted: auto-generated",
        "",
        f"This came from `tarry probe`, which played a {name} client against this server.",
        "Nothing needs to be done about it.",
    )
    return "\r\n".join(lines).encode("ascii") + b"\r\n"
