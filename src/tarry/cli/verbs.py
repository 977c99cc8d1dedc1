"""verbs - the command line as click sees it: the options before the verb, and the verbs."""

from __future__ import annotations

import importlib
import keyword
from typing import Any

import click

from tarry.cli import _VERBS
from tarry.cli.reader import may_leave


class _Verbs(click.Group):
    """Finds each command in the module of its name, on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command = importlib.import_module(f"tarry.cli.{module}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        with may_leave():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from tarry.version import VERSION

        click.echo(f"tarry {VERSION}")
        ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-c", "--config", "config_file", metavar="FILE", type=click.Path(), help="The configuration (TOML).")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version and exit."
)
@click.pass_context
def cli(ctx: click.Context, config_file: str | None) -> None:
    """The front door for mail servers: hold each client before the greeting, see who cannot wait, pass real mail on."""
    ctx.obj = config_file
