"""The MTA's side: opened when it is needed, asked one thing at a time, believed in nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.border import CloseMta, Learn, OpenMta, Outbox, Relay, SecureMta
from tarry.core.login import Way
from tarry.core.upstream import Answered, Broken, MtaEvent, Stage, TurnedAway, Upstream
from tarry.smtp.reply import reply
from tests.strategies import borders, cut
from tests.talk import CLIENT

EHLO = b"250-mta.example\r\n250 SIZE 1000\r\n"


class Side:
    """An `Upstream` with its outbox."""

    def __init__(self, *, helo: bytes = b"EHLO client.example", knows_client: bool = False, way: Way | None = None) -> None:
        self.outbox = Outbox()
        self.mta = Upstream(self.outbox, knows_client=knows_client, way=way, client=CLIENT)
        self.mta.helo = helo

    @property
    def orders(self) -> list[object]:
        return list(self.outbox.take())


def opened(**changed: object) -> Side:
    """Return the side of an MTA that has been opened for MAIL."""
    side = Side(**changed)  # type: ignore[arg-type]
    side.mta.ask(b"MAIL FROM:<>")
    side.mta.opened()
    assert [OpenMta()] == side.orders
    return side


def ready() -> Side:
    """Return the side of an MTA that was asked for MAIL and has accepted it."""
    side = opened()
    for line in (b"220 mta\r\n", EHLO):
        assert side.mta.receive(line) is None
    assert Answered(reply(250, "ok")) == side.mta.receive(b"250 ok\r\n")
    side.outbox.take()
    return side


def test_an_mta_is_opened_by_the_first_question() -> None:
    """Its greeting, then the client's own EHLO, whose answer is learned from, then the question."""
    side = Side()
    assert (Stage.CLOSED, True) == (side.mta.stage, side.mta.is_closed)
    side.mta.ask(b"MAIL FROM:<>")
    assert [OpenMta()] == side.orders
    side.mta.opened()
    assert None is side.mta.receive(b"220 mta.example\r\n")
    assert [Relay(b"EHLO client.example\r\n")] == side.orders
    assert None is side.mta.receive(EHLO)
    assert [Learn(reply(250, "mta.example", "SIZE 1000")), Relay(b"MAIL FROM:<>\r\n")] == side.orders
    assert side.mta.is_ready
    assert Answered(reply(250, "ok")) == side.mta.receive(b"250 ok\r\n")
    side.mta.ask(b"RSET")
    assert [Relay(b"RSET\r\n")] == side.orders


@pytest.mark.parametrize(("helo", "hello"), [(b"", []), (b"HELO x", [Relay(b"HELO x\r\n")]), (b"ehlo x", [Relay(b"ehlo x\r\n")])])
def test_the_hello_is_the_clients(helo: bytes, hello: list[object]) -> None:
    """None where it gave none; and only the answer to EHLO tells what the MTA offers."""
    side = opened(helo=helo)
    assert None is side.mta.receive(b"220 mta\r\n")
    if hello:
        assert hello == side.orders
        assert None is side.mta.receive(EHLO)
    assert (helo[:4].lower() == b"ehlo") == (side.mta.ehlo is not None)
    assert Relay(b"MAIL FROM:<>\r\n") == side.orders[-1]


def test_a_question_asked_while_opening_is_the_last_one() -> None:
    """One is outstanding at most."""
    side = Side(helo=b"")
    side.mta.ask(b"MAIL FROM:<a@b>")
    side.mta.ask(b"MAIL FROM:<c@d>")
    side.mta.opened()
    side.mta.receive(b"220 mta\r\n")
    assert [OpenMta(), Relay(b"MAIL FROM:<c@d>\r\n")] == side.orders


@pytest.mark.parametrize(
    ("knows_client", "greeting", "expected"),
    [
        (True, b"554 not you", TurnedAway(reply(554, "not you"))),
        (False, b"554 not you", Broken("its greeting is 554")),
        (True, b"421 busy", Broken("its greeting is 421")),
        (True, b"250 what", Broken("its greeting is 250")),
        (True, b"what", Broken("a line that is no SMTP reply")),
        (True, b"220 mta\r\n250 ok", Broken("it said more than it was asked")),
        (True, b"220 mta\r\n25", Broken("it said more than it was asked")),
    ],
)
def test_a_greeting_that_is_none(knows_client: bool, greeting: bytes, expected: MtaEvent) -> None:
    """A 5xx is a verdict on the client only where the MTA knows of it."""
    assert expected == opened(knows_client=knows_client).mta.receive(greeting + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"550 no", TurnedAway(reply(550, "no"))), (b"451 no", Broken("its EHLO is 451")), (b"220 x", Broken("its EHLO is 220"))],
)
def test_an_ehlo_that_is_refused(answer: bytes, expected: MtaEvent) -> None:
    """A 5xx to EHLO is about the client's name, so it is the client's to hear."""
    side = opened()
    side.mta.receive(b"220 mta\r\n")
    assert expected == side.mta.receive(answer + b"\r\n")


def test_a_reply_behind_the_ehlo_reply_is_no_answer() -> None:
    """It would answer the question that has not been sent yet."""
    side = opened()
    side.mta.receive(b"220 mta\r\n")
    side.outbox.take()
    assert Broken("it said more than it was asked") == side.mta.receive(EHLO + b"250 ok\r\n")
    assert [] == side.orders


# The login; its steps are in test_login.

STARTTLS = b"250-mta.example\r\n250-XCLIENT ADDR\r\n250 STARTTLS\r\n"


def securing(**changed: object) -> Side:
    """Return the side of an MTA that has said 220 to STARTTLS."""
    side = opened(way=Way("door.example", tls=True), **changed)
    for said in (b"220 mta\r\n", STARTTLS, b"220 go\r\n"):
        assert side.mta.receive(said) is None
    assert [Relay(b"EHLO door.example\r\nSTARTTLS\r\n"), SecureMta()] == side.orders
    assert side.mta.stage is Stage.SECURING
    return side


@pytest.mark.parametrize(
    ("helo", "hello"), [(b"", b""), (b"HELO client.example", b"HELO client.example\r\n"), (b"EHLO x", b"EHLO x\r\n")]
)
def test_the_clients_hello_comes_inside_tls(helo: bytes, hello: bytes) -> None:
    """What was learned before does not count."""
    side = securing(helo=helo)
    side.mta.secured()
    if hello:
        assert [Relay(hello)] == side.orders
        assert None is side.mta.receive(EHLO)
    assert (helo[:4] == b"EHLO", True) == (side.mta.ehlo is not None, side.mta.is_ready)
    assert Relay(b"MAIL FROM:<>\r\n") == side.orders[-1]


def test_nothing_is_heard_during_the_handshake() -> None:
    """Whatever it is, it was not said inside."""
    assert Broken("it said more than its 220 to STARTTLS") == securing().mta.receive(b"2")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"554 5.7.1 not you\r\n", TurnedAway(reply(554, "5.7.1 not you"))),
        (b"501 5.5.4 what\r\n", Broken("its XCLIENT is 501 5.5.4 what")),
        (b"220 mta\r\n", None),
    ],
)
def test_what_the_login_finds(said: bytes, expected: MtaEvent | None) -> None:
    """A verdict on the client, an MTA that cannot be used, or nothing yet."""
    side = opened(knows_client=True, way=Way("door.example", xclient=True))
    side.mta.receive(b"220 mta\r\n")
    side.mta.receive(STARTTLS)
    assert expected == side.mta.receive(said)


def test_before_xclient_the_mta_refuses_tarry() -> None:
    """It has not heard of the client."""
    side = opened(knows_client=True, way=Way("door.example", xclient=True))
    assert Broken("its greeting is 554") == side.mta.receive(b"554 no\r\n")


def test_each_step_is_counted() -> None:
    """To READY, and not beyond: each has its time."""
    side = opened()
    counted = [side.mta.step]
    for said in (b"220 mta\r\n", EHLO, b"250 ok\r\n"):
        side.mta.receive(said)
        counted.append(side.mta.step)
    assert [0, 1, 2, 2] == counted


def test_what_follows_a_refusal_is_not_read() -> None:
    """The connection is of no more use."""
    assert TurnedAway(reply(554, "no")) == opened(knows_client=True).mta.receive(b"554 no\r\n220 mta\r\n250 ok\r\n")


def test_a_reply_that_nothing_was_asked_for_is_kept() -> None:
    """Once; a second one is a fault."""
    side = ready()
    assert None is side.mta.receive(b"421 bye\r\n")
    assert reply(421, "bye") == side.mta.early
    assert Broken("a reply that nothing was asked for") == side.mta.receive(b"421 bye\r\n")


def test_a_reply_behind_an_answer_does_not_answer_the_next_question() -> None:
    """It was said before that was asked."""
    side = ready()
    side.mta.ask(b"DATA")
    assert Answered(reply(354, "go")) == side.mta.receive(b"354 go\r\n250 ok\r\n")
    assert (reply(250, "ok"), True) == (side.mta.early, side.mta.has_unread)


def test_what_lies_behind_an_answer_is_told() -> None:
    """Whole replies and parts of them."""
    side = ready()
    side.mta.ask(b"STARTTLS")
    unread = [side.mta.has_unread]
    assert Answered(reply(220, "go")) == side.mta.receive(b"220 go\r\n25")
    assert [False, True] == [*unread, side.mta.has_unread]


@pytest.mark.parametrize(("helo", "is_esmtp"), [(b"EHLO x", True), (b"HELO x", False)])
def test_what_the_mta_offers_is_known_of_this_connection_alone(helo: bytes, is_esmtp: bool) -> None:
    """Nothing is left of an EHLO before it where the client says HELO now."""
    side = ready()
    side.mta.close(abort=False)
    side.mta.helo = helo
    side.mta.ask(b"MAIL FROM:<>")
    side.mta.opened()
    assert (None, None) == (side.mta.receive(b"220 mta\r\n"), side.mta.receive(EHLO))
    assert is_esmtp == (side.mta.ehlo is not None)


def test_an_early_answer_answers_the_end_of_the_message() -> None:
    """Then nothing more is sent."""
    side = ready()
    side.mta.pass_on(b"text")
    side.mta.receive(b"552 too big\r\n")
    assert [Relay(b"text")] == side.orders
    assert Answered(reply(552, "too big")) == side.mta.finish(b".\r\n")
    assert ([], None) == (side.orders, side.mta.early)


@pytest.mark.parametrize(("end", "orders"), [(b".\r\n", [Relay(b".\r\n")]), (b"", [])])
def test_the_end_of_a_message_asks_for_its_answer(end: bytes, orders: list[object]) -> None:
    """With the dot or, after a last chunk, with nothing."""
    side = ready()
    assert None is side.mta.finish(end)
    assert orders == side.orders
    assert Answered(reply(250, "queued")) == side.mta.receive(b"250 queued\r\n")


def test_closing() -> None:
    """QUIT is said where the MTA can hear it, unless it is to be aborted; closing twice is closing once."""
    side = ready()
    side.mta.close(abort=False)
    side.mta.close(abort=False)
    assert [Relay(b"QUIT\r\n"), CloseMta(abort=False)] == side.orders
    side = ready()
    side.mta.close(abort=True)
    assert [CloseMta(abort=True)] == side.orders
    side = opened()
    side.mta.close(abort=False)
    assert [CloseMta(abort=True)] == side.orders


def test_an_mta_that_was_lost_is_opened_anew() -> None:
    """Nothing of the old connection counts on the new one."""
    side = ready()
    side.mta.receive(b"421 bye\r\n25")
    side.mta.lost()
    early = [side.mta.early]
    side.mta.ask(b"MAIL FROM:<>")
    side.mta.opened()
    assert [reply(421, "bye"), None] == [*early, side.mta.early]
    assert None is side.mta.receive(b"220 mta\r\n")
    assert [OpenMta(), Relay(b"EHLO client.example\r\n")] == side.orders


@given(
    stream=st.binary(max_size=60) | st.lists(st.sampled_from((b"220 a\r\n", b"250-b\r\n", b"250 c\r\n", b"x\r\n"))).map(b"".join),
    at=borders,
)
def test_any_bytes_of_an_mta_are_taken(stream: bytes, at: list[int]) -> None:
    """However they are cut; and before the MTA was asked nothing is an answer."""
    side = Side()
    side.mta.stage = Stage.READY
    for piece in cut(stream, at):
        assert not isinstance(side.mta.receive(piece), Answered)
