"""play - one client meets the core, on a clock that leaps.

What      `play` does what the shell does around the core (net/front, net/waiting_room, net/session), for one client and without a
          socket: the door's rules, the hold before the greeting, and the conversation with an MTA that accepts everything.
Promises  Nothing is decided here: who may come in is `Door.admit`, how long it is held `class_of` and `hold.step`, all else
          `Conversation`. The same arguments give the same play. It always ends: each loop is bounded.
Not here  TLS, PROXY headers, MTAs that are away or refuse the client: what is tried out is the configuration.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable

import msgspec

from tarry.core import hold, replies
from tarry.core.admission import REFUSALS, Admitted, Door, Rules
from tarry.core.border import (
    PEEK_BYTES,
    Answered,
    Ask,
    Close,
    Due,
    Emit,
    Greet,
    HoldInput,
    HungUp,
    Readable,
    Refuse,
    Send,
    SessionEffect,
    Wait,
)
from tarry.core.check import About
from tarry.core.client import Client, Endpoint
from tarry.core.conversation import Conversation
from tarry.core.facts import Answer
from tarry.core.finding import first_questions
from tarry.core.hold import Held
from tarry.core.marked import Marked
from tarry.core.policy import Policy, Random
from tarry.core.setting import Setting
from tarry.record import schema
from tarry.rehearsal.given import Look
from tarry.rehearsal.mta import OFFERED, Mta
from tarry.rehearsal.scene import Caller, Did, GaveAway, Happened, Left, Scene, Teaser
from tarry.rehearsal.visit import Early, Line, Visit, dialogue
from tarry.smtp.reply import Reply, ReplyReader

ID = "TRY-0001"
SERVER = Endpoint("198.51.100.25", 25)
PORT = 40000
_MOST_TURNS = 1_000_000
"""More than any client makes whose floods are bounded (visit.MOST); who comes to it is a fault of tarry itself."""


class House(msgspec.Struct, frozen=True):
    """What the client meets. ``name`` is what tarry calls itself, ``mode`` and ``to`` name the hand-off.

    ``gives_away``: the client itself is given to the MTA at the greeting. ``mta_refuses``: so many recipients, the first ones.
    ``marked`` is what was said of networks beside the rules, in files or by hand.
    """

    policy: Policy
    rules: Rules = Rules()
    name: str = "mail.example.org"
    mode: str = "proxy"
    to: str = "the MTA"
    gives_away: bool = False
    mta_refuses: int = 0
    marked: Marked = Marked()


class Play(msgspec.Struct, frozen=True):
    """All that happened, in order.

    ``hold_until`` is when the hold was to end, as far as that had been said when it ended; ``gone_at`` when the client hung up.
    ``rcpts`` is how many recipients the MTA was asked about, ``messages`` how many messages it accepted. ``unsaid`` counts what the
    client was to say early, and had no occasion to.
    """

    admitted: Admitted
    happened: tuple[Happened, ...]
    hold_until: float
    gave_away: bool
    gone_at: float | None
    rcpts: int
    messages: int
    unsaid: int = 0


def play(visit: Visit, house: House, look: Look, random: Random, caller: Caller | None = None) -> Play:
    """Let *visit* happen at *house*; *look* answers what is asked about the client, *random* draws.

    With a *caller* the visit says only who comes, from where.
    """
    scene, packed = Scene(visit, look, caller), visit.address.packed
    client = Client(Endpoint(str(visit.address), PORT), SERVER)
    door = Door(house.rules)
    door.marked = house.marked
    for _ in range(visit.client - visit.connection):
        door.expect()
    for _ in range(visit.connection - 1):
        door.admit(packed, client.address, 0.0)
    admitted = door.admit(packed, client.address, 0.0)
    mta, hold_until, gave_away = Mta(house.mta_refuses), 0.0, False
    held: Held | None = None
    early = b""
    match admitted:
        case Admitted.HELD:
            room = _Room(scene, house.policy, client, packed, random)
            held, hold_until, early = room.hold(), room.until, room.early
        case Admitted.EXEMPT:
            scene.tell(_connect(client, 0.0, exempt="exempt"))
            held = Held(ID, client.address, 0.0)
        case _:
            _turn_away(scene, client, REFUSALS[admitted](ID, house.policy.help_url))
    if held is not None:
        scene.hear_no_more()
        says_nothing = held.left and not held.talked
        gave_away = house.gives_away and not says_nothing
        if gave_away:
            scene.tell(GaveAway())
        else:
            setting = Setting(
                id=ID,
                client=client,
                accepted_at=0.0,
                policy=house.policy,
                capabilities=OFFERED,
                name=house.name,
                random=random,
                reasons=held.reasons,
                is_exempt=admitted is Admitted.EXEMPT,
                knows_client=True,
                mode=house.mode,
                to=house.to,
                answers=held.answers,
                resolves=True,
                slow=_Slow(),
            )
            says = dialogue(visit, early) if caller is None else _nothing()
            _Talk(scene, says, Conversation(setting), mta).run(early, says_nothing=says_nothing)
    scene.close()
    return Play(admitted, tuple(scene.happened), hold_until, gave_away, scene.gone_at, mta.rcpts, mta.messages, scene.unsaid)


def _connect(client: Client, wait: float, *, exempt: str = "", name: str = "") -> schema.Connect:
    endpoint = client.endpoint
    return schema.Connect(endpoint.host, endpoint.port, str(SERVER), round(wait, 3), exempt=exempt, hold_class=name)


class _Slow:
    """Who is told something slowly: nobody else is there."""

    def begin(self, id: str, limit: int) -> bool:
        return limit > 0

    def end(self, id: str) -> None:
        pass


def _nothing() -> Generator[Line, Reply, None]:
    """Yield what a caller has planned to say."""
    yield from ()


def _turn_away(scene: Scene, client: Client, reply: Reply) -> None:
    scene.tell(_connect(client, 0.0))
    scene.tell(replies.at_connect(reply))
    scene.hear(reply.raw)


class _Room:
    """The hold of one client. ``until`` is when it is to end, ``early`` what the client said meanwhile."""

    def __init__(self, scene: Scene, policy: Policy, client: Client, packed: bytes, random: Random) -> None:
        self._scene = scene
        self._policy = policy
        self._kept: list[Answer] = []  # what makes no difference yet, as long as the client does nothing
        self._is_active = False
        self.early = b""
        share = random()
        wait_class = hold.class_of(client.address, packed, (), policy)
        self.until, name = hold.wait_of(wait_class, policy).at(share), wait_class.name if wait_class else ""
        self._held = Held(ID, client.address, 0.0, share=share, wait_class=name, packed=packed)
        scene.tell(_connect(client, self.until, name=name))
        if policy.teaser:
            scene.tell(Teaser(policy.teaser))
            scene.hear(b"220-" + policy.teaser.encode() + b"\r\n")
        scene.ask(tuple(first_questions(policy.asking, About(client.address))))

    def hold(self) -> Held | None:
        """Return the client when its hold is survived, None where it is sent away."""
        for _ in range(_MOST_TURNS):
            happened = self._next()
            if happened is None:
                continue
            if isinstance(happened, Answered) and not self._is_active and hold.can_wait(happened.answer, self._policy):
                self._kept.append(happened.answer)
                continue
            if not self._is_active:
                self._is_active = True
                for answer in self._kept:
                    self._step(Answered(answer))  # nothing but records comes of what did not matter when it came
            match self._step(happened):
                case Greet():
                    return self._held
                case Refuse(reply=reply):
                    self._scene.tell(replies.at_connect(reply))
                    self._scene.hear(reply.raw)
                    return None
                case _:
                    pass
        raise AssertionError("a hold that does not end")

    def _next(self) -> HoldInput | None:
        """Return what happens next; None for what is not looked at."""
        match self._scene.leap(max(self.until, self._scene.now)):
            case Answer() as answer:
                return Answered(answer)
            case Early(data=data):
                self.early += data
                return None if self._held.talked else Readable(self.early[:PEEK_BYTES])
            case Left():
                return HungUp()
            case _:
                return Due()

    def _step(self, happened: HoldInput) -> Greet | Refuse | None:
        self._held, effects = hold.step(self._held, happened, self._scene.now, self._policy)
        end: Greet | Refuse | None = None
        for effect in effects:
            match effect:
                case Emit(event=event):
                    self._scene.tell(event)
                case Wait(seconds=seconds):
                    self.until = seconds
                case Greet() | Refuse():
                    end = effect
                case _:
                    pass  # Forget: only a reset leads to it, and nobody resets here
        return end


class _Talk:
    """The conversation after the greeting."""

    def __init__(self, scene: Scene, says: Generator[Line, Reply, None], conversation: Conversation, mta: Mta) -> None:
        self._scene = scene
        self._talk = conversation
        self._mta = mta
        self._replies = ReplyReader()
        # What the client has no reply to yet, in order; True for what is of its dialogue, False for the greeting and the rest.
        self._awaited: deque[bool] = deque([False])
        self._dialogue = says
        self._next = next(says, None)
        self._ended = False

    def run(self, early: bytes, *, says_nothing: bool) -> None:
        """Greet, and go on until one of the two ends."""
        scene, talk = self._scene, self._talk
        self._take(talk.begin(scene.now))
        if says_nothing:
            return
        if early:
            self._say(early)
        if scene.has_left:
            self._take(talk.client_left(scene.now, reset=False))
        for _ in range(_MOST_TURNS):
            if self._ended:
                return
            if self._goes_on():
                continue
            if self._awaited or scene.has_left or scene.is_for_caller:
                if not self._leap():
                    return
            elif self._next is None:
                return
            else:
                scene.tell(Did(self._next.told))
                self._awaited.append(True)
                self._take(talk.client_sent(self._next.data, scene.now))
        raise AssertionError("a conversation that does not end")

    def _goes_on(self) -> bool:
        """Let the MTA speak, or the conversation have its turn; False where neither has anything to do."""
        talk, now, is_new = self._talk, self._scene.now, self._mta.is_wanted
        if said := self._mta.says():
            if is_new:
                self._take(talk.mta_opened(now))
            self._take(talk.mta_sent(said, now))
            return True
        if talk.has_more:
            self._take(talk.go_on(now))
            return True
        return False

    def _leap(self) -> bool:
        """Go on to what comes next; False where nothing will."""
        scene, talk = self._scene, self._talk
        wake_at = talk.wake_at
        match scene.leap(wake_at):
            case Answer() as answer:
                self._take(talk.answered(answer, scene.now))
            case Early(data=data):
                self._say(data)
            case Left():
                self._take(talk.client_left(scene.now, reset=False))
            case _:
                if wake_at == math.inf:
                    return False
                self._take(talk.due(scene.now))
        return True

    def _say(self, data: bytes) -> None:
        """Say what is no part of the dialogue; each line of it has a reply of its own."""
        self._awaited.extend([False] * data.count(b"\n"))
        self._take(self._talk.client_sent(data, self._scene.now))

    def _take(self, effects: Iterable[SessionEffect]) -> None:
        effects = list(effects)
        self._mta.take(effects)
        for effect in effects:
            match effect:
                case Emit(event=event):
                    self._scene.tell(event)
                case Send(data=data):
                    self._hear(data)
                case Ask(questions=questions):
                    self._scene.ask(questions)
                case Close():
                    self._ended = True
                case _:
                    pass  # what is the MTA's, and what has no meaning without a socket

    def _hear(self, data: bytes) -> None:
        self._scene.hear(data)
        self._replies.receive_data(data)
        while isinstance(reply := self._replies.next_reply(), Reply):
            if self._awaited and self._awaited.popleft():
                try:
                    self._next = self._dialogue.send(reply)
                except StopIteration:
                    self._next = None
