"""Wiring: what a worker has of the work."""

from __future__ import annotations

from tarry.share import Share


def test_what_is_not_said() -> None:
    """Nobody counts, and nobody asks."""
    share = Share(worker=2, sockets=())
    assert (1, None, "", None) == (share.incarnation, share.census, share.control, share.begun_with)
