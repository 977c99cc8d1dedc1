"""predata - notice a client that sends the message before the 354.

What      After DATA a client must wait for 354 (RFC 5321 §4.1.1.4; RFC 2920 §3.1: DATA is the last command of a group). Bytes
          that came by the time the 354 is due are a violation. ``hold.data_wait`` adds a pause in which to see them.
Why       Senders that do not read replies do not wait here either, and some that do wait for the greeting do not.
Mistaken  None known; a client that may pipeline must still stop after DATA.
Source    qpsmtpd earlytalker, check-at DATA; Haraka early_talker.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tarry.core.border import PreData
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.result import Action, Failed, Outcome, Unknown
from tarry.smtp.text import evidence


class PreDataCheck:
    """Fails on bytes between DATA and 354."""

    name = "predata"
    complaint = "You sent data before it was asked for"
    codes: ClassVar[Mapping[str, str]] = {"spoke": "message data came before the 354"}
    settings = Settings(action=Action.REJECT)
    options = NoOptions
    triggers = (PreData,)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        if isinstance(seen.moment, PreData):
            return Failed("spoke", evidence(seen.moment.first))
        return Unknown("not observed")
