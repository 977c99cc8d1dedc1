"""summary - what a session's records add up to.

What      `Summary` takes a session's events one by one; `close` gives the wide closing line. `fold` does it for a list.
Promises  The daemon writes `close` from this very sum and keeps no other count, so `fold(records) == close` holds by construction
          and is tested as a property.
"""

from __future__ import annotations

from collections.abc import Iterable

from tarry.record.schema import (
    PROCESS_EVENTS,
    Answer,
    Close,
    Command,
    Connect,
    Greet,
    Handoff,
    Hangup,
    Hold,
    Outcome,
    Parked,
    Readable,
    Reason,
    Record,
    Reply,
    SessionEvent,
    Tls,
    Verdict,
)
from tarry.smtp.reply import ERRORS

_PHASES = ("connect", "hold", "greeted", "helo", "mail", "rcpt", "data", "message")
_PHASE_OF_VERB = {"HELO": 3, "EHLO": 3, "MAIL": 4, "RCPT": 5, "DATA": 6, "BDAT": 6}
_LADDER = ("ignore", "tag", "delay", "discard", "defer", "reject", "drop")
_GIVEN_AWAY = ("pass", "exec")


class Summary:
    """A running sum over one session."""

    __slots__ = (
        "_action", "_blind", "_client", "_commands", "_delayed", "_discarded", "_domain", "_early", "_ended", "_errors", "_greeted",
        "_hangup", "_held", "_helo", "_last", "_login", "_messages", "_messages_refused", "_mta", "_mta_ms", "_observed", "_octets",
        "_parked", "_passed", "_phase", "_port", "_rcpts", "_rcpts_accepted", "_reasons", "_server", "_tls",
    )  # fmt: skip

    def __init__(self) -> None:
        self._client = self._server = self._helo = self._tls = self._domain = ""
        self._port = self._commands = self._rcpts = self._rcpts_accepted = self._messages = self._octets = self._errors = 0
        self._phase = self._action = self._parked = self._discarded = self._messages_refused = 0
        self._ended = "tarry"
        self._held = self._delayed = self._last = 0.0
        self._greeted = self._mta = self._blind = self._observed = self._login = False
        self._early: float | None = None
        self._hangup: float | None = None
        self._mta_ms: float | None = None
        self._reasons: list[str] = []
        self._passed: tuple[str, ...] = ()

    def add(self, event: SessionEvent, dt: float) -> None:
        """Count one event that happened *dt* seconds after accept. The commonest come first."""
        self._last = dt
        match event:
            case Command():
                self._add_command(event)
            case Reply():
                self._add_reply(event)
            case Connect():
                self._client, self._port, self._server = event.client, event.port, event.server
                self._phase = 0 if event.exempt else 1
            case Greet():
                self._greeted, self._held = True, event.held
                self._phase = max(self._phase, 2)
            case Handoff():
                self._mta = self._mta or event.ok
                if event.ok and self._mta_ms is None:
                    self._mta_ms = event.ms
                self._blind = self._blind or event.blind
                if not event.ok:
                    self._ended = "mta"
                elif event.mode in _GIVEN_AWAY and not self._greeted:
                    self._greeted, self._held, self._ended = True, dt, "handoff"
                    self._phase = max(self._phase, 2)
            case Parked():
                self._parked += 1
            case Tls(side="client", ok=True):
                self._tls = f"{event.version} {event.cipher}"
            case Reason():
                self._reasons.append(f"{event.check}.{event.code}")
            case Verdict():
                self._action = max(self._action, _LADDER.index(event.action))
                self._observed = self._observed or event.observed
            case Readable():
                if self._early is None and event.phase == "hold":
                    self._early = dt
            case Hold():
                self._delayed += event.held
            case Outcome(check=check, result="passed"):
                if check not in self._passed:
                    self._passed = (*self._passed, check)
            case Answer(domain=domain) if domain:
                self._domain = domain
            case Hangup():
                self._ended = "client"
                if self._hangup is None:
                    self._hangup = dt
            case _:
                pass  # other Answers and Outcomes, Wait and Exit add nothing to the sum; Close is the sum

    def close(self) -> Close:
        """Return the wide closing line."""
        first_to_leave = self._last if self._hangup is None else self._hangup
        return Close(
            client=self._client,
            port=self._port,
            server=self._server,
            phase=_PHASES[self._phase],
            ended=self._ended,
            held=self._held if self._greeted else first_to_leave,
            total=self._last,
            greeted=self._greeted,
            early=self._early,
            hangup=self._hangup,
            action=_LADDER[self._action],
            reasons=tuple(self._reasons),
            helo=self._helo,
            commands=self._commands,
            rcpts=self._rcpts,
            rcpts_accepted=self._rcpts_accepted,
            messages=self._messages,
            octets=self._octets,
            errors=self._errors,
            delayed=round(self._delayed, 6),
            mta=self._mta,
            blind=self._blind,
            observed=self._observed,
            parked=self._parked,
            tls=self._tls,
            discarded=self._discarded,
            messages_refused=self._messages_refused,
            login=self._login,
            passed=self._passed,
            domain=self._domain,
            mta_ms=self._mta_ms,
        )

    def _add_command(self, event: Command) -> None:
        verb = event.verb
        self._commands += 1
        if verb in _PHASE_OF_VERB:
            self._phase = max(self._phase, _PHASE_OF_VERB[verb])
            if verb == "RCPT":
                self._rcpts += 1
            elif verb in ("EHLO", "HELO"):
                self._helo = event.arg
        elif verb == "QUIT":
            self._ended = "client"

    def _add_reply(self, event: Reply) -> None:
        code = event.code
        if event.to == "RCPT" and 250 <= code < 260:
            self._rcpts_accepted += 1
        elif event.to == "message":
            self._phase = 7
            self._octets += event.size
            if code == 250 and event.by == "tarry":
                self._discarded += 1  # the only message that tarry accepts by itself is the one that it throws away
            elif code == 250:
                self._messages += 1
            elif code >= 500 and event.by == "mta":
                self._messages_refused += 1
        elif code == 235:
            self._login = True
        if code in ERRORS:
            self._errors += 1
        elif code == 421 and event.by == "mta":
            self._ended = "mta"


def fold(records: Iterable[Record]) -> Close:
    """Return the closing line that these records of one session add up to; a `Close` among them is passed over."""
    summary = Summary()
    for record in records:
        if not isinstance(record.event, Close):
            assert not isinstance(record.event, PROCESS_EVENTS)
            summary.add(record.event, record.stamp.dt)
    return summary.close()
