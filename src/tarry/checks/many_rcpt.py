"""many_rcpt - notice a message for very many people.

What      Counts the recipients of a transaction that the MTA has accepted. The one above the limit fails, for that message.
Why       Bulk senders put as many recipients as they can into one transaction. In 1997 a message for more than 18 was answered
          with 250 and thrown away (action discard).
Mistaken  Mailing lists, newsletters of clubs and internal notices: RFC 5321 §4.5.3.1.8 asks every server to take 100 recipients,
          and that is the default. Postfix sends to 50 at a time, Exim and Sendmail to 100 and more. So it only tags; a lower
          checks.many_rcpt.limit with more than a tag hits lists first, and with discard loses their mail.
Source    A. Poling's smtpserver changes for ZMailer, 1997-04-04; RFC 5321 §4.5.3.1.8; Postfix default_destination_recipient_limit.
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
    """Keys of ``[checks.many_rcpt]``."""

    limit: int = option(
        100, unit="recipients", help="how many recipients of a message the MTA may have accepted; the next one fails"
    )


class ManyRcpt:
    """Fails when a message has got more accepted recipients than the limit."""

    name = "many_rcpt"
    complaint = "Too many recipients for one message"
    codes: ClassVar[Mapping[str, str]] = {"limit": "the MTA accepted more recipients for a message than checks.many_rcpt.limit"}
    settings = Settings(action=Action.TAG)
    options = Options
    triggers = (RecipientAnswered,)
    per_message = True

    def look(self, seen: Seen, options: Options) -> Outcome:
        match seen.moment:
            case RecipientAnswered(accepted=accepted):
                return Failed("limit", f"{accepted} recipients") if accepted > options.limit else PASSED
            case _:
                return Unknown("not observed")
