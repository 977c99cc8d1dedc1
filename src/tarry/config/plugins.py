"""plugins - the operator's own checks, out of Python files and installed packages.

What      `find` turns the words of ``plugins`` into checks. A word that ends in .py is a file, which names its checks in
          ``CHECKS = (...)``; any other is an entry point of the group ``tarry.checks``, which gives a check, a class, a list of
          them, or a module with CHECKS.
Promises  Nothing that is wrong with a plugin raises: a file that is not there or does not compile, an exception while it is
          imported, a check with half a declaration, a name that is taken. Each is told with the file's own line, and all at once.
          A file is run anew each time, so that SIGHUP brings what is in it now; while one is broken, the module that it was
          before stays.
Safety    A plugin runs with all that tarry may do. A file that everybody may write, or that lies in a folder where everybody may
          replace it, is not run; nor does root, before it gives root up, run what the user may write whom it becomes. What it
          prints while it is imported goes to standard error: standard output is the record, or a client.
Not here  What a declaration must have: declared.py. What becomes of one that fails while it looks: core/check.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType, TracebackType

import msgspec

from tarry.checks import REGISTRY
from tarry.config.declared import Fault, faults, name_of
from tarry.config.spelling import nearest, printable, spell
from tarry.core.check import Check

GROUP = "tarry.checks"
SIZE_LIMIT = 4 * 1024 * 1024
"""Octets. A larger file is no program that somebody wrote."""

_TOLD = 200  # characters of what a plugin raised
_MEND = "mend it, or take it out of plugins"


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong with one word of ``plugins``: its ``index`` there, None for a check that a program gave."""

    index: int | None
    what: str
    fix: str


class Found(msgspec.Struct, frozen=True):
    """The checks in order, and what is wrong with the others."""

    checks: tuple[Check, ...]
    troubles: tuple[Trouble, ...]


class _Broken(Exception):
    """A plugin cannot be used as a whole."""

    def __init__(self, what: str, fix: str = _MEND) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class _Offered(msgspec.Struct, frozen=True):
    """A thing that a plugin gives for a check, or what is wrong with it. ``place`` begins what is told of it."""

    thing: object
    place: str
    broken: str = ""


def find(words: Sequence[str], folder: Path, given: Sequence[object] = (), *, serves_as: str = "") -> Found:
    """Return the checks of the plugins that *words* name, and behind them those *given*. Files are relative to *folder*.

    *serves_as* is the value of ``listen.user``.
    """
    distrusted = _Ids.of(serves_as)
    checks: list[Check] = []
    troubles: list[Trouble] = []
    owners = {check.name: "a built-in check" for check in REGISTRY}
    for index, word in enumerate(words):
        if words.index(word) < index:
            troubles.append(Trouble(index, f"{printable(word)} is there twice", "keep one of the two"))
            continue
        try:
            offered = list(_of_file(word, folder, distrusted) if word.endswith(".py") else _of_entry_point(word))
        except _Broken as broken:
            troubles.append(Trouble(index, broken.what, broken.fix))
            continue
        _sort(offered, index, f"a check of {printable(word)}", owners, checks, troubles)
    _sort([_Offered(_made(one), "") for one in given], None, "another check that was given", owners, checks, troubles)
    return Found(tuple(checks), tuple(troubles))


def _sort(
    offered: Sequence[_Offered],
    index: int | None,
    owner: str,
    owners: dict[str, str],
    checks: list[Check],
    troubles: list[Trouble],
) -> None:
    """Put each thing where it belongs: to the checks, or with all that is wrong with it to the troubles."""
    for one in offered:
        if one.broken:
            troubles.append(Trouble(index, one.place + one.broken, _MEND))
            continue
        check, wrong = faults(one.thing)
        if check is not None and check.name in owners:
            wrong = (Fault(f"{name_of(check)} is called {check.name}, and so is {owners[check.name]}", "give it another name"),)
        elif check is not None:
            owners[check.name] = owner
            checks.append(check)
        troubles += [Trouble(index, f"{one.place}{fault.what}", fault.fix) for fault in wrong]


def _made(thing: object) -> object:
    return thing() if isinstance(thing, type) else thing


# Files.


class _Ids(msgspec.Struct, frozen=True):
    """Of the user who has no say yet, since this is still root."""

    name: str
    uid: int
    groups: frozenset[int]

    @staticmethod
    def of(user: str) -> _Ids | None:
        if not user or os.geteuid() != 0:
            return None
        import pwd

        name = user.partition(":")[0]
        try:
            entry = pwd.getpwnam(name)
        except KeyError:  # the start says so
            return None
        return _Ids(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid))) if entry.pw_uid else None

    def may_write(self, status: os.stat_result) -> bool:
        return status.st_uid == self.uid or bool(status.st_mode & stat.S_IWGRP and status.st_gid in self.groups)


def _of_file(word: str, folder: Path, distrusted: _Ids | None) -> list[_Offered]:
    path = folder / word
    shown = printable(word)
    source = _source(path, shown, distrusted)
    name = f"tarry plugin {path.resolve()}"  # not a name that an import could mean
    before = sys.modules.get(name)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    is_whole = False
    try:
        try:
            with redirect_stdout(sys.stderr):
                exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        except (Exception, SystemExit) as fault:
            line = _line_of(fault, str(path))
            raise _Broken(f"{shown}:{line}: {_said(fault)}" if line else f"{shown}: {_said(fault)}") from None
        offered = list(_named(module, shown, str(path)))
        is_whole = not any(one.broken for one in offered)
        return offered
    finally:
        if not is_whole:
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before


def _source(path: Path, shown: str, distrusted: _Ids | None) -> bytes:
    """Return what is in a file. What is looked at is what is read: nobody can exchange it in between."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for somebody to write
    except FileNotFoundError:
        raise _Broken(f"{shown}: there is no such file ({path.absolute()})", "correct the name, or write the file") from None
    except PermissionError:
        raise _Broken(f"{shown}: this user may not read the file", "change its owner or mode") from None
    except (OSError, ValueError) as fault:  # ENOTDIR, ELOOP, EIO, ENAMETOOLONG, a NUL in the name: the operator's to mend
        raise _Broken(f"{shown}: the file cannot be read: {printable(str(fault))}", "name another") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _Broken(f"{shown}: this is no file", "name a Python file")
        if status.st_mode & stat.S_IWOTH:
            raise _Broken(f"{shown}: everybody may write it, and tarry would run what they wrote", f"chmod o-w {path}")
        folders = dict.fromkeys((path.absolute().parent, path.resolve().parent))  # a link may lead elsewhere
        if distrusted is not None and any(distrusted.may_write(one) for one in (status, *(above.stat() for above in folders))):
            what = f"{distrusted.name}, who is to serve (listen.user), may write it, and root would run what they wrote"
            raise _Broken(f"{shown}: {what}", f"chown root {path} and its folder, and let {distrusted.name} only read them")
        for above in folders:
            mode = above.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise _Broken(f"{shown}: everybody may replace it, and tarry would run what they wrote", f"chmod o-w {above}")
        with os.fdopen(fd, "rb", closefd=False) as stream:
            source = stream.read(SIZE_LIMIT + 1)
    finally:
        os.close(fd)
    if len(source) > SIZE_LIMIT:
        raise _Broken(f"{shown}: the file is larger than {SIZE_LIMIT >> 20} MiB", "name a Python file")
    return source


def _named(module: ModuleType, shown: str, path: str) -> Iterator[_Offered]:
    """Yield what a module names in CHECKS."""
    if not hasattr(module, "CHECKS"):
        classes = [name for name, one in vars(module).items() if isinstance(one, type) and hasattr(one, "look")]
        listed = ", ".join(f"{name}()" for name in classes) or "MyCheck()"
        raise _Broken(f"{shown}: it does not say which checks it has", f"write CHECKS = ({listed},) at its end")
    yield from _each(module.CHECKS, shown, path)


def _each(things: object, shown: str, path: str) -> Iterator[_Offered]:
    some = list(things) if isinstance(things, list | tuple) else [things]
    if not some:
        raise _Broken(f"{shown}: CHECKS is empty", "name the checks in it, or take it out of plugins")
    for thing in some:
        line = _line_of_class(thing, path)
        place = f"{shown}:{line}: " if line else f"{shown}: "
        try:
            yield _Offered(_made(thing), place)
        except (Exception, SystemExit) as fault:
            line = _line_of(fault, path) or line
            yield _Offered(None, f"{shown}:{line}: " if line else f"{shown}: ", f"{name_of(thing)}() fails: {_said(fault)}")


# Entry points.


def _of_entry_point(word: str) -> list[_Offered]:
    from importlib.metadata import entry_points  # 20 ms, for those who have plugins of this kind

    shown = printable(word)
    known = entry_points(group=GROUP)
    asked = [one for one in known if one.name == word]
    if not asked:
        if "/" in word:
            raise _Broken(f"{shown} is no Python file", "name a file that ends in .py, or an entry point")
        names = sorted({one.name for one in known})
        meant = nearest(word, names)
        listed = ", ".join(map(spell, names)) or "none"
        fix = f"did you mean {spell(meant)}?" if meant else f"write a file's name with .py; installed entry points: {listed}"
        raise _Broken(f"no installed package has an entry point {shown} in the group {GROUP}", fix)
    places = sorted({one.value for one in asked})
    if len(places) > 1:
        raise _Broken(f"several installed packages call an entry point {shown}: {' and '.join(places)}", "uninstall all but one")
    place = f"{shown} ({places[0]})"
    try:
        with redirect_stdout(sys.stderr):
            thing = asked[0].load()
    except (Exception, SystemExit) as fault:
        raise _Broken(
            f"{place}: {_where(fault)}{_said(fault)}", "mend or reinstall the package, or take it out of plugins"
        ) from None
    if isinstance(thing, ModuleType):
        return list(_named(thing, place, str(thing.__file__)))
    return list(_each(thing, place, ""))


# What went wrong, and where.


def _said(fault: BaseException) -> str:
    if isinstance(fault, SyntaxError):
        return f"{type(fault).__name__}: {printable(str(fault.msg))}"[:_TOLD]
    try:
        text = str(fault)
    except Exception:  # a fault whose text cannot be had
        text = ""
    return printable(f"{type(fault).__name__}: {text}" if text else type(fault).__name__)[:_TOLD]


def _frames(fault: BaseException) -> Iterator[TracebackType]:
    frame = fault.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


def _line_of(fault: BaseException, path: str) -> int:
    """Return the last line of this file that had a part in it, 0 for none."""
    if isinstance(fault, SyntaxError) and fault.filename == path:
        return fault.lineno or 0
    lines = [frame.tb_lineno for frame in _frames(fault) if frame.tb_frame.f_code.co_filename == path]
    return lines[-1] if lines else 0


def _where(fault: BaseException) -> str:
    """Return ``file:line: `` of the place that raised, "" where that is only the import itself."""
    if isinstance(fault, SyntaxError) and fault.filename:
        return f"{fault.filename}:{fault.lineno}: "
    own = [frame for frame in _frames(fault) if not _is_ours_or_the_import(frame.tb_frame.f_code.co_filename)]
    return f"{own[-1].tb_frame.f_code.co_filename}:{own[-1].tb_lineno}: " if own else ""


def _is_ours_or_the_import(file: str) -> bool:
    return file == __file__ or "importlib" in file


def _line_of_class(thing: object, path: str) -> int:
    """Return the line where a check's class begins in this file, 0 where it is not from there."""
    import inspect

    cls = thing if isinstance(thing, type) else type(thing)
    try:
        if inspect.getsourcefile(cls) != path:
            return 0
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # made without a class statement, or built in
        return 0
