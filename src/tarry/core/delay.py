"""delay - how long to hold, as arithmetic.

Units     Seconds. Nothing here is negative and nothing exceeds its cap, whatever is put in.
"""

from __future__ import annotations

import math

from tarry.core.policy import LONGEST_HOLD, Tarpit

LEAST_RESIDUAL = 1.0
"""A client with a reason waits at least this long, even when the target has passed (A. Flavell, exim-users, 2004-03-02)."""

_LARGEST_EXPONENT = 700.0  # of e, in a float


def residual(target: float, accepted_at: float, now: float, *, left: float = LONGEST_HOLD) -> float:
    """Return how long to keep holding so that the whole wait since accept comes to *target*.

    Time spent in earlier holds and lookups counts. From 1 to 295 s, and never more than is *left* of the session's cap.
    Source: A. Flavell, exim-users, 2004-03-02.
    """
    # The bounds stand first: max(1.0, nan) is 1.0, and max(nan, 1.0) is not.
    return max(0.0, min(LONGEST_HOLD, left, max(LEAST_RESIDUAL, target - (now - accepted_at))))


def tarpit(count: int, settings: Tarpit) -> float:
    """Return the hold before the *count*-th reply of a kind: nothing up to ``free``, then one of two shapes, at most ``cap``.

    ``step`` times count (A. Poling's smtpserver changes for ZMailer, 1997-04-04: five minutes times the number of recipients after
    the fifth); or else ``start``, and each time ``factor`` times as long (Exim's smtp_ratelimit_rcpt).
    """
    over = count - settings.free
    if over <= 0:
        return 0.0
    if settings.step > 0:
        return max(0.0, min(settings.step * count, settings.cap))
    if settings.start <= 0 or settings.cap <= 0:
        return 0.0
    # By logarithms, since a power may be beyond all floats: once at the cap it stays there.
    grows = (over - 1) * math.log(settings.factor) if settings.factor > 0 else 0.0
    reach = math.log(settings.start) + grows
    if reach >= math.log(settings.cap):
        return settings.cap
    return min(settings.cap, settings.start * math.exp(grows) if grows < _LARGEST_EXPONENT else math.exp(reach))
