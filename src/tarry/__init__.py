"""tarry: the front door for mail servers.

For people who embed it: `serve` and `Config`. The sans-IO core is importable by itself: `tarry.smtp` (framing, replies),
`tarry.core` (hold, conversation, judge) and `tarry.record` (the event log) do no I/O and read no clock; see docs/embedding.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tarry.config.origin import ConfigError
    from tarry.config.schema import Config
    from tarry.daemon import Server, serve
    from tarry.version import VERSION as __version__

__all__ = ["Config", "ConfigError", "Server", "__version__", "serve"]

_HOMES = {
    "Config": ("tarry.config.schema", "Config"),
    "ConfigError": ("tarry.config.origin", "ConfigError"),
    "Server": ("tarry.daemon", "Server"),
    "serve": ("tarry.daemon", "serve"),
    "__version__": ("tarry.version", "VERSION"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for: `tarry.smtp` alone needs no event loop, and `tarry config` no daemon (0.1 s)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tarry' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
