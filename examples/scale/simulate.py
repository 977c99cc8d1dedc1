"""simulate - what does a number of connections a day ask for?

    python examples/scale/simulate.py --day 10e6 --hosts 2 --workers 2
    python examples/scale/simulate.py --day 1e9 --hosts 12 --workers 4 --mix even --down 1
    python examples/scale/simulate.py --day 1e9 --hosts 12 --workers 4 --set lists=0 --set wait_high=20 --json

Prints the hours of the day, what they come to, what is at its limit first, and, unless ``--events 0``, how the formulas
compare with a discrete-event simulation of a small twin with so many connections.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale import tables
from scale.events import play, twin
from scale.fluid import Model, Site
from scale.limits import hosts_needed, limits
from scale.parameters import MIXES, Parameters, changed, mixed, read


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, or 2 for a wrong command line."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        parameters = mixed(Parameters(), asked.mix)
        if asked.parameters:
            parameters = read(parameters, asked.parameters)
        parameters = changed(parameters, (one.partition("=")[::2] for one in asked.set))
    except (ValueError, OSError) as problem:
        parser.error(str(problem))
    if asked.show:
        print(shown(parameters))
        return 0
    if asked.day <= 0 or asked.workers < 1 or asked.down < 0 or 0 < asked.hosts <= asked.down:
        parser.error("--day must be above 0, --workers 1 at least, and a host must be left that is not down")
    site = Site(asked.day, asked.hosts, asked.workers, asked.spread == "client", asked.age, asked.down)
    if not asked.hosts:
        site = hosts_needed(parameters, site)
    model = Model(parameters, site)
    hours = model.hours()
    found = limits(model, tables.busiest(hours))
    rows = []
    if asked.events:
        small = Model(parameters, twin(site, asked.events))
        rows = tables.side_by_side(small, small.hours(), play(small, asked.seed, tables.CREST))
    if asked.json:
        print(
            json.dumps(
                {
                    "site": asdict(site),
                    "parameters": asdict(parameters),
                    "hours": [hour.values() for hour in hours],
                    "totals": tables.totals(model, hours),
                    "limits": [{**asdict(one), "share": one.share} for one in found],
                    "check": [{"what": name, "formulas": plan, "events": seen} for name, plan, seen in rows],
                },
                indent=1,
            )
        )
        return 0
    print(tables.hourly(hours), tables.summary(model, hours), tables.nearest(found), sep="\n\n")
    if rows:
        print("", tables.compared(rows), sep="\n")
    return 0


def shown(parameters: Parameters) -> str:
    """Return all parameters with their units and sources."""
    return "\n".join(
        f"{one.name} = {getattr(parameters, one.name):g} {one.metadata['unit']}\n    {one.metadata['source']}"
        for one in fields(parameters)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulate.py", description="What a number of SMTP connections a day asks of tarry.")
    parser.add_argument("--day", type=float, default=10e6, help="connections a day (10e6)")
    parser.add_argument("--hosts", type=int, default=1, help="machines; 0: as many as are needed (1)")
    parser.add_argument("--workers", type=int, default=2, help="workers on each (2)")
    parser.add_argument("--down", type=int, default=0, metavar="N", help="hosts that are away; the others have their clients (0)")
    parser.add_argument("--mix", choices=sorted(MIXES), default="even", help="who comes (even)")
    parser.add_argument(
        "--spread", choices=("connection", "client"), default="connection", help="what a balancer hashes (connection)"
    )
    parser.add_argument("--age", type=float, default=30, metavar="DAYS", help="how long the memory has been filled before (30)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter")
    parser.add_argument("--parameters", type=Path, metavar="FILE", help="TOML file with parameters")
    parser.add_argument("--events", type=float, default=200_000, metavar="N", help="size of the twin; 0 for none (200000)")
    parser.add_argument("--seed", type=int, default=1, help="of the twin (1)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--show", action="store_true", help="print the parameters and their sources, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
