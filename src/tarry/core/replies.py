"""replies - what tarry says by itself.

What      The replies that are tarry's own; texts never hold a client's bytes. Those that refuse somebody hold the session's id,
          by which the log knows it, and the operator's smtp.help_url. Those without either say what is wrong with one command
          (5xx), or end a session that has nothing more to ask: LINE_TOO_LONG, TOO_SLOW, GOING_DOWN, FAULT.
Source    RFC 5321 §4.2.2 and §4.2.3; enhanced status codes from RFC 3463.
"""

from __future__ import annotations

from functools import lru_cache

from tarry.record import schema
from tarry.smtp.reply import Reply, reply

OK = reply(250, "2.0.0 Ok")
SENDER_OK = reply(250, "2.1.0 Ok")
BYE = reply(221, "2.0.0 Bye")
ACCEPTED = reply(250, "2.6.0 Message accepted")
"""To a message that is thrown away."""
HELP = reply(214, "2.0.0 See RFC 5321")
CANNOT_VERIFY = reply(252, "2.0.0 Cannot verify, but will take a message for delivery")
CHUNK_MALFORMED = reply(501, "5.5.4 BDAT takes a size and, at the end, LAST")
NO_ARGUMENT = reply(501, "5.5.4 STARTTLS takes no argument")
NAME_MISSING = reply(501, "5.5.4 Say EHLO or HELO with your name")
NOT_RECOGNISED = reply(500, "5.5.2 Command not recognised")
NOT_OFFERED = reply(502, "5.5.1 Command not offered")
BROKEN_LINE = reply(500, "5.5.2 A line may hold no bare CR, bare LF or NUL")
MAIL_FIRST = reply(503, "5.5.1 MAIL first")
RCPT_FIRST = reply(503, "5.5.1 RCPT first")
READY_FOR_TLS = reply(220, "2.0.0 Ready to start TLS")
TLS_ALREADY = reply(503, "5.5.1 TLS is on already")
TALK_AFTER_STARTTLS = reply(503, "5.5.1 Wait for the reply to STARTTLS")
TLS_FIRST = reply(538, "5.7.1 Say STARTTLS first: passwords are taken inside TLS only")
LINE_TOO_LONG = reply(421, "4.5.2 Line too long")
TOO_SLOW = reply(421, "4.4.2 Timeout, closing the connection")
GOING_DOWN = reply(421, "4.3.2 Service is going down, try again later")

FAULT = reply(421, "4.3.0 Internal fault, try again later")


def unavailable(id: str) -> Reply:
    """The MTA cannot be used now: the client is to come again."""
    return reply(421, f"4.3.2 Service not available, try again later [{id}]")


def taken_back(id: str) -> Reply:
    """The MTA does not accept again what it had accepted before a long hold: nothing of the transaction is delivered."""
    return reply(451, f"4.3.0 What was accepted before is not accepted any more, try again later [{id}]")


def not_started(id: str) -> Reply:
    """The command that is to serve the client cannot be run: the client is to come again."""
    return reply(421, f"4.3.0 The mail server cannot be started, try again later [{id}]")


def denied(id: str, help_url: str = "") -> Reply:
    """The client is on the operator's deny list."""
    return reply(554, _told("5.7.1 Not accepted from this address", id, help_url))


def too_many_clients(id: str, help_url: str = "") -> Reply:
    """There is no place left."""
    return reply(421, _told("4.7.0 Too many connections, try again later", id, help_url))


def too_many_from_client(id: str, help_url: str = "") -> Reply:
    """The client, an IPv4 address or an IPv6 /64, has as many connections as it may have."""
    return reply(421, _told("4.7.0 Too many connections from your address, try again later", id, help_url))


def too_many_from_network(id: str, help_url: str = "") -> Reply:
    """Its network, the IPv4 /24 or the IPv6 /48, has."""
    return reply(421, _told("4.7.0 Too many connections from your network, try again later", id, help_url))


def too_often_from_client(id: str, help_url: str = "") -> Reply:
    """The client has made as many connections in the last minute as it may."""
    return reply(421, _told("4.7.0 Too many connections in a minute from your address, try again later", id, help_url))


def too_often_from_network(id: str, help_url: str = "") -> Reply:
    """Its network has."""
    return reply(421, _told("4.7.0 Too many connections in a minute from your network, try again later", id, help_url))


def too_many_recipients(id: str, help_url: str = "") -> Reply:
    """The message has as many recipients as it may have; the client may send it to the others in another one."""
    return reply(452, _told("4.5.3 Too many recipients", id, help_url))


def broken_message(id: str, help_url: str = "") -> Reply:
    """The message cannot be passed on as it is."""
    return reply(550, _told("5.6.0 A message may hold no bare CR, bare LF or NUL", id, help_url))


@lru_cache(maxsize=16)
def greeting(name: str) -> Reply:
    return reply(220, f"{name} ESMTP")


def teaser(text: str, name: str) -> bytes:
    """Return the first line of a greeting whose last line comes after the hold; {name} in it is the name in the greeting."""
    return f"220-{text.replace('{name}', name)}\r\n".encode("ascii")


def at_connect(told: Reply) -> schema.Reply:
    """Return the record of a reply that ends a session before its greeting."""
    return schema.Reply(told.code, told.last_line.decode("ascii", "replace"), "connect")


def _told(what: str, id: str, help_url: str) -> str:
    return f"{what} [{id}] {help_url}".rstrip()
