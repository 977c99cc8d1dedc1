"""many_errors - notice a client that makes one mistake after the other.

What      Counts the replies 500 to 504 and 555 of a session, whoever gave them.
Why       Guessing scripts, and senders that go on although everything is refused.
Mistaken  Refused recipients are no errors here: a mailing list with old addresses is honest.
Source    Postfix smtpd_hard_error_limit; qpsmtpd count_unrecognized_commands; Sendmail MAXBADCOMMANDS.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tarry.core.border import Erred
from tarry.core.check import Seen, Settings, option
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.many_errors]``."""

    limit: int = option(10, unit="replies", help="how many replies 500 to 504 and 555 a session may get; the next one fails")


class ManyErrors:
    """Fails when the session has got more error replies than the limit."""

    name = "many_errors"
    complaint = "Too many errors"
    codes: ClassVar[Mapping[str, str]] = {"limit": "the session got more error replies than checks.many_errors.limit"}
    settings = Settings(action=Action.DROP)
    options = Options
    triggers = (Erred,)

    def look(self, seen: Seen, options: Options) -> Outcome:
        match seen.moment:
            case Erred(count=count):
                return Failed("limit", f"{count} errors") if count > options.limit else PASSED
            case _:
                return Unknown("not observed")
