"""places - addresses and networks, and the texts that go out to clients.

What      Kinds of values, as in values.py: where to listen and to connect, which clients are meant, header and reply lines.
Promises  A network is what the operator wrote, never one that was rounded.
Source    RFC 5321 §4.2 (replies), RFC 5322 §2.2 (header fields); RFC 4291 §2.5.5.2: clients are normal(ised), so a network of
          IPv4-mapped IPv6 addresses would match nobody.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from tarry.config.spelling import shown, spell
from tarry.config.values import Kind, Wrong, listed
from tarry.core.client import Endpoint

Network: TypeAlias = IPv4Network | IPv6Network

_URL_LIMIT = 200
_REPLY_LIMIT = 400  # RFC 5321 §4.5.3.1.5 allows 512 octets with code and CRLF; the rest is room for {client} and {reason}
_HEADER_LIMIT = 900  # RFC 5322 §2.1.1 allows 998 characters; the rest is room for {client} and {reason}
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_DESCRIPTOR_NAME = re.compile(r"[!-9;-~]{1,255}", re.ASCII)  # sd_listen_fds_with_names(3)
_HEADER = re.compile(r"[!-9;-~]+: ?[!-~][ -~]*")
_URL = re.compile(r"(?:https?://|mailto:)[!-~]+")
_REPLY = re.compile(r"(?:250|[45][0-9][0-9]) [ -~]*[!-~]")


class UnixSocket(msgspec.Struct, frozen=True):
    """A socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class Inherited(msgspec.Struct, frozen=True):
    """Listening sockets that systemd hands over: those called *name* (FileDescriptorName=), or all that no other key names."""

    name: str = ""

    def __str__(self) -> str:
        return f"systemd:{self.name}" if self.name else "systemd"


Address: TypeAlias = Endpoint | UnixSocket
Listening: TypeAlias = Endpoint | Inherited


def _read_endpoint(value: object) -> Endpoint:
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not an address", 'write host:port in quotes, such as "127.0.0.1:25"')
    if value.startswith("unix:"):
        raise Wrong(f"{shown(value)} is no address for SMTP clients", 'write host:port, such as "127.0.0.1:25"')
    host, separator, port = value.rpartition(":")
    if not separator and _PORT.fullmatch(value):
        raise Wrong(f"{shown(value)} is only a port", f'write "0.0.0.0:{value}" for all IPv4 addresses, "[::]:{value}" for IPv6')
    if not separator or value.endswith("]"):
        raise Wrong(f"{shown(value)} has no port", f'write "{_cut(_bracketed(value))}:25"')
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise Wrong(f"{shown(value)} has no port from 0 to 65535", f'write "{_cut(_bracketed(host))}:25"')
    if host in ("", "*"):
        raise Wrong(f"{shown(value)} has no host", f'write "0.0.0.0:{port}" for all IPv4 addresses, "[::]:{port}" for IPv6')
    if host[0] == "[" and host[-1] == "]":
        inner = host[1:-1]
        if not _is_ipv6(inner):
            raise Wrong(f"{shown(host)} is not an IPv6 address in brackets", f'write "{_cut(inner)}:{port}" or "[::1]:{port}"')
        return Endpoint(inner.lower(), int(port))
    if ":" in host:
        is_v6 = _is_ipv6(host)
        fix = f'write "[{host}]:{port}"' if is_v6 else 'write host:port, such as "127.0.0.1:25" or "[::1]:25"'
        raise Wrong(
            f"{shown(value)} is ambiguous: an IPv6 address stands in brackets" if is_v6 else f"{shown(value)} is no host:port", fix
        )
    if not _NAME.fullmatch(host) or (re.fullmatch(r"[0-9.]+", host) and not _is_ip(host)):
        raise Wrong(f"{shown(host)} is neither an IP address nor a host name", f'write an address, such as "127.0.0.1:{port}"')
    return Endpoint(host.lower(), int(port))


def _read_listening(value: object) -> Listening:
    if value == "systemd":
        return Inherited()
    if isinstance(value, str) and value.startswith("systemd:"):
        name = value.removeprefix("systemd:")
        if not _DESCRIPTOR_NAME.fullmatch(name):
            raise Wrong(f"{shown(value)} names no socket", 'write "systemd", or "systemd:" and its FileDescriptorName=')
        return Inherited(name)
    return _read_endpoint(value)


def _read_address(value: object) -> Address:
    if isinstance(value, str) and value.startswith(("unix:", "/")):
        path = value.removeprefix("unix:")
        if not path.startswith("/"):
            raise Wrong(f"{shown(value)} is not an absolute path", 'write "unix:/path/to/socket"')
        if value is path:
            raise Wrong(f"{shown(value)} is a path", f'write "unix:{_cut(path)}"')
        if not path.isprintable() or len(path.encode("utf-8", "replace")) > 107:  # sun_path holds 108 bytes with its NUL
            raise Wrong(f"{shown(value)} cannot be the path of a socket", "use at most 107 printable characters")
        return UnixSocket(path)
    return _read_endpoint(value)


def _read_target(value: object) -> Address:
    address = _read_address(value)
    if isinstance(address, Endpoint) and address.port == 0:
        raise Wrong(f"{shown(value)} has port 0", "write the port on which the MTA listens")
    return address


def _read_name_server(value: object) -> Endpoint:
    """Read the address of a name server: with a port, or without, which is port 53. A name could not be looked up without one."""
    bare = value.strip("[]").lower() if isinstance(value, str) else ""
    if _is_ip(bare):
        return Endpoint(bare, 53)
    try:
        server = _read_endpoint(value if not isinstance(value, str) or ":" in value else f"{value}:53")
    except Wrong as wrong:
        raise Wrong(wrong.what, 'write its address, and its port where that is not 53: "127.0.0.1", "[::1]:5353"') from None
    if not _is_ip(server.host):
        raise Wrong(
            f"{shown(server.host)} is a name, and names are what it is asked for", 'write its address, such as "127.0.0.1:53"'
        )
    if server.port == 0:
        raise Wrong(f"{shown(value)} has port 0", "write the port on which it answers, as a rule 53")
    return server


def _read_optional(value: object) -> Endpoint | None:
    return None if value == "" else _read_endpoint(value)


_ENDPOINT_SCHEMA = {"type": "string", "pattern": r"^.+:[0-9]{1,5}$"}
endpoint = Kind("host:port", _read_endpoint, str, _ENDPOINT_SCHEMA)
name_servers = listed(Kind("address:port", _read_name_server, str, {"type": "string"}), "list of address:port", '["127.0.0.1:53"]')
listening = listed(
    Kind("host:port or systemd", _read_listening, str, {"type": "string", "pattern": r"^(.+:[0-9]{1,5}|systemd(:.+)?)$"}),
    "list of host:port",
    '["0.0.0.0:25"]',
)
target = Kind("host:port or unix:/path", _read_target, str, {"type": "string", "pattern": r"^(.+:[0-9]{1,5}|unix:/.+)$"})
optional_endpoint = Kind(
    "host:port or nothing",
    _read_optional,
    lambda value: "" if value is None else str(value),
    {"type": "string", "pattern": r"^(.+:[0-9]{1,5})?$"},
)


def _read_network(value: object) -> Network:
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not a network", 'write it in quotes, such as "192.0.2.0/24"')
    bare = value.strip()
    if "%" in bare:
        raise Wrong(f"{shown(value)} holds a zone", f'write "{_cut(bare.partition("%")[0])}": clients are known without theirs')
    try:
        network = ip_network(bare, strict=False)
    except ValueError:
        raise Wrong(f"{shown(value)} is not a network", _network_fix(bare)) from None
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            fix = f'write "{mapped}/{network.prefixlen - 96}"'
            raise Wrong(f"{shown(value)} matches nobody, since clients are shown as plain IPv4", fix)
    address = bare.partition("/")[0]
    if ip_address(address) != network.network_address:
        fix = f'write "{network}" for the network, or "{address}" for the one host'
        raise Wrong(f"{shown(value)} has bits set right of its prefix", fix)
    return network


network = Kind("network", _read_network, str, {"type": "string"})
networks = listed(network, "list of networks", '["192.0.2.0/24"]')


def _of_form(value: object, form: re.Pattern[str], longest: int, called: str, what: str, fix: str) -> str:
    """Return a text of this form, or none; else raise Wrong with *what* and *fix*, or for its length."""
    if value == "":
        return ""
    if isinstance(value, str) and len(value) > longest:
        raise Wrong(f"{called} has {len(value)} characters", f"keep to {longest}")
    if isinstance(value, str) and form.fullmatch(value):
        return value
    raise Wrong(what, fix)


def _read_header(value: object) -> str:
    fix = 'write "Name: value" in printable ASCII, such as "X-Tarry: {reason}"'
    return _of_form(value, _HEADER, _HEADER_LIMIT, "the header", f"{shown(value)} is not a header line", fix)


header = Kind("header line", _read_header, schema={"type": "string", "pattern": r"^([!-9;-~]+: ?[!-~][ -~]*)?$"})


def _read_reply(value: object) -> str:
    what = f"{shown(value)} is neither a reply that refuses nor the 250 of a discard"
    fix = 'write a code from 400 to 599 (or 250), a blank and text in printable ASCII, such as "550 5.7.1 Not accepted [{id}]"'
    if isinstance(value, str) and ("\r" in value or "\n" in value):
        what, fix = "the reply holds a line break", "write one line: tarry adds the line end itself"
    return _of_form(value, _REPLY, _REPLY_LIMIT, "the reply", what, fix)


reply = Kind("reply line", _read_reply, schema={"type": "string", "pattern": r"^((250|[45][0-9][0-9]) [ -~]*[!-~])?$"})


def _read_url(value: object) -> str:
    fix = 'write all of it, such as "https://mail.example.org/refused"'
    return _of_form(value, _URL, _URL_LIMIT, "it", f"{shown(value)} is no URL", fix)


url = Kind("URL", _read_url, schema={"type": "string", "maxLength": _URL_LIMIT, "pattern": r"^([a-z]+:[!-~]+)?$"})


def _network_fix(value: str) -> str:
    parts = value.rstrip(".").partition("/")[0].split(".")
    if 1 <= len(parts) <= 3 and all(part.isascii() and part.isdigit() and int(part[:4]) < 256 for part in parts):
        whole = ".".join([*(str(int(part)) for part in parts), *["0"] * (4 - len(parts))])
        return f'write all four numbers: "{whole}/{8 * len(parts)}"'
    return 'write an address, or one with a prefix length, such as "192.0.2.0/24" or "2001:db8::/32"'


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if _is_ipv6(host) else host


def _cut(text: str) -> str:
    return spell(text[:60])[1:-1]
