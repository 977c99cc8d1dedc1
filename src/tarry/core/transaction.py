"""transaction - the transaction under way, as far as the MTA has accepted it, so that another connection can be given it again.

What      The MAIL and RCPT lines that the MTA accepted, word for word; whether the MTA was given up for a hold ("parked") and is
          to hear them again; and what the client is told when the MTA would not take all of them a second time.
Promises  A line is kept only once the MTA has accepted it, and is given again as it came and in its order; what was said twice
          is said twice. A transaction that could not be given again is never parked: one whose message has begun, and one of
          more than `LONGEST` octets. Nothing is kept longer than the transaction lasts.
Facts     The lines are bounded by limits.recipients times limits.line as well, which is 2 MB by default; but 100 recipients with
          paths of 40 octets are 5 KB.
Not here  Asking and answering (core/exchange), and which hold is long enough.
Source    DESIGN §2 rule 2.
"""

from __future__ import annotations

from tarry.smtp.reply import Reply

TAKEN = range(250, 260)
"""Codes by which an MTA accepts a MAIL, a RCPT or a RSET; another 2xx or a 3xx is no answer to them."""
LONGEST = 262_144
"""Octets of lines beyond which nothing is kept: 1,000 recipients (limits.recipients) whose paths are as long as RFC 5321
§4.5.3.1.3 allows, 256 octets."""


class Transaction:
    """The transaction as the MTA knows it, or knew it until it was parked.

    ``is_open``: the MTA has accepted its MAIL. ``is_parked``: the MTA must hear it again before anything else is asked. ``refusal``
    is what the client is told from now on, since the MTA would not take all of it again.
    """

    __slots__ = ("_is_bound", "_lines", "_octets", "_replayed", "is_open", "is_parked", "refusal")

    def __init__(self) -> None:
        self._lines: list[bytes] = []  # MAIL, then each RCPT
        self._octets = 0
        self._replayed = 0  # how many lines the MTA has accepted again
        self._is_bound = False
        self.is_open = False
        self.is_parked = False
        self.refusal: Reply | None = None

    @property
    def rcpts(self) -> int:
        """How many recipients are kept."""
        return max(0, len(self._lines) - 1)

    @property
    def can_park(self) -> bool:
        """False when what the MTA knows could not be told to it again."""
        return not self._is_bound

    @property
    def next_line(self) -> bytes:
        """The line that the MTA must accept next. Only while `is_parked`."""
        return self._lines[self._replayed]

    def begin(self, mail: bytes) -> None:
        """The MTA has accepted this MAIL line."""
        self.forget()
        self.is_open = True
        self._keep(mail)

    def add(self, rcpt: bytes) -> None:
        """The MTA has accepted this RCPT line."""
        if self.is_open:
            self._keep(rcpt)
        else:
            self.bind()  # it knows of a transaction that tarry does not

    def bind(self) -> None:
        """Keep to this connection from now on: message data goes out on it."""
        self._is_bound = True
        self._lines = []

    def park(self) -> None:
        """The connection is given up."""
        self.is_parked = self.is_open
        self._replayed = 0

    def accepted(self) -> None:
        """The MTA has accepted `next_line` again; with the last of them it is where it was."""
        self._replayed += 1
        self.is_parked = self._replayed < len(self._lines)

    def spoil(self, refusal: Reply) -> None:
        """The MTA would not take all of it again: nothing of it goes on, and each of its commands is answered by *refusal*."""
        self.forget()
        self.refusal = refusal

    def forget(self) -> None:
        """It is over, or never was."""
        self._lines = []
        self._octets = 0
        self._is_bound = self.is_open = self.is_parked = False
        self.refusal = None

    def _keep(self, line: bytes) -> None:
        self._octets += len(line)
        if self._octets > LONGEST:
            self.bind()
        elif not self._is_bound:
            self._lines.append(line)
