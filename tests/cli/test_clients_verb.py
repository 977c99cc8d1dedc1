"""What the verbs of `tarry clients` have in common."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tarry.cli import clients_verb
from tarry.cli.who import who


def run(function: object, *args: str, obj: str | None = None) -> Result:
    verb = click.command("verb")(clients_verb.options(click.pass_context(function)))  # type: ignore[arg-type]
    return CliRunner().invoke(verb, args, obj=obj, prog_name="tarry verb")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(ctx: click.Context, file: str | None, url: str | None, as_json: bool) -> None:
    click.echo(clients_verb.memory(ctx, file, url).url)


def test_whose_memory() -> None:
    """That of -c, also before the verb; of tarry.toml where it is there; of the defaults; or the one that was named."""
    assert "sqlite:tarry.db\n" == run(shown).stdout
    Path("tarry.toml").write_text('[store]\nurl = "sqlite:a.db"\n')
    Path("b.toml").write_text('[store]\nurl = "sqlite:b.db"\n')
    assert ["sqlite:a.db\n", "sqlite:b.db\n", "sqlite:b.db\n", "none\n"] == [
        run(shown).stdout,
        run(shown, "-c", "b.toml").stdout,
        run(shown, obj="b.toml").stdout,
        run(shown, "--store", "none").stdout,
    ]


def test_a_bad_configuration_ends_it() -> None:
    """With every error, and status 2."""
    result = run(shown, "-c", "gone.toml")
    assert (2, "gone.toml: error: there is no such file; ") == (result.exit_code, result.stderr.partition("; ")[0] + "; ")


def test_a_store_that_cannot_be_used_ends_it() -> None:
    """With its own status."""

    def verb(ctx: click.Context, file: str | None, url: str | None, as_json: bool) -> None:
        clients_verb.used(ctx, clients_verb.memory(ctx, file, url), lambda store: store.count())

    assert [1, 2] == [run(verb, "--store", url).exit_code for url in ("none", "gopher:x")]


def test_notes_are_told_once() -> None:
    """Whoever they are about."""
    both = [who("2001:db8::7"), who("2001:db8::8")]
    assert ["  (an IPv6 client is known by its /64: 2001:db8::/64)"] == list(clients_verb.notes(both))


def test_names_are_read() -> None:
    """Or end the command."""

    def verb(ctx: click.Context, file: str | None, url: str | None, as_json: bool) -> None:
        clients_verb.write([one.what for one in clients_verb.named(ctx, [url or ""])])

    assert ["192.0.2.7"] == json.loads(run(verb, "--store", "192.0.2.7").stdout)
    assert 2 == run(verb, "--store", "x\x1b").exit_code
    assert "\x1b" not in run(verb, "--store", "x\x1b").stderr
