"""bad_rcpt - notice a client whose recipients the MTA refuses, one after the other.

What      Counts the recipients that the MTA refused, with 4xx or 5xx, over all messages of the session. What tarry refuses itself
          does not count.
Why       Senders that guess addresses, or mail to lists of old ones, are refused at most of them.
Mistaken  A mailing list with dead members, of which one session may hold many. And everybody, where the MTA greylists: each of its
          450s counts. So the default is generous and only tags; raise checks.bad_rcpt.limit where the MTA greylists.
Source    Sendmail BadRcptThrottle; Postfix smtpd_hard_error_limit, which has the same number.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tarry.core.border import RecipientAnswered
from tarry.core.check import Seen, Settings, option
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.bad_rcpt]``."""

    limit: int = option(
        20, unit="recipients", help="how many recipients of the session the MTA may have refused; the next one fails"
    )


class BadRcpt:
    """Fails when the MTA has refused more recipients of the session than the limit."""

    name = "bad_rcpt"
    complaint = "Too many unknown recipients"
    codes: ClassVar[Mapping[str, str]] = {"limit": "the MTA refused more recipients of the session than checks.bad_rcpt.limit"}
    settings = Settings(action=Action.TAG)
    options = Options
    triggers = (RecipientAnswered,)

    def look(self, seen: Seen, options: Options) -> Outcome:
        match seen.moment:
            case RecipientAnswered(refused=refused):
                return Failed("limit", f"{refused} recipients refused") if refused > options.limit else PASSED
            case _:
                return Unknown("not observed")
