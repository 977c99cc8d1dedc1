"""What store.url may say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tarry.config.schema import Config
from tarry.core.history import Fading
from tarry.store.places import Server, check_url, open_store, parsed, store_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:tarry.db", Path("tarry.db")),
        ("sqlite:/var/lib/tarry/tarry.db", Path("/var/lib/tarry/tarry.db")),
        ("sqlite:///var/lib/tarry/tarry.db", Path("/var/lib/tarry/tarry.db")),
        ("sqlite:a folder/x?y#z%20.db", Path("a folder/x?y#z%20.db")),
        ("valkey://cache", Server(where="valkey://cache:6379", host="cache")),
        ("redis://10.0.0.1:7000/3", Server(where="redis://10.0.0.1:7000/3", host="10.0.0.1", port=7000, database=3)),
        ("redis://[::1]:7000/", Server(where="redis://[::1]:7000/", host="::1", port=7000)),
        ("valkeys://:s%23cret@cache", Server(where="valkeys://cache:6379", host="cache", password="s#cret", has_tls=True)),
        (
            "rediss://tarry:x@cache/1",
            Server(where="rediss://cache:6379/1", host="cache", user="tarry", password="x", database=1, has_tls=True),
        ),
        (
            "valkeys://cache?ca=/etc/ca.pem&certificate=/etc/c.pem&key=/etc/k.pem&cluster=true",
            Server(
                where="valkeys://cache:6379",
                host="cache",
                has_tls=True,
                is_cluster=True,
                ca="/etc/ca.pem",
                certificate="/etc/c.pem",
                key="/etc/k.pem",
            ),
        ),
        (
            "valkey+unix://tarry:pw@/run/valkey/v.sock?db=2",
            Server(where="valkey+unix:///run/valkey/v.sock", path="/run/valkey/v.sock", user="tarry", password="pw", database=2),
        ),
    ],
)  # fmt: skip
def test_a_url_is_read(url: str, expected: Path | Server) -> None:
    """With percent signs for what would else mean something, but in the name of a file."""
    assert expected == parsed(url)
    check_url(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "it is no place for a memory: say sqlite:FILE"),
        ("tarry.db", "it is no place for a memory"),
        ("postgres://secret@x/y", "postgres is no place for a memory"),
        ("sqlite:", "needs the name of a file"),
        ("sqlite:/var/lib/", "needs the name of a file"),
        ("sqlite::memory:", "name a file, or say none"),
        ("sqlite:a\0b", "NUL"),
        ("redis://:secret@host:port/0", "the host or the port is not well formed"),
        ("redis://:secret@[host/0", "the host or the port is not well formed"),
        ("redis://:secret@host:70000", "the host or the port is not well formed"),
        ("redis:///0", "the host is missing: say redis://HOST:6379/0"),
        ("redis://:secret@host/zero", "the database behind the host is a number"),
        ("redis://:secret@host/0?db=1", "the database stands in the path"),
        ("redis://:secret@host?cluster=yes", "cluster is true or false"),
        ("redis://:secret@host/1?cluster=true", "a cluster has no databases but 0"),
        ("redis://:secret@host?ca=x", "ca is for TLS: begin with valkeys://"),
        ("rediss://:secret@host?ca=", "ca= is empty"),
        ("rediss://:secret@host?key=x", "add &certificate=FILE"),
        ("redis://:secret@host?password=secret", "behind the \\? may stand cluster=true"),
        ("redis://:sec#ret@host", "write %23 in a password"),
        ("valkey+unix://host/run/v.sock", "valkey\\+unix:///run/valkey/valkey.sock, with three slashes"),
        ("valkey+unix://", "with three slashes"),
        ("valkey+unix:///run/v.sock?cluster=true", "a cluster has no Unix socket"),
    ],
)
def test_what_is_wrong_is_told(url: str, expected: str) -> None:
    """In a sentence that says what to do, and never with the password."""
    with pytest.raises(ValueError, match=expected) as told:
        check_url(url)
    assert "secret" not in str(told.value)


def test_none_is_no_store() -> None:
    """It is right as a URL, and nothing can be opened."""
    check_url("none")
    with pytest.raises(ValueError, match="nothing is remembered"):
        open_store("none", fading=Fading(), keep=60, max_clients=1000, prefix="tarry:")


def test_a_server_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis-py is missing that is told when the store is to be opened, and the URL is right all the same."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "redis" else real(name, package))
    check_url("valkey://cache")
    with pytest.raises(ValueError, match=r"pip install 'tarry\[fleet\]'"):
        open_store("valkey://cache", fading=Fading(), keep=60, max_clients=1000, prefix="tarry:")


def test_nothing_is_opened_yet(tmp_path: Path) -> None:
    """Neither a file nor a connection, so that a process may fork afterwards; a file does not even load redis-py."""
    before = set(sys.modules)
    store = open_store(f"sqlite:{tmp_path}/tarry.db", fading=Fading(), keep=60, max_clients=1000, prefix="tarry:")
    assert (f"sqlite:{tmp_path}/tarry.db", []) == (store.where, list(tmp_path.iterdir()))
    assert not {"redis", "hiredis"} & (set(sys.modules) - before)
    assert "valkey://cache:6379" == open_store("valkey://:x@cache", fading=Fading(), keep=60, max_clients=1000, prefix="").where


def test_the_store_of_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that it says of memory and karma, also for another URL; an empty one is wrong, and not that of the configuration."""
    asked: list[tuple[str, dict[str, object]]] = []
    config = Config.from_toml('[store]\nurl = "sqlite:a.db"\nkeep = "9d"\nprefix = "x:"\n[karma]\nhalf_life = "1d"\n')
    with monkeypatch.context() as patched:
        patched.setattr("tarry.store.places.open_store", lambda url, **how: asked.append((url, how)))
        store_of(config)
        store_of(config, "sqlite:b.db")
    how = {"fading": Fading(86400.0, config.karma.most), "keep": 9 * 86400.0, "max_clients": 1_000_000, "prefix": "x:"}
    assert [("sqlite:a.db", how), ("sqlite:b.db", how)] == asked
    with pytest.raises(ValueError, match="no place for a memory"):
        store_of(config, "")
