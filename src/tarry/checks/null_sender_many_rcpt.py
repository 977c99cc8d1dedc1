"""null_sender_many_rcpt - notice a bounce that goes to several people.

What      Counts the RCPTs of a transaction with the null sender, MAIL FROM:<>, also those that are refused.
Why       A bounce goes to the one who sent the message, and the answer to a request for one to the one who asked (RFC 5321
          §4.5.5): one recipient. Bulk senders take the null sender because it cannot be refused.
Mistaken  Servers that verify a sender's address by a call-out, and try one or two invented recipients in the same transaction;
          gateways of groupware that send notices from the null sender to a whole team. So it only tags; a
          checks.null_sender_many_rcpt.limit of 5 lets these be.
Source    RFC 5321 §4.5.5; RFC 3464; RFC 8098 §3; Exim's call-outs.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tarry.core.border import Recipient
from tarry.core.check import Seen, Settings, option
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.null_sender_many_rcpt]``."""

    limit: int = option(
        1, unit="recipients", help="how many recipients a message from the null sender may have; the next one fails"
    )


class NullSenderManyRcpt:
    """Fails when a message from the null sender has more recipients than the limit."""

    name = "null_sender_many_rcpt"
    complaint = "A bounce has one recipient"
    codes: ClassVar[Mapping[str, str]] = {
        "limit": "a message from the null sender had more recipients than checks.null_sender_many_rcpt.limit"
    }
    settings = Settings(action=Action.TAG)
    options = Options
    triggers = (Recipient,)
    per_message = True

    def look(self, seen: Seen, options: Options) -> Outcome:
        match seen.moment:
            case Recipient(count=count):
                return Failed("limit", f"{count} recipients") if seen.about.sender == "" and count > options.limit else PASSED
            case _:
                return Unknown("not observed")
