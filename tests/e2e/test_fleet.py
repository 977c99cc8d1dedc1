"""Two front doors, each on a host of its own, and one memory: what one learns the other uses, and nothing is lost without it."""

from typing import Any

import pytest

from tests.e2e.servers import fleet
from tests.e2e.servers.need import need

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """The store is killed, started, hung and let go on under `fleet.RATE` sessions a second; then the doors learn."""
    need("redis")
    if why := fleet.refused():
        pytest.skip(why)
    return fleet.play("outage", 110)


def test_no_mail_is_refused_or_lost_while_the_memory_is_away(played: dict[str, Any]) -> None:
    """Each client is greeted, served and told 250, and each message that was told so is in a Maildir."""
    assert [] == played["refused"]
    assert 900 < played["sessions"]
    assert played["acknowledged"] == played["delivered"] == played["sessions"] + 8


def test_that_it_is_away_is_recorded_once(played: dict[str, Any]) -> None:
    """By each door, and that it is back; the two outages may be told as one."""
    for states in played["away"].values():
        assert states[0] and not states[-1]
        assert len(states) in (2, 4)


def test_what_was_done_meanwhile_is_remembered_afterwards(played: dict[str, Any]) -> None:
    """Of all clients but those of a batch of which the store did not say whether it has it."""
    assert 0.5 * played["sessions"] <= played["known"] <= played["sessions"]


def test_what_one_door_learns_the_other_uses_within_a_second(played: dict[str, Any]) -> None:
    """Six good sessions at one, and the other does not hold the client; two early talks, and it has a reason to."""
    learned = played["learned"]
    assert 0.9 < learned["first"]["held"]
    assert 0.9 < learned["stranger"]["held"]
    assert learned["known"]["held"] < 0.9 and 220 == learned["known"]["codes"][0]
    assert [[554], [554]] == [one["codes"] for one in learned["early"]]
    assert [["karma.bad"]] == learned["bad"]
