"""The embedded MTA: a 250 means that the message is on disk."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from tarry.net import maildir
from tarry.net.maildir import LINE_LIMIT, MaildirConnector, prepare, store
from tarry.smtp.proxy_header import write_v2


def files(path: Path) -> dict[str, list[str]]:
    return {folder.name: sorted(file.name for file in folder.iterdir()) for folder in sorted(path.iterdir())}


def test_a_message_is_in_new_and_nowhere_else(tmp_path: Path) -> None:
    """As it came; the folders are made where they are missing, for their owner only."""
    name = store(tmp_path / "a" / "mail", b"Subject: x\r\n\r\n\0\xff\r\n")
    assert {"cur": [], "new": [name], "tmp": []} == files(tmp_path / "a" / "mail")
    file = tmp_path / "a" / "mail" / "new" / name
    assert (b"Subject: x\r\n\r\n\0\xff\r\n", 0o600) == (file.read_bytes(), file.stat().st_mode & 0o777)
    assert {0o700} == {folder.stat().st_mode & 0o777 for folder in (tmp_path / "a" / "mail").iterdir()}


def test_file_and_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before it is renamed, the folder after; and each is closed again."""
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(fd: int) -> None:
        target = Path(f"/proc/self/fd/{fd}").readlink()
        steps.append(f"fsync {target.parent.name if target.is_file() else target.name}")
        real_fsync(fd)

    def rename(self: Path, target: Path) -> Path:
        steps.append(f"rename to {target.parent.name}")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    before = descriptors()
    store(tmp_path, b"text\r\n")
    assert ["fsync tmp", "rename to new", "fsync new"] == steps
    assert before == descriptors()


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def fail_at(number: int) -> Callable[[int], None]:
    """Return an fsync that fails at its *number*-th call."""
    calls = iter(range(1, 10))

    def fsync(fd: int) -> None:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fsync


@pytest.mark.parametrize("number", [1, 2])
def test_what_cannot_be_synced_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Neither the file's failure nor the folder's: the client comes again, and the message would be there twice."""
    monkeypatch.setattr(os, "fsync", fail_at(number))
    with pytest.raises(OSError, match="No space"):
        store(tmp_path, b"text\r\n")
    assert {"cur": [], "new": [], "tmp": []} == files(tmp_path)


def test_what_cannot_be_renamed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above."""

    def rename(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Read-only"):
        store(tmp_path, b"text\r\n")
    assert {"cur": [], "new": [], "tmp": []} == files(tmp_path)


def test_a_message_that_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take less than it is given."""
    real_fdopen = os.fdopen

    class Short:
        def __init__(self, fd: int, mode: str, buffering: int) -> None:
            self._file = real_fdopen(fd, mode, buffering=buffering)

        def __enter__(self) -> Short:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def write(self, data: memoryview) -> int:
            return self._file.write(data[:3])

    monkeypatch.setattr(os, "fdopen", Short)
    name = store(tmp_path, b"0123456789")
    assert b"0123456789" == (tmp_path / "new" / name).read_bytes()


def test_names_are_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the same microsecond; and a host's name cannot lead out of the folder."""
    monkeypatch.setattr("tarry.net.maildir.time.time_ns", lambda: 1_700_000_000_123_456_789)
    monkeypatch.setattr(socket, "gethostname", lambda: "a/b:c")
    names = {store(tmp_path, b"x") for _ in range(50)}
    assert names == set(files(tmp_path)["new"])
    assert 50 == len(names)
    assert all(name.startswith("1700000000.M123456P") and name.endswith(".a\\057b\\072c") for name in names)


def test_a_maildir_that_cannot_be_made(tmp_path: Path) -> None:
    """It is an OSError for the operator."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        prepare(tmp_path / "file")


# The embedded MTA as a session sees it.


class Client(asyncio.Protocol):
    """The session's end of the socketpair."""

    def __init__(self) -> None:
        self.got = asyncio.Queue[bytes]()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.got.put_nowait(b"")


async def talk(connector: MaildirConnector, lines: list[bytes]) -> list[bytes]:
    """Say one thing after the other; return the replies, the greeting first."""
    client = Client()
    await connector.connect(lambda: client, None)
    assert client.transport is not None
    client.transport.write(write_v2(("192.0.2.7", 40000), ("198.51.100.1", 25)))
    replies = []
    for line in (*lines, b"QUIT\r\n"):
        replies.append(await _reply(client))
        client.transport.write(line)
    replies.append(await _reply(client))
    while await client.got.get():
        pass
    client.transport.close()
    await asyncio.sleep(0)
    return replies


async def _reply(client: Client) -> bytes:
    data = b""
    while not (data.endswith(b"\r\n") and data.split(b"\r\n")[-2][3:4] in (b" ", b"")):
        async with asyncio.timeout(5):
            piece = await client.got.get()
        assert piece, data
        data += piece
    return data


ENVELOPE = [b"EHLO client.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"RCPT TO:<e@f.example>\r\n"]


def test_a_session_with_the_embedded_mta(tmp_path: Path) -> None:
    """The 250 names the file, which holds the trace lines of a delivery and then the message as it came."""
    prepare(tmp_path)
    connector = MaildirConnector(tmp_path, "mail.example")
    long = b"y" * (LINE_LIMIT - 1000)
    replies = asyncio.run(talk(connector, [*ENVELOPE, b"DATA\r\n", b"Subject: x\r\n\r\n..dot\r\n" + long + b"\r\n.\r\n"]))
    assert str(tmp_path) == connector.where
    (name,) = files(tmp_path)["new"]
    assert f"250 2.0.0 Ok: stored as {name}\r\n".encode() == replies[-2]
    head, body = (tmp_path / "new" / name).read_bytes().split(b"Subject: x", 1)
    assert b"\r\n\r\n.dot\r\n" + long + b"\r\n" == body
    *lines, date = head.decode().split("\r\n")[:-1]
    assert [
        "Return-Path: <a@b.example>",
        "Delivered-To: c@d.example",
        "Delivered-To: e@f.example",
        "Received: from client.example ([192.0.2.7])",
    ] == lines
    assert date.startswith("\tby mail.example (tarry) with ESMTP; ")


def test_a_full_disk_is_a_452(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client keeps its message, and nothing of it stays."""
    prepare(tmp_path)
    monkeypatch.setattr(os, "fsync", fail_at(1))
    replies = asyncio.run(talk(MaildirConnector(tmp_path, "mail.example"), [*ENVELOPE, b"DATA\r\n", b"text\r\n.\r\n"]))
    assert b"452 4.3.1 Cannot store the message now: No space left on device\r\n" == replies[-2]
    assert {"cur": [], "new": [], "tmp": []} == files(tmp_path)


def test_no_descriptor_is_left_when_a_session_is_over(tmp_path: Path) -> None:
    """Neither end of the socketpair."""
    prepare(tmp_path)

    async def count() -> int:
        before = len(descriptors())
        await talk(MaildirConnector(tmp_path, "mail.example"), [b"EHLO x\r\n"])
        await asyncio.sleep(0.005)
        return len(descriptors()) - before

    assert 0 == asyncio.run(count())


async def call_off(connector: MaildirConnector, turns: int) -> bool:
    """Call a session off after so many turns of the loop; return whether it was there already."""
    made: list[asyncio.BaseTransport] = []

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)

    opening = asyncio.ensure_future(connector.connect(Client, None))
    for _ in range(turns):
        await asyncio.sleep(0)
    was_there = opening.done()
    opening.cancel()
    with suppress(asyncio.CancelledError):
        await opening
    if was_there:
        cast(asyncio.Transport, made[0]).abort()
    for _ in range(30):  # the server hears of the end, and ends
        await asyncio.sleep(0)
    return was_there


def test_a_session_that_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    """However far it has come: no descriptor, no reader of the loop, no task of the server's."""

    async def scenario() -> None:
        connector = MaildirConnector(tmp_path, "mx.example")
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        readers, before = len(selector.get_map()), descriptors()
        for turns in range(12):
            was_there = await call_off(connector, turns)
            assert (before, readers, 1) == (descriptors(), len(selector.get_map()), len(asyncio.all_tasks())), turns
            if was_there:
                return
        raise AssertionError("it never came to its end")

    asyncio.run(scenario())


def test_a_session_that_is_called_off_leaves_nothing_under_uvloop(tmp_path: Path) -> None:
    """Which tells a protocol nothing of a transport that is called off while it is made."""

    async def scenario() -> None:
        connector = MaildirConnector(tmp_path, "mx.example")
        assert await call_off(connector, 20)  # uvloop opens a descriptor of its own, once
        before = descriptors()
        for turns in range(20):
            was_there = await call_off(connector, turns)
            assert (before, 1) == (descriptors(), len(asyncio.all_tasks())), turns
            if was_there:
                return
        raise AssertionError("it never came to its end")

    uvloop.run(scenario())


def test_trace_lines_of_an_odd_client(tmp_path: Path) -> None:
    """IPv6 as RFC 5321 writes it, and no address where none is known."""
    from aiosmtpd.smtp import Envelope, Session

    handler = maildir._Handler(tmp_path, "mail.example")

    class Proxy:
        src_addr = "2001:db8::7"

    session, envelope = Session(cast(Any, None)), Envelope()
    envelope.mail_from, envelope.rcpt_tos = None, []
    session.host_name = "bad\nname"
    assert handler._trace(session, envelope).startswith(b"Return-Path: <>\r\nReceived: from bad\\nname ([unknown])\r\n")
    session.proxy_data = cast(Any, Proxy())
    session.host_name = None
    assert b"Received: from unknown ([IPv6:2001:db8::7])\r\n\tby mail.example (tarry) with SMTP; " in handler._trace(
        session, envelope
    )
