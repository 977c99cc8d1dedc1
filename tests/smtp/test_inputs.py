"""The closed set of inputs: each can be had from the receiver, and nothing else can."""

from __future__ import annotations

from typing import get_args

from hypothesis import given

from tarry.smtp.inputs import ClientInput
from tests.smtp.test_receiver import read_all
from tests.strategies import smtp_bytes

_STREAMS = (
    (b"NOOP\r\nNOOP\0\r\nAUTH PLAIN\r\nAGFh\r\nBDAT 2\r\nxyDATA\r\nhello\r\n.\r\n" + b"A" * 3000, True),
    (b"DATA\r\nhello\nyou\r\n.\r\n", False),
)


def test_every_input_can_come() -> None:
    """No member of `ClientInput` is dead: two streams bring them all forth."""
    seen = {type(one) for stream, normalize in _STREAMS for one in read_all([stream], normalize=normalize)}
    assert set(get_args(ClientInput)) == seen


@given(stream=smtp_bytes())
def test_no_other_input_comes(stream: bytes) -> None:
    """The set is closed."""
    assert {type(one) for one in read_all([stream])} <= set(get_args(ClientInput))
