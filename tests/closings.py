"""closings - closing lines of sessions: a delivery, an early talker, a client that gave up; for tests of what they add up to."""

from __future__ import annotations

from tarry.record.schema import Close

DELIVERY = Close(
    ended="client",
    phase="message",
    greeted=True,
    held=4.5,
    commands=6,
    rcpts=3,
    rcpts_accepted=2,
    messages=1,
    octets=1000,
    delayed=12.5,
    tls="TLSv1.3 X",
    login=True,
    mta_ms=3.25,
)
EARLY = Close(ended="tarry", phase="hold", early=0.25, action="reject", reasons=("pregreet.spoke", "pregreet.spoke", "ptr.none"))
IMPATIENT = Close(ended="client", phase="hold", held=3.0, hangup=3.0)
