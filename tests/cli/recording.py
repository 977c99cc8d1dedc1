"""recording - sessions as records, for the tests of what reads them back."""

from __future__ import annotations

from collections.abc import Sequence

from tarry.cli.recorded import Session, Stamped
from tarry.record import schema
from tarry.record.journal import Journal
from tarry.record.schema import SessionEvent, read_line

BEGAN = 1_795_276_740.0
"""A minute before `remembering.NOW`."""
ID = "6B01B58C-0001"
Happened = Sequence[tuple[float, SessionEvent]]

EARLY: Happened = (
    (0.0, schema.Connect("192.0.2.7", 40000, "198.51.100.25:25", 4.2, config="d95b64febe")),
    (0.3, schema.Readable("hold", 8, "EHLO x\\r\\n")),
    (0.3, schema.Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 0.0, "reject")),
    (0.3, schema.Verdict("hold", "reject", ("pregreet.spoke",))),
    (0.3, schema.Reply(554, "5.7.1 You spoke before the greeting [6B01B58C-0001]", "connect")),
)
GOOD: Happened = (
    (0.0, schema.Connect("198.51.100.7", 40001, "198.51.100.25:25", 4.2)),
    (4.2, schema.Outcome("pregreet", "passed")),
    (4.2, schema.Greet(4.2)),
    (4.3, schema.Command("EHLO", 20, "mail.example.net")),
    (4.4, schema.Command("MAIL", 30, "alice@example.net")),
    (4.5, schema.Command("RCPT", 30, "bob@example.org")),
    (4.6, schema.Handoff("proxy", "127.0.0.1:10025", True, 0.7)),
    (4.6, schema.Reply(250, "2.1.5 Ok", "RCPT", "mta")),
    (4.7, schema.Reply(250, "2.0.0 Ok: queued", "message", "mta", 346)),
    (4.8, schema.Command("QUIT", 6)),
)
LISTED: Happened = (
    (0.0, schema.Connect("203.0.113.7", 40002, "198.51.100.25:25", 4.2)),
    (1.0, schema.Answer("bl.example", ("127.0.0.2",), 300.0, 12.5, name="7.113.0.203.bl.example")),
    (1.0, schema.Reason("dnslists", "listed", "hold", "127.0.0.2", 3.0, "delay", "bl.example")),
    (1.0, schema.Wait("dubious", 30.0)),
    (30.0, schema.Greet(30.0)),
    (30.2, schema.Command("MAIL", 30, "alice@example.net")),
    (30.3, schema.Command("RCPT", 30, "bob@example.org")),
    (30.3, schema.Verdict("rcpt", "delay", ("dnslists.listed",))),
    (180.3, schema.Hold("residual", 150.0, 150.0, "due", "rcpt", ("dnslists.listed",), "alice@example.net", "bob@example.org")),
    (180.4, schema.Hangup("rcpt", "fin")),
)
DENIED: Happened = (
    (0.0, schema.Connect("192.0.2.9", 40003, "198.51.100.25:25")),
    (0.0, schema.Reply(554, "5.7.1 Not accepted from this address [6B01B58C-0001]", "connect")),
)


def written(happened: Happened, id: str = ID, began: float = BEGAN, *, ends: bool = True, all_records: bool = True) -> list[bytes]:
    """Return the lines of a session, as tarry writes them."""
    lines: list[bytes] = []
    journal = Journal(id, accepted_at=0.0, accepted_wall=began, write=lines.append, all_records=all_records)
    for at, event in happened:
        journal.emit(event, at)
    if ends:
        journal.close(happened[-1][0])
    return lines


def session(happened: Happened, *, ends: bool = True, all_records: bool = True, is_lost: bool = False) -> Session:
    """Return a session as it is read back."""
    found = []
    for line in written(happened, ends=ends, all_records=all_records):
        record = read_line(line)
        assert not isinstance(record.event, schema.PROCESS_EVENTS)
        found.append(Stamped(record.stamp.t, record.stamp.dt, record.event))
    return Session(ID, tuple(found), is_lost)
