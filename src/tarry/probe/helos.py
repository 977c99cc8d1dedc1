"""helos - clients that give a name at HELO which is not theirs, or is none.

What     One Habit each, as in `habits`. All else about them is proper, so what they get, they get for the name.
Leaves   Each waits `reply_patience` for a reply after the greeting, and then leaves: some servers make such clients wait at RCPT.
Safe     No message is offered: they end with RSET and QUIT.
Source   D. Carraway, qpsmtpd list, 2003-03-13 (HELO aol.com); A. Flavell, exim-users, 2004-03-02 (unqualified and often forged
         names); RFC 5321 §4.1.1.1 (own and full name).
Since    0.1
"""

from tarry.probe import dialogue
from tarry.probe.steps import SERVER, Habit, Hear, Kind, Options, Say
from tarry.probe.trace import GREETING

FORGED = b"aol.com"


def forged_helo(options: Options) -> Habit:
    """The name of a large provider, whose servers the client is none of."""
    return _helo(options, "forged-helo", "HELO aol.com", Say(b"HELO " + FORGED + b"\r\n"))


def own_helo(options: Options) -> Habit:
    """The name of the very server it talks to."""
    return _helo(options, "own-helo", "HELO as the server", Say(b"HELO " + SERVER + b"\r\n", as_server=True))


def local_helo(options: Options) -> Habit:
    """localhost, which nobody is who comes from elsewhere. From loopback it is the truth."""
    return _helo(options, "local-helo", "HELO localhost", Say(b"HELO localhost\r\n"))


def bare_helo(options: Options) -> Habit:
    """A name without a dot, as a home computer has it."""
    return _helo(options, "bare-helo", "HELO without a dot", Say(b"HELO probe-pc\r\n"))


def _helo(options: Options, name: str, did: str, hello: Say) -> Habit:
    within = options.reply_patience
    rest = dialogue.envelope(options, within)[2:]
    return Habit(
        name=name,
        kind=Kind.BOT,
        did=did,
        goal="rcpt",
        steps=(Hear(GREETING), hello, Hear("helo", within), *rest, *dialogue.reset_and_quit()),
        gives_up=True,
    )
