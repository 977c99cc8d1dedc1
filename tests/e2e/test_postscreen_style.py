"""The log in postscreen's lines, beside the log of a real postscreen and under the eyes of the programs that read mail logs."""

import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.servers import clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.logreaders import fail2ban, number, pflogsumm
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix, Postscreen
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Habit = Callable[[int, str], None]
PREFIX = re.compile(r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [^ ]+ postfix/postscreen\[[0-9]+\]: ")
CLIENT = "127.0.{}.{}"


def _talk_early(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.send(b"EHLO early\\\x07\xff\r\n")
        client.read_until_closed()


def _hang_up(port: int, source: str) -> None:
    with RawClient(port, source=source):
        time.sleep(0.2)


def _hang_up_later(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.greeted(b"EHLO quiet.example")


def _pile_up(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.read_reply()
        client.send(b"EHLO piles.example\r\nMAIL FROM:<a@piles.example>\r\n")
        client.read_reply()
        client.read_reply()
        client.command(b"RCPT TO:<alice@example.org>")
        client.command(b"QUIT")


def _browse(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.greeted(b"HELO browser.example")
        client.send(b"Subject:  hello there\x01\r\n")
        client.read_until_closed()


def _end_lines_in_lf(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.read_reply()
        client.send(b"HELO unix.example\n")
        client.read_reply()
        client.envelope("", "alice@example.org")
        client.command(b"QUIT")


def _fall_silent(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.read_reply()
        client.read_until_closed()


def _never_end(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.greeted(b"EHLO endless.example")
        client.send(b"A" * 4000)
        client.read_until_closed()


def _be_denied(port: int, source: str) -> None:
    with RawClient(port, source=source) as client:
        client.read_until_closed()


def _come_three_times_at_once(port: int, source: str) -> None:
    first, second = RawClient(port, source=source), RawClient(port, source=source)
    with RawClient(port, source=source) as third:
        third.read_until_closed()
    first.close()
    second.close()


HABITS: dict[str, Habit] = {
    "talks early": _talk_early,
    "hangs up": _hang_up,
    "hangs up after EHLO": _hang_up_later,
    "pipelines": _pile_up,
    "sends a header": _browse,
    "bare newlines": _end_lines_in_lf,
    "falls silent": _fall_silent,
    "endless line": _never_end,
    "denied": _be_denied,
    "three at once": _come_three_times_at_once,
}
DENIED, EXEMPT = CLIENT.format(1, list(HABITS).index("denied") + 1), "127.0.2.7"

# Of tarry's checks those that postscreen has, with its actions and its words where the log has them.
CONFIG = f"""
[listen]
max_per_client = 2
[deny]
networks = ["{DENIED}/32"]
[exempt]
networks = ["{EXEMPT}/32"]
[limits]
command = "4s"
[checks.pipelining]
action = "reject"
at = "rcpt"
reply = "550 5.5.1 Protocol error"
[checks.bare_newline]
action = "reject"
at = "rcpt"
reply = "550 5.5.1 Protocol error"
[checks.many_errors]
limit = 3
[record]
style = "postscreen"
"""
POSTSCREEN = {
    "postscreen_access_list": f"inline:{{ {DENIED}=reject }}",
    "postscreen_denylist_action": "drop",
    "postscreen_client_connection_count_limit": "2",
    "postscreen_command_time_limit": "4s",
    "postscreen_pipelining_enable": "yes",
    "postscreen_pipelining_action": "enforce",
    "postscreen_non_smtp_command_enable": "yes",
    "postscreen_non_smtp_command_action": "drop",
    "postscreen_bare_newline_enable": "yes",
    "postscreen_bare_newline_action": "enforce",
}


def _play(port: int) -> None:
    """All habits side by side, each from an address of its own."""
    with ThreadPoolExecutor(len(HABITS)) as pool:
        for done in [pool.submit(habit, port, CLIENT.format(1, last)) for last, habit in enumerate(HABITS.values(), 1)]:
            done.result()


def _ended(log: Callable[[], str], count: int) -> str:
    wait_until(lambda: log().count(": DISCONNECT ") >= count, 10)
    return log()


def _tarrys() -> str:
    """Return the log of a tarry that met all habits, a clean client twice, an exempt one, and one that errs."""
    with Sink() as sink, Tarry(CONFIG, backend=sink.port) as tarry:
        _play(tarry.port)
        for source in ("127.0.2.1", "127.0.2.1", EXEMPT):
            clients.submit(tarry.port, source=source)
        with RawClient(tarry.port, source="127.0.2.2") as client:
            client.greeted(b"EHLO errs.example")
            for _ in range(4):
                client.command(b"XYZZY")
        count = len(HABITS) + 6
        return _ended(lambda: tarry.record_path.read_text() if tarry.record_path.exists() else "", count)


def _postscreens() -> str:
    """Return the log of a real postscreen that met the same habits."""
    # 2 s, since it may be up to 0.65 s early (bench/hold.py): a hang-up after 0.2 s must be before the greeting.
    with Postfix(postscreen=Postscreen(greet_wait=2, greet_action="drop", settings=POSTSCREEN)) as postfix:
        _play(postfix.port)
        return _ended(postfix.log_text, len(HABITS) + 2)


@pytest.fixture(scope="module", autouse=True)
def played() -> Iterator[dict[str, Future[str]]]:
    """The two logs, which come to be while the first tests of this file run: who falls silent has its time."""
    with ThreadPoolExecutor(2) as pool:
        yield {"tarry": pool.submit(_tarrys), "postscreen": pool.submit(_postscreens)}


@pytest.fixture(scope="module")
def tarrys(played: dict[str, Future[str]]) -> str:
    return played["tarry"].result(60)


@pytest.fixture(scope="module")
def mail_log(tarrys: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("log") / "mail.log"
    file.write_text(tarrys)
    return file


@pytest.fixture(scope="module")
def postscreens(played: dict[str, Future[str]]) -> str:
    need("postfix")
    return played["postscreen"].result(60)


# Other settings.


def test_without_paths_no_address_is_in_the_log() -> None:
    """record.paths = false: the envelope of a reject is empty."""
    with Tarry(CONFIG + "paths = false", wait="0.05s") as tarry:
        _pile_up(tarry.port, "127.0.3.1")
        log = _ended(tarry.record_path.read_text, 1)

    assert "550 5.5.1 Protocol error; from=<>, to=<>, proto=ESMTP, helo=<piles.example>\n" in log
    assert "alice@" not in log


def test_with_the_closing_lines_only_the_verbs_stay() -> None:
    """record.detail = "close": who came, who passed, who talked early and who hung up, told when it is over."""
    with Tarry('[record]\nstyle = "postscreen"\ndetail = "close"', wait="0.5s") as tarry:
        clients.submit(tarry.port, source="127.0.3.1")
        _talk_early(tarry.port, "127.0.3.2")
        _hang_up(tarry.port, "127.0.3.3")
        log = _ended(tarry.record_path.read_text, 3)
        verbs = {
            last: [line.partition("]: ")[2].split()[0] for line in log.splitlines() if f"[127.0.3.{last}]:" in line]
            for last in "123"
        }

    assert {"1": ["CONNECT", "PASS", "DISCONNECT"], "2": ["CONNECT", "PREGREET", "DISCONNECT"]} | {
        "3": ["CONNECT", "HANGUP", "DISCONNECT"]
    } == verbs


def test_hourly_segments_are_logs(tmp_path: Path) -> None:
    """They do not end in .jsonl, since they are none."""
    folder = tmp_path / "logs"
    with Tarry(f'[record]\nstyle = "postscreen"\npath = "{folder}/"', wait="0.02s") as tarry:
        clients.submit(tarry.port)
    text = "".join(path.read_text() for path in sorted(folder.glob("*.log")))

    assert [] == list(folder.glob("*.jsonl"))
    assert text.count(": CONNECT from ") == text.count(": PASS NEW ") == 1


def test_the_style_waits_for_a_restart() -> None:
    """A reload that would change it says so, and goes on as before."""
    with Tarry('[record]\nstyle = "postscreen"', wait="0.02s") as tarry:
        clients.submit(tarry.port)
        tarry.write({**tarry.config, "record": {**tarry.config["record"], "style": "json"}})
        tarry.reload()
        assert wait_until(lambda: "(record.style as before until a restart)" in tarry.record_path.read_text(), 5)
        clients.submit(tarry.port)
        log = _ended(tarry.record_path.read_text, 2)

    assert 1 == log.count(": PASS OLD ")


@pytest.mark.parametrize("path", ["log", "-"])
def test_one_client_of_inetd(path: str, tmp_path: Path) -> None:
    """`tarry inetd` writes the same lines; without a path the closing line alone tells them on standard error."""
    file, record = tmp_path / "tarry.toml", tmp_path / "log"
    file.write_text(f'[hold]\nwait = "0.3s"\n[record]\nstyle = "postscreen"\npath = "{record if path == "log" else "-"}"\n')
    with socket.create_server(("127.0.0.1", 0)) as listener, RawClient(listener.getsockname()[1], source="127.0.3.9") as client:
        accepted, _ = listener.accept()
        client.send(b"EHLO early\r\n")
        command = [COMMAND, "inetd", "-c", file, "--", "/bin/false"]
        with accepted:
            running = subprocess.Popen(command, stdin=accepted, stdout=accepted, stderr=subprocess.PIPE, text=True)
        client.read_until_closed()
        client.close()
        _, printed = running.communicate(timeout=30)
    log = record.read_text() if path == "log" else printed

    assert [] == [line for line in log.splitlines() if not PREFIX.match(line)]
    count, text = (12, r"EHLO early\r\n") if path == "log" else (0, "")
    assert re.search(rf"PREGREET {count} after [0-9.]+ from \[127\.0\.3\.9\]:\d+: {re.escape(text)}\n", log)
    assert ["CONNECT", "PREGREET", "DISCONNECT"] == [line.partition("]: ")[2].split()[0] for line in log.splitlines()]


# Beside postscreen.


def lines_of(log: str, habit: str) -> list[str]:
    """Return the lines about the client of a habit, without what differs from run to run: ports, times, tarry's port."""
    who = f"[{CLIENT.format(1, list(HABITS).index(habit) + 1)}]:"
    lines = [line.partition("]: ")[2] for line in log.splitlines() if who in line]
    return sorted(re.sub(r"\bafter [0-9.]+ from", "after T from", re.sub(r"(?<=\]:)[0-9]+", "PORT", line)) for line in lines)


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_is_logged_as_postscreen_logs_it(habit: str, tarrys: str, postscreens: str) -> None:
    """Line by line the same, but for ports and times."""
    theirs = lines_of(postscreens, habit)

    assert len(theirs) >= 3
    assert theirs == lines_of(tarrys, habit)


def test_every_line_has_the_prefix(tarrys: str) -> None:
    """Syslog's traditional form, and postscreen's name."""
    assert [] == [line for line in tarrys.splitlines() if not PREFIX.match(line)]
    assert tarrys.isascii()


def test_a_hang_up_has_the_time_of_its_tests(tarrys: str) -> None:
    """Since accept before the greeting, since the greeting afterwards."""
    assert re.search(r"HANGUP after [0-3](\.\d+)? from \[127\.0\.1\.2\]:\d+ in tests before SMTP handshake\n", tarrys)
    assert re.search(r"HANGUP after 0(\.\d+)? from \[127\.0\.1\.3\]:\d+ in tests after SMTP handshake\n", tarrys)


def test_clean_clients_pass(tarrys: str) -> None:
    """NEW the first time, OLD the second; an exempt client is allow-listed; a client of many errors is cut off."""
    told = [re.sub(r":\d+\b", "", line.partition("]: ")[2]) for line in tarrys.splitlines() if "[127.0.2." in line]

    assert ["PASS NEW [127.0.2.1]", "PASS OLD [127.0.2.1]", f"ALLOWLISTED [{EXEMPT}]"] == [
        line for line in told if line.startswith(("PASS", "ALLOW"))
    ]
    assert "COMMAND COUNT LIMIT from [127.0.2.2] after UNIMPLEMENTED" in told


# The programs.


def test_pflogsumm_counts_the_rejects(mail_log: Path) -> None:
    """Its grand total, its list of reasons by place, and the warnings of a trouble with the MTA."""
    need("pflogsumm")
    report = pflogsumm(mail_log)

    assert 3 == number(report, "rejected")
    assert "  CONNECT\n    too many connections (total: 1)\n           1   127.0.1.10\n" in report
    assert re.search(
        r"\n  RCPT\n    Protocol error \(total: 2\)\n           1   127\.0\.1\.[46]\n           1   127\.0\.1\.[46]\n", report
    )
    assert "Warnings: none" in report


def test_pflogsumm_lists_warnings() -> None:
    """An MTA that is away is a warning of postscreen's."""
    need("pflogsumm")
    with Sink() as sink:
        gone = sink.port
    with Tarry('[record]\nstyle = "postscreen"', backend=gone, wait="0.05s") as tarry:
        with RawClient(tarry.port) as client:
            client.read_until_closed()
        _ended(tarry.record_path.read_text, 1)
        report = pflogsumm(tarry.record_path)

    assert re.search(r"\nWarnings\n-+\n  postscreen \(total: [2-9]\)\n", report)
    assert "cannot connect to service mta" in report
    assert 1 == number(report, "rejected")
    assert "all server ports busy (total: 1)" in report


FOUND = {
    "ddos": {"talks early": 1, "hangs up": 1, "hangs up after EHLO": 1, "falls silent": 1, "endless line": 1, "three at once": 2},
    "normal": {},
}


@pytest.mark.parametrize("mode", FOUND)
def test_fail2ban_finds_whom_it_finds_in_postscreens_log(mode: str, mail_log: Path, postscreens: str, tmp_path: Path) -> None:
    """Its filter for Postfix, unchanged: the same clients as in the real log, and nobody who sent mail."""
    need("fail2ban")
    real = tmp_path / "real.log"
    real.write_text(postscreens)
    expected = Counter({CLIENT.format(1, list(HABITS).index(habit) + 1): count for habit, count in FOUND[mode].items()})
    ours = Counter(fail2ban(mail_log, mode))
    del ours["127.0.2.2"]  # COMMAND COUNT LIMIT, of which the real one had none

    assert expected == ours
    assert expected == Counter(fail2ban(real, mode))


@pytest.mark.parametrize("mode", ["normal", "more", "rbl", "aggressive"])
def test_fail2ban_bans_for_a_reply_that_it_knows(mode: str) -> None:
    """Its other modes know refusals by their words, and those are the operator's to choose."""
    need("fail2ban")
    text = "554 5.7.1 Service unavailable; Client host [{client}] blocked using pipelining"
    config = f'[checks.pipelining]\naction = "reject"\nat = "rcpt"\nreply = "{text}"\n[record]\nstyle = "postscreen"'
    with Tarry(config, wait="0.05s") as tarry:
        _pile_up(tarry.port, "127.0.3.1")
        clients.submit(tarry.port, source="127.0.3.2")
        _ended(tarry.record_path.read_text, 2)

        assert ["127.0.3.1"] == fail2ban(tarry.record_path, mode)


# What postfix_exporter 0.11 (github.com/Hsn723/postfix_exporter, exporter/postfix_exporter.go) looks for, in its order.
PROGRAM = re.compile(r" ?(postfix|opendkim)(/([\w_\.+/-]+))?\[\d+\]: ((?:(warning|error|fatal|panic): )?.*)")
COUNTERS = (
    ("connects", re.compile(r"^CONNECT from ()")),
    ("connects_rejected", re.compile(r"^NOQUEUE: reject: CONNECT from \S+: (.+)$")),
    ("passes", re.compile(r"^PASS (NEW|OLD) ")),
    ("dnsbl_rank", re.compile(r"^DNSBL rank (\d+) for ")),
    ("messages_rejected", re.compile(r"^NOQUEUE: reject: RCPT from \S+: ([0-9]+) ")),
    ("hangups", re.compile(r"^HANGUP ()")),
    (
        "tests_failed",
        re.compile(r"^(PREGREET|NON-SMTP COMMAND|COMMAND PIPELINING|COMMAND (?:TIME|COUNT|LENGTH) LIMIT|BARE NEWLINE) "),
    ),
    ("access_list_matches", re.compile(r"^(ALLOWLISTED|WHITELISTED|DENYLISTED|BLACKLISTED) ")),
)


def exported(log: str) -> Counter[tuple[str, str]]:
    """Count lines as the exporter does, by counter and label; ("unsupported", first word) for those that it has no counter for."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.splitlines():
        found = PROGRAM.search(line)
        assert found is not None, line
        assert ("postfix", "postscreen") == (found[1], found[3])
        for name, pattern in COUNTERS:
            if match := pattern.search(found[4]):
                counts[name, match[1]] += 1
                break
        else:
            counts["unsupported", found[4].split()[0]] += 1
    return counts


def test_an_exporter_counts_each_verb(tarrys: str) -> None:
    """postfix_exporter's expressions find every verb under its label. DISCONNECT it does not support of the real one either."""
    assert {
        ("connects", ""): 16,
        ("connects_rejected", "too many connections"): 1,
        ("passes", "NEW"): 1,
        ("passes", "OLD"): 1,
        ("messages_rejected", "550"): 2,
        ("hangups", ""): 4,
        ("tests_failed", "PREGREET"): 1,
        ("tests_failed", "COMMAND PIPELINING"): 1,
        ("tests_failed", "NON-SMTP COMMAND"): 1,
        ("tests_failed", "BARE NEWLINE"): 1,
        ("tests_failed", "COMMAND TIME LIMIT"): 1,
        ("tests_failed", "COMMAND LENGTH LIMIT"): 1,
        ("tests_failed", "COMMAND COUNT LIMIT"): 1,
        ("access_list_matches", "ALLOWLISTED"): 1,
        ("access_list_matches", "DENYLISTED"): 1,
        ("unsupported", "DISCONNECT"): 16,
        ("unsupported", "tarry"): 1,
    } == exported(tarrys)
