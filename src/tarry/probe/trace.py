"""trace - what one client said, heard and saw, with times.

What     The value that `play` returns and that `verdict` and the command line read. It is complete: a verdict can be
         rebuilt from it without the network.
Times    Seconds since the connection stood, from whatever clock the player was given.
Text     Bytes from the server are hostile: `tarry.smtp.text.escape` makes them safe to print before they get here.
Since    0.1
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

Seconds = NewType("Seconds", float)

# The name of the first thing a client waits for; each further name is that of a command or "message".
GREETING = "greeting"


class Ending(StrEnum):
    """How a connection ended. The values are part of the JSON contract."""

    SERVER = "server"  # the server closed it in order (FIN)
    RESET = "reset"  # the server, or its kernel, threw it away (RST): replies under way may be lost
    CLIENT = "client"  # the habit was over and the probe closed it
    TIMEOUT = "timeout"  # the bound on the whole habit struck first
    UNREACHABLE = "unreachable"  # it never stood


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the server, which may have had many lines.

    *to* names what it answers, in the order in which replies are due, or is empty for replies nobody waited for.
    *code* is 0 when the server sent something that is no SMTP reply.
    """

    code: int
    text: str
    after: Seconds
    to: str = ""

    @property
    def is_positive(self) -> bool:
        """Tell whether the server said yes (2xx) or go on (3xx)."""
        return 200 <= self.code < 400

    def __str__(self) -> str:
        return f"{self.code:03d} {self.text}".rstrip() if self.code else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The whole of one client's connection."""

    habit: str
    sent: str = ""  # the beginning of what was sent, escaped
    sent_bytes: int = 0
    sent_lines: int = 0
    replies: tuple[Reply, ...] = ()
    ended: Ending
    ended_after: Seconds
    quit_sent: bool = False
    problem: str = ""  # the system's words, when the connection never stood
    refused_connection: bool = False  # that problem was ECONNREFUSED: nothing listens there

    def reply_to(self, what: str) -> Reply | None:
        """Return the reply to *what*, or None when there was none."""
        return next((reply for reply in self.replies if reply.to == what), None)

    @property
    def greeting(self) -> Reply | None:
        """The first reply, whether it is a 220 or a refusal."""
        return self.reply_to(GREETING)

    def rounds(self, what: str) -> tuple[tuple[Reply, Seconds], ...]:
        """Return the replies to "*what* 1", "*what* 2"..., each with the seconds since the reply before it.

        A client that waits for each reply asks the next thing at once, so that is how long the reply took.
        """
        pairs = zip(self.replies, (Seconds(0.0), *(reply.after for reply in self.replies)), strict=False)
        return tuple((reply, Seconds(reply.after - before)) for reply, before in pairs if reply.to.startswith(f"{what} "))
