"""pregreet: bytes before the greeting, and what kind of speaker they come from."""

from __future__ import annotations

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.core.border import Due, Moment, Readable
from tarry.core.result import PASSED, Failed, Outcome
from tarry.smtp.proxy_header import write_v1, write_v2
from tests.checks.looking import codes, look, says_unknown_elsewhere

V1 = write_v1(("192.0.2.7", 40000), ("198.51.100.1", 25))
V2 = write_v2(("192.0.2.7", 40000), ("198.51.100.1", 25))

TABLE: list[tuple[Moment, Outcome]] = [
    (Due(), PASSED),
    (Readable(b"EHLO x\r\n"), Failed("spoke", "EHLO x\\r\\n")),
    (Readable(b"E"), Failed("spoke", "E")),
    (Readable(b"\r\n"), Failed("spoke", "\\r\\n")),
    (Readable(b"\0"), Failed("spoke", "\\x00")),
    (Readable(b""), Failed("spoke", "")),
    (Readable(b"A" * 1024), Failed("spoke", "A" * 100)),
    (Readable(b"\x16\x03\x01\x02\x00"), Failed("tls", "\\x16\\x03\\x01\\x02\\x00")),
    (Readable(b"\x16"), Failed("tls", "\\x16")),
    (Readable(b"GET / HTTP/1.1\r\nHost: x\r\n"), Failed("http", "GET / HTTP/1.1\\r\\nHost: x\\r\\n")),
    (Readable(b"POST /x HTTP/1.0\r\n"), Failed("http", "POST /x HTTP/1.0\\r\\n")),
    (Readable(b"CONNECT mail.example.org:25 HTTP/1.1\r\n"), Failed("http", "CONNECT mail.example.org:25 HTTP/1.1\\r\\n")),
    (Readable(b"GET /a very long path that a peek cut"), Failed("http", "GET /a very long path that a peek cut")),
    (Readable(b"GET x\r\n"), Failed("spoke", "GET x\\r\\n")),
    (Readable(b"GET"), Failed("spoke", "GET")),
    (Readable(b"get / HTTP/1.1\r\n"), Failed("spoke", "get / HTTP/1.1\\r\\n")),
    (Readable(b"GETX / HTTP/1.1\r\n"), Failed("spoke", "GETX / HTTP/1.1\\r\\n")),
    (Readable(V1), Failed("proxy", V1.decode().replace("\r\n", "\\r\\n"))),
    (Readable(b"PROXY "), Failed("proxy", "PROXY ")),
    (Readable(b"PROXY"), Failed("spoke", "PROXY")),
    (
        Readable(V2),
        Failed("proxy", "\\r\\n\\r\\n\\x00\\r\\nQUIT\\n!\\x11\\x00\\x0c\\xc0\\x00\\x02\\x07\\xc63d\\x01\\x9c@\\x00\\x19"),
    ),
]


@pytest.mark.parametrize(("moment", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: Moment, outcome: Outcome) -> None:
    """Silence passes; bytes fail, with a code that tells what spoke, and their escaped beginning."""
    assert outcome == look(Pregreet(), moment)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(Pregreet.codes) == codes(TABLE)
    assert says_unknown_elsewhere(Pregreet())
