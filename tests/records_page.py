"""records_page - the part of docs/records.md that lists the events, made from tarry.record.schema.

    .venv/bin/python -m tests.records_page        writes it into the page

The sentence on each event is the docstring of its class, types and defaults come from its fields, and the examples are lines that
`write_line` wrote. What a field means stands here, in `FIELDS`; tests/test_docs.py fails where a field has no meaning or the page
is not what this makes.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from tarry.record import schema
from tarry.record.schema import PROCESS_EVENTS, AnyEvent, Event

PAGE = Path(__file__).parents[1] / "docs" / "records.md"
BEGIN = "<!-- Made by `python -m tests.records_page`, from src/tarry/record/schema.py. -->\n"
END = "<!-- End of what is made. -->\n"

PHASE = "Phase: connect, hold, greeted, helo, mail, rcpt, data or message."
ACTION = "ignore, tag, delay, discard, defer, reject or drop."

FIELDS: dict[str, dict[str, str]] = {
    "connect": {
        "client": "The client's address.",
        "port": "Its port.",
        "server": "The address and port that it connected to.",
        "wait": "Seconds that it is to wait for the greeting.",
        "via": "Address and port of the proxy whose PROXY header named the client; empty without one.",
        "exempt": "`exempt` for a client of `[exempt]`, or that `tarry clients allow` names; else empty.",
        "config": "Fingerprint of the configuration that it meets, as `tarry config show` prints it.",
        "hold_class": "Name of the `[[hold.class]]` that it is of by its address; empty for none.",
    },
    "readable": {"phase": PHASE, "bytes": "Octets that were there, at most 1,024.", "text": "The first of them, escaped."},
    "answer": {
        "source": "Who was asked: the DNS list; `names` for the names of the address, `addresses` for the addresses of a name; "
        "`history` or `domain_history` for what is remembered.",
        "codes": "What was answered: addresses, or names; of what is remembered `karma`, `sessions` and `delivered` with a number, "
        "and `pass` with a check that the client need not pass again.",
        "ttl": "Seconds that the answer holds.",
        "ms": "Milliseconds until it came; 0 from the cache.",
        "state": "found, nothing, or unknown where no answer was to be had.",
        "why": "Why it is unknown.",
        "name": "What was looked up. Where a zone of yours holds a key, it stands here and in `source`: keep the log as private.",
        "confirmed": "Of names: how many of them, the first ones, have the client's address.",
        "domain": "Of a domain's history: the organisational domain that answers for the address; empty for none.",
    },
    "wait": {"name": "Name of the `[[hold.class]]`; empty for none.", "wait": "Seconds from accept on."},
    "outcome": {
        "check": "Name of the check; `proxy_header` for a PROXY header that is none.",
        "result": "passed, failed, skipped or unknown.",
        "why": "Why, where the result does not say it.",
    },
    "reason": {
        "check": "Name of the check.",
        "code": "One of the check's codes; `check.code` is the reason's full name.",
        "phase": f"Where it was found. {PHASE}",
        "detail": "What the client sent, escaped, or a count.",
        "weight": "What it adds to the score; below 0 it speaks for the client.",
        "action": f"What the check's settings ask for: {ACTION}",
        "subject": "The public name of the DNS list, where one says so.",
    },
    "verdict": {
        "phase": PHASE,
        "action": f"Strongest action that is due: {ACTION}",
        "reasons": "Full names of the reasons, the deciding one first.",
        "observed": "True with `--observe`: it was not carried out.",
    },
    "greet": {"held": "Seconds since accept."},
    "command": {
        "verb": "The line's first word in capitals; empty where it begins with no word.",
        "size": "Octets of the line with its CRLF.",
        "arg": "HELO name, path of MAIL or RCPT (empty where `record.paths` is false), mechanism of AUTH; else empty.",
    },
    "reply": {
        "code": "The code.",
        "text": "Text of the last line, without the code, escaped.",
        "to": "Verb that is answered; `connect` before the greeting, `message` for a whole message, empty for none.",
        "by": "`tarry` or `mta`.",
        "size": "Octets of the message; 0 where no message is answered.",
    },
    "hold": {
        "why": "`data_wait`, `residual`, `answers` (what is being looked up), `tarpit.` and the kind, or `reply_pace`: a held "
        "reply went out an octet at a time.",
        "asked": "Seconds that it was to last.",
        "held": "Seconds that it lasted.",
        "ended": "`due`, `left` when the client hung up, `answered` when what was looked up was known, `cut` when tarry or the MTA "
        "ended it before its time.",
        "phase": PHASE,
        "reasons": "For a residual delay: all reasons for it.",
        "sender": "For a residual delay: the sender, escaped; empty with `record.paths = false`.",
        "rcpt": "For a residual delay at RCPT: the recipient, in the same way.",
    },
    "handoff": {
        "mode": "`handoff.mode`.",
        "to": "Address of the MTA, or the Maildir.",
        "ok": "True when the MTA took the session.",
        "ms": "Milliseconds from the command that needed the MTA to the MTA's answer to EHLO.",
        "why": "Why not, where it failed.",
        "blind": "True from STARTTLS on: bytes are passed on unread, and only `close` follows. False for pass and exec.",
    },
    "parked": {"phase": PHASE, "rcpts": "Recipients that the MTA had accepted; they are given to it again after the hold."},
    "tls": {
        "side": "`client` or `mta`.",
        "ok": "False where the handshake failed.",
        "version": "Such as `TLSv1.3`.",
        "cipher": "The cipher suite, by OpenSSL's name.",
        "sni": "The server name that the client asked for; empty where it named none.",
        "ms": "Milliseconds that the handshake took.",
        "why": "Why it failed.",
    },
    "exit": {
        "status": "Exit status of the command, negative for a signal.",
        "seconds": "Seconds that it ran.",
    },
    "hangup": {"phase": PHASE, "how": "`fin`: it closed its side, and may still listen. `reset`: it is gone."},
    "close": {
        "client": "As in `connect`.",
        "port": "As in `connect`.",
        "server": "As in `connect`.",
        "phase": f"Furthest that it came. {PHASE}",
        "ended": "Who ended it: `tarry`, `client` or `mta`; `handoff` where the client was given away (modes pass and exec).",
        "held": "Seconds until the greeting, or until it was given away; else until it hung up or the session ended.",
        "total": "Seconds from accept to the last record.",
        "greeted": "True when it got the 220, or was given to an MTA that greets.",
        "early": "Seconds until it spoke too early in the hold; null when it did not.",
        "hangup": "Seconds until it first hung up; null when it did not.",
        "action": f"Strongest verdict: {ACTION}",
        "reasons": "Full names of all reasons, in the order in which they were found.",
        "helo": "Name of its last EHLO or HELO.",
        "commands": "Commands.",
        "rcpts": "RCPT commands.",
        "rcpts_accepted": "RCPT commands that were accepted.",
        "messages": "Messages that the MTA answered 250.",
        "octets": "Octets of all messages, accepted or not.",
        "errors": "Replies 500 to 504 and 555.",
        "delayed": "Seconds of holds after the greeting.",
        "mta": "True when the MTA took the session.",
        "blind": "True when STARTTLS made tarry blind.",
        "observed": "True when a verdict was not carried out, with `--observe`.",
        "parked": "How often the MTA's connection was given up for a hold.",
        "tls": "Version and cipher of TLS with the client, where tarry spoke it.",
        "discarded": "Messages that were answered 250 and thrown away, since a check asks for that; not among `messages`.",
        "messages_refused": "Messages that the MTA answered with 5xx.",
        "login": "True when it logged in (AUTH, 235).",
        "passed": "Checks of the hold that it passed.",
        "domain": "Organisational domain that answers for its address, where that was looked up; else empty.",
        "mta_ms": "Milliseconds that the MTA took to answer when it was first needed; null where it was not.",
    },
    "start": {
        "version": "Version of tarry.",
        "listen": "Addresses that it listens on.",
        "pid": "Process id.",
        "config": "Fingerprint of the configuration.",
        "max_clients": "How many clients it serves at once: `listen.max_clients`, or fewer where descriptors are short.",
        "worker": "Number of the process among those that share the work; 0 where it is alone.",
    },
    "config": {
        "config": "Fingerprint of the new configuration.",
        "ok": "False when it was refused.",
        "why": "Its errors; where it was taken, the keys that wait for a restart.",
    },
    "stress": {
        "what": "`mta`, `descriptors`, `load`, `store`, or `list` and the name of a DNS list.",
        "on": "True when it begins, false when it is over. The first answer of the MTA after a start is told as well.",
        "why": "What happened: a sentence, or the name of an errno.",
    },
    "lost": {"count": "Records.", "why": "`queue full`, or the name of an errno such as ENOSPC."},
    "worker": {
        "number": "Which one, from 1 on.",
        "what": "`began`, `ended`, or `replaced`.",
        "pid": "Process id.",
        "status": "Exit status, negative for the signal that ended it; 0 while it runs.",
        "why": "What happened, in words.",
    },
    "stop": {"why": "SIGTERM, SIGINT or what the embedding program did.", "sessions": "Clients that were inside then."},
}

_EARLY = "EHLO x\\r\\n"
_CLOSE = schema.Close(
    "192.0.2.7", 50408, "198.51.100.25:25", "message", "client", 4.307, 5.113, True, None, None, "ignore", (), "mail.example",
    5, 1, 1, 1, 346, 0, 0.0, True,
)  # fmt: skip

EXAMPLES: tuple[AnyEvent, ...] = (
    schema.Connect("192.0.2.7", 50408, "198.51.100.25:25", 4.303, config="d95b64febe"),
    schema.Readable("hold", 8, _EARLY),
    schema.Answer("zen.dnsbl.example", ("127.0.0.2",), 300.0, 12.5, "found", "", "7.2.0.192.zen.dnsbl.example"),
    schema.Wait("dubious", 28.113),
    schema.Outcome("pregreet", "passed"),
    schema.Reason("pregreet", "spoke", "hold", _EARLY, 0.0, "reject"),
    schema.Verdict("hold", "reject", ("pregreet.spoke",)),
    schema.Greet(4.307),
    schema.Command("MAIL", 30, "alice@mail.example"),
    schema.Reply(250, "2.0.0 Ok: queued as 4Z", "message", "mta", 346),
    schema.Hold("tarpit.rcpt", 6.0, 6.0, "due", "rcpt"),
    schema.Handoff("proxy", "127.0.0.1:10025", True, 0.693),
    schema.Parked("rcpt", 3),
    schema.Tls("client", True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example.org", 2.113),
    schema.Exit(0, 1.204),
    schema.Hangup("hold", "fin"),
    _CLOSE,
    schema.Start("0.1.0", ("0.0.0.0:25", "[::]:25"), 4711, "d95b64febe", 15000),
    schema.Config("d95b64febe", False, "tarry.toml:3: error: hold.wiat: no such key; did you mean hold.wait?"),
    schema.Stress("mta", True, "Connection refused"),
    schema.Lost(17, "ENOSPC"),
    schema.Worker(2, "ended", 4713, -9, "killed by SIGKILL"),
    schema.Stop("SIGTERM", 2),
)


def name_of(event: type[Event]) -> str:
    """Return the event's name as it stands in ``ev``."""
    return event.__name__.lower()


def events() -> tuple[type[Event], ...]:
    """Return the event types in the order of the schema, those of sessions first."""
    return get_args(AnyEvent)


def made() -> str:
    """Return the part of the page between the marks."""
    lines = [BEGIN, "## Events of a session\n"]
    for event in events():
        if event is PROCESS_EVENTS[0]:
            lines.append("## Events of the daemon\n")
        example = next(one for one in EXAMPLES if type(one) is event)
        lines += [f"### {name_of(event)}\n", f"{_sentence(event)}\n", "| field | type | |", "|---|---|---|"]
        hints = get_type_hints(event)
        for field in msgspec.structs.fields(event):
            lines.append(f"| `{field.name}` | {_type(hints[field.name])} | {FIELDS[name_of(event)][field.name]} |")
        lines += ["", "```json", _line(example), "```\n"]
    lines.append(END)
    return "\n".join(lines)


def with_made(page: str) -> str:
    """Return the page with its made part made anew."""
    before, _, rest = page.partition(BEGIN)
    return before + made() + rest.partition(END)[2]


def _sentence(event: type[Event]) -> str:
    return " ".join((event.__doc__ or "").split()).replace("``", "`")


def _type(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_type(one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return "list of text"
    return {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}[hint]


def _line(event: AnyEvent) -> str:
    if isinstance(event, PROCESS_EVENTS):
        line = schema.write_process_line(event, t=1795243807.589434)
    else:
        line = schema.write_line(event, t=1795243812.669976, dt=5.113, id="6B014346-0001", n=16)
    return line.decode("ascii").rstrip("\n")


if __name__ == "__main__":
    PAGE.write_text(with_made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
