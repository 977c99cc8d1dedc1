"""headers - the header lines that tarry puts before a message.

What      One X-Tarry-Reasons line, always (so that a forged one below it is told apart), then those that checks ask for.
Promises  Whole lines, printable ASCII, each below 998 octets, CRLF at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.core.judge import fill
from tarry.core.policy import Policy
from tarry.core.result import Action, Reason
from tarry.smtp.text import escape

_LONGEST = 900


def header_lines(reasons: Sequence[Reason], policy: Policy, *, client: str, port: int, id: str) -> bytes:
    """Return the lines to insert for this message."""
    counted = []
    asked = []
    for reason in reasons:
        armed = policy.armed.get(reason.check)
        if armed is None or armed.settings.action_for(reason.code) is Action.IGNORE:
            continue
        counted.append(reason.name)
        if armed.settings.header:
            asked.append(fill(armed.settings.header, reason, client, id, policy.help_url))
    first = f"X-Tarry-Reasons: {' '.join(counted) or 'none'}; client=[{client}]:{port}; id={id}"
    return b"".join(escape(line.encode(), _LONGEST).encode("ascii") + b"\r\n" for line in (first, *asked))
