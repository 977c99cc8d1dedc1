"""The scale model: the formulas agree with clients that are played one by one, and what is printed is read from them."""

from __future__ import annotations

import doctest
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from scale import crowd, reality, simulate, tables  # noqa: E402
from scale.crowd import Crowd  # noqa: E402
from scale.day import DAY, Bursts, Curve  # noqa: E402
from scale.events import play, twin  # noqa: E402
from scale.fluid import Model, Site  # noqa: E402
from scale.limits import hosts_needed, limits  # noqa: E402
from scale.parameters import MIXES, Parameters, changed, mixed  # noqa: E402
from scale.times import GIVE_UP, SESSION, TALK, Times, area, even  # noqa: E402

EVEN = mixed(Parameters(), "even")


WITHIN = {
    "connections": 0.02,
    "held at once, mean": 0.04,
    "delayed at once, mean": 0.06,
    "in line at once, mean": 0.06,
    "new a second at the peak, 99 %": 0.25,
    "held at the peak, busiest worker, 99 %": 0.25,
    "delayed or in line, the same": 0.25,
    "good connections greeted at once": 0.04,
    "different clients": 0.03,
    "questions from the workers' caches": 0.05,
    "questions that leave the hosts, clients": 0.03,
    "to the MTA": 0.03,
    "CPU seconds": 0.03,
    "log, MB": 0.03,
}
"""How far the formulas may be from what is counted on one small day; its worst seconds waver more than its means."""


@pytest.mark.slow
def test_formulas_and_events_agree() -> None:
    """Within some per cent of each other, for one day of clients that are played one by one."""
    model = Model(EVEN, Site(50_000, hosts=1, workers=2, age=0))
    rows = tables.side_by_side(model, model.hours(), play(model, 1, tables.CREST))
    assert list(WITHIN) == [name for name, _, _ in rows]
    assert [] == [(name, plan, seen) for name, plan, seen in rows if plan != pytest.approx(seen, rel=WITHIN[name])]


def test_littles_law() -> None:
    """With a fixed hold, patient clients alone and none that gives up before, the held are the rate times the hold."""
    parameters = replace(EVEN, early=0, impatient=0, patient=0, good=1, wait_low=4.999, wait_high=5.001, skip_above=crowd.MOST)
    hour = Model(replace(parameters, good_peak=1), Site(864_000)).hour(0, 3600)
    assert (10.0, 50.0) == (pytest.approx(hour.arrivals), pytest.approx(hour.held, rel=0.01))


def test_bursts_waver_the_crowd() -> None:
    """The same mean with bursts has a higher 99 % than without."""
    calm, wild = (Model(replace(EVEN, burst=burst), Site(10e6)).hour(36_000, 39_600) for burst in (1.0, 4.0))
    assert calm.held == pytest.approx(wild.held)
    assert calm.held_p99 * 1.3 < wild.held_p99


def test_memory_grows_with_its_age() -> None:
    """The share of good connections that is greeted at once grows day by day, and faster where hosts share the memory."""
    shared = [Model(EVEN, Site(20_000, hosts=4, age=age)).trusted(43_200) for age in (0, 1, 7, 30)]
    alone = [Model(replace(EVEN, shared=0), Site(20_000, hosts=4, age=age)).trusted(43_200) for age in (0, 1, 7, 30)]
    dealt = [
        Model(replace(EVEN, shared=0), Site(20_000, hosts=4, age=age, by_client=True)).trusted(43_200) for age in (0, 1, 7, 30)
    ]
    assert shared == sorted(shared)
    assert all(one < many for one, many in zip(alone, shared, strict=True))
    assert shared == dealt


def test_whole_clients_are_dealt_less_evenly() -> None:
    """Hashing by address makes the caches better and the busiest worker busier."""
    by_connection, by_client = (Model(EVEN, Site(1e9, 12, 4, by_client=one)).hour(36_000, 39_600) for one in (False, True))
    assert by_connection.cached < by_client.cached
    assert by_connection.held_p99 < by_client.held_p99


def test_survivors_have_the_load_of_the_dead() -> None:
    """With one host of four away each of the others has a third more."""
    whole, less = (Model(EVEN, Site(1e8, 4, 2, down=down)).hour(36_000, 39_600) for down in (0, 1))
    assert whole.held == pytest.approx(less.held)
    assert whole.busy_p99 * 4 / 3 == pytest.approx(less.busy_p99, rel=0.05)


@pytest.mark.slow
def test_as_many_hosts_as_are_needed() -> None:
    """One host fewer would be beyond a limit; hosts that may fail come on top."""
    site = hosts_needed(EVEN, Site(1e9, workers=4, down=1))

    def beyond(hosts: int) -> bool:
        model = Model(EVEN, Site(1e9, hosts, 4))
        found = limits(model, model.hour(36_000, 39_600))
        return any(one.share > 1 for one in found if one.where != "shard" and one.what != "conntrack")

    assert not beyond(site.up)
    assert beyond(site.up - 1)


@pytest.mark.parametrize("zipf", [0.4, 1.0, 1.2])
def test_groups_and_draws_are_the_same_crowd(zipf: float) -> None:
    """The groups have all clients and all connections, and clients that are drawn are met as often as the groups say."""
    people, draw = Crowd(5000, zipf), random.Random(7)
    drawn = [people.rank(draw.random()) for _ in range(20_000)]
    assert 5000 == pytest.approx(sum(count for count, _ in people.bins))
    assert 1 == pytest.approx(sum(count * share for count, share in people.bins))
    assert people.met(20_000) == pytest.approx(len(set(drawn)), rel=0.03)
    assert people.bins[0][1] == pytest.approx(drawn.count(1) / 20_000, rel=0.1, abs=0.001)


@pytest.mark.parametrize("times", [TALK, SESSION, even(3, 6), Times(((0, 1), (0.5, 1), (0.5, 4), (1, 4)))])
def test_draws_and_shares_left_are_the_same_times(times: Times) -> None:
    """The mean of what is drawn is the area under what is left."""
    mean = sum(times.at((number + 0.5) / 10_000) for number in range(10_000)) / 10_000
    assert mean == pytest.approx(area(times.left, 60, 0.005), rel=0.02)


def test_who_gives_up_is_as_in_2004() -> None:
    """86 % of all had gone at 35 s and 95.6 % at 85 s; the others stay."""
    assert [0.14, 0.044, 0.044] == [pytest.approx(GIVE_UP.left(after), abs=0.001) for after in (35, 85, 3600)]


@pytest.mark.parametrize("peak", [1.0, 1.8, 4.0])
def test_a_day_has_its_peak_and_its_mean(peak: float) -> None:
    """The crest is what was asked for, and the day as a whole is 1."""
    curve = Curve(peak)
    assert (peak, 1) == (pytest.approx(curve.at(11 * 3600), rel=0.01), pytest.approx(curve.until(DAY), rel=0.01))


def test_bursts_leave_the_mean() -> None:
    """What comes more in bursts comes less between them."""
    bursts = Bursts(3.0, 0.1, 30)
    assert 1 == pytest.approx(0.1 * bursts.height + 0.9 * bursts.calm)


def test_a_twin_keeps_how_often_each_client_comes() -> None:
    """All but one client in k are left out, so a worker has as much to do as before."""
    assert Site(1e7, hosts=2, workers=2, age=0) == twin(Site(1e9, hosts=200, workers=2), 1e7)


@pytest.mark.parametrize("mix", MIXES)
def test_shares_add_up(mix: str) -> None:
    """To 1, whatever was typed in."""
    assert 1 == pytest.approx(sum(mixed(Parameters(), mix).shares.values()))


@pytest.mark.parametrize(("change", "why"), [(("hold", "3"), "no such parameter"), (("wait_low", "soon"), "soon is no number")])
def test_a_wrong_parameter_is_told(change: tuple[str, str], why: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match=why):
        changed(Parameters(), [change])


@pytest.mark.parametrize("module", [crowd, tables, reality])
def test_examples_in_docstrings(module: object) -> None:
    """They are true."""
    done = doctest.testmod(module)  # type: ignore[arg-type]
    assert (0, True) == (done.failed, done.attempted > 0)


@pytest.mark.slow
def test_a_billion_a_day_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty-four hours, the totals and the limits, none of it wider than 100 columns."""
    assert 0 == simulate.main(["--day", "1e9", "--hosts", "0", "--workers", "4", "--down", "1", "--events", "0"])
    lines = capsys.readouterr().out.splitlines()
    assert [f"{hour:02d}" for hour in range(24)] == [line[:2] for line in lines[1:25]]
    assert max(map(len, lines)) <= 100


@pytest.mark.e2e
@pytest.mark.slow
def test_the_script_runs_by_itself(tmp_path: Path) -> None:
    """From any folder, with nothing but the standard library, and the same seed gives the same numbers."""
    command = [sys.executable, "-I", str(EXAMPLES / "scale" / "simulate.py"), "--day", "1e6", "--events", "20000", "--json"]
    one, two = (json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout) for _ in range(2))
    assert one == two
    assert 24 == len(one["hours"])
    assert 1e6 == pytest.approx(sum(hour["arrivals"] for hour in one["hours"]) * 3600, rel=0.01)
    assert one["check"]


def test_the_log_tells_who_was_there(tmp_path: Path) -> None:
    """Sessions are read from records: their kind by the address, when they were held and delayed, and their bytes."""
    lines = [
        '{"t":100.0,"dt":0.0,"id":"a","ev":"connect"}',
        '{"t":104.0,"dt":4.0,"id":"a","ev":"greet","held":4.0}',
        '{"t":115.0,"dt":15.0,"id":"a","ev":"hold","why":"residual","held":10.0}',
        '{"t":116.0,"dt":16.0,"id":"a","ev":"close","client":"127.30.1.2","messages":1}',
        '{"t":117.0,"ev":"stop"}',
    ]
    file = tmp_path / "record"
    file.write_text("\n".join(lines) + "\n")
    (session,) = reality.sessions(file)
    assert ("patient", 100.0, 104.0, [(105.0, 115.0)], 116.0) == (
        session.kind,
        session.came,
        session.greeted,
        session.delayed,
        session.gone,
    )
    assert (sum(len(line) + 1 for line in lines[:4]), len(lines[3]) + 1) == (session.octets, session.close_octets)
