"""inetd - the verb `tarry inetd`, as click shows it.

Not here  What it does: tarry/inetd.py. Its usual way in, which needs no click: straight.py.
"""

from __future__ import annotations

import click

from tarry.cli import straight


@click.command("inetd", context_settings={"allow_interspersed_args": False})
@click.option(
    "-c", "--config", "config_file", metavar="FILE", type=click.Path(), help="The configuration (TOML); without one, the defaults."
)
@click.option("--observe", is_flag=True, help="Hold, record and decide, but let everyone through.")
@click.argument("words", metavar="-- CMD [ARG]...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def command(ctx: click.Context, config_file: str | None, observe: bool, words: tuple[str, ...]) -> None:
    """Hold the one client on standard input, then run CMD for it.

    To be started for each client by inetd (nowait), xinetd, tcpserver or systemd (Accept=yes with StandardInput=socket).
    CMD is a mail server in inetd mode, such as `/usr/sbin/exim -bs`. It gets the client's socket as descriptors 0 and 1 with
    every byte that the client has sent, and TCPREMOTEIP and its kind in the environment; {client}, {client_port}, {server} and
    {server_port} in its words are replaced. A client that is refused gets one reply, and CMD is not run.
    """
    ctx.exit(straight.serve(straight.Asked(words, config_file or ctx.obj or "", observe)))
