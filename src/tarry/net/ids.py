"""ids - a name for each session, the same in every record and in every refusal.

Form      ``PPPPPPP-NNNN``: the second in which the daemon started, and the session's number, both in base 32 without look-alikes.
Promises  Short enough to be read out over the telephone, unique over restarts of one daemon.
"""

from __future__ import annotations

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U


def base32(number: int, width: int = 0) -> str:
    """Return a non-negative number in base 32, at least *width* digits."""
    digits = []
    while number:
        number, digit = divmod(number, 32)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)).rjust(width, "0") or "0"


class SessionIds:
    """The ids of one daemon's run."""

    def __init__(self, started_at: float) -> None:
        self._prefix = base32(int(started_at)) + "-"

    def text(self, number: int) -> str:
        """Return the id of session *number*."""
        return self._prefix + base32(number, 4)
