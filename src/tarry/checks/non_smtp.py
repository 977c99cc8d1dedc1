"""non_smtp - notice a client that speaks something other than SMTP.

What      HTTP requests, header lines and message text where a command should stand.
Why       Proxies abused to reach port 25 speak HTTP first; a sender that does not read replies sends its message although
          DATA was refused, and each of its lines arrives as a command.
Mistaken  A mistyped command is neither: it is counted by many_errors.
Source    postscreen_non_smtp_command, smtpd_forbidden_commands; D. Carraway, 2003 (the log of hundreds of 500s).
Since     0.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from tarry.core.border import Unrecognised
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tarry.smtp.text import evidence

_HTTP = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "PRI", "USER"})
_HEADER = re.compile(rb"[!-9;-~]+:(?:[ \t]|\Z)")
_VERB = re.compile(rb"[A-Za-z][A-Za-z0-9-]{2,11}(?:[ \t]|\Z)")  # X-LINK2STATE is the longest in use


class NonSmtp:
    """Fails on HTTP verbs, header lines and lines that begin with no word a command could be."""

    name = "non_smtp"
    complaint = "This is an SMTP server"
    codes: ClassVar[Mapping[str, str]] = {
        "http": "an HTTP verb stood where a command should",
        "header": "a header line stood where a command should",
        "text": "a line stood where a command should that begins with no possible verb",
    }
    settings = Settings(action=Action.DROP)
    options = NoOptions
    triggers = (Unrecognised,)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        match seen.moment:
            case Unrecognised(command=command):
                line = command.line
                if command.verb in _HTTP:
                    return Failed("http", evidence(line))
                if _HEADER.match(line):
                    return Failed("header", evidence(line))
                return PASSED if _VERB.match(line) or not line.strip() else Failed("text", evidence(line))
            case _:
                return Unknown("not observed")
