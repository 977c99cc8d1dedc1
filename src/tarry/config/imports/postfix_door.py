"""postfix_door - the ways in and out: where postscreen listens, and where smtpd waits for the clients that pass.

What      listen.smtp of postscreen's line in master.cf, and [handoff] of the pass service's.
Source    master(5); postconf(5) smtpd_service_name, queue_directory, inet_interfaces; postfix's postscreen_send.c.
"""

from __future__ import annotations

from ipaddress import ip_address

from tarry.config.imports.found import Source
from tarry.config.imports.postfix_case import Case
from tarry.config.imports.postfix_files import Service, words

_PORTS = {"smtp": 25, "smtps": 465, "submission": 587, "submissions": 465}
_GUIDE = "see docs/guides/postfix.md, part 1"


def door(case: Case) -> None:
    """Find both ends."""
    name = case.value("smtpd_service_name") or "smtpd"
    _out(case, name)
    if case.services is not None:
        _in(case)
    if case.value("postscreen_upstream_proxy_protocol"):
        case.miss(
            "postscreen_upstream_proxy_protocol",
            "postscreen takes a PROXY header from anybody, and tarry only from networks that are named",
            "put the addresses of your balancers into listen.proxy_from",
        )


def _out(case: Case, name: str) -> None:
    queue = (case.value("queue_directory") or "/var/spool/postfix").rstrip("/")
    if case.services is None:
        _hand_off(case, f"{queue}/private/{name}", case.found.default())
        return
    service = next((one for one in case.services if one.type == "pass" and one.name == name), None)
    if service is None:
        source = Source("master.cf", 0, "")
        why = f"there is no service {name} of type pass, to which clients could be given"
        case.found.miss(source, "", why, f"add one and give its socket in [handoff]: {_GUIDE}")
        _hand_off(case, f"{queue}/private/{name}", case.found.default())
        return
    folder = "private" if service.is_private else "public"
    _hand_off(case, f"{queue}/{folder}/{name}", _source(service))


def _hand_off(case: Case, socket: str, source: Source) -> None:
    if case.in_line:
        case.found.set("handoff.mode", "proxy", source, "in line, for what is done after the greeting")
        case.found.set("handoff.announce", "pass", source)
        case.found.set("handoff.address", f"unix:{socket}", source)
    else:
        case.found.set("handoff.mode", "pass", source)
        case.found.set("handoff.socket", socket, source)


def _in(case: Case) -> None:
    if not case.postscreens:
        why = "no service of type inet runs postscreen, so the postscreen parameters of main.cf had no effect"
        case.found.miss(Source("master.cf", 0, ""), "", why, "look them through before you switch them on here")
        return
    for service in case.postscreens:
        for address in _addresses(case, service):
            case.found.add("listen.smtp", address, _source(service))
    for other in case.postscreens[1:]:
        if other.options:
            why = "several services run postscreen, and tarry has one configuration"
            case.found.miss(_source(other), " ".join(other.options), why, "run a second tarry for this address")


def _addresses(case: Case, service: Service) -> list[str]:
    host, _, port = service.name.rpartition(":")
    number = _PORTS.get(port, int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None)
    if number is None:
        case.found.miss(_source(service), service.name, f"{port} is no port that is known here", "write listen.smtp by hand")
        return []
    hosts = [host.strip("[]")] if host else _interfaces(case)
    return [f"[{one}]:{number}" if ":" in one else f"{one}:{number}" for one in hosts]


def _interfaces(case: Case) -> list[str]:
    """Return the addresses that a service without one listens on."""
    protocols = words((case.value("inet_protocols") or "all").lower())
    versions = {"ipv4": 4, "ipv6": 6}
    spoken = set(versions.values()) if "all" in protocols else {versions[one] for one in protocols if one in versions}
    hosts = list[str]()
    for word in words(case.value("inet_interfaces") or "all"):
        bare = word.strip("[]")
        if word.lower() in ("all", "loopback-only"):
            every = {"all": ("0.0.0.0", "::"), "loopback-only": ("127.0.0.1", "::1")}[word.lower()]
            hosts += [host for version, host in zip((4, 6), every, strict=True) if version in spoken]
            continue
        try:
            ip_address(bare)
        except ValueError:
            case.miss("inet_interfaces", f"{bare} is a name, and tarry listens on addresses", "write listen.smtp by hand")
            continue
        hosts.append(bare)
    return hosts


def _source(service: Service) -> Source:
    return Source("master.cf", service.line, f"{service.name} {service.type}")
