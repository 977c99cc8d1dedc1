"""Promise 20: nothing but the MTA's 250 makes a 250, unless the operator has a check throw mail away, and that is told at load."""

import random

import pytest

from tarry import Config, ConfigError
from tarry.config.load import load
from tarry.config.schema import PRESETS
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WARNED = [
    '[checks.pregreet]\naction = "discard"',
    '[checks.predata]\naction = "discard"',
    '[checks.helo]\ncodes = { spoofed = "discard" }',
]
DISCARDING = [
    '[checks.many_errors]\naction = "DISCARD"',
    '[handoff]\nmode = "discard"',
    '[handoff]\ndiscard = true',
    '[score]\ndiscard = 3',
    'discard = true',
]  # fmt: skip
VERDICTS = [
    b"",
    b"250 2.0.0 kept\r\n",
    b"451 4.3.0 not now\r\n",
    b"452 4.3.1 full\r\n",
    b"550 5.7.1 spam\r\n",
    b"554 5.6.0 no\r\n",
    b"421 4.3.2 bye\r\n",
    b"220 what\r\n",
    b"251 what\r\n",
    b"354 what\r\n",
    b"200 what\r\n",
    b"nonsense\r\n",
]


@pytest.mark.parametrize("text", DISCARDING)
def test_nothing_but_a_check_discards(text: str) -> None:
    """There is no mode, score or other key that takes mail and throws it away."""
    with pytest.raises(ConfigError):
        Config.from_toml(text)


@pytest.mark.parametrize("text", WARNED)
def test_a_check_that_discards_is_told_at_load(text: str) -> None:
    """It works, and each is a warning of its own."""
    told = [problem for problem in load(None, text=text).problems if "thrown away" in problem.what]
    assert [False] == [problem.is_error for problem in told]


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_but_that_of_1997_discards(preset: str) -> None:
    """It is never a default."""
    told = [problem for problem in load(None, text=f'preset = "{preset}"').problems if "thrown away" in problem.what]
    assert (preset == "zmailer-1997") == bool(told)


@pytest.mark.parametrize("chunks", [False, True], ids=["DATA", "BDAT"])
def test_only_what_the_mta_took_is_acknowledged(chunks: bool) -> None:
    """Over sixty messages with every kind of answer to the dot, the client's 250s are the MTA's, one for one."""
    dice = random.Random(20)
    acknowledged = []
    with Sink() as sink, Tarry(backend=sink.port, wait="0.02s") as tarry:
        for number in range(60):
            verdict = dice.choice(VERDICTS)
            if verdict[:3] == b"250":
                sink.play()
            else:
                sink.play(Fault(at="dot", reply=verdict) if verdict else Fault(at="dot", what="close"))
            with RawClient(tarry.port) as client:
                client.greeted()
                assert [250, 250] == client.envelope(f"sender{number}@client.example")
                if chunks:
                    client.send(b"BDAT 3 LAST\r\nx\r\n")
                else:
                    client.command(b"DATA")
                    client.send(b"x\r\n.\r\n")
                if client.read_reply().code // 100 == 2:
                    acknowledged.append(f"sender{number}@client.example".encode())

    assert acknowledged == [message.sender for message in sink.messages if message.accepted]
    assert 0 < len(acknowledged) < 30
