"""The two ends of a session as asyncio sees them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tarry.net.sides import ClientSide, MtaSide


class Told:
    """In place of a session: what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> bool:
            self.calls.append((name, arguments))
            return True

        return call


TRANSPORT = cast(asyncio.Transport, object())


@pytest.mark.parametrize(
    ("what", "arguments", "told"),
    [
        ("connection_made", (TRANSPORT,), ("client_made", (TRANSPORT,))),
        ("data_received", (b"x",), ("client_data", (b"x",))),
        ("eof_received", (), ("client_eof", ())),
        ("connection_lost", (None,), ("client_lost", (None,))),
        ("pause_writing", (), ("client_writable", (False,))),
        ("resume_writing", (), ("client_writable", (True,))),
    ],
)
def test_the_clients_side(what: str, arguments: tuple[Any, ...], told: tuple[str, tuple[Any, ...]]) -> None:
    """Each thing that happens to it is told as it is."""
    session = Told()
    getattr(ClientSide(cast(Any, session)), what)(*arguments)
    assert [told] == session.calls


@pytest.mark.parametrize(
    ("what", "arguments", "told"),
    [
        ("connection_made", (TRANSPORT,), [("mta_made", (7, TRANSPORT))]),
        ("data_received", (b"x",), [("mta_data", (7, b"x"))]),
        ("eof_received", (), []),
        ("connection_lost", (None,), [("mta_lost", (7, None))]),
        ("pause_writing", (), [("mta_writable", (7, False))]),
        ("resume_writing", (), [("mta_writable", (7, True))]),
    ],
)
def test_the_mtas_side(what: str, arguments: tuple[Any, ...], told: list[tuple[str, tuple[Any, ...]]]) -> None:
    """With the number of its connection, so that one that is not wanted any more can be told apart."""
    session = Told()
    getattr(MtaSide(cast(Any, session), 7), what)(*arguments)
    assert told == session.calls
