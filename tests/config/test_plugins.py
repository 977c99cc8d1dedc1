"""Checks out of Python files and installed packages, and what is told where there is none."""

from __future__ import annotations

import importlib
import os
import pwd
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarry.checks import REGISTRY
from tarry.config.plugins import SIZE_LIMIT, find
from tests.config.own import SOURCE, Greeter


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Leave sys.modules as it was."""
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def write(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def whats(folder: Path, *words: str) -> list[str]:
    """Return what is wrong with these words of ``plugins``."""
    return [trouble.what for trouble in find(words, folder).troubles]


def test_a_file_gives_its_checks(tmp_path: Path) -> None:
    """Relative to the folder; a second one comes behind it."""
    write(tmp_path, SOURCE)
    write(tmp_path, SOURCE.replace('"greeter"', '"second"'), "second.py")
    found = find(["second.py", str(tmp_path / "own.py")], tmp_path)
    assert ((), ["second", "greeter"]) == (found.troubles, [check.name for check in found.checks])


@pytest.mark.parametrize("checks", ["CHECKS = [Greeter]", "CHECKS = Greeter", "CHECKS = Greeter()"])
def test_checks_may_be_classes_or_a_single_one(tmp_path: Path, checks: str) -> None:
    """A class is called without arguments."""
    write(tmp_path, SOURCE.replace("CHECKS = (Greeter(),)", checks))
    found = find(["own.py"], tmp_path)
    assert ((), ["Greeter"]) == (found.troubles, [type(check).__name__ for check in found.checks])


def test_a_file_is_run_anew_each_time(tmp_path: Path) -> None:
    """So that SIGHUP brings what is in it now; one that breaks leaves the module as it was."""
    path = write(tmp_path, SOURCE)
    (old,) = find(["own.py"], tmp_path).checks
    path.write_text(SOURCE.replace("not wanted", "unwanted"))
    (new,) = find(["own.py"], tmp_path).checks
    assert ("Your name is not wanted", "Your name is unwanted") == (old.complaint, new.complaint)
    module = sys.modules[type(new).__module__]
    path.write_text(SOURCE + "\n1 / 0\n")
    assert () == find(["own.py"], tmp_path).checks
    assert module is sys.modules[type(new).__module__]


def test_what_a_file_prints_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is the record, or a client."""
    write(tmp_path, SOURCE + "print('hello')\n")
    find(["own.py"], tmp_path)
    assert ("", "hello\n") == capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = 1\ndef f(:\n", "own.py:2: SyntaxError: invalid syntax"),
        ("x = '\0'", r"own.py(:\d+)?: \w+: source code string cannot contain null bytes"),
        ("import nothing_like_it\n", "own.py:1: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def f():\n    1 / 0\n\n\nf()\n", "own.py:2: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('{')\n", "own.py:2: JSONDecodeError: .*"),
        ("import sys\nsys.exit('no')\n", "own.py:2: SystemExit: no"),
        ("class Mute(Exception):\n def __str__(self):\n  raise ValueError\nraise Mute\n", "own.py:4: Mute"),
        ("raise ValueError('x' * 999 + '\\n')", "own.py:1: ValueError: x{188}"),
        ("CHECK = 1", "own.py: it does not say which checks it has"),
        ("CHECKS = ()", "own.py: CHECKS is empty"),
        ("class A:\n    def __init__(self):\n        1 / 0\nCHECKS = (A,)", r"own.py:3: A\(\) fails: ZeroDivisionError: .*"),
        ("class A:\n    def __init__(self, x): ...\nCHECKS = (A,)", r"own.py:1: A\(\) fails: TypeError: .*"),
        (SOURCE.replace('"greeter"', '"Greeter"', 1), "own.py:20: Greeter.name: 'Greeter' is no word"),
        (SOURCE.replace('"greeter"', '"pregreet"', 1), "own.py:20: Greeter is called pregreet, and so is a built-in check"),
        (
            SOURCE.replace("(Greeter(),)", "(Greeter(), Greeter())"),
            "own.py:20: Greeter is called greeter, and so is a check of own.py",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    """The last line of the file itself that had a part in it."""
    write(tmp_path, text)
    (found,) = whats(tmp_path, "own.py")
    assert re.fullmatch(what, found), found
    assert "Greeter" in found or f"tarry plugin {tmp_path / 'own.py'}" not in sys.modules


def test_the_remedy_names_the_classes(tmp_path: Path) -> None:
    """A file that has a check and does not say so is the likeliest mistake."""
    write(tmp_path, SOURCE.replace("CHECKS =", "CHECK ="))
    (trouble,) = find(["own.py"], tmp_path).troubles
    assert "write CHECKS = (Greeter(),) at its end" == trouble.fix


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    """Each with the place of its word, and what is right is there all the same."""
    write(tmp_path, SOURCE)
    found = find(["none.py", "own.py", "a/b", "own.py", "none-such"], tmp_path)
    assert [0, 2, 3, 4] == [trouble.index for trouble in found.troubles]
    assert [
        f"none.py: there is no such file ({tmp_path / 'none.py'})",
        "a/b is no Python file",
        "own.py is there twice",
        "no installed package has an entry point none-such in the group tarry.checks",
    ] == [trouble.what for trouble in found.troubles]
    assert ["greeter"] == [check.name for check in found.checks]


@pytest.mark.parametrize("is_file", [True, False])
def test_what_everybody_may_write_is_not_run(tmp_path: Path, is_file: bool) -> None:
    """Neither the file nor its folder; a folder with the sticky bit lets nobody replace another's file."""
    path = write(tmp_path, SOURCE)
    meant = path if is_file else tmp_path
    meant.chmod(0o777)
    (trouble,) = find(["own.py"], tmp_path).troubles
    assert f"own.py: everybody may {'write' if is_file else 'replace'} it, and tarry would run what they wrote" == trouble.what
    assert f"chmod o-w {meant}" == trouble.fix
    meant.chmod(0o755 if is_file else 0o1777)
    assert () == find(["own.py"], tmp_path).troubles


@pytest.mark.parametrize("how", ["owns the file", "owns the folder", "is of its group", "reads it"])
def test_root_does_not_run_what_the_user_may_write_whom_it_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Or who breaks into a running tarry would be root at its next start."""
    uid, gid = os.getuid() or 65534, os.getgid() or 65534
    is_root = not os.getuid()
    path = write(tmp_path, SOURCE)
    entry = pwd.struct_passwd(("served", "x", uid if how.startswith("owns") else uid + 1, gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: entry)
    monkeypatch.setattr(os, "getgrouplist", lambda name, group: [group] if how == "is of its group" else [])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if how == "is of its group":
        path.chmod(0o664)
    if is_root and how != "reads it":
        os.chown(tmp_path if how == "owns the folder" else path, uid if how.startswith("owns") else -1, gid)
    troubles = find(["own.py"], tmp_path, serves_as="served:mail").troubles
    what = "own.py: served, who is to serve (listen.user), may write it, and root would run what they wrote"
    assert ([] if how == "reads it" else [what]) == [trouble.what for trouble in troubles]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert () == find(["own.py"], tmp_path, serves_as="served").troubles


def test_a_user_who_is_not_there_is_told_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the start; root is nobody to be kept from anything."""
    write(tmp_path, SOURCE)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert () == find(["own.py"], tmp_path, serves_as="nobody-of-that-name").troubles
    assert () == find(["own.py"], tmp_path, serves_as="root").troubles


def test_a_link_is_no_way_around(tmp_path: Path) -> None:
    """Neither from a folder where everybody may put another in its place, nor into one."""
    for name, mode in (("open", 0o777), ("closed", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
        write(tmp_path / name, SOURCE)
    (tmp_path / "open" / "link.py").symlink_to(tmp_path / "closed" / "own.py")
    (tmp_path / "closed" / "link.py").symlink_to(tmp_path / "open" / "own.py")
    for folder in ("open", "closed"):
        (trouble,) = find([f"{folder}/link.py"], tmp_path).troubles
        assert f"chmod o-w {tmp_path / 'open'}" == trouble.fix


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A folder, a FIFO that would never end, a file that is too large, a name that cannot be one."""
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "fifo.py")
    write(tmp_path, "#" * (SIZE_LIMIT + 1), "large.py")
    assert [
        "folder.py: this is no file",
        "fifo.py: this is no file",
        "large.py: the file is larger than 4 MiB",
        "a\\x00.py: the file cannot be read: embedded null byte",
    ] == whats(tmp_path, "folder.py", "fifo.py", "large.py", "a\0.py")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """Its mode is to be mended."""
    write(tmp_path, SOURCE).chmod(0)
    assert ["own.py: this user may not read the file"] == whats(tmp_path, "own.py")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, points: dict[str, str], package: str = "own_package") -> None:
    """Install a distribution with these entry points, and the module own_checks, for the length of a test."""
    home = folder / f"{package}-1.0.dist-info"
    home.mkdir()
    (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (home / "entry_points.txt").write_text("[tarry.checks]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()))
    (folder / "own_checks.py").write_text(SOURCE + "EACH = [Greeter]\nNOTHING = []\n")
    (folder / "own_broken.py").write_text("x = 1\n1 / 0\n")
    (folder / "own_syntax.py").write_text("x = 1\n(\n")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


@pytest.mark.parametrize("value", ["own_checks", "own_checks:EACH", "own_checks:Greeter", "own_checks:CHECKS"])
def test_an_entry_point_gives_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A module with CHECKS, a list, a class, a tuple of instances."""
    install(tmp_path, monkeypatch, {"ours": value})
    found = find(["ours"], tmp_path)
    assert ((), ["greeter"]) == (found.troubles, [check.name for check in found.checks])


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("own_broken", "{word} ({value}): {folder}/own_broken.py:2: ZeroDivisionError: division by zero"),
        ("own_syntax", "{word} ({value}): {folder}/own_syntax.py:2: SyntaxError: '(' was never closed"),
        ("own_missing", "{word} ({value}): ModuleNotFoundError: No module named 'own_missing'"),
        ("own_checks:NOTHING", "{word} ({value}): CHECKS is empty"),
        ("own_checks:SOURCE", "{word} ({value}): AttributeError: module 'own_checks' has no attribute 'SOURCE'"),
        ("own_checks:Options", "{word} ({value}): Options has no name"),
    ],
)
def test_an_entry_point_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, what: str) -> None:
    """The place that raised is told, wherever it is."""
    install(tmp_path, monkeypatch, {"ours": value})
    assert what.format(word="ours", value=value, folder=tmp_path) == whats(tmp_path, "ours")[0]


def test_the_nearest_entry_point_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all that there are, where none is near."""
    install(tmp_path, monkeypatch, {"our-checks": "own_checks"})
    near, far = find(["our-cheks", "xyzzy"], tmp_path).troubles
    assert 'did you mean "our-checks"?' == near.fix
    assert 'write a file\'s name with .py; installed entry points: "our-checks"' == far.fix


def test_two_packages_may_not_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is meant cannot be known."""
    for package in ("one", "two"):
        folder = tmp_path / package
        folder.mkdir()
        install(folder, monkeypatch, {"ours": f"own_{package}"}, package)
    assert ["several installed packages call an entry point ours: own_one and own_two"] == whats(tmp_path, "ours")


def test_checks_that_a_program_gives(tmp_path: Path) -> None:
    """They come behind those of plugins, and are held to the same."""
    write(tmp_path, SOURCE)
    found = find(["own.py"], tmp_path, [Greeter, REGISTRY[0], 7])
    assert ["greeter"] == [check.name for check in found.checks]
    assert (None, "Greeter is called greeter, and so is a check of own.py") == (found.troubles[0].index, found.troubles[0].what)
    assert "Pregreet is called pregreet, and so is a built-in check" == found.troubles[1].what
    assert "int has no name" == found.troubles[2].what
