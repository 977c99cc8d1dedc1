"""problems - rules that look at more than one key, or at a number that is right in form and wrong in sense.

What      `find` yields every breach. Errors cannot work; warnings are unwise and work.
Promises  Pure: no file is opened, nobody is connected to. Each fix is one sentence that mends the problem. A combination that only
          defaults make up is never a problem.
Adding    One generator, and its name in `_RULES`. What is done to clients, and when, is in config/reactions; what is remembered, in
          config/remembering.
Source    RFC 5321 §4.5.3.2 (timeouts), DESIGN section 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import PurePosixPath

from tarry.config import crowding, reactions, remembering
from tarry.config.case import Case, blind, chosen, warning
from tarry.config.origin import Origin, Problem
from tarry.config.places import Inherited, UnixSocket
from tarry.config.schema import Config
from tarry.config.values import write_duration
from tarry.core.client import Endpoint

COMMAND_PLACES = ("client", "client_port", "server", "server_port")
"""What may stand in braces in the words of handoff.command."""

LEAST_COMMAND_TIMEOUT = 300.0
"""Seconds: RFC 5321 §4.5.3.2.7."""

LONGEST_SOCKET = 92
"""Octets: sun_path holds 108 with its NUL, and worker 1000 of process 4194304 has ".4194304.1000" behind it."""

_EVERYBODYS_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def find(config: Config, origins: Mapping[str, Origin], *, alone: bool = False) -> Iterator[Problem]:
    """Yield what is wrong with the configuration as a whole. ``where`` of each problem is a key. *alone*: for `tarry inetd`."""
    case = Case(config, origins, alone)
    for rule in _RULES:
        if not (alone and rule in _OF_THE_DAEMON):
            yield from rule(case)


def _loop(case: Case) -> Iterator[Problem]:
    handoff, address = case.config.handoff, case.config.handoff.address
    if handoff.mode != "proxy" or isinstance(address, UnixSocket):
        return
    for own in (*case.config.listen.smtp, *case.config.listen.smtps):
        if not isinstance(own, Inherited) and _is_reached_by(own, address):
            what = f"{address} is tarry itself (listen.smtp), and mail would go round in circles"
            yield Problem(
                chosen(case, "handoff.address", "listen.smtp"), what, "set handoff.address to the port on which the MTA listens"
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


def _listening(case: Case) -> Iterator[Problem]:
    listen = case.config.listen
    everywhere = (*listen.smtp, *listen.smtps)
    if not everywhere:
        yield Problem("listen.smtp", "there is no address to listen on", 'write listen.smtp = ["127.0.0.1:2525"]')
    for number, one in enumerate(everywhere):
        if (isinstance(one, Inherited) or one.port) and one in everywhere[:number]:
            where = "listen.smtp" if number < len(listen.smtp) else "listen.smtps"
            yield Problem(where, f"{one} is there twice", "keep one of the two")
    if case.config.web.listen is not None and case.config.web.listen.port and case.config.web.listen in everywhere:
        yield Problem(
            "web.listen", f"{case.config.web.listen} is an address for SMTP clients", "choose another port, such as 127.0.0.1:8025"
        )


def _control(case: Case) -> Iterator[Problem]:
    config = case.config
    path, web = config.control.socket, config.web.listen
    for folder in _EVERYBODYS_FOLDERS:
        if _is_within(path, folder):
            what = f"anybody can make files in {folder}, and have one of that name there before tarry has"
            yield warning("control.socket", what, "choose a folder of tarry's own, such as /run/tarry")
    if len(path.encode("utf-8", "replace")) > LONGEST_SOCKET:
        what = f"the path of a socket has {LONGEST_SOCKET} octets at most, with room for the numbers of workers"
        yield Problem("control.socket", what, "choose a shorter one, or one from the folder that tarry is started in")
    if web is None:
        return
    if not _is_loopback(web.host):
        what = f"whoever can reach {web} can read it, without a password: figures of this server, and its version"
        yield warning("web.listen", what, "choose an address of a private network, or 127.0.0.1, or let a firewall guard it")
    if not path and config.listen.workers != 1:
        where = chosen(case, "control.socket", "web.listen")
        yield warning(where, "workers are asked over control.socket for what web.listen serves", "set control.socket")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _networks(case: Case) -> Iterator[Problem]:
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
                yield warning(where, f"{network} is everyone, so {effect}", fix)


def _limits(case: Case) -> Iterator[Problem]:
    limits = case.config.limits
    if limits.command < LEAST_COMMAND_TIMEOUT:
        what = f"{write_duration(limits.command)} is less than the 5 minutes of RFC 5321, and slow honest clients are cut off"
        yield warning("limits.command", what, 'set limits.command = "5m" or more')
    if limits.recipients < 100:
        yield warning("limits.recipients", "RFC 5321 asks for at least 100", "set limits.recipients = 100 or more")


def _paths(case: Case) -> Iterator[Problem]:
    config = case.config
    record = config.record.path
    if record == "-":
        return
    if config.handoff.mode == "maildir" and not case.alone and _is_within(record, config.handoff.maildir):
        what = f"{record} lies in the Maildir {config.handoff.maildir}, where mail readers would take it for mail"
        yield Problem(chosen(case, "record.path", "handoff.maildir"), what, "put the record next to the folder, not into it")
    for key, path in (("tls.certificate", config.tls.certificate), ("tls.key", config.tls.key)):
        if path and PurePosixPath(path) == PurePosixPath(record):
            yield Problem("record.path", f"it is the file of {key}, which would be written over", "choose another file")
    store = config.store.url.removeprefix("sqlite:")
    if store != config.store.url and PurePosixPath(store) == PurePosixPath(record):
        yield Problem("record.path", "it is the file of store.url", "choose another file")


def _record(case: Case) -> Iterator[Problem]:
    record = case.config.record
    if record.style == "postscreen" and record.detail == "close":
        what = "postscreen's lines of a session are made of its events; without them rejects, texts and DNS lists are missing"
        yield warning(chosen(case, "record.detail", "record.style"), what, 'set record.detail = "all"')


def _is_within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(PurePosixPath(folder))


def _tls(case: Case) -> Iterator[Problem]:
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
            yield blind(case, "tls.mode", 'or set tls.mode = "relay"')
        if case.config.listen.smtps and not case.alone:
            yield blind(case, "listen.smtps", "or leave listen.smtps out")
    if tls.mode == "off" and case.gives_away and case.is_set("tls.mode"):
        yield blind(case, "tls.mode", "or switch STARTTLS off in the MTA")
    if tls.to_mta != "plain" and not case.alone:
        if handoff.mode != "proxy":
            what = f'tls.to_mta is for handoff.mode = "proxy", and it is "{handoff.mode}"'
            yield Problem("tls.to_mta", what, 'set tls.to_mta = "plain"')
        elif tls.mode == "relay":
            what = "in one session either the client's TLS ends in tarry or it goes through to the MTA"
            yield Problem("tls.to_mta", what, 'set tls.mode = "terminate" (or "off"), or tls.to_mta = "plain"')
    if tls.to_mta == "verify" and not case.alone and isinstance(handoff.address, UnixSocket):
        yield Problem("tls.to_mta", "a Unix socket has no host name to verify", 'set tls.to_mta = "plain"')


def _handoff(case: Case) -> Iterator[Problem]:
    handoff = case.config.handoff
    if handoff.mode == "proxy" and handoff.announce == "none":
        yield warning(
            "handoff.announce",
            "the MTA takes every client for this host; where it relays for its own networks it is now an open relay",
            'set handoff.announce = "proxy-v2" and let the MTA expect it, or see that the MTA trusts no address of this host',
        )
    if handoff.mode == "proxy" and handoff.announce == "pass" and not isinstance(handoff.address, UnixSocket):
        what = f'announce = "pass" needs the socket of a Postfix pass service, and {handoff.address} is none'
        yield Problem("handoff.address", what, 'write "unix:/var/spool/postfix/private/smtpd"')
    if handoff.mode == "pass" and handoff.announce != "none":
        what = "the attributes of a pass tell the client's address already"
        yield warning("handoff.announce", what, "leave the line out")
    if handoff.mode == "exec":
        yield from _command(case)
    elif handoff.stdio == "pipe":
        yield warning("handoff.stdio", 'it is for handoff.mode = "exec"', "leave the line out")
    if handoff.mode == "maildir" and not case.is_set("handoff.mode"):
        for key in ("handoff.address", "handoff.announce"):
            if case.is_set(key):
                what = f"without handoff.mode, mail goes to the folder {handoff.maildir} and not to an MTA"
                yield warning(key, what, 'set handoff.mode = "proxy", or say handoff.mode = "maildir"')
                return


def _command(case: Case) -> Iterator[Problem]:
    handoff = case.config.handoff
    where = chosen(case, "handoff.command", "handoff.mode")
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
        yield warning(chosen(case, "listen.proxy_from", "handoff.stdio"), what, fix)
    if handoff.stdio == "pipe" and not any("{client}" in word for word in handoff.command):
        what = "a command on a pipe does not see who the client is, and some take it for this host and relay for it"
        fix = 'give it the address, as with -oMa "[{client}]:{client_port}" for Exim, or see that it reads TCPREMOTEIP'
        yield warning("handoff.stdio", what, fix)


_RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _listening,
    _control,
    _loop,
    _networks,
    _limits,
    _paths,
    _record,
    _tls,
    _handoff,
    *crowding.RULES,
    *reactions.RULES,
    *remembering.RULES,
)

_OF_THE_DAEMON = (_listening, _control, _loop, _handoff, *crowding.RULES)
"""Rules about what `tarry inetd` does not use: others listen for it, and its command line says what is run."""
