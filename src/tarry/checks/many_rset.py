"""many_rset - notice a client that begins anew again and again.

What      Counts the RSETs of a session.
Why       Senders that try one recipient after the other, or one forged sender after the other, throw the transaction away each
          time. In 1997 the fifth RSET was made to wait.
Mistaken  Servers that keep a connection send RSET between messages, some before each: Sendmail and Postfix do. A queue of a hundred
          messages is honest, so the default is Postfix's limit for commands that bring no mail, and it only tags. Lower
          checks.many_rset.limit where no server keeps connections that long; a tarpit ([tarpit.rset]) hurts less.
Source    A. Poling's smtpserver changes for ZMailer, 1997-04-04; Postfix smtpd_junk_command_limit.
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
    """Keys of ``[checks.many_rset]``."""

    limit: int = option(100, unit="commands", help="how many RSET commands a session may hold; the next one fails")


class ManyRset:
    """Fails when the session has held more RSETs than the limit."""

    name = "many_rset"
    complaint = "Too many RSET commands"
    codes: ClassVar[Mapping[str, str]] = {"limit": "the session held more RSET commands than checks.many_rset.limit"}
    settings = Settings(action=Action.TAG)
    options = Options
    triggers = (Repeated,)

    def look(self, seen: Seen, options: Options) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Repeated(verb="RSET", count=count):
                return Failed("limit", f"{count} RSET commands") if count > options.limit else PASSED
            case Repeated():
                return ()
            case _:
                return Unknown("not observed")
