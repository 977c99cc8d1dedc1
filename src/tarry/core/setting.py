"""setting - what a conversation begins with: the client, the operator's policy, what is known of the MTA, and what the hold found.

Promises  Values only; made by the shell (net/front), and by whoever else drives a conversation: tests, rehearsal/, replay.
"""

from __future__ import annotations

from dataclasses import dataclass

from tarry.core.client import Client
from tarry.core.facts import Answer
from tarry.core.login import Way
from tarry.core.policy import Policy, Random
from tarry.core.result import Reason
from tarry.core.stutter import SlowReplies
from tarry.smtp.extensions import Capabilities


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation begins with.

    ``capabilities`` is None while nothing is known of the MTA; ``reasons`` are those of the hold before the greeting;
    ``knows_client`` says that the MTA is told who the client is; ``mode`` and ``to`` name the hand-off in the records;
    ``without`` are EHLO keywords not to offer whatever the MTA does; ``away`` says why the MTA cannot be used at all; ``login``
    is what it needs to hear first, if anything; ``ends_tls`` says that STARTTLS is tarry's own and ends here;
    ``in_tls`` that the client came with TLS from its first byte on; ``answers`` are what the hold was told about it, and
    ``resolves`` says that the shell looks things up; ``slow`` counts whom it tells something slowly, None where it cannot.
    """

    id: str
    client: Client
    accepted_at: float
    policy: Policy
    capabilities: Capabilities | None
    name: str
    random: Random
    reasons: tuple[Reason, ...] = ()
    is_exempt: bool = False
    knows_client: bool = False
    mode: str = "proxy"
    to: str = ""
    without: frozenset[str] = frozenset()
    away: str = ""
    login: Way | None = None
    ends_tls: bool = False
    in_tls: bool = False
    answers: tuple[Answer, ...] = ()
    resolves: bool = False
    slow: SlowReplies | None = None
