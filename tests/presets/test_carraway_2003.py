"""The log of D. Carraway's posting of 2003-03-13, and the senders that he wrote it for."""

from __future__ import annotations

from tarry.core.border import HungUp
from tarry.core.client import Client, Endpoint
from tarry.record import schema
from tests.presets import Outcome, hold, policy_of, talks_at
from tests.talk import BEGUN_AT, LOGIN, Talk

PATIENT = Client(Endpoint("81.202.216.233", 40000), Endpoint("198.51.100.1", 25))

ENVELOPE = f"""
S: 220 atlantic.devin.com ESMTP
--
! 2s
C: HELO aol.com
S: 250 atlantic.devin.com
--
! 6s
C: MAIL FROM:<a@aol.com>
{
    LOGIN.replace("EHLO client.example", "HELO aol.com").replace(
        '''M< 250-mta.example
M< 250-PIPELINING
M< 250-CHUNKING
M< 250-AUTH PLAIN LOGIN
M< 250 STARTTLS''',
        "M< 250 mta.example",
    )
}
M> MAIL FROM:<a@aol.com>
M< 250 <a@aol.com>, sender OK - how exciting to get mail from you!
S: 250 <a@aol.com>, sender OK - how exciting to get mail from you!
--
! 4s
C: RCPT TO:<b@devin.com>
M> RCPT TO:<b@devin.com>
M< 550 mail to b@devin.com not accepted here
S: 550 mail to b@devin.com not accepted here
--
! 3s
C: DATA
M> DATA
M< 503 RCPT first
S: 503 RCPT first
--
! 4s
"""
"""The dialogue of his log, with its pauses."""
HEADERS = (
    "Message-ID: <1@aol.com>",
    "From: <a@aol.com>",
    "To: <b@devin.com>",
    "Subject: Find a Mortgage Loan... Refinance, 2nd, Purchase, Home Improvement 2556-4",
    "Date: Thu, 13 Mar 2003 08:23:47 -0100",
)


def talk(preset: str) -> Talk:
    """Return the conversation with that client, which the second has not shown."""
    assert Outcome(1.0, "", ()) == hold(policy_of("carraway-2003"))
    return Talk(policy_of(preset), client=PATIENT, name="atlantic.devin.com", accepted_at=BEGUN_AT - 1.0)


def test_a_client_that_waits_is_served_as_in_the_log() -> None:
    """Greeted after a second; and when its DATA is refused, each line of its message is a command that is not recognised."""
    patient = talk("carraway-2003").plays(ENVELOPE)
    for _ in range(60):
        for line in HEADERS:
            patient.plays(f"C: {line}\nS: 500 5.5.2 Command not recognised")
    assert 300 == len([reply for reply in patient.of(schema.Reply) if reply.code == 500])
    assert [1.0] == [greet.held for greet in patient.of(schema.Greet)]
    assert [] == patient.of(schema.Verdict)


def test_what_came_of_it_since() -> None:
    """Under the preset of today the first line of the message ends it."""
    patient = talk("tarry").plays(ENVELOPE)
    patient.plays(f"C: {HEADERS[0]}\nC: {HEADERS[1]}\nS: 521 5.7.1 This is an SMTP server [K3X9-0001]\n* abort the MTA\n* close")


def test_a_client_that_pipelines_all_gets_one_550() -> None:
    """As soon as it talks, and nothing that it piled up is answered."""
    said = "HELO aol.com\r\nMAIL FROM:<a@aol.com>\r\nRCPT TO:<b@devin.com>\r\nDATA\r\nSubject: loans\r\n\r\n.\r\nQUIT\r\n"
    at, reply, reasons = hold(policy_of("carraway-2003"), talks_at(0.02, said))
    assert (0.02, "550 5.7.1 You spoke before the greeting [K3X9-0001]") == (at, reply)
    assert ["pregreet.spoke"] == [reason.name for reason in reasons]
    assert reasons[0].detail.startswith("HELO aol.com")


def test_a_client_that_talks_in_the_last_moment_is_early() -> None:
    """And one that talks a moment later has been greeted."""
    assert hold(policy_of("carraway-2003"), talks_at(0.999)).reply.startswith("550 ")


def test_a_client_that_hangs_up_is_none_that_talked() -> None:
    """can_read said the same of both."""
    assert Outcome(1.0, "", ()) == hold(policy_of("carraway-2003"), (0.5, HungUp()))
