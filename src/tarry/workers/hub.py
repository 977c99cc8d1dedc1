"""hub - the child of the supervisor that speaks for all workers: control.socket, /metrics and /health.

Not here  What it says: control/hub.
"""

from __future__ import annotations

import os
import signal
from threading import Thread

from tarry.config.schema import Config
from tarry.control.hub import run_hub
from tarry.web.server import open_web
from tarry.workers.channel import Channel


def speak(config: Config, path: str, workers: int, channel: Channel) -> int:
    """Speak for the *workers* whose sockets are ``<path>.1`` and so on; return the exit status.

    Until SIGTERM, which is also what comes of the supervisor's end.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with, args=(channel,), name="tarry-keeper", daemon=True).start()
    run_hub(config, path, workers, open_web=open_web)
    return 0


def _end_with(channel: Channel) -> None:
    """Wait for the end of the supervisor: nothing is ever said to a hub."""
    os.set_blocking(channel.fileno(), True)
    os.read(channel.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
