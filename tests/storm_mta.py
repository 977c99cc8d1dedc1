"""storm_mta - an MTA that fails where it likes, for storms (tests/storm).

What     Every reply has a number of its own, so that it is known which line it answers. ``madness`` says how likely each reply is
         something else: the end of the connection, a 421, junk, silence, another code, or one reply too many, in any cut.
Asserts  One question at a time; no line but a command, and one of an AUTH exchange only inside it; no BDAT behind HELO; XCLIENT
         first, once, and from tarry alone, where it is offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

VERB = re.compile(rb"(EHLO|HELO|MAIL|RCPT|DATA|BDAT|RSET|AUTH|STARTTLS|QUIT)\b")
XCLIENT = re.compile(rb"XCLIENT ADDR=192\.0\.2\.7 PORT=40000 NAME=\[TEMPUNAVAIL\] PROTO=E?SMTP HELO=[!-*,-<>-~+]+\Z")
TAG = re.compile(rb"#([0-9]+)")
OTHERS = (b"221", b"235", b"251", b"252", b"334", b"354", b"421", b"450", b"452", b"500", b"503", b"550", b"554")
OFFERED = (b"mta", b"CHUNKING", b"PIPELINING", b"AUTH PLAIN", b"STARTTLS")
OUR_EHLO = b"EHLO tarry.example"
GONE = b"gone"
"""Stands among the pieces to be sent for the end of the connection."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that the MTA said 250 to, in the reply of this number."""

    number: int
    rcpts: tuple[bytes, ...]
    text: bytes


class StormMta:
    """The MTA of one session. ``due`` are the pieces that it has yet to send."""

    def __init__(self, random: Random, *, madness: float, knows_client: bool, takes_xclient: bool) -> None:
        self._random = random
        self.madness = madness
        self.knows_client = knows_client
        self.takes_xclient = takes_xclient
        self.replied: list[tuple[bytes, bytes]] = []  # by number: the line that it answers, and the reply
        self.kept: list[Kept] = []
        self.is_asked_to_open = self.is_open = False
        self.opened = 0

    def open(self) -> None:
        """The connection stands."""
        self.is_asked_to_open, self.is_open = False, True
        self.opened += 1
        self.due: list[bytes] = []
        self._buffer = self._mail = self._text = self._helo = b""
        self._rcpts: list[bytes] = []
        self._mode = "command"
        self._chunk, self._is_last = 0, False
        self._is_named = not self.takes_xclient
        self.is_dead = False  # it answers no more

    def greet(self) -> None:
        is_refused = self._random.random() < self.madness
        self._answer(b"greeting", self._random.choice((b"554", b"450")) if is_refused else b"220")

    def close(self) -> None:
        """tarry gave it up."""
        self.is_asked_to_open = self.is_open = False

    def talk_unasked(self) -> bytes:
        """Time out, with a word or without; return as much of it as is sent at once."""
        said = b""
        if self._random.random() < 0.7:
            self._say(b"unasked", self._random.choice((b"421", b"421", b"554", b"250")))
            whole = b"".join(self.due)
            at = self._random.choice((len(whole), self._random.randrange(1, len(whole))))
            said, self.due = whole[:at], [whole[at:]] if whole[at:] else []
        self.is_dead = True
        self.due.append(GONE)
        return said

    def take(self, data: bytes) -> None:
        """Hear *data*."""
        self._buffer += data
        while not self.is_dead and self._step():
            pass

    def _step(self) -> bool:
        match self._mode:
            case "data":
                return self._take_message()
            case "chunk":
                return self._take_chunk()
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        is_late = b"unasked" in [self.replied[int(number)][0] for number in TAG.findall(b"".join(self.due))]
        assert is_late or self.due in ([], [GONE]) or line == b"QUIT", f"{line!r} is asked while an answer is due: {self.due}"
        if self._mode == "auth":
            self._mode = "command"
            if self._answer(line, self._random.choice((b"235", b"535"))) == b"334":
                self._mode = "auth"
        elif self.takes_xclient and line.startswith(b"XCLIENT"):
            assert XCLIENT.match(line), line
            assert not self._is_named
            self._is_named = True
            self._answer(line, self._random.choice((b"554", b"550", b"421")) if self._random.random() < self.madness else b"220")
        else:
            assert VERB.match(line), f"the MTA hears {line!r}"
            assert self._is_named or line in (OUR_EHLO, b"QUIT"), f"{line!r} before XCLIENT"
            self._take_command(line)
        return True

    def _take_command(self, line: bytes) -> None:
        choice = self._random.choice
        match line[:4]:
            case b"EHLO":
                offered = (*OFFERED, b"xclient NAME ADDR PORT HELO PROTO") if self.takes_xclient else OFFERED
                if self._answer(line, b"501" if self._random.random() < self.madness else b"250", *offered) == b"250":
                    self._forget()
                    self._helo = line
            case b"HELO":
                if self._answer(line, b"451" if self._random.random() < self.madness else b"250") == b"250":
                    self._forget()
                    self._helo = line
            case b"MAIL":
                if self._answer(line, b"503" if self._mail else choice((b"250",) * 9 + (b"550",))).startswith(b"25"):
                    self._forget()
                    self._mail = line
            case b"RCPT":
                if self._answer(line, choice((b"250",) * 8 + (b"550", b"451")) if self._mail else b"503").startswith(b"25"):
                    self._rcpts.append(line)
            case b"DATA":
                if self._answer(line, choice((b"354",) * 9 + (b"452",)) if self._rcpts else b"503") == b"354":
                    self._mode, self._text = "data", b""
            case b"BDAT":
                assert not self._helo.startswith(b"HELO")
                words = line.split()
                self._mode, self._chunk, self._is_last = "chunk", int(words[1]), len(words) > 2
            case b"RSET":
                if self._answer(line, b"250") == b"250":
                    self._forget()
            case b"AUTH":
                if self._answer(line, b"503" if self._mail else choice((b"334", b"334", b"235", b"535"))) == b"334":
                    self._mode = "auth"
            case b"QUIT":
                self.due = []
            case _:
                self._answer(line, b"454")

    def _take_message(self) -> bool:
        whole = b"\r\n" + self._buffer  # the end may be the first line
        at = whole.find(b"\r\n.\r\n")
        if at >= 0:
            self._text, self._buffer, self._mode = whole[2 : at + 2], whole[at + 5 :], "command"
            self._finish(b"message")
        return at >= 0

    def _take_chunk(self) -> bool:
        if len(self._buffer) < self._chunk:
            return False
        chunk, self._buffer, self._mode = self._buffer[: self._chunk], self._buffer[self._chunk :], "command"
        if self._is_last:
            self._text += chunk
            self._finish(b"BDAT")
        elif self._answer(b"BDAT", b"250") == b"250":
            self._text += chunk
        return True

    def _finish(self, line: bytes) -> None:
        rcpts, text = tuple(self._rcpts), self._text
        self._forget()
        number = len(self.replied)
        if self._answer(line, self._random.choice((b"250",) * 3 + (b"550", b"452")) if rcpts else b"503") == b"250":
            self.kept.append(Kept(number, rcpts, text))

    def _forget(self) -> None:
        self._mail = self._text = b""
        self._rcpts = []

    def _answer(self, line: bytes, code: bytes, *more: bytes) -> bytes:
        """Answer *line*, or do something else; return the code that was said, or nothing."""
        if self._random.random() >= self.madness:
            return self._say(line, code, *more)
        match self._random.randrange(6):
            case 0:
                self.due.append(GONE)
            case 1:
                self._say(line, b"421")
                self.due += [GONE] * self._random.randrange(2)
            case 2:
                self.due.append(self._random.choice((b"junk\r\n", b"250-a\r\n451 b\r\n", b"\r\n", b"250 a\n")))
            case 3:
                return self._say(line, self._random.choice(OTHERS))
            case 4:
                return self._say_more(line)
            case _:
                pass  # silence
        self.is_dead = True
        return b""

    def _say_more(self, line: bytes) -> bytes:
        self._say(line, b"250")
        before, self.due = b"".join(self.due), []
        self._say(b"unasked", self._random.choice((*OTHERS, b"250")))
        behind = b"".join(self.due)
        at = self._random.choice((len(behind), self._random.randrange(1, len(behind))))
        self.due = [piece for piece in (before + behind[:at], behind[at:]) if piece]
        self.is_dead = self._random.random() < 0.5
        return b"250"

    def _say(self, line: bytes, code: bytes, *more: bytes) -> bytes:
        raw = b"".join(b"%b-%b\r\n" % (code, text) for text in more) + b"%b it is #%d\r\n" % (code, len(self.replied))
        self.replied.append((line, raw))
        at = self._random.randrange(1, len(raw)) if self._random.random() < 0.1 else len(raw)
        self.due += [piece for piece in (raw[:at], raw[at:]) if piece]
        return code
