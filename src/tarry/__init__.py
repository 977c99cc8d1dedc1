"""tarry: the front door for mail servers.

For people who embed it: `serve` and `Config`. The sans-IO core is importable by itself: `tarry.smtp` (framing, replies),
`tarry.core` (hold, conversation, judge) and `tarry.record` (the event log) do no I/O and read no clock; see docs/embedding.md.
"""

from tarry.config.origin import ConfigError
from tarry.config.schema import Config
from tarry.daemon import Server, serve
from tarry.version import VERSION as __version__

__all__ = ["Config", "ConfigError", "Server", "__version__", "serve"]
