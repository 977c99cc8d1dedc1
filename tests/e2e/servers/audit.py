"""audit - read back a whole record and say what is wrong with it.

What     Every line is one JSON object in printable ASCII; each session begins with `connect`, counts on without a gap and ends
         with the `close` that its other records add up to.
Promise  It reads what is there: sessions without a `close` (the daemon was killed) and `detail = "close"` are let be.
         `Tarry` asks it at the end of every test, so each end-to-end test is one of the record too.
"""

import json
from collections import defaultdict
from collections.abc import Iterator

from tarry.record.schema import Close, Connect, Record, read_line
from tarry.record.summary import fold


def problems(text: bytes) -> list[str]:
    """Return what is wrong with a record, as sentences."""
    return list(_problems(text))


def _problems(text: bytes) -> Iterator[str]:
    sessions: dict[str, list[Record]] = defaultdict(list)
    *lines, unfinished = text.split(b"\n")
    if unfinished:
        yield f"the last line has no end: {unfinished[:200]!r}"
    for line in lines:
        if any(not 32 <= byte < 127 for byte in line):
            yield f"not printable ASCII: {line[:300]!r}"
            continue
        try:
            is_session = "id" in json.loads(line)
            if is_session:
                record = read_line(line)
                sessions[record.stamp.id].append(record)
        except ValueError as problem:
            yield f"{problem}: {line[:300]!r}"
    for name, records in sessions.items():
        yield from (f"{name}: {problem}" for problem in _session_problems(records))


def _session_problems(records: list[Record]) -> Iterator[str]:
    events = [record.event for record in records]
    *before, last = events
    if not before:
        return  # detail = "close"
    if [record.stamp.n for record in records] != list(range(1, len(records) + 1)):
        yield f"the count is {[record.stamp.n for record in records]}"
    if [index for index, event in enumerate(events) if isinstance(event, Connect)] != [0]:
        yield "it does not begin with its only connect"
    if any(isinstance(event, Close) for event in before):
        yield "something follows its close"
    elif isinstance(last, Close) and fold(records) != last:
        yield f"close is {last}, and the records add up to {fold(records)}"
