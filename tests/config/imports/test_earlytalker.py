"""qpsmtpd's earlytalker, with the quirks of its code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports import earlytalker
from tarry.config.imports.earlytalker import Options, read_line
from tarry.config.imports.found import Found, Source
from tarry.config.imports.settle import settle


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Options()),
        ("wait 5", Options(wait=5)),
        ("wait 0.5", Options(wait=0.5)),
        ("wait 2s", Options(wait=2)),
        ("wait x", Options(wait=0)),
        ("wait -3", Options(wait=0)),
        ("wait 1 wait 7", Options(wait=7)),
        ("reject 0", Options(reject="0")),
        ("reject yes", Options()),
        ("reject naughty", Options(reject="naughty")),
        ("reject_type temp", Options(reject_type="temp")),
        ("reject_type SOFT", Options(reject_type="temp")),
        ("reject_type hard", Options()),
        ("reject_type disconnect", Options(reject_type="disconnect")),
        ("reject_type temp_disconnect", Options(reject_type="temp_disconnect")),
        ("reject_type Disconnect", Options()),
        ("defer-reject 1", Options(defers=True, reject_type="temp")),
        ("defer-reject 0", Options(reject_type="temp")),
        ("defer-reject no", Options(defers=True, reject_type="temp")),
        ("defer-reject 1 reject_type perm", Options(defers=True)),
        ("defer-reject 1 action deny", Options(defers=True, reject_type="temp")),
        ("defer-reject 1 action denysoft", Options(defers=True, reject_type="temp")),
        ("defer-reject 1 action 5", Options(defers=True, reject="0")),
        ("action denysoft", Options()),
        ("action DENY", Options()),
        ("action log", Options(reject="0")),
        ("action log reject 1", Options()),
        ("check-at DATA", Options(at_connect=False, at_data=True)),
        ("Check-At data", Options(at_connect=False, at_data=True)),
        ("check-at CONNECT check-at DATA", Options(at_data=True)),
        ("check-at MAIL", Options(at_connect=False)),
        ("loglevel -1", Options()),
        ("WAIT 5", Options(unknown=("WAIT",))),
    ],
)
def test_options_come_out_as_in_the_code(line: str, expected: Options) -> None:
    """Its manual says otherwise in places."""
    assert expected == read_line(line.split())


def test_an_odd_number_of_words_does_nothing() -> None:
    """The plugin logs an error and registers no hook."""
    assert None is read_line(["wait"])


def applied(line: str, naughty: str = "") -> dict[str, object]:
    """Return the keys of a line without those that are ignored, after it settled."""
    found = Found("qpsmtpd")
    earlytalker.apply(found, line.split(), Source("plugins", 1, "earlytalker"), naughty)
    settle(found)
    return {one.key: one.value for one in found.all()}


OFF = {"checks.predata.action": "ignore"}
TEXT = "Connecting host started transmitting before SMTP greeting"


@pytest.mark.parametrize(
    ("line", "action", "at", "code"),
    [
        ("", "reject", "connect", 550),
        ("reject_type temp", "defer", "connect", 450),
        ("reject_type temp_disconnect", "defer", "connect", 450),
        ("reject_type disconnect", "reject", "connect", 550),
        ("defer-reject 1", "defer", "mail", 450),
        ("defer-reject 1 reject_type perm", "reject", "mail", 550),
        ("defer-reject 1 reject_type disconnect", "drop", "mail", 550),
        ("defer-reject 1 reject_type temp_disconnect", "drop", "mail", 421),
    ],
)
def test_a_line_is_an_action_at_a_phase(line: str, action: str, at: str, code: int) -> None:
    """With the reply that qpsmtpd gives."""
    pregreet = {"action": action, "at": at, "reply": f"{code} {TEXT}"}
    expected = {"hold.wait": "1s", **OFF, **{f"checks.pregreet.{name}": value for name, value in pregreet.items()}}
    assert expected == applied(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("reject 0", {"hold.wait": "1s", "checks.pregreet.action": "ignore", "checks.pregreet.at": "connect", **OFF}),
        ("check-at MAIL", {"hold.wait": "0s", "checks.pregreet.action": "ignore", **OFF}),
        (
            "check-at DATA wait 2",
            {
                "hold.wait": "0s",
                "hold.data_wait": "2s",
                "checks.pregreet.action": "ignore",
                "checks.predata.action": "reject",
            },
        ),
        ("wait", {"hold.wait": "0s", "checks.pregreet.action": "ignore"}),
        ("reject naughty", {"hold.wait": "1s", "checks.pregreet.action": "tag", **OFF}),
    ],
)
def test_what_does_not_refuse_at_connect(line: str, expected: dict[str, object]) -> None:
    """Ignored, only at DATA, or nothing at all."""
    assert expected == applied(line)


@pytest.mark.parametrize(
    ("options", "action"),
    [("", "reject"), ("reject_type temp", "defer"), ("reject 0", "ignore"), ("defer-reject 1 reject_type perm", "reject")],
)
def test_data_has_a_check_of_its_own(options: str, action: str) -> None:
    """With the same type; defer-reject is for what was found at connect."""
    assert action == applied(f"check-at DATA {options}")["checks.predata.action"]


def test_naughty_says_when() -> None:
    """The plugin of that name refuses later."""
    found = applied("reject naughty", "rcpt")
    assert ("reject", "rcpt") == (found["checks.pregreet.action"], found["checks.pregreet.at"])


def test_a_wait_beyond_five_minutes_is_cut_and_told() -> None:
    """Clients would have given up."""
    found = Found("qpsmtpd")
    earlytalker.apply(found, ["wait", "600", "Wait", "1"], Source("plugins", 1, "earlytalker"), "")
    assert ("295s", ["wait 600", "Wait"]) == (found.settings["hold.wait"].value, [one.value for one in found.missing])


WORDS = ("wait", "reject", "reject_type", "defer-reject", "check-at", "action", "x", "0", "1", "-9", "naughty", "DATA", "temp")


@given(st.lists(st.sampled_from(WORDS)))
def test_any_words_are_options(arguments: list[str]) -> None:
    """Nothing is raised, and the result loads."""
    applied(" ".join(arguments), "mail")
