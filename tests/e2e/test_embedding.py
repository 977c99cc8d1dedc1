"""The Python API: a front door inside another program, on uvloop and on plain asyncio."""

import asyncio
import smtplib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tarry import Config, ConfigError, Server, serve
from tests.e2e.servers import audit, clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUNNERS: dict[str, Callable[[Coroutine[Any, Any, Any]], Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return RUNNERS[request.param]


def config(folder: Path, more: str = "") -> Config:
    text = '[listen]\nsmtp = ["127.0.0.1:0"]\n[hold]\nwait = "0.2s"\n'
    return Config.from_toml(f'{text}[record]\npath = "{folder}/record.jsonl"\n[handoff]\nmaildir = "{folder}/mail"\n{more}')


def port_of(server: Server) -> int:
    ((_, port),) = server.addresses
    return port


def test_a_block_serves_mail(tmp_path: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Inside the block mail is taken; at its end everything is closed, and the record is whole."""

    async def main() -> None:
        async with serve(config(tmp_path)) as server:
            assert {} == await asyncio.to_thread(clients.submit, port_of(server))
            port = port_of(server)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(RawClient, port)

    run(main())

    (path,) = (tmp_path / "mail/new").iterdir()
    assert path.read_bytes().endswith(clients.MESSAGE)
    assert [] == audit.problems((tmp_path / "record.jsonl").read_bytes())


def test_it_relays_to_an_mta(tmp_path: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Ten senders at once, each of which brings one message to the MTA."""

    async def main(sink: Sink) -> None:
        chosen = Config.from_toml(
            f'[listen]\nsmtp = ["127.0.0.1:0"]\n[hold]\nwait = "0.2s"\n[record]\npath = "{tmp_path}/record.jsonl"\n'
            f'[handoff]\nmode = "proxy"\naddress = "127.0.0.1:{sink.port}"'
        )
        async with serve(chosen) as server:
            sending = (asyncio.to_thread(clients.submit, port_of(server)) for _ in range(10))
            assert [{}] * 10 == await asyncio.gather(*sending)

    with Sink() as sink:
        run(main(sink))
        assert 10 == sum(message.accepted for message in sink.messages)


def test_the_end_of_the_block_drains(tmp_path: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A message under way is finished, a held client gets its 421."""

    async def main() -> tuple[int, int, int]:
        async with serve(config(tmp_path, "[exempt]\nnetworks = ['127.0.0.1/32']")) as server:
            sending = await asyncio.to_thread(RawClient, port_of(server))
            await asyncio.to_thread(sending.greeted)
            await asyncio.to_thread(sending.envelope)
            started = (await asyncio.to_thread(sending.command, b"DATA")).code
            held = await asyncio.to_thread(RawClient, port_of(server), source="127.9.9.9")
            await asyncio.sleep(0.05)
            finishing = asyncio.create_task(asyncio.to_thread(finish, sending))
            refused = asyncio.create_task(asyncio.to_thread(held.read_reply))
        held.close()
        return started, (await finishing), (await refused).code

    def finish(sending: RawClient) -> int:
        time.sleep(0.3)
        code = sending.command(b"x\r\n.").code
        sending.close()
        return code

    assert (354, 250, 421) == run(main())


def test_awaiting_it_serves_until_it_is_cancelled(tmp_path: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """`await serve(config)` is the whole of a program; cancelling it drains."""

    async def main() -> None:
        server = serve(config(tmp_path))

        async def forever() -> None:
            await server

        serving = asyncio.create_task(forever())
        while not server.addresses:
            await asyncio.sleep(0.01)
        assert {} == await asyncio.to_thread(clients.submit, port_of(server))
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    run(main())

    assert 1 == len(list((tmp_path / "mail/new").iterdir()))


def test_two_front_doors_in_one_program(tmp_path: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """Nothing is global: each has its own clients, limits and record."""

    async def main() -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        second.mkdir()
        async with serve(config(first)) as one, serve(config(second, "[deny]\nnetworks = ['127.0.0.0/8']"), observe=False) as other:
            assert {} == await asyncio.to_thread(clients.submit, port_of(one))
            with pytest.raises(smtplib.SMTPConnectError):
                await asyncio.to_thread(clients.submit, port_of(other))

    run(main())

    assert 1 == len(list((tmp_path / "first/mail/new").iterdir()))
    assert [] == list((tmp_path / "second/mail/new").iterdir())


def test_an_address_in_use_is_an_oserror_and_leaves_nothing_open(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]
) -> None:
    """The second on the same port cannot start; the first goes on."""

    async def main() -> None:
        async with serve(config(tmp_path)) as server:
            taken = Config.from_toml(
                f'[listen]\nsmtp = ["127.0.0.1:{port_of(server)}"]\n[record]\npath = "{tmp_path}/other"\n'
                f'[handoff]\nmaildir = "{tmp_path}/mail"'
            )
            with pytest.raises(OSError, match="in use"):
                async with serve(taken):
                    pass
            assert {} == await asyncio.to_thread(clients.submit, port_of(server))

    run(main())


def test_a_configuration_with_errors_is_told_whole() -> None:
    """Every problem at once, each with where it is and what to do."""
    with pytest.raises(ConfigError) as told:
        Config.from_toml('[hold]\nwait = "soon"\nwiat = "1s"\n[listen]\nmax_clients = -1')

    assert all(word in str(told.value) for word in ("hold.wait", "wiat", "listen.max_clients"))
