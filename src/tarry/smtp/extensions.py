"""extensions - which of the MTA's EHLO keywords tarry may offer in its own EHLO reply.

What      Reads the keywords out of an EHLO reply and makes tarry's reply of those that it can relay.
Promises  An allow-list: a keyword that is not in `RELAYED` is not offered, so no client can expect what tarry does not pass on.
Never     PIPECONNECT and X_PIPE_CONNECT (they allow talk before the greeting), XCLIENT and XFORWARD (the MTA trusts tarry, so one
          leak is an open relay).
Source    The SMTP service extensions registry of RFC 5321 §2.2.2; the RFC of each keyword stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tarry.smtp.reply import Reply, reply

RELAYED = frozenset(
    {
        "SIZE",  # RFC 1870: enforced by the MTA while the message streams through
        "PIPELINING",  # RFC 2920
        "8BITMIME",  # RFC 6152
        "SMTPUTF8",  # RFC 6531
        "DSN",  # RFC 3461
        "ENHANCEDSTATUSCODES",  # RFC 2034
        "CHUNKING",  # RFC 3030: BDAT, counted in octets
        "BINARYMIME",  # RFC 3030: a MAIL parameter; its message can only come by BDAT
        "AUTH",  # RFC 4954: lines relayed opaquely
        "STARTTLS",  # RFC 3207: tls.mode = "relay"
        "MT-PRIORITY",  # RFC 6710: a MAIL parameter
        "REQUIRETLS",  # RFC 8689: a MAIL parameter
        "DELIVERBY",  # RFC 2852: a MAIL parameter
        "FUTURERELEASE",  # RFC 4865: a MAIL parameter
        "RRVS",  # RFC 7293: an RCPT parameter
        "NO-SOLICITING",  # RFC 3865: a MAIL parameter
        "CONPERM",  # RFC 4141: an RCPT parameter
        "LIMITS",  # RFC 9422: numbers only
    }
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the MTA said of itself in its EHLO reply.

    ``name`` is the domain of its first line; ``keywords`` maps each relayed keyword (upper case) to its whole line.
    """

    name: str = ""
    keywords: tuple[tuple[str, bytes], ...] = ()

    def offers(self, keyword: str) -> bool:
        return any(keyword == known for known, _ in self.keywords)


def read_capabilities(ehlo: Reply, *, without: frozenset[str] = frozenset()) -> Capabilities:
    """Read the MTA's EHLO reply, keeping only what tarry relays; *without* names keywords to leave out as well.

    ``AUTH=LOGIN``, the form of old clients, counts as AUTH. A keyword that appears twice keeps both lines.
    """
    first, *rest = ehlo.lines
    words = first.split(b" ", 1)[0].decode("ascii", "replace")
    kept = []
    for line in rest:
        keyword = line.split(b" ", 1)[0].split(b"=", 1)[0].decode("ascii", "replace").upper()
        if keyword in RELAYED and keyword not in without:
            kept.append((keyword, line))
    return Capabilities(words, tuple(kept))


def words_of(ehlo: Reply, keyword: str) -> tuple[str, ...] | None:
    """Return the words behind *keyword* in an EHLO reply, in upper case, or None where it is not offered. For tarry's own use."""
    found: tuple[str, ...] | None = None
    for line in ehlo.lines[1:]:
        first, *rest = line.decode("ascii", "replace").upper().split() or ("",)
        if first == keyword:
            found = (*(found or ()), *rest)
    return found


@lru_cache(maxsize=16)  # as below
def without_starttls(known: Capabilities) -> Capabilities:
    """Return *known* without STARTTLS: inside TLS it is not offered (RFC 3207 §4.2)."""
    return Capabilities(known.name, tuple((keyword, line) for keyword, line in known.keywords if keyword != "STARTTLS"))


@lru_cache(maxsize=16)
def with_starttls(known: Capabilities) -> Capabilities:
    """Return *known* with STARTTLS, whether the MTA offers it or not: tarry does it. AUTH comes inside TLS (RFC 4954 §4)."""
    others = tuple((keyword, line) for keyword, line in known.keywords if keyword not in ("STARTTLS", "AUTH"))
    return Capabilities(known.name, (*others, ("STARTTLS", b"STARTTLS")))


@lru_cache(maxsize=16)  # the same for every client of an MTA
def ehlo_reply(name: str, known: Capabilities) -> Reply:
    """Return tarry's answer to EHLO: its name, then the MTA's own lines for what it can relay."""
    return reply(250, name, *(line for _, line in known.keywords))
