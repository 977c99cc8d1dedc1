r"""config_try - `tarry config try ADDRESS`: what would happen to this client, step by step, without sending anything to anybody.

What     The client is played through the very core that the daemon runs (see rehearsal/), on a clock that leaps. No socket is
         opened but for DNS, no mail sent, no record written. Facts are looked up, unless they are given with --answer, or
         --no-dns says that nothing is known.
Status   0 the client gets through to the MTA; 1 it does not: refused, discarded, or it hung up; 2 usage, or the configuration
         has errors; 130 interrupted.
JSON     v is 1, and fields are only ever added. Times are seconds since the client connected.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import click

from tarry.cli import tables
from tarry.cli.config_try_facts import Facts
from tarry.cli.config_try_table import table
from tarry.cli.file import default_file
from tarry.cli.reader import may_leave
from tarry.config import document
from tarry.config.compile import destination, door_rules, fingerprint, policy
from tarry.config.lists import Word, marked
from tarry.config.load import Loaded, load
from tarry.config.schema import PRESETS
from tarry.config.values import Wrong, read_duration
from tarry.core.admission import Networks
from tarry.core.client import normal
from tarry.rehearsal.conclusion import Ending, ending_of, sentence
from tarry.rehearsal.given import Fact, Given, read_fact, unknown
from tarry.rehearsal.keys import Because, Keys, LineOf
from tarry.rehearsal.play import House, Play, play
from tarry.rehearsal.steps import Step, steps_of
from tarry.rehearsal.visit import FLOODS, MOST, Early, Visit

EXIT_INTERRUPTED = 130
_PLACES = ("connection", "client")
_DEFAULTS = Visit(ip_address("192.0.2.1"))
_LONGEST = 400
"""Octets of a name or an address: one more than any check takes, and short of the limit of a command line."""


def address(text: str) -> IPv4Address | IPv6Address:
    """Read the client's address."""
    try:
        return ip_address(normal(text.strip("[]")))
    except ValueError:
        what = f"{text!r} is no IP address: give the client's own, such as 192.0.2.7 or 2001:db8::7"
        raise click.BadParameter(what) from None


def word(text: str) -> str:
    """Read what stands in a command: a name or an address, without blanks and brackets."""
    if len(text) > _LONGEST or not (text.isascii() and text.isprintable()) or set(text) & set(" <>"):
        raise click.BadParameter(f"{text!r} cannot stand in an SMTP command: use ASCII without blanks, < or >")
    return text


def name(text: str) -> str:
    """Read a word that is not empty."""
    if not text:
        raise click.BadParameter("it is empty")
    return word(text)


def seconds(text: str) -> float:
    """Read a length of time. Raises ValueError, in words."""
    try:
        return read_duration(text)
    except Wrong as wrong:
        raise ValueError(f"{wrong.what}; {wrong.fix}") from None


def moment(text: str) -> float:
    """Read a length of time."""
    try:
        return seconds(text)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


def fact(text: str) -> Fact:
    """Read SOURCE=VALUE."""
    try:
        return read_fact(text, seconds)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


def early(text: str) -> Early:
    r"""Read TEXT@TIME. Text without a backslash is a line; one with them is taken to the byte, as in ``"QUIT\r\n"``."""
    said, at, when = text.rpartition("@")
    if not (at and said):
        raise click.BadParameter(f"{text!r} is not TEXT@TIME: write 'EHLO x@0.3s'")
    try:
        data = said.encode("latin-1").decode("unicode_escape").encode("latin-1") if "\\" in said else said.encode() + b"\r\n"
    except ValueError:  # an escape that is none, a character beyond
        raise click.BadParameter(f"{said!r} holds an escape that is none: use \\r, \\n, \\xNN") from None
    return Early(moment(when), data)


def flood(text: str) -> tuple[str, int]:
    """Read KIND=N."""
    kind, _, number = text.partition("=")
    kinds = (*FLOODS, *_PLACES)
    if kind not in kinds or not number.isdecimal() or not 1 <= int(number[:9]) <= (1_000_000 if kind in _PLACES else MOST):
        raise click.BadParameter(f"{text!r} is no count: write KIND=N, KIND one of {', '.join(kinds)}")
    return kind, int(number)


_option = partial(click.option, show_default=True)


@click.command("try", short_help="Tell what would happen to a client, step by step.")
@click.argument("client", metavar="ADDRESS", type=address)
@click.option("-c", "--config", "file", metavar="FILE", type=click.Path(), help="The configuration; tarry.toml, where it is there.")
@click.option("--preset", type=click.Choice(PRESETS), help="Under this preset, in place of the file's.")
@_option("--helo", metavar="NAME", type=name, default=_DEFAULTS.helo, help="The name in its EHLO.")
@_option("--mail", "sender", metavar="SENDER", type=word, default=_DEFAULTS.sender, help="Its sender, '' for the null one.")
@_option("--rcpt", "rcpts", metavar="ADDRESS", type=name, multiple=True, default=_DEFAULTS.recipients, help="May be repeated.")
@click.option("--early", "earlies", metavar="TEXT@TIME", type=early, multiple=True, help="It says TEXT out of turn: 'EHLO x@0.3s'.")
@click.option("--leaves", metavar="TIME", type=moment, help="It hangs up so long after it connected.")
@click.option(
    "--count",
    "counts",
    metavar="KIND=N",
    type=flood,
    multiple=True,
    help=f"It sends N of {', '.join(FLOODS)} (mail: whole messages), or is the N-th {' or '.join(_PLACES)} at once.",
)
@click.option("--no-dns", is_flag=True, help="Look nothing up: what is not given is unknown.")
@click.option(
    "--answer",
    "facts",
    metavar="SOURCE=VALUE",
    type=fact,
    multiple=True,
    help="A fact that is not looked up: zen.spamhaus.org=127.0.0.4, names=mail.example.org, addresses=192.0.2.7; with @TIME "
    "behind it, when it comes; nothing or unknown in place of the value.",
)
@click.option(
    "--mta-refuses-rcpt", "refuses", metavar="N", type=click.IntRange(0, MOST), default=0, help="The MTA refuses N recipients."
)
@click.option("--observe", is_flag=True, help="As under `tarry serve --observe`.")
@click.option("--seed", type=click.IntRange(0), help="Draw ranges by this number, for the same draw each time.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    client: IPv4Address | IPv6Address,
    file: str | None,
    preset: str | None,
    helo: str,
    sender: str,
    rcpts: tuple[str, ...],
    earlies: tuple[Early, ...],
    leaves: float | None,
    counts: tuple[tuple[str, int], ...],
    no_dns: bool,
    facts: tuple[Fact, ...],
    refuses: int,
    observe: bool,
    seed: int | None,
    as_json: bool,
) -> None:
    """Tell what would happen to the client at ADDRESS under a configuration, step by step, and why.

    The client waits for each reply and brings one message, unless the options say otherwise; the MTA accepts everything. What is
    asked about the client is really looked up in DNS. Nothing else is sent to anybody, and nothing is recorded.

    Exit status: 0 it gets through to the MTA, 1 it does not, 2 usage or a configuration with errors.
    """
    named = file or ctx.obj or default_file()
    loaded = load(Path(named) if named else None, flags={"preset": preset} if preset else {})
    if loaded.errors:
        for problem in loaded.errors:
            click.echo(str(problem), err=True)
        ctx.exit(2)
    numbers = dict(counts)
    connection = numbers.pop("connection", 1)
    visit = Visit(client, helo, sender, rcpts, earlies, leaves, numbers, connection, max(connection, numbers.pop("client", 1)))
    seed = secrets.randbelow(10_000) if seed is None else seed
    trial = Trial(loaded, named, visit, house(loaded, time.time(), refuses, observe=observe))
    with nullcontext() if no_dns else Facts(loaded.config, trial.house.policy) as real:
        given = Given(facts, str(client), loaded.config.dns.timeout, unknown if real is None else real.look)
        try:
            trial.run(given, seed)
        except KeyboardInterrupt:  # a name server that does not answer takes its time
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        if real is not None:
            off = [(trial.keys.public(zone), why) for zone, why in real.off.items()]
            trial.notes += [f"{name} fails its test, and its answers do not count: {why}." for name, why in off]
    trial.notes += list(_notes(trial, given, _given_by_hand(ctx)))
    trial.write(as_json=as_json)
    ctx.exit(0 if trial.ending.is_through else 1)


class Trial:
    """One client under one configuration, and what came of it."""

    def __init__(self, loaded: Loaded, file: str | None, visit: Visit, house: House) -> None:
        self.loaded = loaded
        self.file = file
        self.visit = visit
        self.house = house
        self.notes: list[str] = []
        self.seed = 0

    def run(self, given: Given, seed: int) -> None:
        """Let it happen."""
        self.seed = seed
        self.played: Play = play(self.visit, self.house, given.look, random.Random(seed).random)
        self.ending: Ending = ending_of(self.played)
        self.keys = Keys(self.loaded, self.house.policy, lines_of(self.file))
        self.steps: tuple[Step, ...] = steps_of(self.visit, self.house, self.played, self.keys)

    @property
    def conclusion(self) -> str:
        """What it comes to, as a sentence."""
        return sentence(self.played)

    @property
    def drawn(self) -> list[Because]:
        """The ranges that were drawn from, each once."""
        return list({one.key + one.value: one for step in self.steps for one in step.why if one.drawn}.values())

    def write(self, *, as_json: bool) -> None:
        """Write it all to standard output."""
        with may_leave():
            if as_json:
                click.echo(json.dumps(self._report(), indent=2))
            else:
                self._show()

    def _show(self) -> None:
        console = tables.Terminal()
        wrap = not console.is_terminal
        config = self.loaded.config
        where = f"{self.file or 'no file'}, preset {config.preset}"
        console.print(
            f"{self.visit.address} under {where}; mail goes to {destination(config)}", markup=False, highlight=False, soft_wrap=wrap
        )
        console.print()
        console.file.write("".join(f"{line}\n" for line in tables.lines_of(console, table(self.steps, width=console.width))))
        console.print()
        style = "bold green" if self.ending.is_through else "bold red"
        console.print(self.conclusion, style=style, markup=False, highlight=False, soft_wrap=wrap)
        for note in self.notes:
            console.print(note, style="dim", markup=False, highlight=False, soft_wrap=wrap)

    def _report(self) -> dict[str, object]:
        return {
            "v": 1,
            "client": str(self.visit.address),
            "file": self.file,
            "preset": self.loaded.config.preset,
            "fingerprint": fingerprint(self.loaded.config),
            "seed": self.seed,
            "steps": [
                {
                    "at": round(step.at, 3),
                    "client": step.client or None,
                    "tarry": step.tarry,
                    "code": step.code or None,
                    "by": step.by,
                    "why": [_why(one) for one in step.why],
                }
                for step in self.steps
            ],
            "ending": self.ending.value,
            "through": self.ending.is_through,
            "conclusion": self.conclusion,
            "notes": self.notes,
            "exit_status": 0 if self.ending.is_through else 1,
        }


def _why(because: Because) -> dict[str, object]:
    return {
        "words": because.words or None,
        "key": because.key or None,
        "value": because.value or None,
        "place": because.place or None,
        "drawn": because.drawn,
    }


def house(
    loaded: Loaded,
    now: float,
    refuses: int = 0,
    *,
    observe: bool = False,
    remembers: bool = False,
    said: Iterable[Word] = (),
) -> House:
    """Return what a client meets under a configuration at *now* (UTC epoch seconds); *remembers*: there is a memory of clients,
    and *said* is what was said by hand."""
    config = loaded.config
    handoff = config.handoff
    return House(
        policy(config, observe=observe, remembers=remembers),
        door_rules(config),
        config.smtp.name or socket.gethostname() or "localhost",
        handoff.mode,
        destination(config),
        handoff.mode == "pass" or (handoff.mode == "exec" and handoff.stdio == "socket"),
        refuses,
        marked([*loaded.lists.words, *said], now),
    )


def lines_of(file: str | None) -> LineOf | None:
    """Return what finds the lines of rows in the operator's file; it has been read once, and may be gone by now."""
    try:
        return document.read(Path(file).read_text(encoding="utf-8", errors="replace")).line if file else None
    except OSError:
        return None


def _given_by_hand(ctx: click.Context) -> set[str]:
    return {one for one in ctx.params if ctx.get_parameter_source(one) is click.core.ParameterSource.COMMANDLINE}


def _notes(trial: Trial, given: Given, by_hand: set[str]) -> Iterator[str]:
    """Yield what the reader should know besides."""
    config, visit, played = trial.loaded.config, trial.visit, trial.played
    if visit.address.packed in Networks.of(config.listen.proxy_from):
        yield (
            f"{visit.address} is in listen.proxy_from ({trial.loaded.origins['listen.proxy_from']}): a connection from there must "
            "begin with a PROXY header, and all of this is about a client of that address which one announces."
        )
    if played.gave_away:
        yield (
            f'With handoff.mode = "{config.handoff.mode}" what tarry sees ends at the greeting: what comes after it is the MTA\'s, '
            "and no tarpit, delay or check of tarry's takes part in it."
        )
    checks = {step.tarry.removeprefix("notes ").partition(".")[0] for step in trial.steps if step.tarry.startswith("notes ")}
    if "helo" in checks and "helo" not in by_hand:
        yield f"What is noted about its EHLO is about {visit.helo}, which is made up: give its own with --helo."
    if "rhsbl" in checks and "sender" not in by_hand:
        yield f"What is noted about its sender is about {visit.sender}, which is made up: give its own with --mail."
    for source in given.unasked:
        yield f"--answer {source}: nobody asks about that here."
    if played.unsaid:
        yield "It had no occasion to say all that --early has for it: it was its turn, or the session was over."
    if trial.drawn:
        keys = ", ".join(f"{one.key} = {one.value}" for one in trial.drawn)
        yield f"Drawn anew for each client: {keys}. For this draw again: --seed {trial.seed}."
