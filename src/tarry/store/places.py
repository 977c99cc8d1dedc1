"""places - where the memory of clients is kept, as store.url says.

What      `open_store` makes the store of a URL: ``sqlite:FILE``; ``valkey://`` or ``redis://`` with host, port, database, user and
          password, ``valkeys://`` or ``rediss://`` for TLS, ``valkey+unix:///PATH`` or ``redis+unix:///PATH`` for a Unix socket.
          ``none`` is nowhere, and the caller's to notice. After ``?`` may stand ``cluster=true``, and with TLS ``ca``,
          ``certificate`` and ``key``, which are files.
Promises  Nothing is opened yet: that is done at the first use. What is wrong with a URL is told in a sentence that says what to do,
          and no sentence has a password in it. redis-py is imported where a URL asks for it and nowhere else.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from tarry.config.compile import fading
from tarry.config.schema import Config
from tarry.core.client import Endpoint
from tarry.core.history import Fading
from tarry.store import Store

NONE = "none"
"""Remember nothing."""

_SERVERS = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
"""With TLS, or without."""
_SOCKETS = frozenset({"valkey+unix", "redis+unix"})
_FORMS = "sqlite:FILE, valkey://HOST:6379/0 (valkeys:// with TLS), valkey+unix:///PATH, or none"
_DEFAULT_PORT = 6379


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A Valkey or Redis server, and how to log in. ``path`` is that of a Unix socket; then there is no host. ``where`` is its URL
    without user and password."""

    where: str
    host: str = ""
    port: int = _DEFAULT_PORT
    path: str = ""
    database: int = 0
    user: str = ""
    password: str = ""
    has_tls: bool = False
    is_cluster: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""


def check_url(url: str) -> None:
    """Raise ValueError, with a sentence, where no store can be made of *url*. What is not installed is no fault of the URL."""
    if url != NONE:
        parsed(url)


def parsed(url: str) -> Path | Server:
    """Return the file or the server of *url*. Raises ValueError with a sentence."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        return _file(rest)
    if scheme in _SERVERS or scheme in _SOCKETS:
        return _server(url)
    raise ValueError(f"{scheme[:20] if rest else 'it'} is no place for a memory: say {_FORMS}")


def open_store(url: str, *, fading: Fading, keep: float, max_clients: int, prefix: str) -> Store:
    """Return the store of *url*. Raises ValueError, with a sentence, where there can be none.

    *max_clients* is for files; a server has maxmemory. *prefix* is for servers.
    """
    if url == NONE:
        raise ValueError("nothing is remembered: store.url is none")
    place = parsed(url)
    if isinstance(place, Path):
        from tarry.store.sqlite import SqliteStore

        return SqliteStore(place, fading=fading, keep=keep, max_clients=max_clients)
    if importlib.util.find_spec("redis") is None:
        raise ValueError("a Valkey or Redis server needs redis-py: pip install 'tarry[fleet]'")
    from tarry.store.valkey import ValkeyStore

    return ValkeyStore(place, fading=fading, keep=keep, prefix=prefix)


def store_of(config: Config, url: str | None = None) -> Store:
    """Return the store of a configuration, or that at *url* with all else that the configuration says. Raises ValueError."""
    keys = config.store
    where = keys.url if url is None else url
    return open_store(where, fading=fading(config), keep=keys.keep, max_clients=keys.max_clients, prefix=keys.prefix)


def _file(rest: str) -> Path:
    name = rest.removeprefix("//")  # sqlite:///var/lib/tarry/tarry.db, as others write it
    if not name or name.endswith("/"):
        raise ValueError("sqlite: needs the name of a file, such as sqlite:/var/lib/tarry/tarry.db")
    if name == ":memory:":
        raise ValueError("a memory that ends with the process is of no use: name a file, or say none")
    if "\0" in name:
        raise ValueError("the name of the file has a NUL in it")
    return Path(name)


def _server(url: str) -> Server:
    if "#" in url:
        raise ValueError("what stands behind # is not used: write %23 in a password")
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:  # a bracket without its other, a port that is no number; the text of it may quote the password
        raise ValueError(f"the host or the port is not well formed: say {_FORMS}") from None
    options = _options(split)
    is_socket = split.scheme in _SOCKETS
    has_tls = _SERVERS.get(split.scheme, False)
    for name in ("ca", "certificate", "key"):
        if name in options and not has_tls:
            raise ValueError(f"{name} is for TLS: begin with valkeys:// or rediss://")
    if "key" in options and "certificate" not in options:
        raise ValueError("key needs the certificate that belongs to it: add &certificate=FILE")
    is_cluster = options.get("cluster") == "true"
    database, path = 0, ""
    if is_socket:
        if split.hostname or not split.path.strip("/"):
            raise ValueError(f"a socket is written {split.scheme}:///run/valkey/valkey.sock, with three slashes")
        if is_cluster:
            raise ValueError("a cluster has no Unix socket: name one of its hosts")
        path = unquote(split.path)
        database = _database(options.get("db", ""))
    else:
        if not split.hostname:
            raise ValueError(f"the host is missing: say {split.scheme}://HOST:6379/0")
        if "db" in options:
            raise ValueError(f"the database stands in the path: {split.scheme}://HOST:6379/0")
        database = _database(split.path.strip("/"))
        if is_cluster and database:
            raise ValueError("a cluster has no databases but 0: choose store.prefix instead")
    return Server(
        where=_where(split, path),
        host=split.hostname or "",
        port=port if port is not None else _DEFAULT_PORT,
        path=path,
        database=database,
        user=unquote(split.username or ""),
        password=unquote(split.password or ""),
        has_tls=has_tls,
        is_cluster=is_cluster,
        ca=options.get("ca", ""),
        certificate=options.get("certificate", ""),
        key=options.get("key", ""),
    )


def _options(split: SplitResult) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        if name not in ("cluster", "ca", "certificate", "key", "db"):
            raise ValueError(
                "behind the ? may stand cluster=true; with TLS ca=FILE, certificate=FILE, key=FILE; with a socket db=N"
            )
        if name == "cluster" and value not in ("true", "false"):
            raise ValueError("cluster is true or false")
        if not value:
            raise ValueError(f"{name}= is empty")
        found[name] = value
    return found


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError("the database behind the host is a number, such as /0")
    return int(text)


def _where(split: SplitResult, path: str) -> str:
    if path:
        return f"{split.scheme}://{path}"
    return f"{split.scheme}://{Endpoint(split.hostname or '', split.port or _DEFAULT_PORT)}{split.path}"
