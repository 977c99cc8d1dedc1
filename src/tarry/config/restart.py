"""restart - which keys a running server does not take from a new configuration, since they are about what it has opened.

Promises  Pure. What is not named here counts for clients that come after a reload.
"""

from __future__ import annotations

from operator import attrgetter

from tarry.config.schema import Config

FIXED = (
    "listen.smtp",
    "listen.smtps",
    "listen.workers",
    "listen.user",
    "record.path",
    "record.style",
    "store.url",
    "store.timeout",
    "store.keep",
    "store.max_clients",
    "store.prefix",
    "karma.half_life",
    "karma.most",
    "control.socket",
    "web.listen",
)


def waiting(old: Config, new: Config) -> list[str]:
    """Return the keys in which two configurations differ and that wait for a restart."""
    return [key for key in FIXED if (value := attrgetter(key))(old) != value(new)]
