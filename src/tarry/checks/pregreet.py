"""pregreet - notice a client that speaks before the 220 greeting.

What      RFC 5321 §4.3.1 lets a client send nothing until it has read the greeting. Bytes that wait in the socket during the
          hold are a violation, to the last millisecond before the greeting is written.
Why       Bulk senders write the whole dialogue at once to save round trips. On one server in 2023 half of the early
          talkers had spoken after 0.27 s and 99.6 % after 2 s.
Mistaken  TLS-on-connect clients on port 25 (code tls), browsers and scanners (http), and a balancer whose network is not in
          listen.proxy_from (proxy) get codes of their own, so that one look at the log tells them apart.
Source    D. Carraway, qpsmtpd list, 2003-03-13; postscreen(8), PREGREET.
Since     0.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from tarry.core.border import Due, Readable
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.client import Phase
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tarry.smtp.proxy_header import looks_like_header
from tarry.smtp.text import evidence

_HTTP = re.compile(rb"(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|TRACE|PATCH|CONNECT|PRI) [^\r\n]* ?(?:HTTP/|\Z)")


class Pregreet:
    """Fails on bytes before the greeting; passes when the hold ends in silence."""

    name = "pregreet"
    complaint = "You spoke before the greeting"
    codes: ClassVar[Mapping[str, str]] = {
        "spoke": "bytes came before the greeting",
        "tls": "a TLS ClientHello came: TLS from the first byte does not belong on this port",
        "http": "an HTTP request came",
        "proxy": "a PROXY header came from an address that is not in listen.proxy_from",
    }
    settings = Settings(action=Action.REJECT, at=Phase.CONNECT)
    options = NoOptions
    triggers = (Readable, Due)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        match seen.moment:
            case Readable(first=first):
                return Failed(_code(first), evidence(first))
            case Due():
                return PASSED
            case _:
                return Unknown("not observed")


def _code(first: bytes) -> str:
    if first[:1] == b"\x16":
        return "tls"
    if looks_like_header(first):
        return "proxy"
    return "http" if _HTTP.match(first) else "spoke"
