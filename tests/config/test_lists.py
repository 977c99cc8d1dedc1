"""Files of networks: what a line may say, what is told of mistakes, and when a file has changed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config import lists
from tarry.config.lists import Entry, Lists, marked, mended, read, read_lists, read_until, stamp_of
from tarry.config.load import load
from tarry.config.origin import Problem, Severity
from tarry.config.values import Wrong

END_OF_2026 = datetime(2026, 12, 31, tzinfo=UTC).timestamp()
FIX = "write one network or address a line, and behind it nothing but until=DATE and # comment"


def written(folder: Path, content: bytes | str, name: str = "list.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def entry(text: str, until: float = 0.0) -> Entry:
    return Entry(ip_network(text), until)


def test_what_a_file_may_hold(tmp_path: Path) -> None:
    """Networks and addresses of both kinds, comments, dates and times, blank lines; the same twice is fine."""
    path = written(
        tmp_path,
        "# partners\n\n192.0.2.0/24 # one\n198.51.100.7\tuntil=2026-12-31\n  2001:db8:7::/48#close\n"
        "2001:DB8::1 until=2026-12-31T01:00+01:00 # in Vienna\n192.0.2.0/24\n10.0.0.0/255.0.0.0",
    )
    expected = (
        entry("192.0.2.0/24"),
        entry("198.51.100.7", END_OF_2026),
        entry("2001:db8:7::/48"),
        entry("2001:db8::1", END_OF_2026),
        entry("192.0.2.0/24"),
        entry("10.0.0.0/8"),
    )
    assert (expected, ()) == read(path)


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf192.0.2.7\r\n# caf\xe9\r\n198.51.100.0/24\r\n", b"192.0.2.7\r198.51.100.0/24", b"192.0.2.7\n198.51.100.0/24"],
)
def test_line_ends_and_a_byte_order_mark(content: bytes, tmp_path: Path) -> None:
    """CR LF, CR, a byte order mark, a last line without an end, and a comment in another encoding make no difference."""
    assert ((entry("192.0.2.7"), entry("198.51.100.0/24")), ()) == read(written(tmp_path, content))


def test_bits_right_of_the_prefix_are_cut_off(tmp_path: Path) -> None:
    """The network is taken, and a warning says so."""
    found = read(written(tmp_path, "192.0.2.7/24\n2001:db8::7/64\n"), "deny.files", "a.txt")
    assert (entry("192.0.2.0/24"), entry("2001:db8::/64")) == found.entries
    assert [
        "a.txt:1: warning: deny.files: 192.0.2.7/24 has bits set right of its prefix, and is taken for 192.0.2.0/24; "
        "write 192.0.2.0/24",
        "a.txt:2: warning: deny.files: 2001:db8::7/64 has bits set right of its prefix, and is taken for 2001:db8::/64; "
        "write 2001:db8::/64",
    ] == [str(problem) for problem in found.problems]


def test_an_ipv4_address_in_ipv6_form_is_one(tmp_path: Path) -> None:
    """Clients are known by their IPv4 address, so that is what the line means; with a warning."""
    found = read(written(tmp_path, "::ffff:192.0.2.7\n::ffff:192.0.2.0/120\n"))
    assert (entry("192.0.2.7"), entry("192.0.2.0/24")) == found.entries
    assert [(1, "write 192.0.2.7"), (2, "write 192.0.2.0/24")] == [(one.line, one.fix) for one in found.problems]
    assert {Severity.WARNING} == {one.severity for one in found.problems}


@pytest.mark.parametrize("everyone", ["0.0.0.0/0", "::/0"])
def test_everyone_is_warned_of(everyone: str, tmp_path: Path) -> None:
    """It is taken, as in the keys for networks."""
    found = read(written(tmp_path, everyone))
    assert ((entry(everyone),), f"{everyone} is everyone") == (found.entries, found.problems[0].what)
    assert not found.problems[0].is_error


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        ("partner.example", '"partner.example" is not a network', "write an address, or one with"),
        ("10.0", '"10.0" is not a network', 'write all four numbers: "10.0.0.0/16"'),
        ("192.0.2.0/33", '"192.0.2.0/33" is not a network', "write an address, or one with"),
        ("fe80::1%eth0", '"fe80::1%eth0" holds a zone', 'write "fe80::1": clients are known without theirs'),
        ("fe80::1%eth0/64", '"fe80::1%eth0/64" holds a zone', "write"),
        ("192.0.2.7 OK", '"OK" has no meaning here', FIX),
        ("192.0.2.7 until", '"until" has no meaning here', FIX),
        ("192.0.2.7 untill=2026-12-31", '"untill=2026-12-31" has no meaning here', "did you mean until=?"),
        ("192.0.2.7 until=2026-12-31 x", '"x" has no meaning here', FIX),
        ("192.0.2.7 until=31.12.2026", '"31.12.2026" is no date', "write it as in 2026-12-31 or 2026-12-31T18:00 (UTC)"),
        ("192.0.2.7 until=2026-02-30", '"2026-02-30" is no date', "write it as in 2026-12-31"),
        ("192.0.2.7 until=", '"" is no date', "write it as in 2026-12-31"),
        ("192.0.2.7\x1b[1m", '"192.0.2.7\\u001b[1m" is not a network', "write an address"),
    ],
)
def test_mistakes(line: str, what: str, fix: str, tmp_path: Path) -> None:
    """Each is told with its line and its remedy, and the lines around it are read."""
    found = read(written(tmp_path, f"192.0.2.1\n\n{line}\n192.0.2.2\n"), "exempt.files", "a.txt")
    assert (entry("192.0.2.1"), entry("192.0.2.2")) == found.entries
    (problem,) = found.problems
    assert ("exempt.files", what, "a.txt", 3, True) == (problem.where, problem.what, problem.file, problem.line, problem.is_error)
    assert problem.fix.startswith(fix)


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    """The first fifty are told, errors before warnings, and how many more there are."""
    found = read(written(tmp_path, "192.0.2.7/24\n" * 40 + "x\n" * 40))
    assert 40 == len(found.entries)
    assert [True] * 40 + [False] * 11 == [one.is_error for one in found.problems]
    assert (f"{tmp_path / 'list.txt'}: 30 more lines are like these", Severity.WARNING) == (
        found.problems[-1].what,
        found.problems[-1].severity,
    )
    assert read(written(tmp_path, "x\n" * 51)).problems[-1].is_error


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, a folder, a FIFO, one that is too large, one that may not be read: each is an error."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr(lists, "SIZE_LIMIT", 10)
    large = written(tmp_path, "192.0.2.7  #\n")
    found = {path.name: read(path).problems for path in (tmp_path / "none", tmp_path, fifo, large, Path("a\0b"))}
    assert {
        "none": f"{tmp_path / 'none'}: there is no such file ({tmp_path / 'none'})",
        tmp_path.name: f"{tmp_path}: this is no file",
        "fifo": f"{fifo}: this is no file",
        "list.txt": f"{large}: the file is larger than 0 MiB",
        "a\0b": "a\\x00b: the file cannot be read: embedded null byte",
    } == {name: problem.what for name, (problem,) in found.items()}
    assert all(problem.is_error and problem.fix for (problem,) in found.values())

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    assert f"{large}: this user may not read the file" == read(large).problems[0].what


def test_lines_end(tmp_path: Path) -> None:
    """A line holds before its date, and not from there on; what lies in a file twice holds as long as either."""
    entries = read(written(tmp_path, "192.0.2.7 until=2026-12-31\n10.0.0.0/8\n10.0.0.0/8 until=2026-12-31\n")).entries
    for now, expected in ((END_OF_2026 - 0.001, [False, False]), (END_OF_2026, [None, False])):
        table = marked([(entry, False) for entry in entries], now)
        assert expected == [table.find(ip_address(host).packed) for host in ("192.0.2.7", "10.0.0.1")]
    assert [True, False] == [entries[0].holds(END_OF_2026 - 1), entries[0].holds(END_OF_2026)]
    assert entries[1].holds(END_OF_2026)


@pytest.mark.parametrize("text", ["2026-12-31", "2026-12-31T00:00", "2026-12-31T00:00:00Z", "2026-12-31 02:00+02:00"])
def test_moments(text: str) -> None:
    """A date is the beginning of that day in UTC; so is a time without a zone."""
    assert END_OF_2026 == read_until(text)


@pytest.mark.parametrize("text", ["20261231", "2026-W53", "tomorrow", "", "0001-01-01", "1970-01-01", "2026-12-31T25:00"])
def test_what_is_no_moment(text: str) -> None:
    """Only the plain form is taken, and a time that there is."""
    with pytest.raises(Wrong):
        read_until(text)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    """A network, or `Wrong`."""
    try:
        found, _ = mended(text)
    except Wrong:
        return
    assert found == ip_network(str(found))


@given(st.binary(max_size=200))
def test_no_content_raises(content: bytes) -> None:
    """Whatever bytes a file holds, there are entries and problems."""
    found = lists._parse(content, "deny.files", "x")
    assert len(found.entries) + len(found.problems) <= 2 * (content.count(b"\n") + content.count(b"\r") + 1)


@pytest.mark.slow
def test_a_long_list_is_read(tmp_path: Path) -> None:
    """A hundred thousand lines, each with its comment."""
    path = written(tmp_path, "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} # {n}\n" for n in range(100_000)))
    found = read(path)
    assert (100_000, ()) == (len(found.entries), found.problems)


# All files of a configuration.


def test_both_keys_are_read(tmp_path: Path) -> None:
    """Relative to the folder of the configuration; a name that is there twice is read once."""
    written(tmp_path, "192.0.2.7\n", "a.txt")
    written(tmp_path, "10.0.0.0/8\nx\n", "b.txt")
    found = read_lists(["a.txt", "a.txt", str(tmp_path / "b.txt")], ["b.txt"], tmp_path)
    assert (entry("192.0.2.7"), entry("10.0.0.0/8")) == found.exempt
    assert (entry("10.0.0.0/8"),) == found.deny
    assert [("exempt.files", str(tmp_path / "b.txt"), 2), ("deny.files", "b.txt", 2)] == [
        (one.where, one.file, one.line) for one in found.problems
    ]


def test_changes_are_seen(tmp_path: Path) -> None:
    """Other content, another file of the same name, one that went away, one that came back; and nothing without a change."""
    path = written(tmp_path, "192.0.2.7\n", "a.txt")
    found = read_lists(["a.txt"], [], tmp_path)
    assert not found.has_changed()
    path.write_text("192.0.2.7\n192.0.2.8\n")
    assert found.has_changed()
    found = read_lists(["a.txt"], [], tmp_path)
    written(tmp_path, "192.0.2.7\n192.0.2.9\n", "new.txt").replace(path)  # the same size
    assert found.has_changed()
    found = read_lists(["a.txt"], [], tmp_path)
    path.unlink()
    assert found.has_changed()
    found = read_lists(["a.txt"], [], tmp_path)
    assert not found.has_changed()
    written(tmp_path, "", "a.txt")
    assert found.has_changed()
    assert not Lists().has_changed()


def test_a_name_that_no_file_can_have() -> None:
    """It changes as little as a file that is not there."""
    assert stamp_of(Path("a\0b")) == stamp_of(Path("gone"))


# In a configuration.


def test_a_configuration_has_its_lists(tmp_path: Path) -> None:
    """Their entries, and their problems behind its own: those of a line in the list, those of a whole file where it is named."""
    written(tmp_path, "192.0.2.7\nx\n", "a.txt")
    config = written(tmp_path, '[deny]\nfiles = ["a.txt"]\n[exempt]\n\nfiles = ["gone.txt"]\nx = 1\n', "tarry.toml")
    loaded = load(config)
    assert (entry("192.0.2.7"),) == loaded.lists.deny
    assert () == loaded.lists.exempt
    assert [
        f"{config}:6: error: exempt.x: no such key; ",
        f"{config}:5: error: exempt.files: gone.txt: there is no such file ({tmp_path / 'gone.txt'}); correct the name",
        'a.txt:2: error: deny.files: "x" is not a network; ',
    ] == [str(one)[: len(str(one)) if "gone" in str(one) else str(one).index("; ") + 2] for one in loaded.errors]
    assert Problem is type(loaded.errors[0])


def test_what_the_door_is_told(tmp_path: Path) -> None:
    """Both keys in one table, without the lines whose time is over."""
    written(tmp_path, "192.0.2.0/24 until=2026-01-01\n198.51.100.0/24\n", "bad")
    written(tmp_path, "198.51.100.7\n", "good")
    found = read_lists(["good"], ["bad"], tmp_path)
    for now, expected in ((1.7e9, [False, True, False]), (1.8e9, [None, True, False])):
        table = marked(found.words, now)
        assert expected == [table.find(ip_address(host).packed) for host in ("192.0.2.1", "198.51.100.7", "198.51.100.8")]
