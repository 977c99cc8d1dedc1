"""privileges - become the user of ``listen.user`` when the sockets are open.

Promises  Groups first, then the group, then the user; and it is tried whether root can be had back: if so nothing is served. Files
          that are made from then on are nobody's to read but the user's and its group's (umask 027).
Not here  Chroot and capabilities: systemd's unit does that better (packaging/systemd).
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from grp import getgrnam

UMASK = 0o027


@dataclass(frozen=True, slots=True)
class Identity:
    """Who to become."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def wanted(user: str) -> Identity | None:
    """Return whom ``listen.user`` names, "name" or "name:group"; None where nothing is to be done.

    Raises OSError with a sentence for the operator where there is no such user or group, or where this process may not become it.
    """
    identity = find(user)
    if identity is None or (os.geteuid(), os.getegid()) == (identity.uid, identity.gid):
        return None
    if os.geteuid() != 0:
        raise OSError(
            f"listen.user: only root can become {user}, and this is {_name_of(os.geteuid())}; start tarry as root, or leave "
            "listen.user out and let systemd do it (User=)"
        )
    return identity


def find(user: str) -> Identity | None:
    """Return whom *user* names, None for "". Raises OSError where there is no such user or group."""
    if not user:
        return None
    name, _, group = user.partition(":")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise OSError(f"listen.user: there is no user {name}; make it (adduser --system --group {name}), or name another") from None
    gid = entry.pw_gid
    if group:
        try:
            gid = getgrnam(group).gr_gid
        except KeyError:
            raise OSError(f"listen.user: there is no group {group}; make it (addgroup --system {group}), or name another") from None
    return Identity(name, entry.pw_uid, gid, tuple(os.getgrouplist(name, gid)))


def warning(user: str) -> str:
    """Return what is unwise about who serves, "" for nothing."""
    if os.geteuid() == 0 and not user:
        return 'this process is root and stays it: set listen.user = "tarry" (a user of its own), or User= under systemd'
    return ""


def become(identity: Identity) -> None:
    """Become *identity*, for good. Raises OSError where that cannot be done, or could be undone."""
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid and _can_become_root():
        raise OSError(f"listen.user: root can be had back after becoming {identity.name}; nothing is served")
    os.umask(UMASK)
    os.environ.update(USER=identity.name, LOGNAME=identity.name)


def _can_become_root() -> bool:
    for call in (os.setuid, os.setgid):
        try:
            call(0)
        except PermissionError:
            continue
        return True
    return 0 in (*os.getresuid(), *os.getresgid())


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
