"""presets - the dialogues and logs in which the historic systems were published, played under the presets that stand for them.

What they said and when is quoted as it was; what tarry does about it is compared word for word and second for second.
"""

from __future__ import annotations

from typing import NamedTuple

from tarry.config.compile import policy
from tarry.config.load import load
from tarry.core.border import Due, Greet, HoldInput, Readable, Refuse
from tarry.core.hold import Held, step
from tarry.core.policy import Policy
from tarry.core.result import Reason
from tests.playbook import ACCEPTED_AT, ends


def policy_of(preset: str, more: str = "") -> Policy:
    """Return the policy of a preset, with *more* TOML below it."""
    return policy(load(None, text=f'preset = "{preset}"\n{more}').checked())


class Outcome(NamedTuple):
    """How a hold ended: when (seconds since accept), with which reply where it refused, and for what reasons."""

    at: float
    reply: str
    reasons: tuple[Reason, ...]


def hold(policy: Policy, *happened: tuple[float, HoldInput]) -> Outcome:
    """Hold a client to whom this happens, each at so many seconds, for the shortest time that it may be held."""
    held = Held("K3X9-0001", "192.0.2.7", ACCEPTED_AT, share=0.0)
    for seconds, one in (*happened, (policy.wait.low, Due())):
        held, effects = step(held, one, ACCEPTED_AT + seconds, policy)
        match ends(effects):
            case [Greet()]:
                return Outcome(seconds, "", held.reasons)
            case [Refuse(reply=reply)]:
                return Outcome(seconds, reply.raw.decode().rstrip("\r\n"), held.reasons)
    raise AssertionError("a hold that does not end")


def talks_at(seconds: float, said: str = "EHLO aol.com\r\n") -> tuple[float, Readable]:
    """The client says something early."""
    return seconds, Readable(said.encode())
