"""serve - run the front door until it is told to stop.

Exit status: 0 after SIGTERM or SIGINT, 1 for an invalid configuration, 2 for wrong usage, 75 where an address is taken.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from tarry.config.compile import destination
from tarry.config.load import Loaded, load
from tarry.config.schema import Config
from tarry.config.values import write_span
from tarry.core.client import Endpoint
from tarry.daemon import Server
from tarry.loops import run
from tarry.net import inherited
from tarry.net.notify import Notifier
from tarry.signals import serve_until_signalled
from tarry.sinks.terminal import wants_colour
from tarry.sinks.turns import make_turns
from tarry.sockets import Open, open_sockets
from tarry.version import VERSION
from tarry.workers import plan, privileges, takeover
from tarry.workers.supervisor import Supervisor
from tarry.workers.takeover import Predecessor, Successor
from tarry.workers.worker import ALIVE_EVERY, Duty, Log

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
        _start(loaded.config, path, observe)
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


def _start(config: Config, path: Path | None, observe: bool) -> None:
    """Open the sockets, give root up, and serve, with as many processes as the configuration wants. Raises OSError."""
    notifier, took_over = Notifier(os.environ, os.getpid()), takeover.predecessor(os.environ, os.getpid())
    workers = plan.count(config.listen.workers)
    identity = privileges.wanted(config.listen.user)
    unwise = privileges.warning(config.listen.user)
    sockets = open_sockets(config.listen, inherited.take(os.environ, os.getpid()), workers)
    if identity is not None:
        privileges.become(identity)
    duty = Duty(config, path, observe, _log_of(config, took_over), alive_every=notifier.watchdog or ALIVE_EVERY)
    if workers == 1:
        run(_serve(duty, sockets, notifier, took_over, unwise))
        return
    say_ready = partial(_say_ready, unwise=unwise, config=config, observe=observe)
    Supervisor(duty, sockets, workers, notifier=notifier, on_ready=say_ready, say=_say, predecessor=took_over).run()


def _log_of(config: Config, took_over: Predecessor | None) -> Log:
    terminal = os.isatty(1)
    turns = None
    if config.record.path == "-":  # workers, and an old and a new version, take turns there
        turns = took_over.turns if took_over is not None and took_over.turns is not None else make_turns()
    return Log(config.record.path, config.record.style, terminal, wants_colour(os.environ, is_terminal=terminal), turns)


async def _serve(duty: Duty, sockets: Sequence[Open], notifier: Notifier, took_over: Predecessor | None, unwise: str) -> None:
    """Serve in this process, alone."""
    config, path = duty.config, duty.path
    incarnation = took_over.incarnation + 1 if took_over is not None else 0
    server = Server(
        config, observe=duty.observe, sink=duty.log.open(), sockets=sockets, folder=duty.folder, incarnation=incarnation
    )

    def on_ready(server: Server) -> None:
        where = [Endpoint(*one) for one in server.addresses]
        _say_ready(where, server.notes, unwise=unwise, config=config, observe=duty.observe)
        if took_over is not None:
            notifier.tell(MAINPID=os.getpid())
            took_over.tell_ready()

    def upgrade(server: Server) -> Successor:
        environment = {**os.environ, **notifier.variables}
        return takeover.begin(server.sockets, environment, turns=duty.log.turns, incarnation=incarnation)

    await serve_until_signalled(
        server,
        reload=(lambda: _reread(path)) if path else None,
        on_ready=on_ready,
        notifier=notifier,
        upgrade=upgrade,
        say=_say,
    )


def _reread(path: Path) -> Loaded:
    loaded = load(path)
    for problem in loaded.problems:
        _say(str(problem))
    if loaded.errors:
        _say("the configuration stays as it was")
    return loaded


def _say_ready(where: Sequence[Endpoint], notes: Sequence[str], *, unwise: str, config: Config, observe: bool) -> None:
    wait = write_span(config.hold.wait)
    listening = ", ".join(map(str, where))
    _say(f"version {VERSION} listens on {listening}; clients wait {wait}; mail goes to {destination(config)}")
    if observe:
        _say("observing only: everyone is let through, and the records say what would have happened")
    for note in (unwise, *notes):
        if note:
            _say(note)
    if os.isatty(1):
        _say(f"see it work: tarry probe {where[0]}     (stop with Ctrl-C)")


def _say(text: str) -> None:
    with suppress(OSError):  # EPIPE, EIO, ENOSPC: the terminal, the pager or the room for it is gone, and mail comes in
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
