"""notify - tell systemd how the daemon is.

What      `Notifier.tell` sends one message of the sd_notify protocol; without NOTIFY_SOCKET it does nothing.
Promises  Never blocks and never raises: a supervisor that does not listen is no reason to turn mail away. The variables are taken
          out of the environment, so that no child speaks in tarry's name; ``variables`` has them for one that takes its place.
Source    sd_notify(3), sd_watchdog_enabled(3). The protocol is one datagram of NAME=VALUE lines, which is why it is written here:
          the Python packages for it are either bindings to libsystemd or no longer kept.
"""

from __future__ import annotations

import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """The supervisor's ear. ``watchdog`` is how often it wants to hear ``WATCHDOG=1``, in seconds; 0 is never."""

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        usec, meant_for = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", str(pid))
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.variables = {name: value for name, value in (("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", usec)) if value}
        self.watchdog = int(usec) / 2_000_000 if path and usec.isdigit() and meant_for == str(pid) else 0.0

    def tell(self, **values: object) -> None:
        """Send ``NAME=VALUE`` for each keyword, such as ``tell(READY=1, STATUS="listens")``."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in values.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            pass  # ENOENT, ECONNREFUSED, EAGAIN

    def tell_reloading(self) -> None:
        """Say that the configuration is read again, until the next ``READY=1``."""
        self.tell(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
