"""signals - wiring: a server that runs until SIGTERM or SIGINT, and reads its configuration again on SIGHUP.

Promises  The first signal drains, a second one ends at once. systemd is told what goes on (READY, RELOADING, STOPPING), and fed its
          watchdog from the event loop: a loop that stands still is restarted.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from tarry.config.load import Loaded
from tarry.core.client import Endpoint
from tarry.daemon import Server
from tarry.net.notify import Notifier


async def serve_until_signalled(
    server: Server, *, reload: Callable[[], Loaded] | None, on_ready: Callable[[Server], None], notifier: Notifier
) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError where the start fails."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[str] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, asked.put_nowait, number.name)
    await server.start()
    on_ready(server)
    where = ", ".join(str(Endpoint(host, port)) for host, port in server.addresses)
    notifier.tell(READY=1, STATUS=f"listens on {where}")
    alive = loop.create_task(_say_alive(notifier))
    stopping: asyncio.Task[None] | None = None
    while True:
        getting = loop.create_task(asked.get())
        done, _ = await asyncio.wait({getting, *((stopping,) if stopping else ())}, return_when=asyncio.FIRST_COMPLETED)
        if stopping is not None and stopping in done:
            getting.cancel()
            alive.cancel()
            await stopping
            return
        name = getting.result()
        if name == "SIGHUP":
            if reload is not None and stopping is None:
                notifier.tell(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
                server.reload(reload())
                notifier.tell(READY=1)
        elif stopping is None:
            notifier.tell(STOPPING=1, STATUS="lets transactions finish")
            stopping = loop.create_task(server.stop(name))
        else:
            server.abort()


async def _say_alive(notifier: Notifier) -> None:
    """Feed systemd's watchdog from the event loop: a loop that stands still is restarted."""
    while notifier.watchdog:
        notifier.tell(WATCHDOG=1)
        await asyncio.sleep(notifier.watchdog)
