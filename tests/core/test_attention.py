"""What of a client's commands is put before the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tarry.checks.many_rcpt import ManyRcpt, Options
from tarry.core.border import Hello, Moment, Recipient, RecipientAnswered, Repeated, Sender
from tarry.core.check import About, NoOptions, Seen, Settings
from tarry.core.policy import Policy, Tarpit, Tarpits
from tarry.core.result import PASSED, Action, Outcome
from tests.playbook import armed, policy
from tests.talk import ENVELOPE, HELLO, LOGIN, MAIL, RCPT, Talk


class Watching:
    """A check that keeps what it sees, and what was known then."""

    name = "watching"
    complaint = "No"
    codes: ClassVar[Mapping[str, str]] = {"code": "a reason"}
    settings = Settings(action=Action.TAG)
    options = NoOptions
    triggers = (Hello, Sender, Recipient, RecipientAnswered, Repeated)

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.helos: list[str] = []

    def look(self, seen: Seen, options: Any) -> Outcome:
        self.moments.append(seen.moment)
        self.helos.append(seen.about.helo)
        assert isinstance(seen.about, About)
        return PASSED


def test_each_command_is_a_moment() -> None:
    """With its argument, and how many there were."""
    check = Watching()
    Talk(policy(check)).plays(HELLO, MAIL, RCPT, "C: NOOP\nS: 250 2.0.0 Ok\nC: NOOP\nS: 250 2.0.0 Ok")
    assert [Hello, Sender, Recipient, RecipientAnswered, Repeated, Repeated] == [type(one) for one in check.moments]
    assert Repeated("NOOP", 2) == check.moments[-1]
    assert RecipientAnswered(250, 1, 0) == check.moments[3]


def test_the_name_of_before_is_known_at_the_next_hello() -> None:
    """So that a change of names can be seen."""
    check = Watching()
    Talk(policy(check)).plays(HELLO, "C: HELO other.example\nS: 250 mail.example")
    first = check.moments[0]
    assert isinstance(first, Hello)
    assert ["", first.name] == check.helos
    assert Hello("HELO", "other.example", 2) == check.moments[1]


def test_refused_recipients_are_counted() -> None:
    """Over the session; accepted ones over the transaction."""
    check = Watching()
    Talk(policy(check)).plays(HELLO, MAIL, "C: RCPT TO:<x@d.example>\nM> RCPT TO:<x@d.example>\nM< 550 no\nS: 550 no", RCPT)
    assert [RecipientAnswered(550, 0, 1), RecipientAnswered(250, 1, 1)] == [
        one for one in check.moments if isinstance(one, RecipientAnswered)
    ]


def test_recipients_behind_a_refused_mail_are_not_refused() -> None:
    """The MTA misses a MAIL, and says nothing about them: a list whose MAIL is put off has no bad recipients."""
    check = Watching()
    later = MAIL.replace("250 2.1.0 Sender ok", "450 4.7.1 later")
    unasked = RCPT.replace("250 2.1.5 Recipient ok", "503 5.5.1 need MAIL")
    talk = Talk(policy(check, changes={"tarpits": Tarpits(refused=Tarpit(0, step=10.0))}))
    talk.plays(HELLO, later, unasked, unasked, MAIL.replace(LOGIN, ""), RCPT)
    assert [RecipientAnswered(250, 1, 0)] == [one for one in check.moments if isinstance(one, RecipientAnswered)]


def test_who_is_exempt_is_not_looked_at() -> None:
    """In no command."""
    check = Watching()
    Talk(policy(check), is_exempt=True).plays(ENVELOPE)
    assert [] == check.moments


def test_the_next_message_begins_without_what_was_found_about_the_last() -> None:
    """Too many recipients for one message refuse its next recipient, and not the next message; a MAIL within it changes nothing."""
    rules = Policy(checks=(armed(ManyRcpt(), options=Options(limit=1), action=Action.REJECT),))
    second = "C: RCPT TO:<e@f.example>\nM> RCPT TO:<e@f.example>\nM< 250 ok"
    within = "C: MAIL FROM:<g@h.example>\nS: 550 5.7.1 Too many recipients for one message [K3X9-0001]"
    talk = Talk(rules).plays(HELLO, MAIL, RCPT, f"{second}\nS: 550 5.7.1 Too many recipients for one message [K3X9-0001]", within)
    talk.plays(
        "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok", "C: MAIL FROM:<a@b.example>\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nS: 250 ok"
    )
    talk.plays("C: RCPT TO:<c@d.example>\nM> RCPT TO:<c@d.example>\nM< 250 ok\nS: 250 ok")
