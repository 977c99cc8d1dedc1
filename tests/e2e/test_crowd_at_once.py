"""A crowd that comes to the MTA in one moment: it is opened in turns, so that nobody is lost in its accept queue."""

import asyncio
from collections import Counter

import pytest

from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.tarpitted import reply_code
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CROWD = 300
LONGEST = 20.0
"""Less than limits.backend, after which those who were lost get 421."""


async def _client(port: int, number: int, ready: asyncio.Barrier) -> int:
    source = (f"127.30.{number // 200}.{number % 200 + 1}", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
    try:
        await reply_code(reader)
        writer.write(b"EHLO crowd.example\r\n")
        await reply_code(reader)
        await ready.wait()
        writer.write(b"MAIL FROM:<sender@client.example>\r\n")
        code = await reply_code(reader)
        writer.write(b"QUIT\r\n")
        await reply_code(reader)
        return code
    finally:
        writer.close()


async def _crowd(port: int) -> Counter[int]:
    ready = asyncio.Barrier(CROWD)
    async with asyncio.timeout(LONGEST):
        return Counter(await asyncio.gather(*(_client(port, number, ready) for number in range(CROWD))))


def test_all_of_a_crowd_are_served() -> None:
    """In front of a Postfix of ten smtpds and its accept queue: all say MAIL at once, and all hear what Postfix says to it."""
    need("postfix")
    with Postfix(process_limit=10) as postfix, Tarry(backend=postfix.port, wait="0s") as tarry:
        assert {250: CROWD} == asyncio.run(_crowd(tarry.port))
