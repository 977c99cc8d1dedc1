"""pipelining - notice commands that are piled up where they may not be.

What      RFC 2920 §3.1: RSET, MAIL, SEND, SOML, SAML and RCPT may stand anywhere in a group; EHLO, DATA, VRFY, EXPN, TURN,
          QUIT and NOOP only at its end. Before EHLO has been answered, and where PIPELINING was not offered, nothing may
          be piled up at all.
Why       Senders that do not read replies pile up everything.
Mistaken  Monitors that send ``EHLO`` and ``QUIT`` together, hand-written scripts. The default therefore only tags.
          A BDAT chunk's octets are no command, and commands may follow a message's final dot in the same group.
Source    RFC 2920; postscreen_pipelining; Haraka early_talker.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tarry.core.border import Piled
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tarry.smtp.text import evidence

ANYWHERE = frozenset({"MAIL", "RCPT", "RSET", "SEND", "SOML", "SAML", "BDAT"})


class Pipelining:
    """Fails on bytes behind a command that must be the last of its group."""

    name = "pipelining"
    complaint = "You sent commands without waiting for replies"
    codes: ClassVar[Mapping[str, str]] = {
        "early": "something was piled up behind a command before EHLO had been answered, or where PIPELINING is not on offer",
        "group": "something was piled up behind a command that must be the last of its group",
    }
    settings = Settings(action=Action.TAG)
    options = NoOptions
    triggers = (Piled,)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        match seen.moment:
            case Piled(verb=verb, first=first, grouping=False):
                return Failed("early", evidence(f"{verb}: ".encode() + first))
            case Piled(verb=verb, first=first):
                return PASSED if verb in ANYWHERE else Failed("group", evidence(f"{verb}: ".encode() + first))
            case _:
                return Unknown("not observed")
