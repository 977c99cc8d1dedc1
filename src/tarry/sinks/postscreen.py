"""postscreen - the log in the lines that Postfix's postscreen writes, for the tools that read those.

What      A renderer: syslog's traditional prefix in local time, then postscreen's verbs, in ASCII::

              Nov 21 11:45:15 mx postfix/postscreen[4711]: CONNECT from [192.0.2.7]:44903 to [198.51.100.25]:25
              Nov 21 11:45:15 mx postfix/postscreen[4711]: PREGREET 17 after 0.03 from [192.0.2.7]:44903: EHLO early\\r\\n

Name      ``postfix/postscreen`` and no other. pflogsumm 1.1.5 reads only what begins with "postfix/" or its --syslog-name,
          fail2ban's filter wants ``postfix(-\\w+)?/\\w+``, and postfix_exporter the program "postfix" with the part "postscreen": a
          name with tarry in it fails in two of the three. DNS listings stand under ``postfix/dnsblog``, as in Postfix.
Fed by    The lines of the JSON style, behind the queue. So it runs on the writer's thread and holds up no client, and nothing is
          recorded for its sake: the record stays the one source.
Keeps     Of each open session some fields, taken from its own records and dropped at its `close`; of at most 100,000 sessions, the
          oldest forgotten first. And the addresses that have passed. A session of which only the `close` is there (with
          ``record.detail = "close"``, or when it was forgotten) is told from that, at its end.
Promises  A record gives whole lines or none; printable ASCII, whatever is in the record. It never raises.
Measured  A session with one message: 16 records and 30 µs for them in JSON, as much again on the thread for this (one core of a
          2-vCPU machine, Python 3.11).
Not here  The words of each event: verbs.py. Writing to syslog: `record.path` names the file that the tools read.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import TypeAlias, assert_never

from tarry.record.schema import (
    PASSED_BEFORE,
    PROCESS_EVENTS,
    Close,
    Config,
    Lost,
    ProcessEvent,
    SessionEvent,
    Start,
    Stop,
    Stress,
    Worker,
    read_line,
)
from tarry.sinks.verbs import PASSED, Passed, Said, Session, tell, unfold

SESSIONS = 100_000
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Events that say nothing here, most replies among them: to leave them unread saves a third of the cost.
_SILENT = frozenset((b"wait", b"hold", b"parked", b"tls", b"exit"))
_PASSED_BEFORE = b'"why":"%b"' % PASSED_BEFORE.encode("ascii")
_GOOD = (b'reply","code":2', b'reply","code":3')
LocalTime: TypeAlias = Callable[[float], time.struct_time]


class PostscreenRenderer:
    """Turns record lines into lines of postscreen. *host* is cut at its first dot, as syslog does."""

    def __init__(
        self,
        *,
        host: str = "",
        pid: int = 0,
        local: LocalTime = time.localtime,
        sessions: int = SESSIONS,
        passed: int = PASSED,
    ) -> None:
        name = (host or socket.gethostname()).partition(".")[0]
        self._host = _printable(name).replace(" ", "-") or "localhost"
        self._pid = pid or os.getpid()
        self._local = local
        self._most = sessions
        self._sessions: dict[str, Session] = {}
        self._last = ("", Session())
        self._passed = Passed(passed)
        self._second = -1
        self._time = ""

    @property
    def open_sessions(self) -> int:
        """How many sessions are remembered."""
        return len(self._sessions)

    def render(self, line: bytes) -> bytes | None:
        at = line.find(b'"ev":"') + 6
        name = line[at : line.find(b'"', at)]
        if name in _SILENT or (name == b"outcome" and b'"check":"proxy_header"' not in line and _PASSED_BEFORE not in line):
            return None
        if line.startswith(_GOOD, at) and b'"to":"RCPT"' not in line:
            return None
        try:
            record = read_line(line)
        except ValueError:  # a record of a later version
            return None
        stamp, event = record.stamp, record.event
        if isinstance(event, PROCESS_EVENTS):
            said = tell_process(event, self.open_sessions)
        elif isinstance(event, Close):
            said = self._close(stamp.id, event, stamp.dt)
        else:
            said = self._tell(stamp.id, event, stamp.dt)
        if not said:
            return None
        return "".join([self._line(stamp.t, one) for one in said]).encode("ascii")

    def _tell(self, id: str, event: SessionEvent, dt: float) -> list[Said]:
        session = self._sessions.get(id)
        if session is None:
            if len(self._sessions) >= self._most:
                del self._sessions[next(iter(self._sessions))]
            session = self._sessions[id] = self._last[1] if self._last[0] == id else Session()
        return tell(session, event, dt, self._passed)

    def _close(self, id: str, event: Close, dt: float) -> list[Said]:
        session = self._sessions.pop(id, None)
        if session is None or not session.client:
            session = Session()
            said = [one for each, at in unfold(event) for one in tell(session, each, at, self._passed)]
        else:
            said = tell(session, event, dt, self._passed)
        # `tarry inetd` writes a second close where the command could not be run after all.
        self._last = (id, session)
        return said

    def _line(self, t: float, said: Said) -> str:
        second = int(t)
        if second != self._second:
            self._second, self._time = second, _time(self._local, second)
        return f"{self._time} {self._host} postfix/{said.program}[{self._pid}]: {_printable(said.text)}\n"


def tell_process(event: ProcessEvent, connections: int) -> list[Said]:
    """Return the line for an event of the daemon itself; *connections* are the clients that it has."""
    match event:
        case Start():
            text = f"tarry {event.version} started, listens on {', '.join(event.listen)}"
        case Config(ok=True):
            text = f"configuration {event.config} taken {event.why and f'({event.why})'}".rstrip()
        case Config():
            text = f"warning: configuration refused, the old one stays: {event.why}"
        case Stress(what="descriptors" | "load"):
            text = f"{'entering' if event.on else 'leaving'} STRESS mode with {connections} connections"
        case Stress(what="mta", on=True):
            text = f"warning: cannot connect to service mta: {event.why}"
        case Stress(on=True):  # a DNS list that fails its test
            text = f"warning: {event.what} cannot be used: {event.why}"
        case Stress():
            text = f"{event.what} can be used {event.why}".rstrip()
        case Lost():
            text = f"warning: {event.count} log records lost: {event.why}"
        case Worker():
            how = event.why or (f"status {event.status}" if event.status else "")
            text = (
                f"{'warning: ' if event.status else ''}worker {event.number} (process {event.pid}) {event.what}{how and f': {how}'}"
            )
        case Stop():
            text = f"tarry stops ({event.why}) with {event.sessions} connections"
        case _ as unreachable:
            assert_never(unreachable)
    return [Said(text)]


def _time(local: LocalTime, second: int) -> str:
    try:
        now = local(second)
    except (OverflowError, ValueError, OSError):  # a time that no clock shows; EOVERFLOW
        now = time.gmtime(0)
    # Not strftime: its months are those of the locale.
    return f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)
