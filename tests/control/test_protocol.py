"""What goes over the control socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.control.protocol import Reply, Request, read_reply, read_request, write
from tarry.control.states import State

STATE = State(1, "0.1", 2.0, "abc")


@pytest.mark.parametrize("request_", [Request("status"), Request("ping")])
def test_a_request_is_read_as_it_was_written(request_: Request) -> None:
    """In one line."""
    line = write(request_)
    assert (request_, 1) == (read_request(line), line.count(b"\n"))


@pytest.mark.parametrize("reply", [Reply(1, "0.1"), Reply(1, "0.1", STATE), Reply(error="why\nnot")])
def test_a_reply_is_read_as_it_was_written(reply: Reply) -> None:
    """In one line, whatever it says."""
    line = write(reply)
    assert (reply, 1) == (read_reply(line), line.count(b"\n"))


@pytest.mark.parametrize(
    "line",
    [b"", b"status", b"{}", b'{"do":"stop"}', b'{"do":1}', b'["status"]', b"\xff\xfe", b"[" * 4000, b'{"do":"status"', b"null"],
)
def test_what_is_no_request_is_none(line: bytes) -> None:
    """Never an exception."""
    assert read_request(line) is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(line: bytes) -> None:
    """They are a request or none."""
    assert read_request(line) in (None, Request("status"), Request("ping"))


def test_what_is_no_reply_raises() -> None:
    """Something else answers there."""
    for line in (b"", b"220 mx ESMTP\r\n", b"[]", b"\xff"):
        with pytest.raises(ValueError):
            read_reply(line)
