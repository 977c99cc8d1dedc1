"""serve - run the front door until it is told to stop.

Exit status: 0 after SIGTERM or SIGINT, 1 for an invalid configuration, 2 for wrong usage, 75 where an address is taken.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import click

from tarry.config.compile import destination
from tarry.config.load import Loaded, load
from tarry.config.schema import Config
from tarry.config.values import write_span
from tarry.daemon import Server
from tarry.net.notify import Notifier
from tarry.signals import serve_until_signalled
from tarry.sinks import open_sink
from tarry.sinks.terminal import wants_colour
from tarry.version import VERSION

EX_TEMPFAIL = 75


@click.command("serve")
@click.option(
    "-c", "--config", "config_file", metavar="FILE", type=click.Path(), help="The configuration (TOML); without one, the defaults."
)
@click.option("--observe", is_flag=True, help="Hold, record and decide, but let everyone through.")
@click.pass_context
def command(ctx: click.Context, config_file: str | None, observe: bool) -> None:
    """Run the front door.

    With no file it listens on 127.0.0.1:2525, holds each client for 3 to 6 seconds, and puts mail that passes into the
    Maildir ./mail. Records go to standard output: readable lines on a terminal, JSON elsewhere.
    """
    _occupy_standard_descriptors()
    _keep_descriptors()
    file = config_file or ctx.obj
    path = Path(file) if file else None
    loaded = load(path)
    for problem in loaded.problems:
        _say(str(problem))
    if loaded.errors:
        _say(f"{len(loaded.errors)} error(s): nothing was started")
        ctx.exit(1)
    try:
        _run(_serve(loaded.config, path, observe))
    except OSError as fault:
        _explain(fault, loaded.config)
        ctx.exit(EX_TEMPFAIL if fault.errno == errno.EADDRINUSE else 1)


def _occupy_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error is closed (`>&-`, some supervisors).

    Otherwise the next socket gets its number: records would be written to a client, and uvloop aborts the process.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)  # or a command would be run without it, and take the first file that it opens for it
    os.close(fd)


def _keep_descriptors() -> None:
    """Let no command that is run for a client inherit what tarry itself has inherited (a supervisor's pipe, `9>lock`)."""
    with suppress(FileNotFoundError):  # no /proc
        for entry in list(Path("/proc/self/fd").iterdir()):
            if int(entry.name) > 2:
                with suppress(OSError):  # EBADF: that of the listing itself
                    os.set_inheritable(int(entry.name), False)


async def _serve(config: Config, path: Path | None, observe: bool) -> None:
    terminal = os.isatty(1)
    colour = wants_colour(os.environ, is_terminal=terminal)
    sink = open_sink(config.record.path, wall=time.time, style=config.record.style, terminal=terminal, colour=colour)
    server = Server(config, observe=observe, sink=sink)
    await serve_until_signalled(
        server,
        reload=(lambda: _reread(path)) if path else None,
        on_ready=lambda s: _say_ready(s, config, observe),
        notifier=Notifier(os.environ, os.getpid()),
    )


def _reread(path: Path) -> Loaded:
    loaded = load(path)
    for problem in loaded.problems:
        _say(str(problem))
    if loaded.errors:
        _say("the configuration stays as it was")
    return loaded


def _say_ready(server: Server, config: Config, observe: bool) -> None:
    where = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in server.addresses)
    wait = write_span(config.hold.wait)
    _say(f"version {VERSION} listens on {where}; clients wait {wait}; mail goes to {destination(config)}")
    if observe:
        _say("observing only: everyone is let through, and the records say what would have happened")
    for note in server.notes:
        _say(note)
    if os.isatty(1):
        host, port = server.addresses[0]
        _say(f"see it work: tarry probe {f'[{host}]' if ':' in host else host}:{port}     (stop with Ctrl-C)")


def _say(text: str) -> None:
    click.echo(f"tarry: {text}", err=True)


def _explain(fault: OSError, config: Config) -> None:
    where = ", ".join(str(one) for one in (*config.listen.smtp, *config.listen.smtps))
    match fault.errno:
        case errno.EADDRINUSE:
            what = f"{where}: address in use: something listens there already; stop it, or choose another port in listen.smtp"
        case errno.EACCES | errno.EPERM if fault.filename is None:
            what = f"{where}: not allowed; a port below 1024 needs root or CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            what = f"{where}: this host has no such address; see `ip address`, and correct listen.smtp"
        case _:
            what = str(fault)
    _say(what)


def _run(main: Coroutine[None, None, None]) -> None:
    """Run under uvloop where it is installed, else under asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
