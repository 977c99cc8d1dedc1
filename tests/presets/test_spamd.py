"""OpenBSD's spamd, as a tarpit: ten seconds for everybody, and an octet a second for listed clients."""

from __future__ import annotations

from tarry.core.border import Answered
from tarry.core.facts import Answer, State, listing
from tarry.core.policy import LONGEST_HOLD
from tarry.record import schema
from tests.presets import hold, policy_of, talks_at
from tests.talk import BEGUN_AT, GREETED, HELLO, MAIL, RCPT, Slow, Talk, slowly

LISTS = '[[checks.dnslists.zones]]\nzone = "a.example"\n'
POLICY = policy_of("spamd", LISTS)
LISTED = (0.1, Answered(Answer(listing("192.0.2.7", "a.example"), State.FOUND, ("127.0.0.2",))))
REFUSED = "450 4.7.1 Your address is on a DNS list (a.example), try again later [K3X9-0001]"


def listed(slow: Slow | None) -> Talk:
    """Return the conversation with a listed client, ten seconds after it came."""
    outcome = hold(POLICY, LISTED)
    assert (10.0, "", ["dnslists.listed"]) == (outcome.at, outcome.reply, [one.name for one in outcome.reasons])
    return Talk(POLICY, reasons=outcome.reasons, slow=slow, accepted_at=BEGUN_AT - 10.0).plays(GREETED)


def test_unknown_clients_wait_ten_seconds() -> None:
    """And are let through, whether they talk meanwhile or not: spamd looks for that as little."""
    assert (10.0, "", ()) == hold(POLICY)
    assert "" == hold(POLICY, talks_at(1.0)).reply
    Talk(POLICY, slow=Slow()).plays(HELLO + MAIL + RCPT)


def test_a_listed_client_is_spoken_to_slowly_and_refused_for_now() -> None:
    """A second at HELO, which is the least, then an octet a second; 450 at RCPT. The MTA sees nothing of it."""
    talk = listed(Slow()).plays("C: HELO client.example\n--\n! 1s\n" + slowly("250 mail.example"))
    talk.plays("C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok")
    talk.plays(f"C: RCPT TO:<c@d.example>\nS: {REFUSED}")
    octets = len("250 mail.example\r\n")
    assert [("residual", 1.0, "due"), ("reply_pace", octets - 1.0, "due")] == [
        (one.why, one.held, one.ended) for one in talk.of(schema.Hold)
    ]


def test_the_reply_to_ehlo_takes_minutes() -> None:
    """There is more to say. It never takes longer than a client that keeps to the RFC bears."""
    talk = listed(Slow())
    talk._take(talk.conversation.client_sent(b"EHLO client.example\r\n", talk.now))
    talk._wait(400.0)
    _, slow = talk.of(schema.Hold)
    assert "reply_pace" == slow.why
    assert 60 < slow.held <= LONGEST_HOLD


def test_a_client_that_leaves_meanwhile_is_recorded() -> None:
    """That is what it is for: patience is some 3 s by the watch of OpenBSD."""
    talk = listed(Slow()).plays("C: HELO client.example\n--\n! 1s\nS+ 2\n! 1s\nS+ 5\n! 1s\nS+ 0\n! FIN\n* close")
    assert ("reply_pace", "left") == (talk.of(schema.Hold)[-1].why, talk.of(schema.Hold)[-1].ended)


def test_beyond_the_budget_replies_go_out_at_once() -> None:
    """-B: 700 clients at once, and this one is one too many."""
    slow = Slow()
    slow.ids = {f"other-{number}" for number in range(700)}
    assert 700 == POLICY.delay.reply_pace_clients
    listed(slow).plays("C: HELO client.example\n--\n! 1s\nS: 250 mail.example")


def test_without_a_list_nobody_is_asked() -> None:
    """It is a hold of ten seconds then."""
    assert () == policy_of("spamd").asking


def test_550_in_place_of_450() -> None:
    """-5."""
    policy = policy_of("spamd", f"score.defer = 0\nscore.reject = 1\n{LISTS}")
    talk = Talk(policy, reasons=hold(policy, LISTED).reasons, accepted_at=BEGUN_AT - 10.0).plays(GREETED)
    talk.plays("C: HELO client.example\n--\n! 1s\nS: 250 mail.example\nC: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok")
    talk.plays("C: RCPT TO:<c@d.example>\nS: 550 5.7.1 Your address is on a DNS list (a.example) [K3X9-0001]")
