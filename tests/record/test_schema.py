"""Records: their lines, and the lines read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.result import Action
from tarry.record import schema
from tarry.record.schema import Record, Stamp, read_line, write_line, write_process_line
from tests.strategies import closes, process_events, session_events

GOLDEN = (Path(__file__).parent / "golden" / "v1.jsonl").read_bytes().splitlines(keepends=True)

EVENTS: list[schema.AnyEvent] = [
    schema.Start("0.1.0", ("127.0.0.1:2525", "[::1]:2525"), 4711, "sha256:ab", 15000),
    schema.Config("sha256:ab", False, "tarry.toml:3: no such key"),
    schema.Connect("192.0.2.7", 40000, "198.51.100.1:25", 4.5, "203.0.113.5:6000", "", "sha256:ab"),
    schema.Answer("zen.spamhaus.org", ("127.0.0.2", "127.0.0.4"), 300.0, 12.5),
    schema.Readable("hold", 8, "EHLO x\\r\\n"),
    schema.Outcome("dnslists", "unknown", "no answer"),
    schema.Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 1.0, "delay"),
    schema.Verdict("hold", "delay", ("pregreet.spoke",), True),
    schema.Greet(4.5),
    schema.Command("RCPT", 31, "c@d.example"),
    schema.Hold("delay", 60.0, 55.25, "due", "rcpt"),
    schema.Handoff("proxy", "127.0.0.1:10025", True, 3.5, "", True),
    schema.Reply(250, "2.1.5 Ok", "RCPT", "mta", 0),
    schema.Hangup("rcpt", "fin"),
    schema.Close(
        "192.0.2.7", 40000, "198.51.100.1:25", "rcpt", "client", 4.5, 66.75, True, 1.25, 66.75, "delay", ("pregreet.spoke",),
        "x", 3, 1, 1, 0, 0, 0, 55.25, True, True, True,
    ),
    schema.Stress("descriptors", True, "980 of 1024"),
    schema.Lost(17, "no space left on device"),
    schema.Stop("SIGTERM", 3),
    schema.Parked("rcpt", 2),
    schema.Tls("client", False, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example.org", 2.5, "no shared cipher"),
    schema.Exit(-15, 1.25),
    schema.Wait("dubious", 30.0),
    schema.Worker(2, "ended", 4713, -9, "killed by SIGKILL"),
]  # fmt: skip
"""What the golden file holds, in its order."""

golden = pytest.mark.parametrize(
    ("line", "event"), list(zip(GOLDEN, EVENTS, strict=True)), ids=[type(event).__name__ for event in EVENTS]
)


def line_of(event: schema.AnyEvent) -> bytes:
    if isinstance(event, schema.PROCESS_EVENTS):
        return write_process_line(event, t=1700000000.0)
    return write_line(event, t=1700000001.25, dt=1.25, id="k3x9", n=2)


@golden
def test_the_golden_file_is_still_read(line: bytes, event: schema.AnyEvent) -> None:
    """Lines of version 1 mean for ever what they meant when they were written."""
    stamp = Stamp(1, 1700000000.0) if isinstance(event, schema.PROCESS_EVENTS) else Stamp(1, 1700000001.25, 1.25, "k3x9", 2)
    assert Record(stamp, event) == read_line(line)


@golden
def test_fields_are_only_ever_added(line: bytes, event: schema.AnyEvent) -> None:
    """Every field of a golden line is still written, under its name, with its value, in its place."""
    before, now = json.loads(line), json.loads(line_of(event))
    assert before == {name: now.get(name) for name in before}
    assert list(before) == [name for name in now if name in before]


def test_the_golden_file_has_a_line_of_each_event() -> None:
    """No event type goes without one."""
    assert set(get_args(schema.AnyEvent)) == {type(event) for event in EVENTS}


@given(event=session_events | closes, t=st.integers(0, 2**31), dt=st.integers(0, 10**9), n=st.integers(0, 10**6))
def test_a_record_is_read_back(event: schema.SessionEvent, t: int, dt: int, n: int) -> None:
    """parse(serialise(x)) == x for every event, to the microsecond."""
    line = write_line(event, t=t + 0.5, dt=dt / 1e6, id="a-z_09", n=n)
    assert Record(Stamp(1, t + 0.5, dt / 1e6, "a-z_09", n), event) == read_line(line) == read_line(line.decode())


@given(event=process_events, t=st.integers(0, 2**31))
def test_a_record_of_the_process_is_read_back(event: schema.ProcessEvent, t: int) -> None:
    """It has no session, and so neither ``dt`` nor ``id`` nor ``n``."""
    line = write_process_line(event, t=float(t))
    assert Record(Stamp(1, float(t)), event) == read_line(line)
    assert {"dt", "id", "n"}.isdisjoint(json.loads(line))


@given(event=session_events | closes | process_events)
def test_a_record_is_one_line_of_ascii(event: schema.AnyEvent) -> None:
    """With escaped text in it, a record is one JSON object, one line, ASCII, and has all of its event's fields."""
    line = line_of(event)
    assert line.isascii() and line.endswith(b"}\n") and line.count(b"\n") == 1
    assert {"v", "t", "ev", *type(event).__struct_fields__} <= set(json.loads(line))


@given(text=st.text(max_size=30))
def test_a_record_is_one_line_whatever_its_text(text: str) -> None:
    """Line ends in a text do not end the record, even where someone forgot to escape them."""
    line = write_line(schema.Hangup(text, "fin"), t=0.0, dt=0.0, id="x", n=1)
    assert [line] == line.splitlines(keepends=True)
    assert schema.Hangup(text, "fin") == read_line(line).event


@given(event=session_events)
def test_fields_from_the_future_are_passed_over(event: schema.SessionEvent) -> None:
    """A reader of today reads a line of tomorrow that has more fields."""
    fields = json.loads(line_of(event)) | {"zz_new": [1, {"a": None}], "v": 1}
    assert event == read_line(json.dumps(fields)).event


_STAMP = b'{"v":1,"t":1.0,"dt":0.0,"id":"x","n":1,'


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        (b'"ev":"connect","client":"192.0.2.7","port":1,"server":""}', schema.Connect("192.0.2.7", 1, "")),
        (b'"ev":"close"}', schema.Close()),
    ],
)
def test_fields_that_were_added_later_have_defaults(fields: bytes, event: schema.AnyEvent) -> None:
    """A line from before a field existed is read."""
    assert event == read_line(_STAMP + fields).event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"rubbish",
        b'{"v":1,"t":1.0}',
        b'{"v":1,"t":1.0,"ev":"nonsense"}',
        b'{"v":1,"t":1.0,"ev":"greet"}',
        b'{"v":1,',
    ],
)
def test_what_is_no_record_raises(line: bytes) -> None:
    """A ValueError, so that whoever reads a log can count the line and go on."""
    with pytest.raises(msgspec.DecodeError):
        read_line(line)


@given(line=st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_else(line: bytes) -> None:
    """A log that was cut or overwritten is a ValueError, whatever is in it."""
    with pytest.raises(ValueError):
        read_line(line)


@pytest.mark.parametrize("action", Action)
def test_who_was_refused(action: Action) -> None:
    """Whoever an action sent away that was carried out."""
    assert action.refuses == schema.Close(action=action.word).is_refused
    assert not schema.Close(action=action.word, observed=True).is_refused
