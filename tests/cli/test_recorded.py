"""Records found again: by session and by client, in files of all kinds."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli import recording
from tests.cli.recording import BEGAN, EARLY, GOOD, ID

from tarry.cli import recorded
from tarry.cli.recorded import Sources, of_client, of_session, sources
from tarry.config.schema import Config
from tarry.record import schema


def start(t: float, worker: int = 0) -> bytes:
    return schema.write_process_line(schema.Start("0.1.0", ("127.0.0.1:25",), 1, worker=worker), t=t)


def log(path: Path, *parts: bytes | list[bytes]) -> str:
    path.write_bytes(b"".join(part if isinstance(part, bytes) else b"".join(part) for part in parts))
    return str(path)


def config(path: str, more: str = "") -> Config:
    return Config.from_toml(f'[record]\npath = "{path}"\n{more}')


# Where to look.


def test_a_file_and_what_was_rotated_away(tmp_path: Path) -> None:
    """The newest first, by when they were changed; other files are none."""
    names = ("tarry.jsonl", "tarry.jsonl.1", "tarry.jsonl.2.gz", "tarry.jsonl-20261101", "other.jsonl", "tarry.json")
    for age, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (BEGAN - age, BEGAN - age))
    (tmp_path / "tarry.jsonl.d").mkdir()
    assert [str(tmp_path / name) for name in names[:4]] == list(sources(config(str(tmp_path / "tarry.jsonl"))).files)


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_of_hours(end: str, tmp_path: Path) -> None:
    """The last hour first, compressed ones too."""
    for name in ("2026-11-21T05.jsonl", "2026-11-21T06.jsonl", "2026-11-20T23.jsonl.gz", "2026-11-21T05.log"):
        (tmp_path / name).touch()
    found = sources(config(f"{tmp_path}{end}"))
    assert ["2026-11-21T06.jsonl", "2026-11-21T05.jsonl", "2026-11-20T23.jsonl.gz"] == [Path(one).name for one in found.files]


@pytest.mark.parametrize(
    ("path", "more", "why"),
    [
        (
            "-",
            "",
            'record.path = "-": the records go to standard output, to whoever reads that; hand them in with --records FILE or -',
        ),
        ("gone.jsonl", "", "there is no {}/gone.jsonl, which record.path names"),
        ("gone/", "", "there is no file of records in {}/gone"),
        ("x.log", 'style = "postscreen"', 'record.style = "postscreen" is for other programs: '),
    ],
)
def test_nowhere(path: str, more: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why there is nothing to look into, with the whole name."""
    monkeypatch.chdir(tmp_path)
    found = sources(config(path, more))
    assert () == found.files
    assert found.why.startswith(why.format(tmp_path))
    assert ("a", "b") == sources(config(path, more), ("a", "b")).files


# A session.


def test_a_session(tmp_path: Path) -> None:
    """All its records in order, whatever lies between them."""
    early, good = recording.written(EARLY), recording.written(GOOD, "6B01B58C-0002")
    mixed = [line for pair in zip(early, good, strict=False) for line in pair]
    found = of_session(Sources((log(tmp_path / "a", start(1.0), mixed),)), ID)
    (session,) = found.sessions
    assert [event for _, event in EARLY] == [one.event for one in session.records[:-1]]
    assert (session.close, session.connect) == (session.records[-1].event, EARLY[0][1])
    assert (BEGAN, False) == (session.began, session.is_lost)
    assert ((str(tmp_path / "a"),), ()) == (found.files, found.unread)


def test_a_session_that_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """Was begun before the log was rotated; files from before its beginning are not read."""
    lines = recording.written(EARLY)
    new, old = log(tmp_path / "new", lines[3:]), log(tmp_path / "old", lines[:3])
    found = of_session(Sources((new, old, str(tmp_path / "older"))), ID)
    assert len(lines) == len(found.sessions[0].records)
    assert ((new, old), ()) == (found.files, found.unread)


def test_a_session_that_was_not_found(tmp_path: Path) -> None:
    """Neither one whose id is in a client's words, nor another one's."""
    words = schema.Command("EHLO", 30, f'","id":"{ID}"')
    there = recording.written([*GOOD, (5.0, words)], "6B01B58C-0002")
    found = of_session(Sources((log(tmp_path / "a", there, b'{"id":"6B01B58C-0001"}\n', b'{"v":1,"id":"6B01B58C-0001"\n'),)), ID)
    assert ((), 1) == (found.sessions, len(found.files))


@pytest.mark.parametrize(("again", "worker", "is_lost"), [(60.0, 0, True), (-60.0, 0, False), (60.0, 2, False)])
def test_a_session_without_an_end(again: float, worker: int, is_lost: bool, tmp_path: Path) -> None:
    """Is under way; or its end is lost, where tarry was started anew since. That a worker began says nothing of the others."""
    lines = recording.written(EARLY, ends=False)
    (session,) = of_session(Sources((log(tmp_path / "a", lines, start(BEGAN + again, worker)),)), ID).sessions
    assert (None, is_lost) == (session.close, session.is_lost)


# A client.


def test_the_last_sessions_of_a_client(tmp_path: Path) -> None:
    """The newest first, so many of them; others are not its own, whatever their addresses begin with."""
    logs = []
    for number in range(4):
        mine = recording.written(EARLY, f"6B01B58C-{number:04X}", BEGAN + number)
        logs.append(log(tmp_path / str(number), recording.written(GOOD, f"6B01B58C-{number + 16:04X}"), mine))
    found = of_client(Sources(tuple(reversed(logs))), "192.0.2.7", 3)
    assert ["6B01B58C-0003", "6B01B58C-0002", "6B01B58C-0001"] == [one.id for one in found.sessions]
    assert 3 == len(found.files)
    assert () == of_client(Sources(tuple(logs)), "192.0.2.70", 3).sessions


def test_an_ipv6_client_is_its_subnet(tmp_path: Path) -> None:
    """Whichever of its addresses it comes from."""
    lines = []
    for number, client in enumerate(("2001:db8::7", "2001:db8:0:0:1::1", "2001:db8:1::7", "192.0.2.7")):
        lines += recording.written([(0.0, schema.Connect(client, 1, ""))], f"6B01B58C-{number:04X}", BEGAN + number)
    found = of_client(Sources((log(tmp_path / "a", start(1.0), lines, b'{"client":"a:z","ev":"close"}\n'),)), "2001:db8::/64", 9)
    assert ["6B01B58C-0001", "6B01B58C-0000"] == [one.id for one in found.sessions]


def test_sessions_under_way(tmp_path: Path) -> None:
    """Are those without an end."""
    name = log(tmp_path / "a", recording.written(EARLY, ends=False))
    assert [None] == [one.close for one in of_client(Sources((name,)), "192.0.2.7", 9).sessions]


# Files.


def test_files_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed, standard input, and without an end of line at the end."""
    lines = b"".join(recording.written(EARLY))
    packed = log(tmp_path / "a.gz", gzip.compress(lines))
    cut = log(tmp_path / "b", lines.rstrip(b"\n"))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    assert [6, 6, 6] == [len(of_session(Sources((one,)), ID).sessions[0].records) for one in (packed, cut, "-")]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Are told, and the others are read."""
    broken = log(tmp_path / "broken.gz", gzip.compress(os.urandom(5000))[:2000])
    garbled = log(tmp_path / "garbled.gz", b"\x1f\x8b\x08\x00" + bytes(6) + b"\xff" * 50)
    good = log(tmp_path / "good", recording.written(EARLY))
    found = of_session(Sources((str(tmp_path / "gone"), str(tmp_path), broken, garbled, good)), ID)
    assert 1 == len(found.sessions)
    assert (good,) == found.files
    assert [f"{tmp_path / 'gone'}: No such file or directory", f"{tmp_path}: Is a directory"] == list(found.unread[:2])
    assert [broken, garbled] == [one.partition(": ")[0] for one in found.unread[2:]]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_lines_may_lie_across_blocks(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is read at a time."""
    monkeypatch.setattr(recorded, "_BLOCK", size)
    name = log(tmp_path / "a", recording.written(GOOD, "6B01B58C-0002"), recording.written(EARLY), b"{}\n\n")
    assert 6 == len(of_session(Sources((name,)), ID).sessions[0].records)


def test_what_has_no_lines_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a line end is no log, and need not fit into memory."""
    monkeypatch.setattr(recorded, "_BLOCK", 10)
    monkeypatch.setattr(recorded, "_LONGEST", 100)
    kept = list(recorded._matching(io.BytesIO(b"x" * 1000), [b"x"]))
    assert 1 == len(kept) and 110 >= len(kept[0])


@given(st.binary(max_size=300))
def test_no_content_raises(content: bytes) -> None:
    """What is no record is passed over."""
    for line in recorded._matching(io.BytesIO(content), [b""]):
        recorded._record(line)
        recorded._is_of(line, "2001:db8::/64")
