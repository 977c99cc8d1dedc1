"""Keys that wait for a restart."""

from __future__ import annotations

from tarry.config.keys import build, keys
from tarry.config.restart import FIXED, waiting
from tarry.config.schema import Config


def test_each_is_a_key() -> None:
    """And no other is told."""
    assert set(FIXED) <= set(keys())
    assert [] == waiting(Config(), build({"hold.wait": keys()["hold.wait"].kind.read("9s")}))


def test_what_changed_is_told() -> None:
    """In the order of the table."""
    given = {"store.url": "none", "listen.workers": 3, "store.keep": "9d"}
    new = build({name: keys()[name].kind.read(value) for name, value in given.items()})
    assert ["listen.workers", "store.url", "store.keep"] == waiting(Config(), new)
