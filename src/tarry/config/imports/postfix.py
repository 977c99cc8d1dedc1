"""postfix - main.cf and master.cf as a configuration of tarry.

What      `read_postfix` takes the texts and gives a `Found`: every postscreen_ parameter, what they refer to, and where the smtpd
          of master.cf waits for clients.
Promises  Nothing but ImportProblem is raised. Each postscreen_ parameter that is set becomes a key or is told as missing; of
          those that are not set the ones appear whose default differs from tarry's and matters.
Mode      What postscreen does before the greeting is done in mode pass, as postscreen does it. Where something is to happen
          after the greeting (an action `enforce`, a test after 220), tarry stays in line: mode proxy on the same socket.
Source    postconf(5), postscreen(8), POSTSCREEN_README.
"""

from __future__ import annotations

import re

from tarry.config.imports import postfix_access, postfix_door
from tarry.config.imports.found import Found, ReadFile, Source
from tarry.config.imports.others import switch_off
from tarry.config.imports.postfix_case import Case
from tarry.config.imports.postfix_dnsbl import dnsbl
from tarry.config.imports.postfix_files import parameters, services
from tarry.config.imports.postfix_memory import memory
from tarry.config.imports.postscreen_words import without
from tarry.config.values import write_duration
from tarry.core.policy import LONGEST_HOLD

_DEEP = {"pipelining": "pipelining", "non_smtp_command": "non_smtp", "bare_newline": "bare_newline"}
_TIMES = {
    "postscreen_command_time_limit": ("limits.command", "s"),
    "postscreen_upstream_proxy_timeout": ("limits.proxy", "s"),
}
_COUNTS = {
    "postscreen_client_connection_count_limit": "listen.max_per_client",
    "postscreen_pre_queue_limit": "listen.max_clients",
    "postscreen_post_queue_limit": "handoff.max_waiting",
}
_URL = re.compile(r"https?://[^\s\"'<>\\$]+")


def read_postfix(text: str, file: str, read: ReadFile, *, master: str | None = None, folder: str = "/etc/postfix") -> Found:
    """Return what a main.cf, and a master.cf where there is one, come to.

    *file* is the name of the first for origins, and *folder* what $config_directory stands for.
    """
    found = Found("Postfix")
    given = parameters(text, file)
    doors = services(master, "master.cf") if master is not None else None
    case = Case(found, given, read, doors, folder)
    _greeting(case)
    _deep_tests(case)
    dnsbl(case)
    memory(case)
    postfix_access.access(case)
    for name, (key, unit) in _TIMES.items():
        _time(case, name, key, unit)
    for name, key in _COUNTS.items():
        _count(case, name, key)
    _footer(case)
    postfix_door.door(case)
    if case.in_line:  # else nothing after the greeting is seen anyway
        switch_off(found, "postscreen")
    _rest(case)
    return found


def _greeting(case: Case) -> None:
    """The wait, the teaser and what becomes of early talkers."""
    banner = case.value("postscreen_greet_banner")
    wait = case.time("postscreen_greet_wait", "s")
    source = case.source("postscreen_greet_wait")
    if banner == "":
        off = case.source("postscreen_greet_banner")
        case.found.set("hold.wait", "0s", off, "an empty banner switches the test off, and with it the wait")
        case.found.set("checks.pregreet.action", "ignore", off, "off")
        for name in ("postscreen_greet_wait", "postscreen_greet_action"):
            if case.is_set(name):
                case.miss(name, "postscreen_greet_banner is empty, so there is no test", "it had no effect in Postfix either")
        return
    if wait is not None:
        if wait > LONGEST_HOLD:
            case.miss(
                "postscreen_greet_wait",
                "clients give up after 5 minutes (RFC 5321), and tarry holds none longer than 295 s",
                "hold.wait is cut to that",
            )
        case.found.set("hold.wait", write_duration(float(min(wait, LONGEST_HOLD))), source)
    if banner is not None:
        text = banner.strip()
        case.found.set("hold.teaser", text, case.source("postscreen_greet_banner"), "the 220- line that goes out at once")
    action = case.action("postscreen_greet_action")
    _act(case, "pregreet", action, case.source("postscreen_greet_action"))
    case.in_line = case.in_line or action == "enforce"


def _act(case: Case, check: str, action: str, source: Source) -> None:
    words = {"ignore": "ignore", "enforce": "reject", "drop": "drop"}
    case.found.set(f"checks.{check}.action", words[action], source, action if not source.is_default else "")
    if action == "enforce":
        case.found.set(f"checks.{check}.at", "rcpt", source, "enforce refuses each recipient")


def _deep_tests(case: Case) -> None:
    """The tests after the greeting, which are off unless they are switched on."""
    for theirs, ours in _DEEP.items():
        enable, action = f"postscreen_{theirs}_enable", f"postscreen_{theirs}_action"
        if case.yes(enable):
            word = case.action(action)
            _act(case, ours, word, case.source(action) if case.is_set(action) else case.source(enable))
            case.in_line = True
            continue
        case.found.set(f"checks.{ours}.action", "ignore", case.source(enable), "the test is off")
        if case.is_set(action):
            case.miss(action, f"{enable} is off, so there is no test", "it had no effect in Postfix either")
    if case.in_line and case.yes("postscreen_pipelining_enable"):
        case.miss(
            "postscreen_pipelining_enable",
            "postscreen offers no PIPELINING and fails any two commands at once; tarry offers what the MTA offers, and fails what "
            "RFC 2920 forbids",
            "nothing is lost: honest clients no longer have to come back",
        )


def _time(case: Case, name: str, key: str, unit: str) -> None:
    if case.is_set(name):
        length = case.time(name, unit)
        if length is not None:
            case.found.set(key, write_duration(float(length)), case.source(name))


def _count(case: Case, name: str, key: str) -> None:
    if case.is_set(name):
        number = case.number(name)
        if number is not None:
            case.found.set(key, number, case.source(name))


def _footer(case: Case) -> None:
    for name in ("postscreen_reject_footer", "smtpd_reject_footer"):
        if case.is_set(name):
            url = _URL.search(case.given[name].value)
            if url:
                case.found.set("smtp.help_url", url[0].rstrip(".,;)"), case.source(name))
            if not url or len(case.given[name].value) > len(url[0]):
                case.miss(name, "tarry's replies end with a link or with nothing", "set smtp.help_url, or checks.NAME.reply")
            return


def _rest(case: Case) -> None:
    """Whatever postscreen has besides."""
    for name in case.given:
        if name.startswith("postscreen_") and (told := without(name)) is not None:
            case.miss(name, *told)
    if case.is_set("soft_bounce") and case.yes("soft_bounce"):
        why = "tarry's refusals are permanent where the MTA's are made temporary"
        case.miss("soft_bounce", why, 'for a trial run use `tarry serve --observe`, or set each action to "defer"')
