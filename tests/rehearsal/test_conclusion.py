"""What a rehearsal comes to, in a sentence."""

from __future__ import annotations

import pytest

from tarry.rehearsal.conclusion import Ending, conclude, ending_of, reasons_of, sentence
from tarry.rehearsal.visit import Visit
from tests.rehearsal.situations import ADDRESS, LISTS, SPOKE, happens, visit

LISTED = ("bl.example=127.0.0.2", "wl.example=nothing")


@pytest.mark.parametrize(
    ("client", "text", "facts", "sentence", "ending"),
    [
        (visit(), "", (), "greeted after 4.5 s, then handed to the MTA", Ending.DELIVERED),
        (visit(), "hold.wait = '0s'", (), "greeted at once, then handed to the MTA", Ending.DELIVERED),
        (
            visit(early=SPOKE),
            "",
            (),
            "spoke after 0.3 s, refused with 554 after 0.3 s for pregreet.spoke",
            Ending.REFUSED,
        ),
        (
            visit(),
            LISTS,
            LISTED,
            "greeted after 30.0 s, delayed to 100 s at RCPT for dnslists.listed (bl.example), then handed to the MTA",
            Ending.DELIVERED,
        ),
        (
            visit(),
            LISTS,
            ("bl.example=nothing", "wl.example=127.0.5.1@0.5s"),
            "greeted after 0.5 s for dnslists.allowed (wl.example), then handed to the MTA",
            Ending.DELIVERED,
        ),
        (
            visit(),
            LISTS + "[score]\nreject = 3",
            LISTED,
            "greeted after 30.0 s, refused with 550 at RCPT after 30.0 s for dnslists.listed (bl.example)",
            Ending.REFUSED,
        ),
        (
            visit(),
            f'exempt.networks = ["{ADDRESS}"]',
            (),
            "exempt, greeted at once, then handed to the MTA",
            Ending.DELIVERED,
        ),
        (visit(), f'deny.networks = ["{ADDRESS}"]', (), "refused with 554 at once: it is on the deny list", Ending.REFUSED),
        (
            visit(connection=3, client=3),
            "listen.max_per_client = 2",
            (),
            "refused with 421 at once: it has too many connections",
            Ending.REFUSED,
        ),
        (
            visit(connection=3, client=3),
            "listen.max_per_network = 2",
            (),
            "refused with 421 at once: its network has too many connections",
            Ending.REFUSED,
        ),
        (visit(client=3), "listen.max_clients = 2", (), "refused with 421 at once: there are too many clients", Ending.REFUSED),
        (visit(leaves=2.0), "", (), "hung up after 2.0 s, before it was greeted", Ending.LEFT),
        (
            visit(leaves=50.0),
            LISTS,
            LISTED,
            "greeted after 30.0 s, delayed to 50 s at RCPT for dnslists.listed (bl.example), hung up after 50.0 s",
            Ending.LEFT,
        ),
        (
            visit(counts={"rcpt": 7}),
            "tarpit.rcpt.step = '1s'",
            (),
            "greeted after 4.5 s, 2 replies to RCPT held for 13.0 s by tarpit.rcpt, then handed to the MTA",
            Ending.DELIVERED,
        ),
        (
            visit(),
            "hold.data_wait = '7s'",
            (),
            "greeted after 4.5 s, one reply at DATA held for 7.0 s by hold.data_wait, then handed to the MTA",
            Ending.DELIVERED,
        ),
        (
            visit(),
            LISTS.replace('"6s"', '"1s"'),
            ("bl.example=nothing@2s", "wl.example=nothing"),
            "greeted after 1.0 s, one reply at RCPT held for 1.0 s by DNS, then handed to the MTA",
            Ending.DELIVERED,
        ),
        (
            visit(counts={"error": 9}),
            "checks.many_errors.limit = 2",
            (),
            "greeted after 4.5 s, refused with 521 at XYZZY after 4.5 s for many_errors.limit",
            Ending.REFUSED,
        ),
    ],
)
def test_each_visit_comes_to_a_sentence(client: Visit, text: str, facts: tuple[str, ...], sentence: str, ending: Ending) -> None:
    """When it was greeted, what held it and for what, and how it ended."""
    played = happens(client, text, *facts)
    assert (sentence, ending) == (conclude(played), ending_of(played))


@pytest.mark.parametrize(
    ("changed", "sentence", "ending"),
    [
        ({"gives_away": True}, "given to the MTA after 4.5 s, which greets it", Ending.GIVEN),
        ({"mta_refuses": 1}, "greeted after 4.5 s, then refused by the MTA", Ending.HEARD),
    ],
)
def test_what_is_the_mtas_counts_as_through(changed: dict[str, object], sentence: str, ending: Ending) -> None:
    """Tarry let it pass, whatever the MTA says."""
    played = happens(**changed)  # type: ignore[arg-type]
    assert (sentence, ending, True) == (conclude(played), ending_of(played), ending.is_through)


def test_a_slow_reply_has_its_key() -> None:
    """Next to the delay before it."""
    text = 'delay.reply_pace = "1s"\ndelay.target = "10s"\ndelay.at = "helo"\n[[checks.dnslists.zones]]\nzone = "bl.example"'
    assert " by delay.reply_pace, then handed to the MTA" in conclude(happens(None, text, "bl.example=127.0.0.2"))


def test_who_is_turned_away_or_leaves_is_not_through() -> None:
    """Nor one whose message was thrown away."""
    assert [Ending.DELIVERED, Ending.GIVEN, Ending.HEARD] == [one for one in Ending if one.is_through]


def test_reasons_are_told_each_once_with_who_says_so() -> None:
    """Those against it, those for it, or those named."""
    played = happens(
        visit(early=SPOKE), LISTS + '[checks.pregreet]\naction = "tag"', "bl.example=127.0.0.2", "wl.example=127.0.5.1"
    )
    names = ["pregreet.spoke", "dnslists.listed"]
    assert "pregreet.spoke, dnslists.listed (bl.example)" == reasons_of(played, names)
    assert "dnslists.listed (bl.example), pregreet.spoke" == reasons_of(played, reversed(names))
    assert set(names) <= {one.split(" ")[0] for one in reasons_of(played).split(", ")}
    assert "dnslists.allowed (wl.example)" == reasons_of(played, is_for=True)


def test_a_whole_sentence() -> None:
    """With a capital and a full stop."""
    assert "Given to the MTA after 4.5 s, which greets it." == sentence(happens(gives_away=True))
