"""many_noop - notice a client that keeps its connection busy with nothing.

What      Counts the NOOPs of a session.
Why       Scanners and floods hold places with commands that cost them nothing; a sender of mail needs few.
Mistaken  Servers and libraries that keep a connection open by a NOOP every minute, and monitors. The default is Sendmail's number,
          and it only tags. For a sender that keeps connections for hours raise checks.many_noop.limit.
Source    Sendmail MAXNOOPCOMMANDS; Postfix smtpd_junk_command_limit; qpsmtpd noop_counter.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tarry.core.border import Repeated
from tarry.core.check import Seen, Settings, option
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.many_noop]``."""

    limit: int = option(20, unit="commands", help="how many NOOP commands a session may hold; the next one fails")


class ManyNoop:
    """Fails when the session has held more NOOPs than the limit."""

    name = "many_noop"
    complaint = "Too many NOOP commands"
    codes: ClassVar[Mapping[str, str]] = {"limit": "the session held more NOOP commands than checks.many_noop.limit"}
    settings = Settings(action=Action.TAG)
    options = Options
    triggers = (Repeated,)

    def look(self, seen: Seen, options: Options) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Repeated(verb="NOOP", count=count):
                return Failed("limit", f"{count} NOOP commands") if count > options.limit else PASSED
            case Repeated():
                return ()
            case _:
                return Unknown("not observed")
