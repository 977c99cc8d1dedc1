"""status - `tarry status`: how the running server is.

What     Asks it over its control socket: who is held, what was done and why, whether the MTA, the DNS lists and the memory
         answer, which processes share the work, and whether the configuration file has changed since it was read.
Status   0 all is well; 1 something is wrong (the MTA or the memory is away, a worker does not answer, the server does not); 2
         usage; 75 it is not running, as far as can be told from here. With --watch, 0 when it is stopped.
JSON     v is 1, and fields are only ever added. With --watch one object a line.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tarry.cli.file import default_file
from tarry.cli.status_page import File, is_changed, page
from tarry.cli.tables import lines_of
from tarry.config.compile import fingerprint
from tarry.config.load import load
from tarry.control.client import NotAnswered, ask_status
from tarry.control.states import State, troubles

EX_TEMPFAIL = 75
_PIPE_WIDTH = 120  # where nobody sees a terminal
_LEAST_WATCH = 0.2


@click.command("status", short_help="Tell how the running server is.")
@click.option(
    "-c", "--config", "option", metavar="FILE", type=click.Path(), help="The configuration; tarry.toml, where it is there."
)
@click.option("--socket", "path", metavar="PATH", type=click.Path(), help="Ask there, and not at control.socket.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.option("--watch", metavar="SECONDS", type=click.FloatRange(_LEAST_WATCH, 86400), help="Again and again, until Ctrl-C.")
@click.pass_context
def command(ctx: click.Context, option: str | None, path: str | None, as_json: bool, watch: float | None) -> None:
    """Tell how the running server is: clients, verdicts and reasons since it was started, MTA, DNS lists, memory, workers.

    Exit status: 0 all is well, 1 something is wrong, 2 usage, 75 not running.
    """
    name = option or ctx.obj or default_file()
    loaded = load(Path(name) if name else None)
    unread = next((problem for problem in loaded.errors if not problem.where), None)
    if not path and unread is not None and not loaded.origins["control.socket"].is_set:
        click.echo(str(unread), err=True)
        _fail(ctx, "so nobody knows where the server can be asked; name its socket with --socket", 1)
    path = path or loaded.config.control.socket
    if not path:
        _fail(ctx, "control.socket is empty, so the server cannot be asked; set it, and start the server anew", EX_TEMPFAIL)
    look = _Look(path, name, as_json)
    try:
        if watch is None:
            ctx.exit(look.once())
        look.again_and_again(watch)
    except KeyboardInterrupt:
        ctx.exit(0)


class _Look:
    """Looks at the server, and shows it."""

    def __init__(self, path: str, name: str | None, as_json: bool) -> None:
        self._path = path
        self._name = name
        self._as_json = as_json
        is_terminal = sys.stdout.isatty()
        self._console = Console(highlight=False, soft_wrap=False, width=None if is_terminal else _PIPE_WIDTH)
        self._is_live = is_terminal and not as_json

    def once(self) -> int:
        """Show it, and return the exit status."""
        try:
            state = ask_status(self._path)
        except NotAnswered as why:
            click.echo(f"tarry: {why}", err=True)
            return 1 if why.is_running else EX_TEMPFAIL
        self._show(state)
        return 1 if troubles(state) else 0

    def again_and_again(self, seconds: float) -> None:
        """Show it until the user has had enough; a server that does not answer may be about to come back."""
        if not self._is_live:
            while True:
                self.once()
                time.sleep(seconds)
        with Live(console=self._console, auto_refresh=False, screen=True) as live:
            while True:
                try:
                    shown = page(ask_status(self._path), now=time.time(), file=self._file())
                except NotAnswered as why:
                    shown = Text(f"tarry: {why}", "bold red")
                live.update(shown, refresh=True)
                time.sleep(seconds)

    def _show(self, state: State) -> None:
        file = self._file()
        if self._as_json:
            click.echo(msgspec.json.encode(report(state, file)))
            return
        click.echo("\n".join(lines_of(self._console, page(state, now=time.time(), file=file))))

    def _file(self) -> File | None:
        """Return what the file says now."""
        if not self._name:
            return None
        loaded = load(Path(self._name))
        return File(self._name, errors=len(loaded.errors)) if loaded.errors else File(self._name, fingerprint(loaded.config))


def report(state: State, file: File | None) -> dict[str, object]:
    """Return what --json writes: the state as the server tells it, and what is made of it here."""
    told: dict[str, object] = msgspec.to_builtins(state)
    on_disk = None if file is None else {**msgspec.to_builtins(file), "changed": is_changed(state, file)}
    return {"v": 1, "troubles": troubles(state), "file": on_disk, **told}


def _fail(ctx: click.Context, what: str, status: int) -> None:
    click.echo(f"tarry: {what}", err=True)
    ctx.exit(status)
