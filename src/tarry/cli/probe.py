"""probe - `tarry probe HOST:PORT`: play known client habits against a server of one's own.

What     All habits at once, each on a connection of its own, so the whole takes little longer than one hold. On a terminal
         the rows fill as the clients finish; elsewhere the finished table is written. `--json` writes one object.
Status   0 each client that must be served was; 1 one was refused or got no greeting (with --strict also: a bot was let
         through); 2 usage, or the address may be a stranger's; 75 nothing to connect to; 130 interrupted.
JSON     v is 1, and fields are only ever added. Times are seconds since the client was connected.
Presets  `--presets` plays against each preset of tarry instead, without a server (probe_presets).
Since    0.1
"""

import asyncio
import ipaddress
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from email.utils import formatdate
from functools import partial
from typing import NoReturn

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tarry.cli.probe_table import table
from tarry.cli.reader import may_leave
from tarry.cli.tables import Terminal
from tarry.probe.habits import NAMES, habits
from tarry.probe.play import play
from tarry.probe.steps import Habit, Options
from tarry.probe.target import BadTarget, Endpoint, Interface, NotFound, Target, read_target, resolve, source_of, strangers
from tarry.probe.trace import Seconds, Trace
from tarry.probe.verdict import EXIT_TRY_LATER, Finding, Verdict, exit_status, judge_all, summarise

EXIT_INTERRUPTED = 130
# Clients of --presets alone: what makes them is what the DNS knows of them, or how long they wait.
OF_PRESETS = ("listed", "dial-up", "nameless", "mailing-list", "endless")
# RFC 5321 §4.5.3.1.3: a path has at most 256 octets with its brackets. Anything that could end the command early is out.
_MAILBOX = re.compile(r"[!-;=?-~]{1,254}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ms|s|m|)")
_A_SECOND = {"ms": 1000.0, "s": 1.0, "m": 1 / 60, "": 1.0}


_DEFAULTS = Options()


def duration(text: str) -> Seconds:
    """Read a length of time: 2, 2.5, 350ms, 2s or 1m; never zero."""
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) / _A_SECOND[match[2]] if match else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{text!r} is not a length of time: write 2, 2.5, 350ms, 2s or 1m")
    return Seconds(seconds)


def mailbox(text: str) -> str:
    """Read what may stand between < and > in MAIL or RCPT."""
    if not _MAILBOX.fullmatch(text):
        raise click.BadParameter(f"{text!r} cannot stand in an SMTP command: use ASCII without spaces, < or >")
    return text


def sender_mailbox(text: str) -> str:
    """Read a mailbox, or nothing for the null sender."""
    return mailbox(text) if text else ""


def host_and_port(text: str) -> Target:
    """Read HOST:PORT."""
    try:
        return read_target(text)
    except BadTarget as problem:
        raise click.BadParameter(str(problem)) from None


def source_address(text: str) -> Interface:
    """Read an address to bind, with or without the length of its network."""
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        what = f"{text!r} is not an IP address such as 127.0.0.2 or, for one each, 127.0.0.11/8"
        raise click.BadParameter(what) from None


_option = partial(click.option, show_default=True)


@click.command("probe", short_help="Play known client habits against a server of your own.")
@click.argument("target", metavar="HOST:PORT", type=host_and_port, default="127.0.0.1:2525")
@click.option(
    "--habit",
    "names",
    metavar="NAME",
    multiple=True,
    type=click.Choice((*NAMES, *OF_PRESETS)),
    help=f"Play only this one; may be repeated. One of: {', '.join(NAMES)}. With --presets also: {', '.join(OF_PRESETS)}.",
)
@_option("--from", "sender", metavar="ADDRESS", type=sender_mailbox, default=_DEFAULTS.sender, help="Sender, '' for none.")
@_option("--to", "recipient", metavar="ADDRESS", type=mailbox, default=_DEFAULTS.recipient, help="Recipient.")
@click.option("--no-mail", is_flag=True, help="Deliver nothing: stop after RCPT.")
@_option("--patience", metavar="TIME", type=duration, default="2s", help="When the impatient client leaves.")
@_option("--reply-patience", metavar="TIME", type=duration, default="10s", help="How long floods and false names bear a reply.")
@_option("--timeout", metavar="TIME", type=duration, default="60s", help="Bound on each client; above the hold.")
@click.option(
    "--source",
    metavar="ADDRESS",
    type=source_address,
    help="Address to come from; with a network length, as in 127.0.0.11/8, the clients take one each from there on.",
)
@click.option("--strict", is_flag=True, help="A bot that is let through is a failure too.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object instead of the table.")
@click.option("--yes-this-is-mine", is_flag=True, help="Probe a public address: you say that the server is yours.")
@click.option("--presets", is_flag=True, help="Show what each preset of tarry does to each habit; no server is needed.")
@click.option("--markdown", is_flag=True, help="Write the table of --presets as docs/presets/table.md has it.")
@click.pass_context
def command(
    ctx: click.Context,
    target: Target,
    names: tuple[str, ...],
    sender: str,
    recipient: str,
    no_mail: bool,
    patience: Seconds,
    reply_patience: Seconds,
    timeout: Seconds,
    source: Interface | None,
    strict: bool,
    as_json: bool,
    yes_this_is_mine: bool,
    presets: bool,
    markdown: bool,
) -> NoReturn:
    """Play known client habits against a server of your own, and show what each got.

    Some are honest and must be served; the others do what spam software does, and should be turned away, best before the
    greeting. Without HOST:PORT it is 127.0.0.1:2525, where `make serve` puts tarry.

    Exit status: 0 honest clients were served, 1 one was not, 2 usage, 75 the server cannot be reached.
    """
    if markdown and not presets:
        raise click.UsageError("--markdown goes with --presets")
    if presets:
        _show_presets(ctx, names, as_json=as_json, as_markdown=markdown)
        raise SystemExit(0)
    if known := [name for name in names if name in OF_PRESETS]:
        raise click.UsageError(f"{known[0]} can only be played with --presets")
    options = Options(
        sender=sender,
        recipient=recipient,
        deliver=not no_mail,
        patience=patience,
        reply_patience=reply_patience,
        date=formatdate(localtime=True),
        token=secrets.token_hex(6),
    )
    chosen = [habit for habit in habits(options) if habit.name in (names or NAMES)]
    if not chosen:
        raise click.UsageError("data-jumper is all about a message, so --no-mail leaves nothing to play")
    endpoints = _endpoints(target, source, yes_this_is_mine)
    console = Terminal()
    show = Show(console, target, chosen, is_live=console.is_terminal and not as_json)
    try:
        with show.live:
            asyncio.run(_play_all(chosen, endpoints, source, timeout, show.finished))
    except KeyboardInterrupt:
        if not as_json:
            show.final()
        click.echo("interrupted", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    findings = show.findings
    status = exit_status(findings, strict=strict)
    if status == EXIT_TRY_LATER:
        click.echo(f"tarry probe: {_unreachable(target, findings, endpoints)}", err=True)
    with may_leave():
        if as_json:
            click.echo(json.dumps(report(target, findings, status), indent=2))
        elif status != EXIT_TRY_LATER:
            show.final()
            console.print()
            console.print(summarise(findings), markup=False, highlight=False, soft_wrap=not console.is_terminal)
    raise SystemExit(status)


def _show_presets(ctx: click.Context, names: Sequence[str], *, as_json: bool, as_markdown: bool) -> None:
    from tarry.cli import probe_preset_table, probe_presets

    given = {name for name in ctx.params if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    if other := given - {"presets", "names", "as_json", "markdown"}:
        option = next(one for one in ctx.command.params if one.name in other)
        raise click.UsageError(f"{option.opts[-1] if isinstance(option, click.Option) else option.metavar} is for a server")
    chosen = [case for case in probe_presets.cases() if case.habit.name in (names or (case.habit.name,))]
    rows = list(zip(*probe_presets.outcomes(chosen), strict=True))
    console = Terminal()
    with may_leave():
        if as_markdown:
            click.echo(probe_preset_table.page(rows), nl=False)
        elif as_json:
            click.echo(json.dumps(probe_preset_table.report(rows), indent=2))
        else:
            console.print(probe_preset_table.shown(rows))


class Show:
    """Collects traces as they come in and draws them."""

    def __init__(self, console: Console, target: Target, chosen: Sequence[Habit], *, is_live: bool) -> None:
        self.console = console
        self.target = target
        self.chosen = chosen
        self.traces: dict[str, Trace] = {}
        self.began_at = time.monotonic()
        # Transient: a table taller than the terminal is cut while it moves, and printed whole in the end.
        self.live = (
            Live(get_renderable=self.draw, console=console, refresh_per_second=8, transient=True) if is_live else nullcontext()
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is known so far, in table order; judged anew each time, as clients are measured against each other."""
        traces = dict(self.traces)
        return judge_all((habit, traces[habit.name]) for habit in self.chosen if habit.name in traces)

    def finished(self, trace: Trace) -> None:
        """Take the trace of a client that is done."""
        self.traces[trace.habit] = trace

    def draw(self) -> Table:
        """Return the table as it is now."""
        known = {finding.habit.name: finding for finding in self.findings}
        return table(self.chosen, known, width=self.console.width, elapsed=time.monotonic() - self.began_at)

    def final(self) -> None:
        """Print the table for good."""
        self.console.print(self.draw())


def report(target: Target, findings: Sequence[Finding], status: int) -> dict[str, object]:
    """Return what --json writes."""
    greeted = [finding.trace.greeting for finding in findings if finding.habit.name == "patient" and finding.was_greeted]
    return {
        "v": 1,
        "target": str(target),
        "habits": [_habit_report(finding) for finding in findings],
        "summary": {
            "text": summarise(findings),
            "exit_status": status,
            "verdicts": Counter(finding.verdict for finding in findings),
            "turned_away_before_greeting": sum(f.verdict is Verdict.TURNED_AWAY and not f.was_greeted for f in findings),
            "patient_greeted_after": round(greeted[0].after, 3) if greeted and greeted[0] else None,
        },
    }


def _habit_report(finding: Finding) -> dict[str, object]:
    trace = finding.trace
    return {
        "name": finding.habit.name,
        "kind": finding.habit.kind,
        "did": finding.habit.did,
        "verdict": finding.verdict,
        "mood": finding.mood,
        "decided_by": str(finding.deciding) if finding.deciding else None,
        "decided_after": round(finding.decided_after, 3),
        "was_greeted": finding.was_greeted,
        "first_reply_after": round(trace.replies[0].after, 3) if trace.replies else None,
        "reply_count": len(trace.replies),
        "replies": [
            {"code": reply.code, "text": reply.text, "after": round(reply.after, 3), "to": reply.to} for reply in trace.replies
        ],
        "rounds": [
            {"code": reply.code, "took": round(took, 3)}
            for reply, took in (trace.rounds(finding.habit.repeats) if finding.habit.repeats else ())
        ],
        "sent": trace.sent,
        "sent_bytes": trace.sent_bytes,
        "sent_lines": trace.sent_lines,
        "ended": trace.ended,
        "ended_after": round(trace.ended_after, 3),
        "problem": trace.problem or None,
    }


async def _play_all(
    chosen: Sequence[Habit],
    endpoints: Sequence[Endpoint],
    source: Interface | None,
    timeout: Seconds,
    finished: Callable[[Trace], None],
) -> None:
    async def one(number: int, habit: Habit) -> None:
        bound = source_of(source, number)
        finished(await play(habit, endpoints, clock=time.monotonic, timeout=timeout, source=bound))

    async with asyncio.TaskGroup() as group:
        for number, habit in enumerate(chosen):
            group.create_task(one(number, habit))


def _endpoints(target: Target, source: Interface | None, yes_this_is_mine: bool) -> tuple[Endpoint, ...]:
    try:
        endpoints = asyncio.run(resolve(target))
    except NotFound as problem:
        click.echo(f"tarry probe: {problem}", err=True)
        raise SystemExit(EXIT_TRY_LATER) from None
    others = strangers(endpoints)
    if others and not yes_this_is_mine:
        raise click.UsageError(
            f"{others[0]} is a public address. The probe behaves like spam software: against somebody else's server that is "
            "abuse, and it would get your own address on block lists. If the server is yours, add --yes-this-is-mine."
        )
    if source is not None and all(endpoint.address.version != source.version for endpoint in endpoints):
        raise click.UsageError(f"--source {source.ip} is IPv{source.version}, but {target} has no such address")
    return endpoints


def _unreachable(target: Target, findings: Sequence[Finding], endpoints: Sequence[Endpoint]) -> str:
    if not all(finding.trace.refused_connection for finding in findings):
        return f"{target} cannot be reached: {findings[0].trace.problem}"
    is_here = all(endpoint.address.is_loopback for endpoint in endpoints)
    return f"nothing listens on {target}" + (": start it with `make serve`" if is_here else "")
