"""The verbs as click sees them: what tests/cli/test_init.py says of the whole command holds of the module as well."""

from __future__ import annotations

import click

import tarry.cli
from tarry.cli.verbs import cli


def test_each_verb_is_a_command_of_its_module() -> None:
    """In the order in which they are listed; what is none is no command."""
    with click.Context(cli) as context:
        assert list(tarry.cli._VERBS) == cli.list_commands(context)
        assert list(tarry.cli._VERBS) == [cli.get_command(context, verb).name for verb in tarry.cli._VERBS]  # type: ignore[union-attr]
        assert None is cli.get_command(context, "nothing")


def test_it_is_the_one_that_the_package_gives() -> None:
    """Imported when it is asked for."""
    assert cli is tarry.cli.cli
