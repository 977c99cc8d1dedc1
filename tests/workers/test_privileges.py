"""Becoming another user. That root cannot be had back is tried for real in tests/e2e/test_privileges.py."""

from __future__ import annotations

import os
import pwd
import re

import pytest

from tarry.workers import privileges
from tarry.workers.privileges import Identity, become, find, wanted, warning

NOBODY = pwd.getpwnam("nobody")


def be(monkeypatch: pytest.MonkeyPatch, uid: int, gid: int = 0) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "getegid", lambda: gid)


def test_nobody_is_named() -> None:
    """Then it stays who it is."""
    assert (None, None) == (find(""), wanted(""))


def test_a_user_and_a_group() -> None:
    """The group is the user's own unless one is named; the user's other groups come along."""
    root = pwd.getpwnam("root")
    assert Identity("nobody", NOBODY.pw_uid, NOBODY.pw_gid, tuple(os.getgrouplist("nobody", NOBODY.pw_gid))) == find("nobody")
    found = find("nobody:root")
    assert found is not None
    assert (NOBODY.pw_uid, root.pw_gid, True) == (found.uid, found.gid, root.pw_gid in found.groups)


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("no-such-user", "listen.user: there is no user no-such-user; make it (adduser --system --group no-such-user)"),
        ("nobody:no-such-group", "listen.user: there is no group no-such-group; make it (addgroup --system no-such-group)"),
    ],
)
def test_who_is_not_there(user: str, told: str) -> None:
    """With the command that mends it."""
    with pytest.raises(OSError, match=re.escape(told)):
        wanted(user)


def test_only_root_becomes_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is that user already need not; any other is told what to do."""
    be(monkeypatch, NOBODY.pw_uid, NOBODY.pw_gid)
    assert None is wanted("nobody")
    be(monkeypatch, 0)
    assert find("nobody") == wanted("nobody")
    be(monkeypatch, 4_000_000)
    with pytest.raises(OSError, match="only root can become nobody, and this is user 4000000; start tarry as root, or leave"):
        wanted("nobody")


@pytest.mark.parametrize(("uid", "user", "is_told"), [(0, "", True), (0, "nobody", False), (1000, "", False)])
def test_who_stays_root_is_told(monkeypatch: pytest.MonkeyPatch, uid: int, user: str, is_told: bool) -> None:
    """With the key that mends it."""
    be(monkeypatch, uid)
    assert is_told == ("listen.user" in warning(user))


@pytest.mark.parametrize("leaves_a_way_back", [False, True])
def test_groups_go_first_and_the_user_last(monkeypatch: pytest.MonkeyPatch, leaves_a_way_back: bool) -> None:
    """As the user nobody may change groups; where root can be had back, nothing is served."""
    done: list[tuple[str, object]] = []

    def refuse(which: int) -> None:
        if not leaves_a_way_back:
            raise PermissionError

    for name in ("setgroups", "setresgid", "setresuid", "umask"):
        monkeypatch.setattr(os, name, lambda *args, name=name: done.append((name, args)))
    for name in ("setuid", "setgid"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(os, "getresuid", lambda: (7, 7, 7))
    monkeypatch.setattr(os, "getresgid", lambda: (8, 8, 8))
    monkeypatch.setenv("USER", "root")
    monkeypatch.setenv("LOGNAME", "root")
    identity = Identity("somebody", 7, 8, (8, 9))
    steps = [("setgroups", ((8, 9),)), ("setresgid", (8, 8, 8)), ("setresuid", (7, 7, 7))]
    if leaves_a_way_back:
        with pytest.raises(OSError, match="root can be had back after becoming somebody"):
            become(identity)
        assert steps == done
    else:
        become(identity)
        assert [*steps, ("umask", (privileges.UMASK,))] == done
        assert ("somebody", "somebody") == (os.environ["USER"], os.environ["LOGNAME"])
