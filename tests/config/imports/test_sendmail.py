"""sendmail.mc as a whole, alone and with an access file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.found import Found, ImportProblem
from tarry.config.imports.sendmail import is_mc, read_sendmail
from tarry.config.imports.settle import settle
from tests.config.imports.mapped import keys, told, whole

DB = "FEATURE(`access_db')dnl\n"


def mc(text: str, *others: tuple[str, str]) -> Found:
    return whole(read_sendmail([*others, ("sendmail.mc", f"{DB}{text}\n")]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "FEATURE(`greet_pause', `5000')",
            {"hold.wait": "5s", "checks.pregreet.action": "reject", "checks.pregreet.at": "connect"},
        ),
        ("FEATURE(`greet_pause', `1500')", {"hold.wait": "1500ms"}),
        ("FEATURE(`greet_pause')", {"hold.wait": "0s", "checks.pregreet.action": "reject"}),
        ("define(`x', `y')", {"hold.wait": "0s"}),
        ("FEATURE(`dnsbl', `zen.example.org.')", {"checks.dnslists.zones": [{"zone": "zen.example.org", "weight": 0}]}),
        ("FEATURE(`dnsbl', `a.example.org')", {"checks.dnslists.action": "reject", "checks.dnslists.at": "connect"}),
        ("FEATURE(`delay_checks')\nFEATURE(`dnsbl', `a.example.org')", {"checks.dnslists.at": "rcpt"}),
        ("FEATURE(`dnsbl', `a.example.org')\nFEATURE(`delay_checks')", {"checks.dnslists.at": "rcpt"}),
        ("FEATURE(`dnsbl', `a.example.org', `discard')", {"checks.dnslists.action": "discard"}),
        ("FEATURE(`dnsbl', `a.example.org', `quarantine')", {"checks.dnslists.action": "tag"}),
        (
            "FEATURE(`dnsbl', `a.example.org', `\"550 Mail from \" $`'&{client_addr} \" refused\"')",
            {"checks.dnslists.reply": "550 Mail from {client} refused"},
        ),
        ("FEATURE(`dnsbl', `a.example.org', `Go away')", {"checks.dnslists.reply": "550 Go away"}),
        (
            "FEATURE(`enhdnsbl', `a.example.org', `', `t', `127.0.0.2.', `127.0.0.$-.')",
            {"checks.dnslists.zones": [{"zone": "a.example.org", "answers": "127.0.0.2, 127.0.0.[0..255]", "weight": 0}]},
        ),
        (
            "FEATURE(`enhdnsbl', `a.example.org', `', `', `$+')",
            {"checks.dnslists.zones": [{"zone": "a.example.org", "answers": "127.[0..255].[0..255].[0..255]", "weight": 0}]},
        ),
        ("FEATURE(`rhsbl', `dbl.example.org')", {"checks.rhsbl.zones": [{"zone": "dbl.example.org", "weight": 0}]}),
        ("FEATURE(`rhsbl', `dbl.example.org')", {"checks.rhsbl.action": "reject", "checks.rhsbl.at": "mail"}),
        ("FEATURE(`block_bad_helo')", {"checks.helo.tests": ["unqualified", "own_name"], "checks.helo.action": "reject"}),
        ("FEATURE(`require_rdns')", {"checks.ptr.action": "reject", "checks.ptr.codes": {"unconfirmed": "defer"}}),
        ("define(`confBAD_RCPT_THROTTLE', `3')", {"tarpit.refused.free": 3, "tarpit.refused.start": "1s"}),
        ("define(`confMAX_RCPTS_PER_MESSAGE', `50')", {"limits.recipients": 50}),
        ("define(`confMAX_DAEMON_CHILDREN', `40')", {"listen.max_clients": 40}),
        ("define(`confTO_COMMAND', `10m')", {"limits.command": "10m"}),
        ("define(`confTO_COMMAND', `1h')", {"limits.command": "1h"}),
        ("define(`confTO_COMMAND', `7')", {"limits.command": "7m"}),
    ],
)
def test_a_line_is_keys(text: str, expected: dict[str, object]) -> None:
    """FEATUREs and confs that screen clients."""
    found = keys(mc(text))
    assert expected == {name: found[name] for name in expected}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FEATURE(`ratecontrol')", "FEATURE(ratecontrol)"),
        ("FEATURE(`greet_pause', `soon')", "FEATURE(greet_pause)"),
        ("FEATURE(`greet_pause', `900000')", "FEATURE(greet_pause)"),
        ("FEATURE(`dnsbl')", "FEATURE(dnsbl)"),
        ("FEATURE(`dnsbl', `a.example.org', `no $&{client_name}')", "FEATURE(dnsbl)"),
        ("FEATURE(`dnsbl', `a.example.org', `', `t')", "FEATURE(dnsbl)"),
        ("FEATURE(`dnsbl', `a.example.org', `quarantine')", "FEATURE(dnsbl)"),
        ("FEATURE(`dnsbl', `a.example.org', `x')\nFEATURE(`dnsbl', `b.example.org', `y')", "FEATURE(dnsbl)"),
        ("FEATURE(`dnsbl', `a.example.org')\nFEATURE(`dnsbl', `b.example.org', `discard')", "FEATURE(dnsbl)"),
        ("FEATURE(`enhdnsbl', `a.example.org', `', `', `$*')", "FEATURE(enhdnsbl)"),
        ("define(`confCONNECTION_RATE_THROTTLE', `3')", "confCONNECTION_RATE_THROTTLE"),
        ("define(`confREFUSE_LA', `12')", "confREFUSE_LA"),
        ("define(`confBAD_RCPT_THROTTLE', `many')", "confBAD_RCPT_THROTTLE"),
        ("define(`confTO_COMMAND', `soon')", "confTO_COMMAND"),
    ],
)
def test_what_has_no_counterpart_is_told(text: str, name: str) -> None:
    """And the rest is read all the same."""
    assert name in told(mc(text))


def test_no_list_is_told_in_the_words_of_another() -> None:
    """One check has one reply: where the zones have several, tarry's own words name the list."""
    found = mc("FEATURE(`dnsbl', `a.example.org', `See A')\nFEATURE(`dnsbl', `b.example.org', `See B')")
    assert "checks.dnslists.reply" not in keys(found)
    assert {"See A", "See B"} <= {one.value for one in found.missing}
    silent = mc("FEATURE(`dnsbl', `a.example.org', `See A')\nFEATURE(`dnsbl', `b.example.org')")
    assert "checks.dnslists.reply" not in keys(silent)
    alike = mc("FEATURE(`dnsbl', `a.example.org', `See us')\nFEATURE(`dnsbl', `b.example.org', `See us')")
    assert "550 See us" == keys(alike)["checks.dnslists.reply"]


def test_zero_is_no_limit() -> None:
    """It switches Sendmail's off."""
    found = keys(
        mc("define(`confBAD_RCPT_THROTTLE', `0')\ndefine(`confMAX_RCPTS_PER_MESSAGE', `0')\ndefine(`confTO_COMMAND', `0')")
    )
    assert [] == [name for name in found if name.startswith(("tarpit", "limits"))]


def test_features_before_access_db_do_not_use_it() -> None:
    """Sendmail's own warning, told for the classes that would come of access."""
    found = whole(read_sendmail([("sendmail.mc", "FEATURE(`greet_pause', `1')\nFEATURE(`conncontrol')\n" + DB)]))
    assert ["FEATURE(greet_pause)", "FEATURE(conncontrol)"] == [name for name in told(found) if name.startswith("FEATURE")]


def test_the_access_file_wins_over_the_feature() -> None:
    """Whatever the order of the names: a pause of everybody is more than the FEATURE's."""
    found = mc("FEATURE(`greet_pause', `5000')", ("access", "GreetPause: 2000\nGreetPause:10 0\n"))
    assert ("2s", "access:1 GreetPause:") == (keys(found)["hold.wait"], str(found.settings["hold.wait"].source))
    assert "hold.class" in keys(found)


def test_an_access_file_alone_says_nothing_of_the_rest() -> None:
    """No default of Sendmail is told with it."""
    assert ["deny.networks"] == list(keys(whole(read_sendmail([("access", "Connect:192.0.2.1 REJECT\n")]))))


def test_files_are_told_apart_by_their_content() -> None:
    """Not by their names."""
    assert [True, True, False, False] == [
        is_mc(text) for text in ("divert(-1)\n", "x\n  FEATURE(`a')", "Connect:1.2.3.4 OK\n", "# dnl\n")
    ]


@pytest.mark.parametrize(("text", "problem"), [("é x\n", "neither sendmail.mc nor access"), ("lonely\n", "has no value")])
def test_neither_of_the_two_is_a_problem(text: str, problem: str) -> None:
    """With file and line."""
    with pytest.raises(ImportProblem, match=problem):
        read_sendmail([("x", text)])


PIECES = ("FEATURE(`dnsbl'", "define(`confTO_COMMAND'", ", ", "`a.b'", ")", "\n", "$&x", "dnl ", "0", "é", "\x00")


@given(
    st.lists(
        st.sampled_from(["FEATURE(`dnsbl'", "define(`confTO_COMMAND'", ", ", "`a.b'", ")", "\n", "$&x", "dnl ", "0", "é", "\x00"])
    )
)
def test_any_text_is_read_or_is_a_problem(pieces: list[str]) -> None:
    """Nothing but ImportProblem is raised, and what is read loads."""
    try:
        found = read_sendmail([("x", "divert(0)\n" + "".join(pieces))])
    except ImportProblem:
        return
    settle(found)
