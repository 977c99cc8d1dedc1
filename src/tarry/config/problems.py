"""problems - rules that look at more than one key, or at a number that is right in form and wrong in sense.

What      `find` yields every breach. Errors cannot work; warnings are unwise and work.
Promises  Pure: no file is opened, nobody is connected to. Each fix is one sentence that mends the problem. A combination that only
          defaults make up is never a problem.
Adding    One generator, and its name in `_RULES`.
Source    RFC 5321 §4.5.3.2 (timeouts), DESIGN section 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from ipaddress import ip_address
from pathlib import PurePosixPath

import msgspec

from tarry.config.origin import DEFAULT, Origin, Problem, Severity
from tarry.config.places import Inherited, UnixSocket
from tarry.config.schema import Config
from tarry.config.values import write_duration
from tarry.core.border import Answered, Due, Readable
from tarry.core.client import Endpoint, Phase
from tarry.core.policy import LONGEST_HOLD, Span
from tarry.core.result import Action

PATIENCE = 30.0
"""Seconds. Callouts and checkers give up from 8 to 30 s on (DESIGN section 8; qpsmtpd's earlytalker says the same)."""

COMMAND_PLACES = ("client", "client_port", "server", "server_port")
"""What may stand in braces in the words of handoff.command."""

LEAST_COMMAND_TIMEOUT = 300.0
"""Seconds: RFC 5321 §4.5.3.2.7."""

_BEFORE_GREETING = (Readable, Due, Answered)


class _Case(msgspec.Struct, frozen=True):
    config: Config
    origins: Mapping[str, Origin]
    alone: bool = False

    @property
    def gives_away(self) -> bool:
        """True when nothing after the greeting can be seen or slowed."""
        handoff = self.config.handoff
        return self.alone or handoff.mode == "pass" or (handoff.mode == "exec" and handoff.stdio == "socket")

    def is_set(self, key: str) -> bool:
        return self.origins.get(key, DEFAULT).is_set


def find(config: Config, origins: Mapping[str, Origin], *, alone: bool = False) -> Iterator[Problem]:
    """Yield what is wrong with the configuration as a whole. ``where`` of each problem is a key. *alone*: for `tarry inetd`."""
    case = _Case(config, origins, alone)
    for rule in _RULES:
        if not (alone and rule in _OF_THE_DAEMON):
            yield from rule(case)


def _warning(where: str, what: str, fix: str) -> Problem:
    return Problem(where, what, fix, Severity.WARNING)


def _holds(case: _Case) -> Iterator[Problem]:
    config = case.config
    longest = write_duration(LONGEST_HOLD)
    for where, span in (
        ("hold.wait", config.hold.wait),
        ("hold.data_wait", config.hold.data_wait),
        ("delay.target", config.delay.target),
    ):
        if span.high > LONGEST_HOLD:
            what = f"clients give up after 5 minutes (RFC 5321), and {_end(span)} is above {longest}"
            yield Problem(where, what, f'set {where} = "{longest}" or less')
    if PATIENCE < config.hold.wait.high <= LONGEST_HOLD:
        what = (
            f"every new client waits up to {_end(config.hold.wait)}, and some honest ones give up after {write_duration(PATIENCE)}"
        )
        yield _warning("hold.wait", what, "keep it below, and hold those with a reason longer with [delay]")


def _end(span: Span) -> str:
    return write_duration(span.high)


def _tarpits(case: _Case) -> Iterator[Problem]:
    for kind in fields(case.config.tarpit):
        name, tarpit = f"tarpit.{kind.name}", getattr(case.config.tarpit, kind.name)
        is_meant = tarpit.step > 0 or tarpit.start > 0 or (case.is_set(f"{name}.cap") and tarpit.cap != type(tarpit)().cap)
        if tarpit.cap > LONGEST_HOLD and is_meant:
            what = f"clients give up after 5 minutes, and the last holds come to {write_duration(tarpit.cap)}"
            fix = f'set {name}.cap = "{write_duration(LONGEST_HOLD)}" unless you want floods to break off'
            yield _warning(_chosen(case, f"{name}.cap", f"{name}.step"), what, fix)
        for shape in ("step", "start"):
            if getattr(tarpit, shape) > 0 and case.gives_away:
                yield _blind(case, f"{name}.{shape}", f'or set {name}.{shape} = "0s"')


def _blind(case: _Case, where: str, instead: str) -> Problem:
    if case.alone:
        fix = f'run `tarry serve` with handoff.mode = "proxy", {instead}'
        return Problem(where, "`tarry inetd` gives the client away at the greeting", fix)
    mode = case.config.handoff.mode
    in_line = 'handoff.stdio = "pipe"' if mode == "exec" else 'handoff.mode = "proxy"'
    return Problem(where, f'handoff.mode = "{mode}" gives the client away at the greeting', f"set {in_line}, {instead}")


def _blind_checks(case: _Case) -> Iterator[Problem]:
    if not case.gives_away:
        return
    for name, one in case.config.checks.items():
        where, settings = f"checks.{name}", one.settings
        sees_later = any(trigger not in _BEFORE_GREETING for trigger in one.check.triggers)
        acts_later = settings.action is Action.DELAY or (settings.at or Phase.CONNECT) > Phase.HOLD
        if settings.action > Action.TAG and (sees_later or acts_later):
            set_keys = [key for key in (f"{where}.at", f"{where}.action") if case.is_set(key)]
            if set_keys:
                yield _blind(case, set_keys[0], f'or set {where}.action = "ignore"')
    if case.config.hold.data_wait.high > 0 and case.is_set("hold.data_wait"):
        yield _blind(case, "hold.data_wait", 'or set hold.data_wait = "0s"')
    if case.config.headers.insert and case.is_set("headers.insert"):
        yield _blind(case, "headers.insert", "or set headers.insert = false")


def _loop(case: _Case) -> Iterator[Problem]:
    handoff, address = case.config.handoff, case.config.handoff.address
    if handoff.mode != "proxy" or isinstance(address, UnixSocket):
        return
    for own in (*case.config.listen.smtp, *case.config.listen.smtps):
        if not isinstance(own, Inherited) and _is_reached_by(own, address):
            what = f"{address} is tarry itself (listen.smtp), and mail would go round in circles"
            yield Problem(
                _chosen(case, "handoff.address", "listen.smtp"), what, "set handoff.address to the port on which the MTA listens"
            )
            return


def _is_reached_by(listening: Endpoint, address: Endpoint) -> bool:
    if listening.port != address.port or listening.port == 0:
        return False
    ours, theirs = _numeric(listening.host), _numeric(address.host)
    if ours == theirs:
        return True
    return ours in ("0.0.0.0", "::") and _is_local(theirs)


def _numeric(host: str) -> str:
    return "127.0.0.1" if host in ("localhost", "::1") else host


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _chosen(case: _Case, *keys: str) -> str:
    """Return the first key that somebody set, or the first: a problem is told where it was made."""
    return next((key for key in keys if case.is_set(key)), keys[0])


def _listening(case: _Case) -> Iterator[Problem]:
    listen = case.config.listen
    everywhere = (*listen.smtp, *listen.smtps)
    if not everywhere:
        yield Problem("listen.smtp", "there is no address to listen on", 'write listen.smtp = ["127.0.0.1:2525"]')
    for number, one in enumerate(everywhere):
        if (isinstance(one, Inherited) or one.port) and one in everywhere[:number]:
            where = "listen.smtp" if number < len(listen.smtp) else "listen.smtps"
            yield Problem(where, f"{one} is there twice", "keep one of the two")
    if case.config.listen.workers > 1:
        yield _warning(
            "listen.workers", "this version runs one process", "set listen.workers = 0, which later versions read as one a core"
        )
    if case.config.web.listen is not None and case.config.web.listen.port and case.config.web.listen in everywhere:
        yield Problem(
            "web.listen", f"{case.config.web.listen} is an address for SMTP clients", "choose another port, such as 127.0.0.1:8025"
        )


def _networks(case: _Case) -> Iterator[Problem]:
    config = case.config
    everyone = (
        ("exempt.networks", config.exempt.networks, "nobody is held or checked", "name your own networks only"),
        ("deny.networks", config.deny.networks, "every client is refused", "name the networks that you mean"),
        (
            "listen.proxy_from",
            config.listen.proxy_from,
            "any client can claim any address",
            "name the addresses of your proxies only",
        ),
    )
    for where, networks, effect, fix in everyone:
        for network in networks:
            if network.prefixlen == 0:
                yield _warning(where, f"{network} is everyone, so {effect}", fix)


def _limits(case: _Case) -> Iterator[Problem]:
    limits = case.config.limits
    if limits.command < LEAST_COMMAND_TIMEOUT:
        what = f"{write_duration(limits.command)} is less than the 5 minutes of RFC 5321, and slow honest clients are cut off"
        yield _warning("limits.command", what, 'set limits.command = "5m" or more')
    if limits.recipients < 100:
        yield _warning("limits.recipients", "RFC 5321 asks for at least 100", "set limits.recipients = 100 or more")


def _paths(case: _Case) -> Iterator[Problem]:
    config = case.config
    record = config.record.path
    if record == "-":
        return
    if config.handoff.mode == "maildir" and not case.alone and _is_within(record, config.handoff.maildir):
        what = f"{record} lies in the Maildir {config.handoff.maildir}, where mail readers would take it for mail"
        yield Problem(_chosen(case, "record.path", "handoff.maildir"), what, "put the record next to the folder, not into it")
    for key, path in (("tls.certificate", config.tls.certificate), ("tls.key", config.tls.key)):
        if path and PurePosixPath(path) == PurePosixPath(record):
            yield Problem("record.path", f"it is the file of {key}, which would be written over", "choose another file")
    store = config.store.url.removeprefix("sqlite:")
    if store != config.store.url and PurePosixPath(store) == PurePosixPath(record):
        yield Problem("record.path", "it is the file of store.url", "choose another file")


def _record(case: _Case) -> Iterator[Problem]:
    record = case.config.record
    if record.style == "postscreen" and record.detail == "close":
        what = "postscreen's lines of a session are made of its events; without them rejects, texts and DNS lists are missing"
        yield _warning(_chosen(case, "record.detail", "record.style"), what, 'set record.detail = "all"')


def _is_within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(PurePosixPath(folder))


def _tls(case: _Case) -> Iterator[Problem]:
    tls, handoff = case.config.tls, case.config.handoff
    missing = [key for key, value in (("tls.certificate", tls.certificate), ("tls.key", tls.key)) if not value]
    if missing:
        needs = f"needs {' and '.join(missing)}"
        if tls.mode == "terminate":
            what = f'tls.mode = "terminate" {needs}'
            yield Problem("tls.mode", what, 'set tls.mode = "relay", so that the MTA does STARTTLS')
        if case.config.listen.smtps and not case.alone:
            yield Problem("listen.smtps", f"its clients begin with TLS, and that {needs}", "name them, or leave listen.smtps out")
    if case.gives_away:
        if tls.mode == "terminate":
            yield _blind(case, "tls.mode", 'or set tls.mode = "relay"')
        if case.config.listen.smtps and not case.alone:
            yield _blind(case, "listen.smtps", "or leave listen.smtps out")
    if tls.mode == "off" and case.gives_away and case.is_set("tls.mode"):
        yield _blind(case, "tls.mode", "or switch STARTTLS off in the MTA")
    if tls.to_mta != "plain" and not case.alone:
        if handoff.mode != "proxy":
            what = f'tls.to_mta is for handoff.mode = "proxy", and it is "{handoff.mode}"'
            yield Problem("tls.to_mta", what, 'set tls.to_mta = "plain"')
        elif tls.mode == "relay":
            what = "in one session either the client's TLS ends in tarry or it goes through to the MTA"
            yield Problem("tls.to_mta", what, 'set tls.mode = "terminate" (or "off"), or tls.to_mta = "plain"')
    if tls.to_mta == "verify" and not case.alone and isinstance(handoff.address, UnixSocket):
        yield Problem("tls.to_mta", "a Unix socket has no host name to verify", 'set tls.to_mta = "plain"')


def _handoff(case: _Case) -> Iterator[Problem]:
    handoff = case.config.handoff
    if handoff.mode == "proxy" and handoff.announce == "none":
        yield _warning(
            "handoff.announce",
            "the MTA takes every client for this host; where it relays for its own networks it is now an open relay",
            'set handoff.announce = "proxy-v2" and let the MTA expect it, or see that the MTA trusts no address of this host',
        )
    if handoff.mode == "proxy" and handoff.announce == "pass" and not isinstance(handoff.address, UnixSocket):
        what = f'announce = "pass" needs the socket of a Postfix pass service, and {handoff.address} is none'
        yield Problem("handoff.address", what, 'write "unix:/var/spool/postfix/private/smtpd"')
    if handoff.mode == "pass" and handoff.announce != "none":
        what = "the attributes of a pass tell the client's address already"
        yield _warning("handoff.announce", what, "leave the line out")
    if handoff.mode == "exec":
        yield from _command(case)
    elif handoff.stdio == "pipe":
        yield _warning("handoff.stdio", 'it is for handoff.mode = "exec"', "leave the line out")
    if handoff.mode == "maildir" and not case.is_set("handoff.mode"):
        for key in ("handoff.address", "handoff.announce"):
            if case.is_set(key):
                what = f"without handoff.mode, mail goes to the folder {handoff.maildir} and not to an MTA"
                yield _warning(key, what, 'set handoff.mode = "proxy", or say handoff.mode = "maildir"')
                return


def _command(case: _Case) -> Iterator[Problem]:
    handoff = case.config.handoff
    where = _chosen(case, "handoff.command", "handoff.mode")
    if not handoff.command or not handoff.command[0]:
        yield Problem(where, "there is no command to run", 'write handoff.command = ["/usr/sbin/sendmail", "-Am", "-bs"]')
        return
    if not handoff.command[0].startswith("/"):
        what = f"{handoff.command[0]} would be searched for in the PATH that tarry was started with"
        yield Problem(where, what, "write the whole path of the program")
    for word in handoff.command:
        for name in re.findall(r"\{(\w*)\}", word):
            if name not in COMMAND_PLACES:
                fix = f"write one of {', '.join(f'{{{place}}}' for place in COMMAND_PLACES)}"
                yield Problem(where, f"{{{name}}} in {word} stands for nothing", fix)
    if handoff.stdio == "socket" and case.config.listen.proxy_from:
        what = "a command that asks its socket who the client is (Exim, Sendmail) gets the balancer's address"
        fix = 'set handoff.stdio = "pipe" and tell it the client, unless it reads TCPREMOTEIP'
        yield _warning(_chosen(case, "listen.proxy_from", "handoff.stdio"), what, fix)
    if handoff.stdio == "pipe" and not any("{client}" in word for word in handoff.command):
        what = "a command on a pipe does not see who the client is, and some take it for this host and relay for it"
        fix = 'give it the address, as with -oMa "[{client}]:{client_port}" for Exim, or see that it reads TCPREMOTEIP'
        yield _warning("handoff.stdio", what, fix)


def _checks(case: _Case) -> Iterator[Problem]:
    for name, check in case.config.checks.items():
        where, settings = f"checks.{name}", check.settings
        if settings.reply and settings.action in (Action.DEFER, Action.REJECT):
            asked = "4" if settings.action is Action.DEFER else "5"
            if not settings.reply.startswith(asked):
                what = f'action = "{settings.action.word}" is {asked}xx, and this reply says otherwise to the client'
                yield _warning(f"{where}.reply", what, f"let it begin with {asked}50, or change the action")
        if settings.header and not case.config.headers.insert:
            yield _warning(f"{where}.header", "no header is inserted while headers.insert is false", "set headers.insert = true")
        if settings.header and re.match(r"(?i)(received|return-path)\s*:", settings.header):
            yield _warning(f"{where}.header", "MTAs count and rewrite this field", 'choose a name of your own, such as "X-Tarry"')


_RULES: tuple[Callable[[_Case], Iterator[Problem]], ...] = (
    _listening,
    _holds,
    _tarpits,
    _blind_checks,
    _loop,
    _networks,
    _limits,
    _paths,
    _record,
    _tls,
    _handoff,
    _checks,
)

_OF_THE_DAEMON = (_listening, _loop, _handoff)
"""Rules about what `tarry inetd` does not use: others listen for it, and its command line says what is run."""
