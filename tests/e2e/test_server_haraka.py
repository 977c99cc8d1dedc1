"""Self tests of the private Haraka: what it alone does."""

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.haraka import Haraka
from tests.e2e.servers.need import need

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_haraka_offers_what_it_offers_as_shipped() -> None:
    """EHLO lists its four extensions with their values."""
    need("haraka")
    with Haraka() as haraka, RawClient(haraka.port) as client:
        offered = client.greeted().lines[1:]

    assert (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE 26214400") == offered


def test_haraka_believes_xclient_where_it_is_told_to() -> None:
    """With trust it lists XCLIENT, and greets anew for the client that it is told."""
    need("haraka")
    with Haraka(trust=["127.9.8.7"]) as haraka, RawClient(haraka.port, source="127.9.8.7") as client:
        assert b"XCLIENT NAME ADDR PROTO HELO LOGIN" in client.greeted().lines
        assert client.command(b"XCLIENT ADDR=203.0.113.9 NAME=mail.client.example").code == 220
        assert b"Hello mail.client.example [203.0.113.9]" in client.command(b"EHLO client.example").text
