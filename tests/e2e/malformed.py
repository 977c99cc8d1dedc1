"""malformed - seeded sessions of right, wrong and hostile commands, with the replies that each may get.

What     `sessions(seed)` yields groups of steps. Each step is bytes and, for each command in them, an `Expected`: which codes may
         answer it, and the token that the MTA's reply must hold if it holds one.
Promise  The same seed gives the same session. A group that ends the session says so.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

TOKEN = re.compile(rb"tok[0-9]+x")
ENDING = frozenset({421, 521})
"""Codes behind which a session is over."""
LOCAL = ((b"NOOP", 250), (b"NOOP x y", 250), (b"VRFY bob", 252), (b"HELP", 214), (b"EXPN staff", 502))
UNKNOWN = (
    *(b"FOO", b"XYZZY bar", b"MAILFROM:<x@y>", b"DATAX", b"QUITE", b"RCPTX TO:<x>", b"BDATA 3"),
    *(b"TURN", b"ETRN x", b"SEND x", b"", b" ", b"..", b"\xff\xfe", b"Subject: x", b"GET / HTTP/1.1"),
)
JUDGED = frozenset({250, 251, 252, 501, 503, 504, 550, 553})


@dataclass(frozen=True, slots=True)
class Expected:
    """The reply that is due to one command. *ends*: after it the session is over, whatever it is."""

    codes: frozenset[int]
    token: bytes = b""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes to send, the replies due to them, and the command lines in them that may reach the MTA."""

    said: bytes
    replies: tuple[Expected, ...]
    lines: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Group:
    """Steps that are sent in one go, in packets of *cut_every* bytes.

    ``data`` is sent behind a 354 to the last of them, and gets a reply of its own; where it *is_piled* it is sent with the steps.
    """

    steps: list[Step] = field(default_factory=list)
    data: bytes = b""
    token: bytes = b""
    is_piled: bool = False
    cut_every: int | None = None

    @property
    def said(self) -> bytes:
        return b"".join(step.said for step in self.steps) + (self.data if self.is_piled else b"")


class Generator:
    """Makes the session of one seed."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._count = seed * 1000
        self._makers: list[tuple[int, Callable[[], Step]]] = [
            (12, self._mail),
            (14, self._rcpt),
            (4, self._rset),
            (3, self._ehlo),
            (3, self._local),
            (3, self._unknown),
            (2, self._identity),
            (2, self._broken),
            (2, self._bare_newline),
            (3, self._refused_chunk),
            (4, self._chunk),
            (2, self._odd_case),
            (1, self._auth),
            (1, self._malformed_chunk),
            (1, self._overlong),
        ]

    def groups(self) -> Iterator[Group]:
        """Yield some 4 to 20 groups, of one to six commands each; DATA only at the end of a group."""
        yield Group([self._ehlo()])
        for _ in range(self._chance.randrange(4, 20)):
            group = Group([self._step() for _ in range(self._chance.choice([1, 1, 1, 2, 3, 6]))])
            if self._chance.random() < 0.5:
                group.steps += [self._mail(), self._rcpt()]
            if self._chance.random() < 0.4:
                group.steps.append(Step(b"DATA\r\n", (Expected(frozenset({354, 503, 550}) | ENDING),), (b"DATA",)))
                group.token = self._token()
                group.data = self._body(group.token)
                group.is_piled = self._chance.random() < 0.1
            # In packets a refused DATA may be answered before the message is there; any server then reads commands.
            group.cut_every = None if group.is_piled else self._chance.choice([None, None, None, 1, 5, 40])
            yield group
        yield Group([Step(b"QUIT\r\n", (Expected(frozenset({221}), ends=True),), (b"QUIT",))])

    def _step(self) -> Step:
        return self._chance.choices([make for _, make in self._makers], [weight for weight, _ in self._makers])[0]()

    def _token(self) -> bytes:
        self._count += 1
        return b"tok%dx" % self._count

    def _judged(self, line: bytes, token: bytes) -> Step:
        return Step(line + b"\r\n", (Expected(JUDGED | ENDING, token),), (line,))

    def _mail(self) -> Step:
        token = self._token()
        return self._judged(self._chance.choice([b"MAIL FROM:<%b@a.example>", b"MAIL FROM: <%b@a.example> SIZE=9"]) % token, token)

    def _rcpt(self) -> Step:
        token = self._token()
        return self._judged(self._chance.choice([b"RCPT TO:<%b@b.example>", b"RCPT TO:%b", b"RCPT TO:<%b@[::1]>"]) % token, token)

    def _rset(self) -> Step:
        token = self._token()
        return self._judged(self._chance.choice([b"RSET", b"RSET " + token]), token)

    def _ehlo(self) -> Step:
        token = self._token()
        return self._judged(self._chance.choice([b"EHLO ", b"EHLO ", b"EHLO ", b"HELO "]) + token, token)

    def _odd_case(self) -> Step:
        token = self._token()
        return self._judged(b"mAiL FROM:<%b@a.example>" % token + self._chance.choice([b"", b" ", b"\t", b" \t "]), token)

    def _local(self) -> Step:
        line, code = self._chance.choice(LOCAL)
        return Step(line + b"\r\n", (Expected(frozenset({code}) | ENDING),))

    def _unknown(self) -> Step:
        return Step(self._chance.choice(UNKNOWN) + b"\r\n", (Expected(frozenset({500, 502}) | ENDING),))

    def _identity(self) -> Step:
        lines = (b"XCLIENT ADDR=10.9.8.7", b"xforward ADDR=10.9.8.7", b"PROXY TCP4 10.9.8.7 10.0.0.1 1 2", b"XCLIENT\tNAME=x")
        return Step(self._chance.choice(lines) + b"\r\n", (Expected(frozenset({500, 502}) | ENDING),))

    def _broken(self) -> Step:
        lines = (b"NOOP\rXCLIENT ADDR=1", b"MAIL FROM:<a\0@b>", b"RSET\r", b"\0", b"RCPT TO:<x>\0\0", b"\rQUIT", b"EHLO \r")
        return Step(self._chance.choice(lines) + b"\r\n", (Expected(frozenset({500}) | ENDING),))

    def _bare_newline(self) -> Step:
        # smtp.bare_newline = "normalize": the LF ends the line, so these are two commands with two replies.
        noop, unknown = Expected(frozenset({250}) | ENDING), Expected(frozenset({500}) | ENDING)
        if self._chance.random() < 0.5:
            return Step(b"NOOP\nNOOP\r\n", (noop, noop))
        return Step(b"NOOP\nXCLIENT ADDR=10.9.8.7\r\n", (noop, unknown))

    def _refused_chunk(self) -> Step:
        """RSET first: a chunk outside of a transaction, whose octets are commands to anyone who does not count."""
        payload = self._chance.choice([b"QUIT\r\n", b"MAIL FROM:<evil@x>\r\nRCPT TO:<evil@y>\r\n", b".\r\n\0\n", b""])
        last = self._chance.choice([b"", b" LAST"])
        due = Expected(frozenset({250, 502, 503}) | ENDING), Expected(frozenset({502, 503}) | ENDING)
        return Step(b"RSET\r\nBDAT %d%b\r\n%b" % (len(payload), last, payload), due, (b"RSET",))

    def _chunk(self) -> Step:
        """A chunk that is taken or refused, as the state of the transaction has it; its octets hold a token."""
        token = self._token()
        payload = token + b"\r\n" + self._chance.choice([b"QUIT\r\n.\r\n", b"", b"BDAT 5 LAST\r\n", b"\0" * 300])
        line = b"BDAT %d%b" % (len(payload), self._chance.choice([b"", b" LAST"]))
        return Step(line + b"\r\n" + payload, (Expected(frozenset({250, 502, 503}) | ENDING, token),), (line,))

    def _auth(self) -> Step:
        token = self._token()
        line = b"AUTH PLAIN !" + token
        return Step(line + b"\r\n", (Expected(frozenset({501, 502, 503}) | ENDING, token),), (line,))

    def _malformed_chunk(self) -> Step:
        size = self._chance.choice([b"1_0", b"+5", b"0x10", b"-1", b"99999999999999999999", b"5 LASTX"])
        return Step(b"BDAT %b\r\nQUIT\r\n" % size, (Expected(frozenset({501, 521}), ends=True),))

    def _overlong(self) -> Step:
        size = self._chance.choice([2046, 2047, 4096, 65536, 70000])
        return Step(b"B" * size + b"XCLIENT ADDR=10.9.8.7\r\n", (Expected(frozenset({421, 500, 521}), ends=True),))

    def _body(self, token: bytes) -> bytes:
        lines = (b"QUIT", b"..", b"MAIL FROM:<evil@x>", b"a\nb", b"a\rb", b"a\0b", b"x" * 3000, b"\xff\xfe", b"")
        return token + b"\r\n" + b"".join(self._chance.choice(lines) + b"\r\n" for _ in range(self._chance.randrange(6))) + b".\r\n"
