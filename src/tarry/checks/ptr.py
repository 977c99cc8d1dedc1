"""ptr - does the client's address have a name, and does that name have the address?

What      Asks for the PTR names of the address, and for the addresses of these names (forward-confirmed reverse DNS). Ignored by
          default, and then nothing is asked: whoever wants the names of clients looked up gives it, or one of its codes, an action.
Why       RFC 1912 §2.1 asks for both, large receivers refuse mail from addresses without, and providers give home lines names that
          do not resolve. It is weak evidence, and good for a longer hold: hold.class with who = ["no_ptr"].
Mistaken  Small offices whose provider keeps the reverse zone, new servers, and IPv6, where names are rare. A name server that is
          away is no lack of a name: that is unknown. checks.ptr.action stays at ignore or tag where such senders are expected, or
          checks.ptr.codes spares unconfirmed ones.
Source    RFC 1912 §2.1; Postfix reject_unknown_client_hostname; Haraka fcrdns.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tarry.core.border import Answered, Arrived
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.facts import Answer, Kind, Question, State, names_of
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tarry.smtp.text import escape


class Ptr:
    """Fails where the client's address has no name, or none that has the address."""

    name = "ptr"
    complaint = "Your address has no name that leads back to it"
    codes: ClassVar[Mapping[str, str]] = {
        "none": "the client's address has no name (no PTR record)",
        "unconfirmed": "the client's address has names, and none of them has the address",
    }
    settings = Settings(action=Action.IGNORE)
    options = NoOptions
    triggers = (Answered,)
    kinds = frozenset({Kind.NAMES})

    def asks(self, seen: Seen, options: NoOptions) -> tuple[Question, ...]:
        return (names_of(seen.about.client),) if isinstance(seen.moment, Arrived) and seen.about.client else ()

    def look(self, seen: Seen, options: NoOptions) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Answered(answer=answer):
                return _judged(answer) if answer.question == names_of(seen.about.client) else ()
            case _:
                return Unknown("not observed")


def _judged(answer: Answer) -> Outcome:
    match answer.state:
        case State.UNKNOWN:
            return Unknown(f"names: {answer.why or 'no answer'}")
        case State.FOUND if answer.confirmed > 0:
            return PASSED
        case State.FOUND if answer.values:
            return Failed("unconfirmed", escape(", ".join(answer.values).encode("ascii", "backslashreplace")))
        case _:
            return Failed("none")
