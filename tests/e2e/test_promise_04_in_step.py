"""Promise 4: replies and commands stay in step with the MTA, over malformed and piled-up sessions."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.malformed import ENDING, TOKEN, Expected, Generator, Group
from tests.e2e.servers.clients import RawClient, Reply
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.sink import Sink

pytestmark = pytest.mark.e2e

NUMBER = int(os.environ.get("TARRY_NIGHTLY") or 300)
"""Sessions: 300 in the suite, TARRY_NIGHTLY=100000 at night."""
EACH = 25
PATIENT = "".join(f'[checks.{name}]\naction = "ignore"\n' for name in ("many_errors", "non_smtp", "predata"))
STARTS = range(0, NUMBER, EACH)


def _telling() -> Sink:
    """Make a sink that says the token of each command in its reply to it."""
    return Sink(token=TOKEN)


@pytest.fixture(params=["", PATIENT], ids=["default checks", "no checks"])
def door(doors: Doors, request: pytest.FixtureRequest) -> Iterator[Door]:
    with doors.use(request.param, sink=_telling) as door:
        yield door


class Player:
    """Plays one session, and fails where a reply cannot be the answer to its command."""

    def __init__(self, client: RawClient, seed: int) -> None:
        self.taken: list[bytes] = []  # tokens of messages that were acknowledged
        self.may_reach: list[bytes] = []
        self._client = client
        self._seed = seed

    def play(self) -> None:
        assert self._client.read_reply().code == 220
        for group in Generator(self._seed).groups():
            if not self._play_group(group):
                assert self._client.read_until_closed() == b"", f"seed {self._seed}: something behind the last reply"
                return

    def _play_group(self, group: Group) -> bool:
        """Send a group and check its replies; False when the session is over."""
        self.may_reach += [line for step in group.steps for line in step.lines]
        self._send(group.said, group.cut_every)
        reply = None
        for step in group.steps:
            for due in step.replies:
                reply = self._expect(due)
                if due.ends or reply.code in ENDING:
                    return False
            if step.said.startswith(b"BDAT") and reply is not None and reply.code == 250:
                self.taken += [TOKEN.findall(step.said)[0]] if step.lines[0].endswith(b"LAST") else []
        if group.is_piled and reply is not None and reply.code != 354:
            return False  # the message is there and nobody wants it: its lines must not become commands
        if group.data and reply is not None and reply.code == 354:
            if not group.is_piled:
                self._send(group.data, group.cut_every)
            reply = self._expect(Expected(frozenset({250}) | ENDING, group.token))
            if reply.code != 250:
                return False
            self.taken.append(group.token)
        return True

    def _send(self, data: bytes, cut_every: int | None) -> None:
        try:
            self._client.send(data, cut_every=cut_every if len(data) < 5000 else None)
        except ConnectionError:
            pass  # tarry has ended the session and did not wait for all of it; what it said is still to be read

    def _expect(self, due: Expected) -> Reply:
        reply = self._client.read_reply()
        told = TOKEN.findall(reply.text)
        assert reply.code in due.codes, f"seed {self._seed}: {reply} for {due}"
        assert told in ([], [due.token]), f"seed {self._seed}: {reply} answers another command than {due}"
        return reply


def is_subsequence(some: list[bytes], all_: list[bytes]) -> bool:
    rest = iter(all_)
    return all(each in rest for each in some)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"seeds {start}-{min(start + EACH, NUMBER) - 1}")
def test_replies_and_commands_stay_in_step(door: Door, start: int) -> None:
    """Each reply answers its own command, the MTA sees only whole commands in their order, and a 250 is a stored message."""
    for seed in range(start, min(start + EACH, NUMBER)):
        door.begin()
        with door.client() as client:
            player = Player(client, seed)
            player.play()
        door.wait_closed()
        accepted = [message for message in door.messages if message.accepted]

        assert is_subsequence(door.lines, player.may_reach), f"seed {seed}: the MTA got {door.lines}"
        assert player.taken == [TOKEN.findall(message.raw)[-1] for message in accepted], f"seed {seed}"
    door.check()
