"""All that is remembered of one client, in words."""

from __future__ import annotations

import asyncio

import pytest
from tests.cli.remembering import DAY, NOW, MemoryStore, session

from tarry.cli import client_history
from tarry.cli.client_history import Past, about, consequence, entry_report, lines, mark_words, placed, read, report
from tarry.cli.opened import Memory
from tarry.cli.who import who
from tarry.config.schema import Config
from tarry.core.history import Entry, Pass
from tarry.store import Mark

MEMORY = Memory(Config(), "none", NOW)


def memory(text: str) -> Memory:
    return Memory(Config.from_toml(text), "none", NOW)


def entry(karma: float, at: float = NOW) -> Entry:
    return Entry("192.0.2.7", karma, at, at)


def past_of(store: MemoryStore, name: str) -> Past:
    return asyncio.run(read(store, who(name), NOW))


def test_it_is_read_with_its_domain_and_marks() -> None:
    """The domain is the one that it was last known to belong to."""
    store = MemoryStore()
    store.add(session("192.0.2.7", 60, 1.0, domain="example.net"), session("example.net", 60, 7.0))
    store.said["192.0.0.0/16"] = Mark("192.0.0.0/16", "allow")
    found = past_of(store, "192.0.2.7")
    assert ("192.0.2.7", "example.net", ["192.0.0.0/16"]) == (
        found.entry and found.entry.key, found.domain and found.domain.key, [one.what for one in found.marks]
    )  # fmt: skip
    assert found.is_known
    nobody = past_of(store, "10.0.0.7")
    assert (None, None, (), False) == (nobody.entry, nobody.domain, nobody.marks, nobody.is_known)


def test_which_marks_are_about_it() -> None:
    """On it, on networks around it, the narrowest first, and on parts of an IPv6 /64; never on a domain."""
    said = [
        Mark(what, "deny") for what in ("192.0.0.0/16", "192.0.2.7", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::7", "2001:db8::/32")
    ]
    assert ["192.0.2.7", "192.0.2.0/24", "192.0.0.0/16"] == [one.what for one in about(who("192.0.2.7"), placed(said))]
    assert ["2001:db8::7", "2001:db8::/32"] == [one.what for one in about(who("2001:db8::9"), placed(said))]
    assert () == about(who("example.org"), placed(said))


@pytest.mark.parametrize(
    ("karma", "told"),
    [
        (0.0, "+0.0, between karma.bad_below (-5) and karma.skip_above (5): nothing follows from it"),
        (
            10.0,
            "+10.0, above karma.skip_above (5) for another 14 days, until 2026-12-05 16:00 UTC: it is greeted as soon as that "
            "is known, unless something else speaks against it",
        ),
        (
            -10.0,
            "-10.0, below karma.bad_below (-5) for another 14 days, until 2026-12-05 16:00 UTC: the check karma finds it as "
            "karma.bad; each good session ends it sooner",
        ),
        (
            -20.0,
            "-20.0, below karma.bad_below (-5) for another 28 days, until 2026-12-19 16:00 UTC: the check karma finds it as "
            "karma.worst for another 5 days, until 2026-11-27 11:27 UTC, and as karma.bad then; each good session ends it "
            "sooner",
        ),
    ],
)
def test_what_karma_leads_to(karma: float, told: str) -> None:
    """And until when, by its half-life, which is 14 days."""
    assert told == consequence(entry(karma), MEMORY, is_domain=False)


def test_karma_fades() -> None:
    """What counts is what it is now."""
    assert consequence(entry(-10.0, NOW - 28 * DAY), MEMORY, is_domain=False).startswith("-2.5, between")


def test_a_threshold_of_0_is_never_left_by_fading() -> None:
    """Karma comes nearer to 0 and never there."""
    told = consequence(entry(-1.0), memory("[karma]\nbad_below = 0\n"), is_domain=False)
    assert told.startswith("-1.0, below karma.bad_below (0) for as long as it is not 0: ")
    assert None is entry_report(entry(-1.0), memory("[karma]\nbad_below = 0\n"))["standing_until"]


@pytest.mark.parametrize(
    ("karma", "text", "told"),
    [
        (10.0, "", ": a client of it that has no bad karma of its own is greeted as soon as that is known"),
        (10.0, "[karma]\nby_domain = false\n", "+10.0, which counts for nothing while karma.by_domain is false"),
        (-10.0, "", "-10.0: bad karma of a domain counts for none of its clients"),
    ],
)
def test_what_karma_of_a_domain_leads_to(karma: float, text: str, told: str) -> None:
    """Good karma is for all of its clients, bad karma for none."""
    assert told in consequence(entry(karma), memory(text), is_domain=True)


def test_passes() -> None:
    """Those that hold, and those that ran out."""
    found = Entry("192.0.2.7", 0.0, NOW, NOW, 1, passes=(Pass("pregreet", NOW + DAY), Pass("dnslists", NOW - DAY)))
    told = list(lines(Past(who("192.0.2.7"), found, None, ()), MEMORY))
    assert ["  passes    pregreet until 2026-11-22 16:00 UTC (in 1 day)", "            dnslists ran out 1 day ago"] == told[4:6]
    passes = entry_report(found, MEMORY)["passes"]
    assert [("pregreet", True), ("dnslists", False)] == [(one["check"], one["holds"]) for one in passes]  # type: ignore[attr-defined]


def test_a_domain_of_which_nothing_is_remembered() -> None:
    """Is named all the same."""
    found = Entry("192.0.2.7", 0.0, NOW, NOW, 1, domain="example.net")
    assert "  domain    example.net, of which nothing is remembered" in lines(Past(who("192.0.2.7"), found, None, ()), MEMORY)


def test_marks_in_words() -> None:
    """Until when, since when, and why."""
    assert "192.0.2.7 is allowed for good" == mark_words(Mark("192.0.2.7", "allow"), NOW)
    expected = "10.0.0.0/8 is denied until 2026-11-22 16:00 UTC (in 1 day), said 2 h ago: noisy"
    assert expected == mark_words(Mark("10.0.0.0/8", "deny", NOW + DAY, "noisy", NOW - 7200), NOW)


def test_what_is_stored_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote it: no escape sequence reaches a terminal."""
    evil = "\x1b[2J"
    store = MemoryStore()
    store.add(session("192.0.2.7", 60, 1.0, domain=evil, reasons=(evil,), id=evil))
    store.said["192.0.2.7"] = Mark("192.0.2.7", "deny", comment=evil)
    print("\n".join(lines(past_of(store, "192.0.2.7"), MEMORY)))
    assert "\x1b" not in capsys.readouterr().out


def test_a_report_is_whole() -> None:
    """Every field is there, with null for what is not known."""
    found = report(past_of(MemoryStore(), "2001:db8::7"), MEMORY)
    assert {
        "what": "2001:db8::/64",
        "key": "2001:db8::/64",
        "notes": ["an IPv6 client is known by its /64: 2001:db8::/64"],
        "history": None,
        "domain": None,
        "marks": [],
    } == found
    assert ["good", "bad", "none"] == [entry_report(entry(karma), MEMORY)["standing"] for karma in (9.0, -9.0, 0.0)]
    assert "2026-11-21T16:00:00Z" == client_history.mark_report(Mark("192.0.2.7", "deny", NOW))["until"]
