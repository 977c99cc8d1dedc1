"""Rules between keys: what cannot work is an error, what is unwise a warning, each with what mends it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tarry.config.load import load
from tests.config.breaches import PASS, PROXY, problems
from tests.config.own import Greeter


def test_the_defaults_break_no_rule() -> None:
    """A server without a file has nothing to be told."""
    assert [] == problems({})


CERTIFIED = {"tls.certificate": "a.pem", "tls.key": "a.key"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"hold.wait": "5m"},
            "error: hold.wait: clients give up after 5 minutes (RFC 5321), and 5m is above 295s; set hold.wait",
        ),
        (
            {"hold.wait": "1s..296s"},
            "error: hold.wait: clients give up after 5 minutes (RFC 5321), and 296s is above 295s; set",
        ),
        ({"hold.wait": "5m", "hold.teaser": "a"}, "error: hold.wait: clients give up after 5 minutes"),
        ({"hold.data_wait": "5m"}, "error: hold.data_wait: clients give up after 5 minutes"),
        ({"delay.target": "60s..6m"}, "error: delay.target: clients give up after 5 minutes"),
        (
            {"hold.wait": "31s"},
            "warning: hold.wait: every new client waits up to 31s, and some honest",
        ),
        ({"tarpit.rcpt.cap": "6m"}, "warning: tarpit.rcpt.cap: clients give up after 5 minutes, and the last holds come to 6m; "),
        (
            {"tarpit.rset.step": "5s"},
            "warning: tarpit.rset.step: clients give up after 5 minutes, and the last holds come to 5m; set",
        ),
        (
            {"tarpit.rcpt.step": "5s", "tarpit.rcpt.cap": "60s", **PASS},
            'error: tarpit.rcpt.step: handoff.mode = "pass" gives the client away at the greeting; set',
        ),
        (
            {"handoff.mode": "proxy"},
            "warning: handoff.announce: the MTA takes every client for this host; where it relays for its own networks it is now",
        ),
        ({"checks.predata.action": "reject", **PASS}, 'error: checks.predata.action: handoff.mode = "pass" gives the client away'),
        ({"checks.pregreet.at": "mail", **PASS}, 'error: checks.pregreet.at: handoff.mode = "pass" gives the client away'),
        (
            {"checks.pregreet.action": "delay", "handoff.mode": "exec"},
            'error: checks.pregreet.action: handoff.mode = "exec" gives the client away',
        ),
        (
            {"handoff.address": "127.0.0.1:2525", **PROXY},
            "error: handoff.address: 127.0.0.1:2525 is tarry itself (listen.smtp), and mail would go round",
        ),
        ({"handoff.address": "localhost:2525", **PROXY}, "error: handoff.address: localhost:2525 is tarry itself"),
        ({"listen.smtp": ["0.0.0.0:10025"], **PROXY}, "error: listen.smtp: 127.0.0.1:10025 is tarry itself"),
        (
            {"listen.smtp": ["[::]:10025"], "handoff.address": "[::1]:10025", **PROXY},
            "error: handoff.address: [::1]:10025 is tarry itself",
        ),
        ({"listen.smtp": []}, "error: listen.smtp: there is no address to listen on; write listen.smtp = "),
        ({"listen.smtp": ["127.0.0.1:25", "127.0.0.1:25"]}, "error: listen.smtp: 127.0.0.1:25 is there twice; keep one of the two"),
        ({"web.listen": "127.0.0.1:2525"}, "error: web.listen: 127.0.0.1:2525 is an address for SMTP clients; choose another port"),
        (
            {"web.listen": "0.0.0.0:8025"},
            "warning: web.listen: whoever can reach 0.0.0.0:8025 can read it, without a password: figures of this server, and its",
        ),
        ({"web.listen": "mx.example:8025"}, "warning: web.listen: whoever can reach mx.example:8025 can read it, without"),
        (
            {"control.socket": "", "web.listen": "127.0.0.1:8025"},
            "warning: control.socket: workers are asked over control.socket for what web.listen serves; set control.socket",
        ),
        (
            {"control.socket": "/tmp/tarry/tarry.sock"},
            "warning: control.socket: anybody can make files in /tmp, and have one of that name there before tarry has; choose",
        ),
        ({"control.socket": "/run/" + "x" * 88}, "error: control.socket: the path of a socket has 92 octets at most, with room"),
        (
            {"exempt.networks": ["0.0.0.0/0"]},
            "warning: exempt.networks: 0.0.0.0/0 is everyone, so nobody is held or checked; name your own networks only",
        ),
        ({"deny.networks": ["::/0"]}, "warning: deny.networks: ::/0 is everyone, so every client is refused; "),
        (
            {"listen.proxy_from": ["0.0.0.0/0"]},
            "warning: listen.proxy_from: 0.0.0.0/0 is everyone, so any client can claim any address; ",
        ),
        (
            {"limits.command": "30s"},
            "warning: limits.command: 30s is less than the 5 minutes of RFC 5321",
        ),
        (
            {"limits.recipients": 50},
            "warning: limits.recipients: RFC 5321 asks for at least 100; set limits.recipients = 100 or more",
        ),
        (
            {"record.style": "postscreen", "record.detail": "close"},
            "warning: record.detail: postscreen's lines of a session are made of its events; without them rejects, texts and DNS",
        ),
        (
            {"record.path": "mail/log"},
            "error: record.path: mail/log lies in the Maildir mail",
        ),
        ({"record.path": "./mail"}, "error: record.path: "),
        (
            {"record.path": "a.pem", "tls.certificate": "a.pem"},
            "error: record.path: it is the file of tls.certificate",
        ),
        ({"record.path": "tarry.db"}, "error: record.path: it is the file of store.url; choose another file"),
        (
            {"tls.mode": "terminate", "tls.key": "a.key"},
            'error: tls.mode: tls.mode = "terminate" needs tls.certificate; set tls.mode = "relay"',
        ),
        ({"tls.mode": "terminate"}, 'error: tls.mode: tls.mode = "terminate" needs tls.certificate and tls.key; '),
        (
            {"listen.smtps": ["127.0.0.1:465"], "tls.key": "a.key"},
            "error: listen.smtps: its clients begin with TLS, and that needs tls.certificate; name them",
        ),
        ({"tls.mode": "terminate", **CERTIFIED, **PASS}, 'error: tls.mode: handoff.mode = "pass" gives the client away'),
        ({"listen.smtps": ["127.0.0.1:465"], **CERTIFIED, **PASS}, "error: listen.smtps: handoff.mode = "),
        ({"tls.mode": "off", **PASS}, 'error: tls.mode: handoff.mode = "pass" gives the client away at the greeting; set'),
        ({"tls.to_mta": "starttls"}, 'error: tls.to_mta: tls.to_mta is for handoff.mode = "proxy", and it is "maildir"; set'),
        ({"tls.to_mta": "starttls", **PROXY}, "error: tls.to_mta: in one session either the client's TLS ends in tarry or it"),
        (
            {"tls.to_mta": "verify", "tls.mode": "off", "handoff.address": "unix:/run/mta", **PROXY},
            "error: tls.to_mta: a Unix socket has no host name to verify; set",
        ),
        ({"hold.data_wait": "1s", **PASS}, 'error: hold.data_wait: handoff.mode = "pass" gives the client away'),
        ({"headers.insert": True, **PASS}, 'error: headers.insert: handoff.mode = "pass" gives the client away'),
        (
            {"handoff.announce": "pass", "handoff.mode": "proxy"},
            'error: handoff.address: announce = "pass" needs the socket of a Postfix pass service, and 127.0.0.1:10025 is none',
        ),
        ({"handoff.announce": "pass", **PASS}, "warning: handoff.announce: the attributes of a pass tell the client's address"),
        ({"handoff.stdio": "pipe", **PROXY}, 'warning: handoff.stdio: it is for handoff.mode = "exec"; leave the line out'),
        (
            {"handoff.stdio": "pipe", "handoff.mode": "exec"},
            "warning: handoff.stdio: a command on a pipe does not see who the client is",
        ),
        (
            {"listen.proxy_from": ["10.0.0.0/8"], "handoff.mode": "exec"},
            "warning: listen.proxy_from: a command that asks its socket who the client is (Exim, Sendmail) gets the balancer's",
        ),
        ({"handoff.command": [], "handoff.mode": "exec"}, "error: handoff.command: there is no command to run; write"),
        ({"handoff.command": ["exim", "-bs"], "handoff.mode": "exec"}, "error: handoff.command: exim would be searched for"),
        (
            {"handoff.command": ["/bin/x", "{cleint}"], "handoff.mode": "exec"},
            "error: handoff.command: {cleint} in {cleint} stands for nothing; write one of {client}, {client_port}",
        ),
        ({"listen.smtp": ["systemd", "systemd"]}, "error: listen.smtp: systemd is there twice; keep one of the two"),
        (
            {"handoff.address": "mx:25"},
            "warning: handoff.address: without handoff.mode, mail goes to the folder mail and not",
        ),
        ({"handoff.announce": "proxy-v2"}, "warning: handoff.announce: without handoff.mode, mail goes to the folder mail"),
        (
            {"checks.pregreet.action": "defer", "checks.pregreet.reply": "550 no"},
            'warning: checks.pregreet.reply: action = "defer" is 4xx, and this reply',
        ),
        ({"checks.pregreet.reply": "450 no"}, 'warning: checks.pregreet.reply: action = "reject" is 5xx'),
        (
            {"checks.pregreet.header": "X-A: b"},
            "warning: checks.pregreet.header: no header is inserted while headers.insert is false",
        ),
        (
            {"checks.pregreet.header": "Received: b", "headers.insert": True},
            "warning: checks.pregreet.header: MTAs count and rewrite this field; ",
        ),
    ],
)
def test_a_breach_is_told_with_what_mends_it(settings: Mapping[str, object], told: str) -> None:
    """Each breach is one problem, at a key that somebody set."""
    found = [str(problem) for problem in problems(settings)]
    assert [True] == [one.startswith(told) for one in found], found


@pytest.mark.parametrize(
    "settings",
    [
        {"hold.wait": "30s", "delay.target": "295s", "delay.session_cap": "295s", "hold.data_wait": "295s"},
        {"tarpit.rcpt.cap": "5m"},
        {"tarpit.rcpt.step": "5s", "tarpit.rcpt.cap": "295s", **PROXY},
        {"checks.pregreet.action": "reject", "checks.pregreet.at": "connect", **PASS},
        {"checks.predata.action": "ignore", **PASS},
        PASS,
        {"handoff.address": "127.0.0.1:25", **PROXY},
        {"handoff.address": "unix:/run/mta", **PROXY},
        {"handoff.address": "mx.example:25", "listen.smtp": ["0.0.0.0:25"], **PROXY},
        {"handoff.address": "192.0.2.1:25", "listen.smtp": ["0.0.0.0:25"], **PROXY},
        {"handoff.address": "mx:25", "handoff.mode": "maildir"},
        {"handoff.address": "127.0.0.1:2525", "handoff.mode": "maildir"},
        {"listen.smtp": ["127.0.0.1:0", "127.0.0.1:0"]},
        {"record.path": "mail.log"},
        {"record.path": "mail/log", **PROXY},
        {"record.style": "postscreen"},
        {"record.detail": "close"},
        {"checks.pregreet.reply": "421 no", "checks.pregreet.action": "drop"},
        {"tls.mode": "terminate", "tls.key": "a.key", "tls.certificate": "a.pem"},
        {"listen.workers": 1},
    ],
)
def test_what_works_is_not_told(settings: Mapping[str, object]) -> None:
    """What works, at the very edge too, has no problem."""
    assert [] == problems(settings)


def test_each_remedy_mends() -> None:
    """Doing what a fix says leaves no problem."""
    assert [] == problems({"hold.data_wait": "295s", "limits.command": "5m", "limits.recipients": 100, "tarpit.rset.cap": "295s"})


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("check", "is_told"), [("dnslists", False), ("ptr", False), ("dynamic_name", False), ("helo", True), ("rhsbl", True)]
)
def test_checks_of_the_address_refuse_before_the_greeting(check: str, is_told: bool, alone: bool) -> None:
    """What is asked as soon as the address is known is answered before the client is given away; HELO and MAIL come later."""
    settings = {f"checks.{check}.action": "reject", **({} if alone else PASS)}
    assert is_told is any(problem.where == f"checks.{check}.action" for problem in problems(settings, alone=alone))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"checks.predata.action": "reject"},
            "checks.predata.action: `tarry inetd` gives the client away at the greeting; run `tarry",
        ),
        ({"checks.pregreet.at": "mail"}, "checks.pregreet.at: `tarry inetd` gives the client away"),
        ({"checks.pregreet.action": "delay"}, "checks.pregreet.action: `tarry inetd` gives the client away"),
        ({"tarpit.rcpt.step": "5s"}, "tarpit.rcpt.step: `tarry inetd` gives the client away"),
        ({"hold.data_wait": "1s"}, "hold.data_wait: `tarry inetd` gives the client away"),
        ({"headers.insert": True}, "headers.insert: `tarry inetd` gives the client away"),
        ({"tls.mode": "off"}, "tls.mode: `tarry inetd` gives the client away"),
        ({"tls.mode": "terminate", **CERTIFIED}, "tls.mode: `tarry inetd` gives the client away"),
        ({"hold.wait": "5m"}, "hold.wait: clients give up after 5 minutes"),
    ],
)
def test_what_cannot_work_for_one_client_alone(settings: Mapping[str, object], told: str) -> None:
    """`tarry inetd` sees nothing after the greeting, whatever handoff.mode says; the fix names the verb that does."""
    for more in ({}, PROXY):
        errors = [problem for problem in problems({**settings, **more}, alone=True) if problem.is_error]
        assert [told] == [problem.sentence[: len(told)] for problem in errors]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        PASS,
        {"handoff.mode": "exec", "handoff.command": ["sendmail", "{nobody}"]},
        {"handoff.mode": "proxy", "handoff.address": "127.0.0.1:2525"},
        {"handoff.address": "127.0.0.1:10025"},
        {"listen.smtp": []},
        {"listen.smtps": ["127.0.0.1:465"]},
        {"listen.workers": 4},
        {"tls.to_mta": "verify"},
        {"record.path": "mail/log"},
        {"checks.predata.action": "ignore", "checks.pregreet.action": "drop"},
    ],
)
def test_what_is_for_the_daemon_does_not_matter_to_one_client_alone(settings: Mapping[str, object]) -> None:
    """One file may serve both; others listen for `tarry inetd`, and its command line says what is run."""
    assert [] == problems(settings, alone=True)


def test_an_own_check_may_be_blind_like_the_others() -> None:
    """Where the client is given away, what it is to do after the greeting cannot be."""
    text = '[handoff]\nmode = "pass"\n[checks.greeter]\naction = "reject"\n'
    assert ["checks.greeter.action"] == [problem.where for problem in load(None, text=text, checks=[Greeter()]).errors]
