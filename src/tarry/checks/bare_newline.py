"""bare_newline - notice lines that do not end in CR LF.

What      RFC 5321 §2.3.8: lines end in CRLF, and CR and LF may not stand alone. A NUL counts as well.
Why       Home-made senders; and SMTP smuggling hides a second message behind a line end that only one of two servers takes for
          one. Whatever the action, nothing of it reaches the MTA raw: see smtp.bare_newline.
Mistaken  Scripts and devices that send a bare LF. The default therefore only tags. What is found in a message counts for that
          message only, and comes too late for a header line in it: the record tells.
Source    postscreen_bare_newline; CVE-2023-51764.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tarry.core.border import Stray
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.result import Action, Failed, Outcome, Unknown
from tarry.smtp.text import evidence


class BareNewline:
    """Fails on a bare CR, bare LF or NUL in a command or in a message."""

    name = "bare_newline"
    complaint = "Lines must end in CR LF"
    codes: ClassVar[Mapping[str, str]] = {
        "command": "a command line holds a bare CR, bare LF or NUL",
        "message": "the message holds a bare CR, bare LF or NUL",
    }
    settings = Settings(action=Action.TAG)
    options = NoOptions
    triggers = (Stray,)
    per_message = frozenset({"message"})

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        if isinstance(seen.moment, Stray):
            stray = seen.moment
            return Failed(stray.where, evidence(f"{stray.what}: ".encode() + stray.text) if stray.text else stray.what)
        return Unknown("not observed")
