"""Rehearsals: situations under each preset, and the law that they come out as in the core's own transcripts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tarry.checks.pregreet import Pregreet
from tarry.config.schema import PRESETS as KNOWN
from tarry.core.admission import Admitted, Networks, Rules
from tarry.core.border import Due, Emit, Greet, Readable, Refuse
from tarry.core.client import Phase
from tarry.core.hold import Held, step
from tarry.core.policy import Delay, Policy, Score, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.record import schema
from tarry.rehearsal.play import ID, House, play
from tarry.rehearsal.visit import Early, Visit
from tests.mta import talk_through
from tests.playbook import armed
from tests.rehearsal.situations import ADDRESS, LISTS, SPOKE, half, happens, house, loaded, nobody, replies, visit
from tests.talk import setting

PRESETS = {"tarry": 4.5, "carraway-2003": 12.5, "qpsmtpd-earlytalker": 1.0, "sendwrap-2004": 35.0}
"""Of each the hold, in the middle of its range."""
SERVED = [("EHLO", 250), ("MAIL", 250), ("RCPT", 250), ("DATA", 354), ("message", 250), ("QUIT", 221)]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_clean_client_is_served_under_every_preset(preset: str) -> None:
    """It is greeted when its hold is over, and its message accepted."""
    played = happens(preset=preset)
    greeted = next(one.at for one in played.happened if isinstance(one.event, schema.Greet))
    assert played.hold_until == pytest.approx(greeted)
    assert (SERVED, 1, 1) == ([(to, code) for to, code, _ in replies(played)], played.rcpts, played.messages)


@pytest.mark.parametrize("preset", KNOWN)
def test_a_rehearsal_ends_under_every_preset(preset: str) -> None:
    """Whatever presets there are, and whatever the client does."""
    client = visit(early=SPOKE, counts={"rcpt": 30, "noop": 30, "rset": 30, "error": 30})
    for one in (client, visit(leaves=1.0)):
        played = happens(one, preset=preset)
        assert Admitted.HELD is played.admitted
        assert replies(played)[-1][1] in (221, 421, 521, 550, 554) if replies(played) else played.gone_at == 1.0


@pytest.mark.parametrize(
    ("preset", "code", "to", "at"),
    [
        ("tarry", 554, "connect", 0.3),
        ("carraway-2003", 550, "connect", 0.3),
        ("qpsmtpd-earlytalker", 550, "connect", 0.3),
        ("sendwrap-2004", 521, "connect", 0.3),
    ],
)
def test_an_early_talker_is_refused_under_every_preset(preset: str, code: int, to: str, at: float) -> None:
    """At once, and with the preset's reply."""
    played = happens(visit(early=SPOKE), preset=preset)
    assert ([(to, code, at)], 0) == (replies(played), played.messages)


def test_a_listed_client_gets_a_longer_wait_and_a_residual_delay() -> None:
    """Its class is found out while it waits, and the delay counts from its connect."""
    played = happens(None, LISTS, "bl.example=127.0.0.2@0.5s", "wl.example=nothing")
    assert [("EHLO", 250, 30.0), ("MAIL", 250, 30.0), ("RCPT", 250, 100.0)] == replies(played)[:3]
    assert 30.0 == played.hold_until


def test_an_allow_listed_client_is_greeted_as_soon_as_that_is_known() -> None:
    """Before the end of its hold."""
    played = happens(None, LISTS, "wl.example=127.0.5.1@0.5s", "bl.example=nothing")
    assert ("EHLO", 250, 0.5) == replies(played)[0]
    assert 6.0 == played.hold_until


@pytest.mark.parametrize(
    ("facts", "at"),
    [
        (("names=nothing",), 60.0),
        (("names=mail.isp.example", "addresses=192.0.2.9"), 60.0),
        (("names=192-0-2-7.dyn.isp.example",), 60.0),
        (("names=mail.isp.example",), 4.5),
        (("names=unknown",), 4.5),
        ((), 4.5),
    ],
)
def test_a_client_of_dubious_name_is_delayed(facts: tuple[str, ...], at: float) -> None:
    """None, one that is not confirmed, or one of a dial-up pool; what is not known is no reason."""
    text = 'delay.target = "60s"\n[checks.ptr]\naction = "delay"\n[checks.dynamic_name]\naction = "delay"'
    assert ("RCPT", 250, at) == replies(happens(None, text, *facts))[2]


def test_an_answer_after_the_hold_counts_at_rcpt() -> None:
    """It is asked for anew by the session, and joins what is under way."""
    text = LISTS.replace('"6s"', '"1s"')
    played = happens(None, text, "bl.example=127.0.0.2@2.5s", "wl.example=nothing")
    assert [("EHLO", 250, 1.0), ("MAIL", 250, 1.0), ("RCPT", 250, 100.0)] == replies(played)[:3]


def test_an_answer_that_does_not_matter_yet_is_recorded_when_the_hold_is_over() -> None:
    """As in the waiting room, where a silent client is a row of numbers."""
    text = '[hold]\nwait = "6s"\n[[checks.dnslists.zones]]\nzone = "bl.example"'
    played = happens(None, text, "bl.example=nothing@1s")
    assert [6.0] == [one.at for one in played.happened if isinstance(one.event, schema.Answer)]


@pytest.mark.parametrize(
    ("kind", "count", "table", "holds"),
    [
        ("rcpt", 8, "[tarpit.rcpt]\nfree = 5\nstep = '2s'", [12.0, 14.0, 16.0]),
        ("rset", 6, "[tarpit.rset]\nfree = 4\nstart = '1s'\nfactor = 2.0", [1.0, 2.0]),
        ("noop", 5, "[tarpit.noop]\nfree = 4\nstart = '3s'", [3.0]),
        ("mail", 6, "[tarpit.mail]\nfree = 5\nstep = '1s'", [6.0]),
    ],
)
def test_a_flood_falls_into_its_tarpit(kind: str, count: int, table: str, holds: list[float]) -> None:
    """Each command beyond the free ones is held as the core says."""
    played = happens(visit(counts={kind: count}), table)
    found = [(one.event.why, one.event.held) for one in played.happened if isinstance(one.event, schema.Hold)]
    assert [(f"tarpit.{kind}", held) for held in holds] == [(why, round(held, 6)) for why, held in found]


def test_too_many_errors_end_the_session() -> None:
    """As [checks.many_errors] says."""
    played = happens(visit(counts={"error": 20}), "[checks.many_errors]\nlimit = 3")
    assert [500, 500, 500, 521] == [code for _, code, _ in replies(played)][1:]


@pytest.mark.parametrize(
    ("text", "client", "admitted", "first"),
    [
        (f'exempt.networks = ["{ADDRESS}"]', visit(), Admitted.EXEMPT, ("EHLO", 250, 0.0)),
        ('exempt.patterns = ["^192\\\\.0"]', visit(), Admitted.EXEMPT, ("EHLO", 250, 0.0)),
        (f'deny.networks = ["{ADDRESS}"]', visit(), Admitted.DENIED, ("connect", 554, 0.0)),
        ('deny.networks = ["2001:db8::/32"]', visit("2001:db8::7"), Admitted.DENIED, ("connect", 554, 0.0)),
        ("listen.max_per_client = 3", visit(connection=3, client=3), Admitted.HELD, ("EHLO", 250, 4.5)),
        ("listen.max_per_client = 3", visit(connection=4, client=4), Admitted.TOO_MANY_FROM_CLIENT, ("connect", 421, 0.0)),
        ("listen.max_clients = 3", visit(client=3), Admitted.HELD, ("EHLO", 250, 4.5)),
        ("listen.max_clients = 3", visit(client=4), Admitted.TOO_MANY, ("connect", 421, 0.0)),
    ],
)
def test_the_door_decides_who_comes_in(text: str, client: Visit, admitted: Admitted, first: tuple[str, int, float]) -> None:
    """Exempt ones at once, denied ones not at all, and no more than the limits."""
    played = happens(client, text)
    assert (admitted, first) == (played.admitted, replies(played)[0])


def test_a_client_that_hangs_up_in_its_hold_is_greeted_for_nothing() -> None:
    """A FIN may be half of a close: the hold goes on, and then nobody is there."""
    played = happens(visit(leaves=2.0))
    assert ([], 2.0, 4.5) == (replies(played), played.gone_at, played.happened[-1].at)


def test_a_client_that_hangs_up_in_a_delay_is_gone() -> None:
    """And the hold is recorded as left."""
    played = happens(visit(leaves=50.0), LISTS, "bl.example=127.0.0.2", "wl.example=nothing")
    (hold,) = (one.event for one in played.happened if isinstance(one.event, schema.Hold))
    assert ("left", 20.0, 50.0) == (hold.ended, hold.held, played.gone_at)


def test_what_an_admitted_early_talker_said_is_answered_first() -> None:
    """Then its dialogue begins."""
    played = happens(visit(early=SPOKE), '[checks.pregreet]\naction = "tag"')
    assert (["EHLO", "MAIL", "RCPT"], 0) == ([to for to, _, _ in replies(played)][:3], played.unsaid)


def test_early_talk_and_then_a_hang_up() -> None:
    """What it said is still answered where it is let in; nothing more comes."""
    played = happens(visit(early=SPOKE, leaves=1.0), '[hold]\nend_early = false\n[checks.pregreet]\naction = "tag"')
    assert [("EHLO", 250, 4.5)] == replies(played)


def test_talk_during_a_delay_has_its_reply_too() -> None:
    """It is what [checks.pipelining] looks for."""
    client = visit(early=(Early(60.0, b"NOOP\r\n"),))
    played = happens(client, LISTS, "bl.example=127.0.0.2", "wl.example=nothing")
    assert [("RCPT", 100.0), ("NOOP", 100.0), ("DATA", 100.0)] == [(to, at) for to, _, at in replies(played)][2:5]


def test_a_slow_reply_takes_its_time() -> None:
    """An octet each pace, and the dialogue goes on when all of it has come."""
    text = """
delay.reply_pace = "1s"
delay.target = "10s"
delay.at = "helo"
hold.wait = "1s"
[[checks.dnslists.zones]]
zone = "bl.example"
"""
    played = happens(None, text, "bl.example=127.0.0.2")
    (slow,) = [one.event for one in played.happened if isinstance(one.event, schema.Hold) and one.event.why == "reply_pace"]
    (mail,) = [at for to, _, at in replies(played) if to == "MAIL"]
    assert 20.0 < slow.held == pytest.approx(mail - 10.0)
    assert 1 == played.messages
    assert ("MAIL", 250, 1.0) in replies(happens(None, text, "bl.example=nothing"))
    assert ("MAIL", 250, 10.0) in replies(happens(None, f"delay.reply_pace_clients = 0\n{text}", "bl.example=127.0.0.2"))


def test_what_it_has_no_occasion_to_say_is_counted() -> None:
    """A client that is served at once never talks early."""
    played = happens(visit(early=(Early(500.0, b"NOOP\r\n"),)))
    assert 1 == played.unsaid


def test_the_client_itself_may_be_given_away() -> None:
    """At the greeting tarry sees the last of it; who is refused before is not given."""
    assert (True, 4.5, []) == ((p := happens(gives_away=True)).gave_away, p.happened[-1].at, replies(p))
    assert not happens(visit(early=SPOKE), gives_away=True).gave_away
    assert happens(text=f'exempt.networks = ["{ADDRESS}"]', gives_away=True).gave_away


def test_the_mta_may_refuse_recipients() -> None:
    """Its refusals are its own."""
    played = happens(visit(counts={"rcpt": 3}), mta_refuses=2)
    assert [550, 550, 250] == [code for to, code, _ in replies(played) if to == "RCPT"]


def test_under_observation_nobody_is_refused() -> None:
    """The verdict is told and not carried out."""
    played = happens(visit(early=SPOKE), observe=True)
    assert 1 == played.messages
    assert [True] == [one.event.observed for one in played.happened if isinstance(one.event, schema.Verdict)][:1]


def test_a_teaser_is_told() -> None:
    """It goes out at once, and has no record."""
    played = happens(text='[hold]\nteaser = "mail.example"')
    assert "Teaser(text='mail.example')" in str(played.happened[1])


def test_the_same_play_twice_is_the_same() -> None:
    """Nothing in it depends on anything but its arguments."""
    client = visit(early=SPOKE, counts={"rcpt": 7})
    assert happens(client, LISTS) == happens(client, LISTS)


class Reader:
    """A client that says a line for each reply, and keeps what it heard, with times."""

    def __init__(self, *lines: bytes, early: bool = False) -> None:
        self.lines = [*lines, b""]
        self.heard = b""
        self.closed_at: float | None = None
        self.at = 0.0 if early else math.inf

    @property
    def acts_at(self) -> float:
        return self.at

    def act(self, now: float) -> bytes | None:
        self.at = math.inf
        return self.lines.pop(0)

    def hear(self, data: bytes, now: float) -> None:
        self.heard += data
        if self.lines and data[3:4] == b" ":
            self.at = now

    def closed(self, now: float) -> None:
        self.closed_at = now


def test_a_caller_takes_the_place_of_the_visits_dialogue() -> None:
    """It hears all that a client would hear, teaser included, and is told when it is over."""
    caller = Reader(b"HELO x\r\n", b"QUIT\r\n")
    place = house(loaded('[hold]\nwait = "2s"\nteaser = "hi"'))
    played = play(visit(), place, nobody, half, caller)
    assert [b"220-hi", b"220 mail", b"250 mail", b"221 2.0."] == [line[:8] for line in caller.heard.splitlines()]
    assert (2.0, 0) == (caller.closed_at, played.messages)


@pytest.mark.parametrize(
    ("text", "early", "code"),
    [("", True, b"554"), (f'deny.networks = ["{ADDRESS}"]', False, b"554"), ("listen.max_per_client = 1", False, b"421")],
)
def test_a_caller_hears_that_it_is_refused(text: str, early: bool, code: bytes) -> None:
    """In the hold, and at the door."""
    caller = Reader(b"EHLO x\r\n", early=early)
    play(visit(connection=2, client=2), house(loaded(text)), nobody, half, caller)
    assert (code, 0.0) == (caller.heard[:3], caller.closed_at)


def test_without_questions_nobody_is_asked() -> None:
    """The defaults look nothing up."""
    assert 1 == play(visit(), House(Policy()), nobody, lambda: 0.0).messages


# The law: whatever the policy, a rehearsal comes to the verdict that the core comes to.

_phases = st.sampled_from([None, Phase.CONNECT, Phase.HOLD, Phase.HELO, Phase.MAIL, Phase.RCPT, Phase.DATA])
_policies = st.builds(
    lambda action, at, weight, score, delay_at, early, observe, step_each: Policy(
        checks=(armed(Pregreet(), action=action, at=at, weight=weight),),
        score=score,
        wait=Span(2.0, 2.0),
        delay=Delay(Span(5.0, 5.0), delay_at),
        tarpits=Tarpits(rcpt=Tarpit(0, step_each)),
        end_early=early,
        observe=observe,
        park_after=1000.0,
    ),
    st.sampled_from(sorted(set(Action) - {Action.DISCARD})),
    _phases,
    st.sampled_from([0.0, 1.0, 3.0]),
    st.builds(
        Score,
        delay=st.sampled_from([0.0, 1.0]),
        defer=st.sampled_from([0.0, 2.0]),
        reject=st.sampled_from([0.0, 3.0]),
        at=st.sampled_from([Phase.HELO, Phase.RCPT, Phase.DATA]),
    ),
    st.sampled_from([Phase.HELO, Phase.MAIL, Phase.RCPT, Phase.DATA]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 1.0]),
)


@drawn(policy=_policies)
def test_a_rehearsal_comes_out_as_the_core_does(policy: Policy) -> None:
    """Early talk under any policy: the replies are those of `hold.step` and a conversation that are driven by hand."""
    played = play(visit(early=SPOKE), House(policy, Rules(exempt=Networks())), nobody, lambda: 0.0)
    actual = [code for _, code, _ in replies(played)]
    assert _by_hand(policy) == actual


def _by_hand(policy: Policy) -> list[int]:
    held = Held(ID, ADDRESS, 1000.0, packed=b"\xc0\0\2\7")
    for happened, at in ((Readable(b"EHLO x\r\n"), 1000.3), (Due(), 1002.0)):
        held, effects = step(held, happened, at, policy)
        for effect in effects:
            if isinstance(effect, Refuse):
                return [effect.reply.code]
            if isinstance(effect, Greet):
                groups = [b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n"]
                codes, _, _ = talk_through(setting(policy, reasons=held.reasons), groups)
                return _went_on(policy, held, groups, codes)
            assert isinstance(effect, Emit)
    raise AssertionError("neither greeted nor refused")


def _went_on(policy: Policy, held: Held, groups: list[bytes], codes: list[int]) -> list[int]:
    """Let the client go on as RFC 5321 wants it to after what it was told so far."""
    _, *told = codes
    if len(told) < len(groups):
        return told  # dropped

    def talks(said: list[bytes]) -> list[int]:
        return talk_through(setting(policy, reasons=held.reasons), said)[0][1:]

    if told[1] >= 400:
        return talks([*groups[:2], b"QUIT\r\n"])
    if told[2] >= 400:
        return talks([*groups, b"RSET\r\n", b"QUIT\r\n"])
    return talks([*groups, b"DATA\r\n", b"QUIT\r\n"])
