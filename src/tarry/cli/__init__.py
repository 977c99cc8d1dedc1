"""cli - the command line: one file a verb. Nothing is imported before its verb is asked for, so that each starts fast."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tarry.cli.verbs import cli as cli

_VERBS = {
    "serve": "run the front door",
    "status": "tell how the running server is",
    "inetd": "serve one client that inetd, tcpserver or systemd accepted",
    "config": "write, check, show and explain configurations",
    "clients": "list, show, allow, deny and forget the clients that are remembered",
    "explain": "explain a client, a session, a check or a reason",
    "import": "read the configuration of postscreen, qpsmtpd or Sendmail",
    "probe": "play client habits against a server of your own",
}


def __getattr__(name: str) -> object:
    """Import `cli`, and click with it, when it is asked for: `tarry inetd` does without (18 ms a client)."""
    if name != "cli":
        raise AttributeError(f"module 'tarry.cli' has no attribute {name!r}")
    from tarry.cli import verbs

    return verbs.cli


def main() -> None:
    """The `tarry` command. Exit status: 0 fine, 1 findings or invalid, 2 usage, 75 try later."""
    if sys.argv[1:2] == ["inetd"]:
        from tarry.cli import straight

        asked = straight.parse(sys.argv[2:])
        status = straight.serve(asked) if asked is not None else straight.turn_away()
        if status is not None:
            sys.exit(status)
    from tarry.cli import cli

    cli(prog_name="tarry")
