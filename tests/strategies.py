"""strategies - what hypothesis draws from: byte streams with trouble in them, cuts, addresses, events, reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hypothesis import strategies as st

from tarry.core.client import Phase
from tarry.core.result import Action, Reason
from tarry.record import schema
from tarry.smtp.text import escape

# Byte streams and how TCP cuts them.

borders = st.lists(st.integers(0, 200), max_size=10)
"""Where a stream is cut, for `cut`."""


def cut(stream: bytes, at: Iterable[int]) -> list[bytes]:
    """Cut *stream* at each index (taken modulo its length, so that any integer will do)."""
    ends = sorted({index % (len(stream) + 1) for index in at} | {len(stream)})
    pieces, start = [], 0
    for end in ends:
        pieces.append(stream[start:end])
        start = end
    return pieces


def cuts(stream: bytes) -> Iterator[list[bytes]]:
    """Yield *stream* whole, cut in two at every place, and byte by byte."""
    yield [stream]
    for index in range(1, len(stream)):
        yield [stream[:index], stream[index:]]
    yield [stream[index : index + 1] for index in range(len(stream))]


def soup(*pieces: bytes, most: int = 30) -> st.SearchStrategy[bytes]:
    """Draw byte strings made of *pieces*."""
    return st.lists(st.sampled_from(pieces), max_size=most).map(b"".join)


message_bytes = soup(b"\r", b"\n", b"\0", b".", b"a", b" ", b"\xae", b"\r\n", b"\r\n.", b"\r\n..", b"\r\n.\r", b"\r\n.\r\n")
"""What may follow 354."""


def smtp_bytes() -> st.SearchStrategy[bytes]:
    """Draw what a client may send: commands, messages, chunks, AUTH exchanges, and what is none of these."""
    good = (b"EHLO client.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RSET\r\n", b"\r\n", b"QUIT\r\n")
    modes = (
        b"DATA\r\n",
        b"AUTH PLAIN\r\n",
        b"AGFh\r\n",
        b"BDAT 5\r\n",
        b"BDAT 0 LAST\r\n",
        b"12345",
        b"text\r\n",
        b".\r\n",
        b"..x\r\n",
    )
    bad = (b"\r", b"\n", b"\0", b".", b"NOOP\n", b"NOOP\rMAIL\r\n", b"A" * 50, b"\r\n.\n", b"\xff\xfe", b"BDAT -1\r\n")
    return soup(*good, *modes, *bad, most=16)


# Events.

_seconds = st.floats(0, 1e6)
_count = st.integers(0, 2**31)
_text = st.binary(max_size=30).map(escape)
_words = st.sampled_from(("", "pregreet", "spoke", "fin", "no answer", "mail.example.org"))
_names = st.lists(st.sampled_from(("pregreet.spoke", "dnslists.zen", "pipelining.group")), max_size=3).map(tuple)
_phases = st.sampled_from(("connect", "hold", "greeted", "helo", "mail", "rcpt", "data", "message"))
_actions = st.sampled_from(("ignore", "tag", "delay", "defer", "reject", "drop"))
_verbs = st.sampled_from(("EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", ""))
_codes = st.sampled_from((220, 250, 251, 354, 421, 450, 452, 500, 501, 502, 503, 504, 521, 550, 552, 554, 555))

_connects = st.builds(
    schema.Connect,
    client=st.sampled_from(("192.0.2.7", "2001:db8::7")),
    port=st.integers(0, 65535),
    server=st.sampled_from(("198.51.100.1:25", "")),
    wait=_seconds,
    via=_words,
    exempt=st.sampled_from(("", "network", "remembered")),
    config=_words,
)

session_events: st.SearchStrategy[schema.SessionEvent] = st.one_of(
    _connects,
    st.builds(schema.Readable, phase=_phases, bytes=_count, text=_text),
    st.builds(schema.Answer, source=_words, codes=_names, ttl=_seconds, ms=_seconds),
    st.builds(schema.Outcome, check=_words, result=st.sampled_from(("passed", "failed", "skipped", "unknown")), why=_text),
    st.builds(schema.Reason, check=_words, code=_words, phase=_phases, detail=_text, weight=st.floats(-9, 9), action=_actions),
    st.builds(schema.Verdict, phase=_phases, action=_actions, reasons=_names, observed=st.booleans()),
    st.builds(schema.Greet, held=_seconds),
    st.builds(schema.Command, verb=_verbs, size=_count, arg=_text),
    st.builds(
        schema.Reply,
        code=_codes,
        text=_text,
        to=st.sampled_from(("", "RCPT", "MAIL", "DATA", "message")),
        by=st.sampled_from(("tarry", "mta")),
        size=_count,
    ),
    st.builds(
        schema.Hold, why=_words, asked=_seconds, held=_seconds, ended=st.sampled_from(("due", "left", "talked")), phase=_phases
    ),
    st.builds(
        schema.Handoff,
        mode=st.sampled_from(("proxy", "pass", "maildir", "exec")),
        to=_words,
        ok=st.booleans(),
        ms=_seconds,
        why=_text,
        blind=st.booleans(),
    ),
    st.builds(schema.Hangup, phase=_phases, how=st.sampled_from(("fin", "reset"))),
)
"""Every event of a session but its close."""

closes = st.builds(
    schema.Close,
    client=_words,
    port=st.integers(0, 65535),
    server=_words,
    phase=_phases,
    ended=st.sampled_from(("tarry", "client", "mta")),
    held=_seconds,
    total=_seconds,
    greeted=st.booleans(),
    early=st.none() | _seconds,
    hangup=st.none() | _seconds,
    action=_actions,
    reasons=_names,
    helo=_text,
    commands=_count,
    rcpts=_count,
    rcpts_accepted=_count,
    messages=_count,
    octets=_count,
    errors=_count,
    delayed=_seconds,
    mta=st.booleans(),
    blind=st.booleans(),
    observed=st.booleans(),
    messages_refused=_count,
    login=st.booleans(),
    passed=_names,
    domain=_words,
    mta_ms=st.none() | _seconds,
)

process_events: st.SearchStrategy[schema.ProcessEvent] = st.one_of(
    st.builds(schema.Start, version=_words, listen=_names, pid=_count, config=_words, max_clients=_count),
    st.builds(schema.Config, config=_words, ok=st.booleans(), why=_text),
    st.builds(schema.Stress, what=_words, on=st.booleans(), why=_text),
    st.builds(schema.Lost, count=_count, why=_text),
    st.builds(schema.Worker, number=_count, what=_words, pid=_count, status=st.integers(-64, 255), why=_text),
    st.builds(schema.Stop, why=_words, sessions=_count),
)


# Reasons.


_weights = st.sampled_from((0.0, 0.5, 1.0, 3.0))


def reasons(*checks: str, weights: st.SearchStrategy[float] = _weights) -> st.SearchStrategy[Reason]:
    """Draw reasons of these checks; weights are not negative unless told otherwise."""
    return st.builds(
        Reason,
        check=st.sampled_from(checks),
        code=st.sampled_from(("spoke", "tls")),
        detail=_text,
        weight=weights,
        phase=st.sampled_from([phase for phase in Phase if phase < Phase.CLOSED]),
        dt=_seconds,
    )


actions = st.sampled_from(Action)
