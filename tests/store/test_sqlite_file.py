"""The file of the memory: made, opened, looked through, and moved aside."""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tarry.store import Away, sqlite_file
from tarry.store.sqlite_file import APPLICATION, SCHEMA, connected, identity

WALL = 1_700_000_000.0
STAMP = "20231114-221320"


def filled(path: Path, rows: int = 300) -> None:
    """Make a file with clients, whole and closed."""
    db, _ = connected(path, WALL, None)
    values = [(f"10.0.{number >> 8}.{number & 255}", 1.0, WALL, WALL, 1, 0, 0, "", "[]", "[]", "[]" * 20) for number in range(rows)]
    db.executemany(f"INSERT INTO clients VALUES ({', '.join('?' * 11)})", values)
    db.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_missing_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """Whatever the umask; the log beside it is as private."""
    path = tmp_path / "tarry.db"
    before = os.umask(0)
    try:
        db, which = connected(path, WALL, None)
        db.execute("INSERT INTO marks VALUES ('x', 'deny', 0, '', 0)")
    finally:
        os.umask(before)
    assert {"tarry.db": 0o600, "tarry.db-shm": 0o600, "tarry.db-wal": 0o600} == {
        each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()
    }
    assert identity(path) == which
    found = [
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "user_version", "application_id")
    ]
    assert [b"wal", 1, SCHEMA, APPLICATION] == found
    db.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """So that `tarry clients`, typed by root before the first start, does not lock the server out."""
    os.chown(tmp_path, 12345, 23456)
    db, _ = connected(tmp_path / "tarry.db", WALL, None)
    db.execute("INSERT INTO marks VALUES ('x', 'deny', 0, '', 0)")
    assert {(12345, 23456)} == {(each.stat().st_uid, each.stat().st_gid) for each in tmp_path.iterdir()}
    db.close()


@pytest.mark.parametrize(
    ("name", "expected"), [("no/tarry.db", "the folder .*no does not exist: make it"), ("file/tarry.db", "Not a directory")]
)
def test_a_folder_that_is_missing_is_told(tmp_path: Path, name: str, expected: str) -> None:
    """It is not made: that it is missing is mostly a mistake in the name."""
    (tmp_path / "file").touch()
    with pytest.raises(Away, match=expected):
        connected(tmp_path / name, WALL, None)
    assert ["file"] == names(tmp_path)


def test_a_file_that_was_closed_is_opened_again(tmp_path: Path) -> None:
    """With what it had."""
    path = tmp_path / "tarry.db"
    filled(path)
    db, _ = connected(path, WALL, None)
    assert 300 == db.execute("SELECT count(*) FROM clients").fetchone()[0]
    db.close()


@pytest.mark.parametrize(
    "broken",
    [
        lambda whole: b"",
        lambda whole: b"garbage " * 5000,
        lambda whole: b"\0" * len(whole),
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:50],
        lambda whole: whole[:100] + b"\0" * 4000 + whole[4100:],
        lambda whole: whole[:8192] + random.Random(1).randbytes(len(whole) - 8192),
    ],
    ids=["empty", "garbage", "zeros", "half", "a piece of the header", "without a schema", "random pages"],
)
def test_a_broken_file_is_moved_aside(tmp_path: Path, broken: object) -> None:
    """Whole, with its name and the time, and a new one is begun; an empty file is only a new one."""
    assert callable(broken)
    path = tmp_path / "tarry.db"
    filled(path)
    damaged = broken(path.read_bytes())
    path.write_bytes(damaged)
    if damaged:
        with pytest.raises(Away, match=f"tarry.db was broken .*: it is tarry.db.corrupt-{STAMP} now, and a new one is begun"):
            connected(path, WALL, None)
        assert damaged == (tmp_path / f"tarry.db.corrupt-{STAMP}").read_bytes()
    db, _ = connected(path, WALL, None)
    assert 0 == db.execute("SELECT count(*) FROM clients").fetchone()[0]
    db.close()


@pytest.mark.parametrize("seed", range(24))
def test_flipped_bits_are_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    """Wherever they are: the file is opened, or moved aside, and nothing else is raised."""
    path = tmp_path / "tarry.db"
    filled(path)
    whole, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(chance.choice([1, 8, 64])):
        whole[chance.randrange(len(whole) if seed % 2 else 4096)] ^= 1 << chance.randrange(8)
    path.write_bytes(whole)
    for _ in range(2):
        try:
            db, _ = connected(path, WALL, None)
            db.close()
            break
        except Away as away:
            said = str(away)
    else:
        # Bits that say who wrote the file make it another program's, or a newer tarry's or SQLite's: that is left as it is.
        assert "another program" in said or "a newer tarry" in said or "cannot be written" in said
        assert bytes(whole) == path.read_bytes()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Two broken files of one second lie beside each other; the log goes with its file."""
    path = tmp_path / "tarry.db"
    for text in (b"first", b"second", b"third"):
        path.write_bytes(text * 100)
        (tmp_path / "tarry.db-wal").write_bytes(text)
        with pytest.raises(Away, match="was broken"):
            connected(path, WALL, None)
    kept = {each.name: each.read_bytes()[:5] for each in tmp_path.iterdir()}
    aside = f"tarry.db.corrupt-{STAMP}"
    expected = {aside: b"first", f"{aside}-2": b"secon", f"{aside}-3": b"third"}
    assert expected == {name: kept[name] for name in expected}


def test_a_newer_file_is_left_as_it_is(tmp_path: Path) -> None:
    """This tarry does not know what it would break."""
    path = tmp_path / "tarry.db"
    filled(path)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(Away, match=f"newer tarry \\(version {SCHEMA + 1} of its tables, this one knows {SCHEMA}\\): upgrade"):
        connected(path, WALL, None)
    assert before == path.read_bytes()
    assert ["tarry.db"] == [name for name in names(tmp_path) if "corrupt" in name or name == "tarry.db"]


def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    """A name that was mistyped costs nobody a file."""
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE clients (name TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(Away, match=r"the database of another program: name another file in store\.url"):
        connected(path, WALL, None)
    assert (before, ["other.db"]) == (path.read_bytes(), names(tmp_path))


def test_a_file_of_ours_without_its_tables_is_broken(tmp_path: Path) -> None:
    """It says that it is ours, and nothing can be kept in it."""
    path = tmp_path / "tarry.db"
    filled(path)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE marks")
    db.close()
    with pytest.raises(Away, match="was broken \\(no such table: marks\\)"):
        connected(path, WALL, None)


def test_what_was_found_broken_in_use_is_moved_without_another_look(tmp_path: Path) -> None:
    """Unless another process has done so: its new file stays."""
    path = tmp_path / "tarry.db"
    filled(path)
    which = identity(path)
    with pytest.raises(Away, match="was broken \\(malformed\\)"):
        connected(path, WALL, which, "malformed")
    db, new = connected(path, WALL, which, "malformed")
    db.close()
    assert (1, True) == (len([name for name in names(tmp_path) if "corrupt" in name]), new != which)


def test_a_long_look_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gigabytes is not read for minutes while nothing is remembered."""
    path = tmp_path / "tarry.db"
    filled(path, 3000)
    monkeypatch.setattr(sqlite_file, "CHECK_FOR", -1.0)
    db, _ = connected(path, WALL, None)
    assert 3000 == db.execute("SELECT count(*) FROM clients").fetchone()[0]
    db.close()


def test_a_folder_that_another_process_has_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, in which it may have ended."""
    monkeypatch.setattr(sqlite_file, "OPEN_WAIT", 0.0)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(Away, match=r"another process has had the folder .* locked"):
            connected(tmp_path / "tarry.db", WALL, None)
    finally:
        os.close(fd)
    connected(tmp_path / "tarry.db", WALL, None)[0].close()


_OPEN = """
import sys
from pathlib import Path
from tarry.store import Away
from tarry.store.sqlite_file import connected
sys.stdin.readline()
try:
    connected(Path(sys.argv[1]), 1700000000.0, None)
except Away as away:
    print(away)
"""


def test_what_cannot_be_moved_is_told(tmp_path: Path) -> None:
    """And is left where it is: a folder has the name that it would have, and a thousand others are there."""
    path = tmp_path / "tarry.db"
    path.write_bytes(b"garbage" * 100)
    for number in ("", *(f"-{number}" for number in range(2, 1000))):
        (tmp_path / f"tarry.db.corrupt-{STAMP}{number}").touch()
    with pytest.raises(Away, match=r"is broken .*, and a thousand others like it lie beside it"):
        connected(path, WALL, None)
    assert path.read_bytes() == b"garbage" * 100


def test_a_name_that_cannot_be_a_file_is_told(tmp_path: Path) -> None:
    """Too long a name, and a folder in the place of the file."""
    with pytest.raises(Away, match="cannot be made: File name too long"):
        connected(tmp_path / ("x" * 300), WALL, None)
    with pytest.raises(Away, match="File name too long"):
        identity(tmp_path / ("x" * 300))
    (tmp_path / "folder").mkdir()
    with pytest.raises(Away, match="cannot be opened: look at the owner and the mode"):
        connected(tmp_path / "folder", WALL, None)


@pytest.mark.slow
def test_of_processes_that_open_at_once_one_moves_the_file(tmp_path: Path) -> None:
    """The others find the new one."""
    path = tmp_path / "tarry.db"
    path.write_bytes(b"garbage" * 1000)
    command = [sys.executable, "-c", _OPEN, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0] for process in processes]
    assert 1 == len([text for text in said if "was broken" in text])
    assert 1 == len([name for name in names(tmp_path) if name == f"tarry.db.corrupt-{STAMP}"])
    assert not [name for name in names(tmp_path) if name.startswith(f"tarry.db.corrupt-{STAMP}-2")]


_READ_ONLY = """
import os, sys
from pathlib import Path
from tarry.store import Away
from tarry.store.sqlite_file import connected
Path("/").as_uri()  # what that imports may be out of reach for nobody
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    connected(Path(sys.argv[1]), 1700000000.0, None)
except Away as away:
    print(away)
"""


@pytest.mark.parametrize(("file", "folder"), [(0o444, 0o755), (0o000, 0o755), (0o644, 0o555), (None, 0o555)])
def test_a_file_that_may_not_be_written_is_told(file: int | None, folder: int) -> None:
    """With what to look at; it is left where it is."""
    # Not in pytest's folder: each run of pytest closes that to all others anew.
    with tempfile.TemporaryDirectory(prefix="tarry-mode-") as made:
        Path(made).chmod(0o755)
        home = Path(made, "home")
        home.mkdir()
        path = home / "tarry.db"
        if file is not None:
            filled(path)
            path.chmod(file)
        home.chmod(folder)
        done = subprocess.run(
            [sys.executable, "-c", _READ_ONLY, str(path)], capture_output=True, text=True, timeout=30, check=False
        )
        home.chmod(0o755)
        assert done.stdout, done.stderr
        assert "look at the owner and the mode" in done.stdout or "cannot be made: Permission denied" in done.stdout
        assert (["tarry.db"] if file is not None else []) == names(home)
