"""sides - the two ends of a session as asyncio sees them: what its transports call, told to the session.

What      `ClientSide` for the client's transport, `MtaSide` for one to the MTA.
Not here  What is made of it: net/session.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from tarry.net.session import Session


class ClientSide(asyncio.Protocol):
    """The client's transport tells the session."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._session.client_made(cast(asyncio.Transport, transport))  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        self._session.client_data(data)

    def eof_received(self) -> bool:
        return self._session.client_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.client_lost(exc)

    def pause_writing(self) -> None:
        self._session.client_writable(False)

    def resume_writing(self) -> None:
        self._session.client_writable(True)


class MtaSide(asyncio.Protocol):
    """The MTA's transport tells the session. ``serial`` tells a late connection from the one that is awaited."""

    __slots__ = ("_serial", "_session")

    def __init__(self, session: Session, serial: int) -> None:
        self._session = session
        self._serial = serial

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._session.mta_made(self._serial, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._session.mta_data(self._serial, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.mta_lost(self._serial, exc)

    def pause_writing(self) -> None:
        self._session.mta_writable(self._serial, False)

    def resume_writing(self) -> None:
        self._session.mta_writable(self._serial, True)
