"""What `tarry status` shows, at the width of a terminal and in a pipe."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console
from tests import closings

from tarry.cli.status_page import File, is_changed, lasted, page, within
from tarry.control.states import List, Mta, State, Store, Stress, Worker
from tarry.record.schema import Close
from tarry.record.tally import LATENCIES, WAITS, Histogram, tally

NOW = 1_000_000.0
DELIVERY = replace(closings.DELIVERY, octets=1_500_000, delayed=0.0, login=False, mta_ms=3.0)
EARLY = replace(closings.EARLY, reasons=("pregreet.spoke",))
WELL = State(
    77,
    "0.1",
    NOW - 3700,
    "abc",
    listen=("127.0.0.1:25",),
    max_clients=15000,
    held=12,
    in_session=3,
    mta=Mta("mx:25"),
    lists=(List("a.test"), List("b.test", False, "it lists 127.0.0.1")),
    store=Store("sqlite:x", True, "", 1234, 2, 1),
    tally=tally([DELIVERY, EARLY, EARLY, Close(ended="client", phase="hold", held=2.0, hangup=2.0)]),
)


def shown(state: State, file: File | None = None, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    console.print(page(state, now=NOW, file=file))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def line_of(text: str, begins: str) -> str:
    """Return the rest of the line that begins so, with single blanks."""
    (found,) = [line for line in text.splitlines() if line.startswith(begins)]
    return " ".join(found.removeprefix(begins).split())


def test_all_is_well() -> None:
    """Every figure in its place."""
    text = shown(WELL)
    for begins, told in {
        "tarry 0.1, ": "process 77, up 1 h 1 min",
        "listens on": "127.0.0.1:25",
        "configuration": "abc",
        "clients": "12 held, 3 in session, room for 15,000",
        "MTA": "mx:25 answers",
        "DNS lists": "a.test is asked",
        "memory": "sqlite:x answers 1,234 at hand, 2 to be written, 1 lost",
        "sessions": "4: 1 greeted, 1 gave up waiting, 2 talked early, 1 with TLS",
        "verdicts": "2 reject",
        "messages": "1 delivered; 1.5 MB",
        "recipients": "3 named, 2 accepted",
        "pregreet.spoke": "2 50.0%",
        "talked early after": "2 <= 250 ms <= 250 ms",
        "the MTA answered within": "1 <= 5 ms <= 5 ms",
    }.items():
        assert told == line_of(text, begins)
    assert "b.test  is not asked: it lists 127.0.0.1" in text


def test_a_server_that_has_seen_nobody() -> None:
    """No table is empty: it is left out."""
    text = shown(State(77, "0.1", NOW - 5, "abc", mta=Mta("mx:25")))
    assert ["none"] * 3 == [line_of(text, word) for word in ("verdicts", "messages", "recipients")]
    assert ("0", "nothing any more") == (line_of(text, "sessions"), line_of(text, "listens on"))
    assert [] == [word for word in ("reason", "how long", "worker", "memory", "DNS lists", "stress") if word in text]


def test_what_is_wrong_is_told_in_words() -> None:
    """Colours are not needed."""
    bad = replace(
        WELL,
        draining=True,
        observes=True,
        mta=Mta("mx:25", False, "refused"),
        store=Store("sqlite:x", False, "disk full"),
        stress=(Stress("load", "14,000 of 15,000"), Stress("descriptors")),
        workers=(Worker(1, True, "", 78, NOW - 100, "abc", 5, 1, 2), Worker(2, True, "", 79, NOW, "old"), Worker(3, False, "gone")),
        tally=tally([replace(EARLY, observed=True)]),
    )
    text = shown(bad)
    assert "process 77, up 1 h 1 min, draining: it takes no new clients, observing: everyone is" in " ".join(text.split())
    for begins, told in {
        "MTA": "mx:25 is away: refused",
        "memory": "sqlite:x is away: disk full 0 at hand, 0 to be written",
        "stress": "load: 14,000 of 15,000",
        "     1  ": "78 1 min 40 s 5 1",
        "     2  ": "79 0 s 0 0 another configuration",
        "     3  ": "gone",
        "verdicts": "1 reject (1 not carried out)",
    }.items():
        assert told == line_of(text, begins)


@pytest.mark.parametrize(
    ("file", "told", "changed"),
    [
        (File("t.toml", "abc"), "abc, as t.toml says", False),
        (File("t.toml", "abd"), "abc t.toml says something else now (abd)", True),
        (File("t.toml", errors=2), "abc t.toml has 2 error(s) now: see tarry config check", True),
    ],
)
def test_the_file_is_compared(file: File, told: str, changed: bool) -> None:
    """With what the server runs with."""
    assert (told, changed) == (line_of(shown(WELL, file), "configuration"), is_changed(WELL, file))


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    """However long addresses and reasons are."""
    wide = replace(
        WELL,
        listen=tuple(f"[2001:db8::{number:x}]:25" for number in range(30)),
        mta=Mta("m" * 150, False, "w" * 150),
        lists=(List("z" * 150, False, "y" * 150),),
        workers=tuple(Worker(number, False, "v" * 200) for number in range(3)),
        tally=tally([replace(EARLY, reasons=("a" * 70 + ".b",))]),
    )
    assert max(map(len, shown(wide, File("f" * 150, "abd"), width).splitlines())) <= width


def test_what_a_server_tells_is_no_markup() -> None:
    """Square brackets stand as they are."""
    text = shown(replace(WELL, mta=Mta("[bold]mx[/bold]", False, "[Errno 111] no")))
    assert "[bold]mx[/bold]  is away: [Errno 111] no" in text


def test_only_the_most_frequent_reasons_are_listed() -> None:
    """And how many there are beyond, which have been seen less often."""
    many = [Close(reasons=tuple(f"own.r{reason:02}" for reason in range(number + 1))) for number in range(15)]
    text = shown(replace(WELL, tally=tally(many)))
    assert ("15 100.0%", True, False) == (line_of(text, "own.r00"), "own.r09" in text, "own.r10" in text)
    assert "and 5 more" in text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (-5, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3600, "1 h 0 min"), (90061, "1 d 1 h"), (10**8, "1157 d 9 h")],
)
def test_lengths_of_time(seconds: float, told: str) -> None:
    """In two units."""
    assert told == lasted(seconds)


@pytest.mark.parametrize(
    ("bounds", "lengths", "share", "told"),
    [
        (WAITS, [0.05], 0.5, "<= 100 ms"),
        (WAITS, [1.0, 5.0], 0.5, "<= 1 s"),
        (WAITS, [1.0, 5.0], 0.9, "<= 5 s"),
        (WAITS, [1000.0], 0.5, "> 300 s"),
        (LATENCIES, [0.002], 0.9, "<= 2.5 ms"),
    ],
)
def test_what_a_histogram_knows_of_a_quantile(bounds: tuple[float, ...], lengths: list[float], share: float, told: str) -> None:
    """The bound below which it lies."""
    made = Histogram.of(bounds)
    for length in lengths:
        made.add(length)
    assert told == within(made, share)
