"""What happened, line by line."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tarry.core.marked import Marked
from tarry.rehearsal.steps import Step, Tone
from tarry.rehearsal.visit import Early, Visit
from tests.rehearsal.situations import ADDRESS, LISTS, SPOKE, steps, visit


def lines(found: tuple[Step, ...]) -> list[str]:
    """Return steps as text: when, client, tarry, and the keys that decided."""
    return [
        f"{step.at:.1f} {step.client} | {step.tarry}" + "".join(f" [{one.key or one.words}]" for one in step.why) for step in found
    ]


def test_a_clean_client() -> None:
    """Each command with its reply, and who gave it."""
    assert [
        "0.0 connects | holds it for 4.5 s [hold.wait]",
        "4.5  | 220 mail.example.org ESMTP",
        "4.5 EHLO mail.example.net | 250 mail.example.org",
        "4.5 MAIL FROM:<sender@example.net> | 250 2.0.0 Ok (the MTA)",
        "4.5 RCPT TO:<postmaster@example.org> | 250 2.1.5 Ok (the MTA)",
        "4.5 DATA | 354 End with a dot (the MTA)",
        "4.5 sends its message | 250 2.0.0 Ok (the MTA)",
        "4.5 QUIT | 221 2.0.0 Bye",
    ] == lines(steps())


def test_an_early_talker() -> None:
    """What it said, what was found, and the refusal with the key behind it."""
    assert [
        "0.0 connects | holds it for 4.5 s [hold.wait]",
        '0.3 says "EHLO x\\r\\n" | notes pregreet.spoke: EHLO x\\r\\n [checks.pregreet.action]',
        "0.3  | 554 5.7.1 You spoke before the greeting [TRY-0001] [checks.pregreet.action]",
    ] == lines(steps(visit(early=SPOKE)))


def test_a_listed_client() -> None:
    """Facts, reasons, the class, and the hold where it begins; the reply where it ends."""
    found = lines(steps(None, LISTS, "bl.example=127.0.0.2@0.5s", "wl.example=nothing"))
    assert [
        "0.0 connects | holds it for 6.0 s [hold.wait]",
        "0.0  | asks wl.example: nothing",
        "0.5  | asks bl.example: 127.0.0.2 [after 0.50 s]",
        "0.5  | notes dnslists.listed (bl.example) [checks.dnslists.action]",
        '0.5  | holds it for 30.0 s in all instead [hold.class "dubious" wait]',
        "30.0  | 220 mail.example.org ESMTP",
        "30.0 EHLO mail.example.net | 250 mail.example.org",
        "30.0 MAIL FROM:<sender@example.net> | 250 2.1.0 Ok [the MTA is not asked yet]",
        "30.0 RCPT TO:<postmaster@example.org> | holds its reply for 70.0 s, until 100.0 s [checks.dnslists.action] [delay.target]",
        "100.0  | 250 2.1.5 Ok (the MTA)",
    ] == found[:10]


def test_a_slow_reply_is_told_as_one() -> None:
    """With how long it took, and the key that asked for it."""
    text = """
delay.reply_pace = "1s"
delay.target = "10s"
delay.at = "helo"
[[checks.dnslists.zones]]
zone = "bl.example"
"""
    told = [line for line in lines(steps(None, text, "bl.example=127.0.0.2")) if "slowly" in line]
    assert 1 == len(told) and told[0].endswith("[delay.reply_pace]")
    assert told[0].startswith("10.0  | says its reply slowly, for ")


def test_an_allow_listed_client() -> None:
    """The greeting has the score for its reason."""
    found = steps(None, LISTS, "wl.example=127.0.5.1", "bl.example=nothing")
    (greeting,) = (step for step in found if step.code == 220)
    assert ["score.allow"] == [one.key for one in greeting.why]
    assert Tone.GOOD is next(step.tone for step in found if step.tarry.startswith("notes "))


def test_what_is_unknown_is_told_once() -> None:
    """Not again by the check that asked."""
    found = lines(steps(None, LISTS, "bl.example=unknown", "wl.example=nothing@1s"))
    assert ["0.0  | asks bl.example: no answer, said to be unknown", "1.0  | asks wl.example: nothing [after 1.00 s]"] == found[1:3]


@pytest.mark.parametrize(
    ("text", "client", "line"),
    [
        (f'exempt.networks = ["{ADDRESS}"]', visit(), "0.0 connects | lets it in at once: no hold, no checks [exempt.networks]"),
        ('exempt.patterns = ["^192"]', visit(), "0.0 connects | lets it in at once: no hold, no checks [exempt.patterns]"),
        (
            f'deny.networks = ["{ADDRESS}"]',
            visit(),
            "0.0 connects | 554 5.7.1 Not accepted from this address [deny.networks]",
        ),
        (
            "listen.max_clients = 2",
            visit(client=3),
            "0.0 connects | 421 4.7.0 Too many connections, try again later [listen.max_clients]",
        ),
        (
            "listen.max_per_client = 2",
            visit(connection=3, client=3),
            "0.0 connects | 421 4.7.0 Too many connections from your address, try again later [listen.max_per_client]",
        ),
        (
            "listen.max_per_network = 2",
            visit(connection=3, client=3),
            "0.0 connects | 421 4.7.0 Too many connections from your network, try again later [listen.max_per_network]",
        ),
        ('hold.wait = "0s"', visit(), "0.0 connects | does not hold it [hold.wait]"),
        (
            '[[hold.class]]\nname = "ours"\nnetworks = ["192.0.2.0/24"]\nwait = "0s"',
            visit(),
            '0.0 connects | does not hold it [hold.class "ours" wait]',
        ),
    ],
)
def test_the_first_line_says_how_it_comes_in(text: str, client: Visit, line: str) -> None:
    """And which key has it so."""
    told = lines(steps(client, text))[0]
    assert line == told.replace(" [TRY-0001]", "")


@pytest.mark.parametrize(
    ("is_allowed", "line"),
    [
        (True, "0.0 connects | lets it in at once: no hold, no checks [exempt.files]"),
        (False, "0.0 connects | 554 5.7.1 Not accepted from this address [deny.files]"),
    ],
)
def test_what_files_say_counts_before_the_rules(is_allowed: bool, line: str) -> None:
    """As at the door itself."""
    other = "deny" if is_allowed else "exempt"
    found = steps(text=f'{other}.networks = ["{ADDRESS}"]', marked=Marked.of([(ip_network(ADDRESS), is_allowed)]))
    assert line == lines(found)[0].replace(" [TRY-0001]", "")


def test_a_teaser_is_sent_at_once() -> None:
    """Before the hold is over."""
    assert "0.0  | 220-mail.example [hold.teaser]" == lines(steps(text='hold.teaser = "mail.example"'))[1]


def test_who_is_let_in_for_its_early_talk_is_greeted_at_once() -> None:
    """Since nothing is waited for any more."""
    found = lines(steps(visit(early=SPOKE), '[checks.pregreet]\naction = "delay"'))
    assert "0.3  | 220 mail.example.org ESMTP [hold.end_early]" == found[2]


def test_a_client_that_hangs_up_in_its_hold() -> None:
    """The hold goes on, for nobody."""
    assert [
        "2.0 hangs up | goes on holding it: it may only have closed its side",
        "4.5  | 220 mail.example.org ESMTP [nobody is there any more to hear it]",
    ] == lines(steps(visit(leaves=2.0)))[1:]


def test_a_client_that_hangs_up_in_a_delay() -> None:
    """What it waited for is told before."""
    found = lines(steps(visit(leaves=50.0), LISTS, "bl.example=127.0.0.2", "wl.example=nothing"))
    assert [
        "30.0 RCPT TO:<postmaster@example.org> | holds its reply for 70.0 s, until 100.0 s",
        "50.0 hangs up | ends the session",
    ] == [line.split(" [")[0] for line in found[-2:]]


@pytest.mark.parametrize(
    ("kind", "count", "text", "line"),
    [
        ("rcpt", 6, "tarpit.rcpt.step = '2s'", "holds its reply for 12.0 s [tarpit.rcpt.step] [tarpit.rcpt.free]"),
        ("noop", 5, "tarpit.noop.start = '2s'", "holds its reply for 2.0 s [tarpit.noop.start] [tarpit.noop.free]"),
        ("noop", 1, "hold.data_wait = '7s'", "holds its reply for 7.0 s [hold.data_wait]"),
        ("rcpt", 3, "limits.recipients = 2", "452 4.5.3 Too many recipients [limits.recipients]"),
    ],
)
def test_holds_and_limits_have_their_keys(kind: str, count: int, text: str, line: str) -> None:
    """Tarpits, the wait before 354, and the number of recipients."""
    found = lines(steps(visit(counts={kind: count}), text))
    told = [one.split(" | ")[1].replace(" [TRY-0001]", "") for one in found]
    assert line in told


def test_a_long_hold_parks() -> None:
    """The MTA's connection is given up meanwhile."""
    found = lines(steps(visit(counts={"rcpt": 6}), "tarpit.rcpt.step = '10s'"))
    told = "holds its reply for 60.0 s, and lets the MTA go meanwhile [tarpit.rcpt.step] [tarpit.rcpt.free] [handoff.park_after]"
    assert [told] == [line.split(" | ")[1] for line in found if "lets the MTA" in line]


def test_answers_are_waited_for_at_rcpt() -> None:
    """For as long as dns.timeout allows."""
    text = LISTS.replace('"6s"', '"1s"')
    found = lines(steps(None, text, "bl.example=nothing@2s", "wl.example=nothing"))
    assert [
        "1.0 RCPT TO:<postmaster@example.org> | holds its reply until DNS has answered [dns.timeout]",
        "2.0  | asks bl.example: nothing [after 2.00 s]",
        "2.0  | 250 2.1.5 Ok (the MTA)",
    ] == found[-6:-3]


def test_who_is_given_away_is_seen_no_more() -> None:
    """By pass or by a command."""
    ends = [lines(steps(mode=mode, gives_away=True))[-1] for mode in ("pass", "exec")]
    assert [
        "4.5  | gives it to Postfix's smtpd, which greets it: tarry sees no more [handoff.mode]",
        "4.5  | runs the MTA's command for it, which greets it: tarry sees no more [handoff.mode]",
    ] == ends


def test_under_observation_it_is_told_what_would_be_done() -> None:
    """With the key behind it."""
    found = lines(steps(visit(early=SPOKE), observe=True))
    assert "0.3  | would reject, and only observes [checks.pregreet.action]" in found


def test_tags_are_told() -> None:
    """They change nothing for the client."""
    found = lines(steps(visit(early=SPOKE), '[checks.pregreet]\naction = "tag"'))
    assert "0.3  | tags it [checks.pregreet.action]" in found


def test_what_the_mta_refuses_is_its_own() -> None:
    """No key of tarry's stands behind it."""
    found = lines(steps(mta_refuses=1))
    assert "4.5 RCPT TO:<postmaster@example.org> | 550 5.1.1 No such mailbox (the MTA)" in found


def test_talk_out_of_turn_stands_where_it_came() -> None:
    """In the middle of a hold, and its reply behind the one that was due."""
    client = visit(early=(Early(60.0, b"NOOP\r\n"),))
    found = lines(steps(client, LISTS, "bl.example=127.0.0.2", "wl.example=nothing"))
    place = next(index for index, line in enumerate(found) if line.startswith("60.0"))
    assert '60.0 says "NOOP\\r\\n" | leaves it until its turn' == found[place]
    assert "holds its reply" in found[place - 1]
    assert "100.0  | 250 2.1.5 Ok (the MTA)" == next(line for line in found[place + 1 :] if "| 250" in line)
