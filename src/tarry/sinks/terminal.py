"""terminal - the log for a person who runs `tarry serve` and watches.

What      A renderer: one short line for each record worth seeing, in plain words, with the time and the end of the session's id::

              05:31:07 QK3F 127.0.0.1:50122 connected, held for 4.2 s
              05:31:07 QK3F 127.0.0.1:50122 spoke after 0.03 s: "EHLO x\\r\\n" -> refused 554 (pregreet.spoke)

Promises  Printable ASCII only, whatever a client or an MTA sent. Cut to the terminal's width, and what a client said is cut
          before what was done about it. Colours say nothing that the words do not, and stand only where they are wanted.
Keeps     Of each open session a few fields, taken from its own records; of at most 20,000 sessions, the oldest forgotten first.
Not here  The words of each event: story.py.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

from tarry.record.schema import PROCESS_EVENTS, Close, read_line
from tarry.sinks.story import Said, Session, Tone, tell, tell_process

_SESSIONS = 20_000
_ID_LENGTH = 4
_OF_WORKER = 11
"""Where the hyphen stands in the id of a worker's session: its last digit before that tells it from another worker's."""
_LEAST_QUOTE = 12
_ADDRESS_WIDTH = 21  # 255.255.255.255:65535; a longer one (IPv6) pushes its own line only
_SGR = {Tone.PLAIN: "", Tone.QUIET: "\x1b[2m", Tone.GOOD: "\x1b[32m", Tone.WARN: "\x1b[33m", Tone.BAD: "\x1b[31m"}
_RESET = "\x1b[0m"
_ESCAPE_CUT = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:x[0-9a-f]?)?\Z")


def wants_colour(environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    """True where colours are welcome. Source: no-color.org (set and not empty)."""
    return is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def width_of(fd: int) -> int:
    """Return the terminal's width in columns, 0 for what is no terminal."""
    try:
        return os.get_terminal_size(fd).columns
    except OSError:  # ENOTTY
        return 0


def local_time(t: float) -> str:
    """Return UTC epoch seconds as a wall clock shows them here."""
    return time.strftime("%H:%M:%S", time.localtime(t))


class TerminalRenderer:
    """Turns record lines into lines for a person. ``width`` is asked for each line (0: endless), since windows are resized."""

    def __init__(
        self, *, colour: bool = False, width: Callable[[], int] = lambda: 0, clock: Callable[[float], str] = local_time
    ) -> None:
        self._colour = colour
        self._width = width
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._column = 0

    def render(self, line: bytes) -> bytes | None:
        try:
            record = read_line(line)
        except ValueError:  # a record of a later version
            return None
        stamp, event = record.stamp, record.event
        if isinstance(event, PROCESS_EVENTS):
            return self._lines(f"{self._clock(stamp.t)} tarry", tell_process(event))
        session = self._session(stamp.id)
        said = tell(session, event, stamp.dt)
        if isinstance(event, Close):
            del self._sessions[stamp.id]
        if not said:
            return None
        if len(session.client) <= _ADDRESS_WIDTH:
            self._column = max(self._column, len(session.client))
        return self._lines(f"{self._clock(stamp.t)} {_end_of(stamp.id)} {session.client:<{self._column}}", said)

    def _session(self, id: str) -> Session:
        session = self._sessions.get(id)
        if session is None:
            if len(self._sessions) >= _SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            session = self._sessions[id] = Session()
        return session

    def _lines(self, head: str, said: list[Said]) -> bytes:
        width = self._width() or 1_000_000
        return b"".join(line_of(_printable(head), one, width, colour=self._colour) for one in said)


def line_of(head: str, said: Said, width: int, *, colour: bool = False) -> bytes:
    """Return one line of at most so many columns: *head*, which is printable, and what was said."""
    before, after = _printable(said.before), _printable(said.after)
    quote = ""
    if said.quote is not None:
        room = width - len(head) - len(before) - len(after) - 4
        quote = f' "{_shorten(_printable(said.quote), max(_LEAST_QUOTE, room), said.is_cut)}"'
    head, words = head[:width], f" {before}{quote}{after}"
    room = width - len(head)
    if len(words) > room:
        words = words[: max(0, room - 3)] + "..."[:room]
    if colour:
        head = f"{_SGR[Tone.QUIET]}{head}{_RESET}"
        words = f"{_SGR[said.tone]}{words}{_RESET}" if _SGR[said.tone] else words
    return f"{head}{words}\n".encode("ascii")


def _end_of(id: str) -> str:
    """Return what a person needs to tell sessions apart, and to search the log for one."""
    return id[-_ID_LENGTH:] if id[_OF_WORKER : _OF_WORKER + 1] != "-" else id[_OF_WORKER - 1 :]


def _shorten(text: str, room: int, is_cut: bool) -> str:
    text = text.replace('"', '\\"')  # so that a client cannot end its own quotation; its backslashes are doubled already
    if len(text) <= room and not is_cut:
        return text
    return _ESCAPE_CUT.sub(r"\1", text[: max(0, room - 3)]) + "..."


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
