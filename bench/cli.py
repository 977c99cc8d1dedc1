"""cli - `python -m bench hold|early|pass|mail|line|dns|lists|residual|workers|history`.

Exit status 0 when at least one peer was measured, 1 when none was, 2 for wrong usage, 130 after an interrupt (what was
found until then is still shown and written).
"""

import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click
from rich.console import Console

from bench import dns, early, history, hold, line, lists, mail, passed, residual, run, workers
from bench.machine import this_machine
from bench.peers import PEERS, for_measure
from bench.peers.kind import Measure
from bench.report import Figure, Report, Setting, show, summarise, write_json
from bench.sink import sink_name
from bench.turns import Collected

Command = Callable[..., Any]


def _result_options(quick: str = "A few seconds") -> Callable[[Command], Command]:
    """Return a decorator with the options about runs and results that all measures share."""
    return _together(
        click.option(
            "--runs", type=click.IntRange(1), default=1, show_default=True, help="How often; shown as median (min - max)."
        ),
        click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all results there."),
        click.option("--quick", is_flag=True, help=f"{quick}: proves that it works, measures nothing."),
    )


def _common_options(measure: Measure) -> Callable[[Command], Command]:
    """Return a decorator with the options that all measures of peers share."""
    names = for_measure(measure)
    return _together(
        click.option("--peer", "peers", multiple=True, type=click.Choice(names), help=f"Repeatable; default: {', '.join(names)}."),
        click.option("--pid", type=click.IntRange(1), help="Measure this running server instead of peers; with --port."),
        click.option("--port", type=click.IntRange(1, 65535), help="The port of --pid on 127.0.0.1."),
        _result_options("A few seconds a peer"),
    )


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure tarry and its peers on this machine, side by side."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited by every server under test
    signal.signal(signal.SIGTERM, _interrupt)


@main.command("hold")
@click.option("--clients", type=click.IntRange(1, 19000), default=10000, show_default=True)
@click.option("--rate", type=click.FloatRange(1), default=1000.0, show_default=True, help="New clients a second.")
@click.option("--wait", type=click.FloatRange(1), default=20.0, show_default=True, help="Seconds before the greeting.")
@click.option("--ending", "endings", multiple=True, type=click.Choice(["hangup", "quit"]), help="Repeatable; default: both.")
@_common_options("hold")
def hold_command(*, clients: int, rate: float, wait: float, endings: Sequence[hold.Ending], quick: bool, **common: Any) -> None:
    """Hold many silent clients: memory, CPU, lateness."""
    if quick:
        clients, rate, wait = 200, 1000.0, 2.0
    settings = hold.Settings(clients=clients, rate=rate, wait=wait, endings=endings or ("hangup", "quit"))
    if problem := settings.problem():
        raise click.UsageError(problem)
    shared = _common("hold", **common)
    shown: dict[str, Setting] = {
        "clients": clients,
        "rate": rate,
        "wait": wait,
        "endings": " + ".join(settings.endings),
    }
    _report("hold", shown, shared.runs, run.run_hold(shared, settings), hold.FIGURES, common["json_file"])


@main.command("early")
@click.option("--clients", type=click.IntRange(1), default=20000, show_default=True)
@click.option("--concurrency", type=click.IntRange(1), default=90, show_default=True, help="Open at once, all generators together.")
@click.option("--generators", type=click.IntRange(1, 4), default=1, show_default=True, help="Processes that generate the flood.")
@click.option("--wait", type=click.FloatRange(1), default=20.0, show_default=True, help="Seconds before the greeting.")
@click.option("--seconds", type=click.FloatRange(0.1), default=60.0, show_default=True, help="Open no client after that.")
@_common_options("early")
def early_command(
    *, clients: int, concurrency: int, generators: int, wait: float, seconds: float, quick: bool, **common: Any
) -> None:
    """Flood with blind senders: refusals, CPU, lost replies."""
    if quick:
        clients, wait, seconds = 2000, 1.0, 2.0
    settings = early.Settings(clients=clients, concurrency=concurrency, generators=generators, seconds=seconds)
    shared = _common("early", **common)
    shown: dict[str, Setting] = {"clients": clients, "concurrency": concurrency, "generators": generators, "wait": wait}
    _report("early", shown, shared.runs, run.run_early(shared, settings, wait), early.FIGURES, common["json_file"])


@main.command("pass")
@click.option("--clients", type=click.IntRange(1), default=4000, show_default=True)
@click.option("--rate", type=click.FloatRange(1), default=200.0, show_default=True, help="New clients a second.")
@click.option("--wait", type=click.FloatRange(1), default=2.0, show_default=True, help="Seconds before the greeting.")
@_common_options("pass")
def pass_command(*, clients: int, rate: float, wait: float, quick: bool, **common: Any) -> None:
    """Hold clients and give them to Postfix's smtpd: the front door's own CPU."""
    if quick:
        clients, rate, wait = 200, 200.0, 1.0
    settings = passed.Settings(clients=clients, rate=rate, wait=wait)
    shared = _common("pass", **common)
    shown: dict[str, Setting] = {"clients": clients, "rate": rate, "wait": wait}
    _report("pass", shown, shared.runs, run.run_pass(shared, settings), passed.FIGURES, common["json_file"])


@main.command("line")
@click.option("--clients", type=click.IntRange(1), default=1000, show_default=True, help="Postfix: at most 200, a process each.")
@_common_options("line")
def line_command(*, clients: int, quick: bool, **common: Any) -> None:
    """Stop clients after RCPT: memory of one in line."""
    settings = line.Settings(clients=50 if quick else clients)
    shared = _common("line", **common)
    _report("line", {"clients": settings.clients}, shared.runs, run.run_line(shared, settings), line.FIGURES, common["json_file"])


@main.command("mail")
@click.option(
    "--size", "sizes", multiple=True, type=click.IntRange(100), default=(4096, 102400), show_default=True, help="Bytes; repeatable."
)
@click.option("--messages", type=click.IntRange(1), default=6000, show_default=True, help="A third of it above 16 KB.")
@click.option("--concurrency", type=click.IntRange(1), default=50, show_default=True)
@click.option("--messages-per-connection", "per_connection", type=click.IntRange(1), default=1, show_default=True)
@click.option("--generator", type=click.Choice(["smtp-source", "epoll"]), help="Default: smtp-source where it is there and fits.")
@click.option("--seconds", type=click.FloatRange(1), default=120.0, show_default=True, help="Open no connection after that.")
@_common_options("mail")
def mail_command(
    *,
    sizes: Sequence[int],
    messages: int,
    concurrency: int,
    per_connection: int,
    generator: str | None,
    seconds: float,
    quick: bool,
    **common: Any,
) -> None:
    """Send mail through: rate, CPU, time a message."""
    if quick:
        messages, seconds = 300, 20.0
    best = mail.best_generator(per_connection)
    if generator == "smtp-source" and best != generator:
        raise click.UsageError("smtp-source needs Postfix's programs (make servers) and one message a connection")
    settings = mail.Settings(
        sizes=sizes,
        messages=messages,
        concurrency=concurrency,
        per_connection=per_connection,
        generator=generator or best,
        seconds=seconds,
    )
    shared = _common("mail", **common)
    shown: dict[str, Setting] = {
        "messages": messages,
        "concurrency": concurrency,
        "per connection": per_connection,
        "generator": settings.generator,
        "sink": sink_name(),
    }
    _report("mail", shown, shared.runs, run.run_mail(shared, settings), mail.figures(sizes), common["json_file"])


def _common(
    measure: Measure, *, peers: Sequence[str], pid: int | None, port: int | None, runs: int, json_file: Path | None
) -> run.Common:
    """Check the shared options against each other."""
    if (pid is None) != (port is None):
        raise click.UsageError("--pid and --port go together")
    if pid is not None and peers:
        raise click.UsageError("--pid measures one running server: leave --peer out")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise click.UsageError(f"--json: no folder {json_file.absolute().parent}")
    return run.Common(
        peers=list(dict.fromkeys(peers)) or for_measure(measure),
        attached=run.Attached(pid, port) if pid is not None and port is not None else None,
        runs=runs,
    )


def _report(
    measure: Measure | Literal["dns", "lists", "residual", "workers", "history"],
    settings: dict[str, Setting],
    runs: int,
    collected: Collected,
    figures: list[Figure],
    json_file: Path | None,
) -> None:
    """Show and write what was found, and leave with the status that says it."""
    about: dict[str, Setting] = {"runs": runs} if runs > 1 else {}
    report = Report(
        measure=measure,
        machine=this_machine(),
        settings=settings | about,
        figures=figures,
        rows=collected.rows,
        skipped=collected.skipped,
        summary=summarise(figures, collected.rows),
    )
    # A file or a pipe has no width to keep to.
    terminal = Console()
    show(report, terminal if terminal.is_terminal else Console(width=400))
    if json_file is not None:
        write_json(report, json_file)
    if collected.interrupted:
        sys.exit(130)
    sys.exit(0 if collected.rows else 1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Take SIGTERM as Ctrl-C: servers under test are ended, rows so far are kept."""
    raise KeyboardInterrupt


@main.command("dns")
@click.option("--clients", type=click.IntRange(10), default=20000, show_default=True, help="Each asks five lists.")
@click.option("--rate", type=click.FloatRange(1), default=2000.0, show_default=True, help="New clients a second.")
@click.option("--max-queries", type=click.IntRange(1), default=1000, show_default=True, help="As [dns] max_queries.")
@_result_options("A second")
def dns_command(*, clients: int, rate: float, max_queries: int, runs: int, json_file: Path | None, quick: bool) -> None:
    """Ask five DNS lists about each client: CPU, time to the last answer. No front door runs."""
    settings = dns.Settings(clients=500 if quick else clients, rate=500.0 if quick else rate, max_queries=max_queries)
    shown: dict[str, Setting] = {"clients": settings.clients, "rate": settings.rate, "max queries": max_queries}
    _report("dns", shown, runs, dns.run(settings, runs), dns.FIGURES, json_file)


@main.command("lists")
@click.option("--clients", type=click.IntRange(10), default=20000, show_default=True, help="About each five lists are asked.")
@click.option("--rate", type=click.FloatRange(1), default=2000.0, show_default=True, help="New clients a second.")
@click.option("--wait", type=click.FloatRange(0.1), default=3.0, show_default=True, help="Seconds before the greeting.")
@_result_options()
def lists_command(*, clients: int, rate: float, wait: float, runs: int, json_file: Path | None, quick: bool) -> None:
    """Hold clients, and ask five DNS lists about each: answers in time, CPU."""
    settings = lists.Settings(clients=100 if quick else clients, rate=200.0 if quick else rate, wait=0.5 if quick else wait)
    _report("lists", dict(lists.shown(settings)), runs, lists.run(settings, runs), lists.FIGURES, json_file)


@main.command("residual")
@click.option("--clients", type=click.IntRange(10), default=5000, show_default=True, help="In residual delays.")
@click.option("--rate", type=click.FloatRange(1), default=500.0, show_default=True, help="How many of them come a second.")
@click.option("--low", type=click.FloatRange(1), default=60.0, show_default=True, help="The shortest delay, in seconds.")
@click.option("--high", type=click.FloatRange(1), default=290.0, show_default=True, help="The longest.")
@click.option("--good-rate", type=click.FloatRange(1), default=100.0, show_default=True, help="Good messages a second.")
@click.option("--seconds", type=click.FloatRange(1), default=120.0, show_default=True, help="Good mail is sent for so long, twice.")
@_result_options()
def residual_command(
    *,
    clients: int,
    rate: float,
    low: float,
    high: float,
    good_rate: float,
    seconds: float,
    runs: int,
    json_file: Path | None,
    quick: bool,
) -> None:
    """Send good mail beside clients in residual delays: times of good mail, memory, MTA connections."""
    if quick:
        clients, rate, low, high, good_rate, seconds = 60, 100.0, 4.0, 6.0, 20.0, 1.5
    settings = residual.Settings(clients=clients, rate=rate, low=low, high=high, good_rate=good_rate, seconds=seconds)
    if problem := settings.problem():
        raise click.UsageError(problem)
    about: dict[str, Setting] = {
        "clients": clients,
        "rate": rate,
        "delay": f"{low:g}-{high:g} s",
        "good rate": good_rate,
        "seconds": seconds,
        "sink": sink_name(),
    }
    _report("residual", about, runs, residual.run(settings, runs), residual.FIGURES, json_file)


@main.command("workers")
@click.option("--workers", "counts", multiple=True, type=click.IntRange(1, 64), default=(1, 2), show_default=True, help="For mail.")
@click.option("--messages", type=click.IntRange(50), default=6000, show_default=True, help="Of 4 KB, for each number of workers.")
@click.option(
    "--share", type=click.FloatRange(0.05, 1), default=0.4, show_default=True, help="Of a core, that each worker may use."
)
@click.option("--clients", type=click.IntRange(0), default=50000, show_default=True, help="Held at once; 0 leaves that out.")
@click.option("--crowd-workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Workers that hold them.")
@click.option("--rate", type=click.FloatRange(1), default=1500.0, show_default=True, help="How many of them come a second.")
@click.option("--wait", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds before the greeting.")
@_result_options()
def workers_command(
    *,
    counts: Sequence[int],
    messages: int,
    share: float,
    clients: int,
    crowd_workers: int,
    rate: float,
    wait: float,
    runs: int,
    json_file: Path | None,
    quick: bool,
) -> None:
    """Send mail through one and two workers, and hold a crowd with four: rate, CPU, memory, lateness."""
    if quick:
        messages, clients, rate, wait = 200, 200, 400.0, 2.5
    settings = workers.Settings(
        counts=counts, messages=messages, share=share, clients=clients, crowd_workers=crowd_workers, rate=rate, wait=wait
    )
    if problem := settings.problem():
        raise click.UsageError(problem)
    _report("workers", workers.shown(settings), runs, workers.run(settings, runs), workers.FIGURES, json_file)


@main.command("history")
@click.option("--sessions", type=click.IntRange(10), default=20000, show_default=True, help="Three times: alone, new, known.")
@click.option("--rate", type=click.FloatRange(1), default=2000.0, show_default=True, help="Sessions a second.")
@_result_options()
def history_command(*, sessions: int, rate: float, runs: int, json_file: Path | None, quick: bool) -> None:
    """Remember clients in a file and in a server: CPU a session. No front door runs."""
    settings = history.Settings(sessions=200 if quick else sessions, rate=500.0 if quick else rate)
    shown: dict[str, Setting] = {"sessions": settings.sessions, "rate": settings.rate}
    _report("history", shown, runs, history.run(settings, runs), history.FIGURES, json_file)


@main.command("peers")
def peers_command() -> None:
    """List the peers, and why one cannot be started here."""
    for peer in PEERS.values():
        click.echo(f"{peer.name:20} {', '.join(sorted(peer.measures)):30} {peer.missing() or peer.about}")
