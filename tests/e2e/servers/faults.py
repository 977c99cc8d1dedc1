"""faults - what a hostile or broken MTA does, as values.

What     A `Fault` names a point of the session, what happens there, and how often. The sink enacts it. The tables give
         the misbehaviours of a back end that a front door must survive, each with a name for a test's parameter list.
Points   connect     before accept: "refuse" (nobody listens), "drop" (the SYN gets no answer)
         greeting    in place of the 220
         a verb      EHLO, MAIL, RCPT, DATA, ... in place of the reply to it; XCLIENT and STARTTLS too
         challenge   in place of an AUTH 334
         body        in a message, after *after_bytes* bytes of it (0: directly after the 354)
         chunk       the same in the octets of a BDAT
         dot         in place of the reply to the whole message, by DATA or BDAT LAST
"""

from dataclasses import dataclass
from typing import Literal

What = Literal["reply", "close", "reset", "silent", "stall", "late", "drip", "endless", "refuse", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour.

    reply     *reply* is said in place of the usual words; the session goes on as if that were its own idea, so only
              the class that would have moved it on does (354 after DATA, 2xx elsewhere)
    close     says *reply*, if any, and ends with FIN
    reset     says *reply*, if any, and ends with RST
    silent    never says anything again, but reads
    stall     never reads again
    late      the usual reply (or *reply*), after *seconds*
    drip      the usual reply (or *reply*), one byte every *seconds*
    endless   *reply* over and over, until the peer leaves or has taken ENDLESS_BYTES

    *matching* restricts it to command lines in which this pattern is found; the first *skip* occasions are let pass; it
    strikes *times* times (None: always).
    """

    at: str
    what: What = "reply"
    reply: bytes = b""
    after_bytes: int = 0
    seconds: float = 1.0
    matching: bytes = b""
    skip: int = 0
    times: int | None = None


ENDLESS_BYTES = 1 << 26
VERBS = ("EHLO", "MAIL", "RCPT", "DATA")
LONG = b"250 " + b"x" * 20_000 + b"\r\n"

CONNECT_FAULTS = {
    "refuses": Fault(at="connect", what="refuse"),
    "drops the SYN": Fault(at="connect", what="drop"),
}

GREETING_FAULTS = {
    "greets with nothing": Fault(at="greeting", what="silent"),
    "greets 421": Fault(at="greeting", what="close", reply=b"421 4.3.2 try later\r\n"),
    "greets 554": Fault(at="greeting", what="reply", reply=b"554 5.3.2 no service\r\n"),
    "greets with garbage": Fault(at="greeting", what="reply", reply=b"\x00\xff\x16\x03\x01 garbage\r\n"),
    "greets one byte a second": Fault(at="greeting", what="drip"),
    "closes in place of the greeting": Fault(at="greeting", what="close"),
    "closes after the greeting": Fault(at="greeting", what="close", reply=b"220 sink.example.org\r\n"),
    "resets in place of the greeting": Fault(at="greeting", what="reset"),
}

COMMAND_FAULTS = {
    f"{name} at {verb}": fault
    for verb in VERBS
    for name, fault in {
        "closes": Fault(at=verb, what="close"),
        "resets": Fault(at=verb, what="reset"),
        "is silent": Fault(at=verb, what="silent"),
        "421 and close": Fault(at=verb, what="close", reply=b"421 4.3.2 shutting down\r\n"),
        "half a reply": Fault(at=verb, what="close", reply=b"25"),
        "mixes codes": Fault(at=verb, reply=b"250-one\r\n550 two\r\n"),
        "a 20,000-byte line": Fault(at=verb, reply=LONG),
        "8-bit text": Fault(at=verb, reply=b"451 4.3.0 \xff\xfe\x85 caf\xe9\r\n"),
        "no newline for ever": Fault(at=verb, what="endless", reply=b"250 no end "),
        "garbage": Fault(at=verb, reply=b"what?\r\n"),
    }.items()
}

WRONG_CLASS = {
    "354 to EHLO": Fault(at="EHLO", reply=b"354 go\r\n"),
    "354 to MAIL": Fault(at="MAIL", reply=b"354 go\r\n"),
    "354 to RCPT": Fault(at="RCPT", reply=b"354 go\r\n"),
    "220 to MAIL": Fault(at="MAIL", reply=b"220 hello\r\n"),
    "250 to DATA": Fault(at="DATA", reply=b"250 fine\r\n"),
    "220 to DATA": Fault(at="DATA", reply=b"220 hello\r\n"),
    "334 to DATA": Fault(at="DATA", reply=b"334 more\r\n"),
    "220 to the dot": Fault(at="dot", reply=b"220 hello\r\n"),
    "354 to the dot": Fault(at="dot", reply=b"354 go on\r\n"),
    "150 to the dot": Fault(at="dot", reply=b"150 wait\r\n"),
}

BODY_FAULTS = {
    f"{name} at byte {count} of the message": fault
    for count in (0, 1, 300)
    for name, fault in {
        "closes": Fault(at="body", what="close", after_bytes=count),
        "resets": Fault(at="body", what="reset", after_bytes=count),
        "421 and close": Fault(at="body", what="close", reply=b"421 4.3.2 full\r\n", after_bytes=count),
        "552 before the dot": Fault(at="body", reply=b"552 5.3.4 too big\r\n", after_bytes=count),
    }.items()
}

DOT_FAULTS = {
    "closes after the dot": Fault(at="dot", what="close"),
    "resets after the dot": Fault(at="dot", what="reset"),
    "is silent after the dot": Fault(at="dot", what="silent"),
    "421 and close after the dot": Fault(at="dot", what="close", reply=b"421 4.3.2 shutting down\r\n"),
    "half a reply after the dot": Fault(at="dot", what="close", reply=b"250"),
    "no newline for ever after the dot": Fault(at="dot", what="endless", reply=b"250 no end "),
}

FAULTS = CONNECT_FAULTS | GREETING_FAULTS | COMMAND_FAULTS | WRONG_CLASS | BODY_FAULTS | DOT_FAULTS
