"""schema - the configuration as a whole: `Config`.

What      The root of all tables. One value of it is what a server runs with; a session keeps the one it began with.
Promises  Frozen. Every key has a safe default: `Config()` is a working server.
Not here  The tables and their keys: tables.py. Reading files: load.py. Rules between keys: problems.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tarry.checks import REGISTRY
from tarry.config import values
from tarry.config.tables import (
    Delay,
    Deny,
    Dns,
    ErrorTarpit,
    Exempt,
    Handoff,
    Headers,
    Hold,
    Karma,
    Limits,
    Listen,
    MailTarpit,
    NoopTarpit,
    RcptTarpit,
    Record,
    RefusedTarpit,
    RsetTarpit,
    Score,
    Smtp,
    Store,
    Tls,
    Web,
    key,
)
from tarry.core.check import Settings

NO_EFFECT = "has no effect in this version"
PRESETS = (
    "tarry",
    "carraway-2003",
    "qpsmtpd-earlytalker",
    "sendwrap-2004",
    "flavell-2004",
    "zmailer-1997",
    "postscreen",
    "spamd",
)


def table(factory: Callable[[], Any], *, later: bool = False) -> Any:
    """Declare one table, or a group of tables."""
    return field(default_factory=factory, metadata={"table": True, "later": later})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tarpits:
    """Tarpits: commands that come in great number get slower and slower replies."""

    rcpt: RcptTarpit = table(RcptTarpit)
    rset: RsetTarpit = table(RsetTarpit)
    noop: NoopTarpit = table(NoopTarpit)
    mail: MailTarpit = table(MailTarpit)
    error: ErrorTarpit = table(ErrorTarpit)
    refused: RefusedTarpit = table(RefusedTarpit)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig:
    """One check as configured: the keys that all have, and its own."""

    settings: Settings
    options: object


def _checks() -> Mapping[str, CheckConfig]:
    return MappingProxyType({check.name: CheckConfig(settings=check.settings, options=check.options()) for check in REGISTRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. ``Config()`` is the defaults."""

    preset: str = key(
        "tarry",
        values.choice(*PRESETS),
        help="A named starting point, laid between the defaults and this file.",
    )
    listen: Listen = table(Listen)
    smtp: Smtp = table(Smtp)
    handoff: Handoff = table(Handoff)
    hold: Hold = table(Hold)
    delay: Delay = table(Delay)
    checks: Mapping[str, CheckConfig] = table(_checks)
    score: Score = table(Score)
    tarpit: Tarpits = table(Tarpits)
    dns: Dns = table(Dns)
    limits: Limits = table(Limits)
    headers: Headers = table(Headers)
    exempt: Exempt = table(Exempt)
    deny: Deny = table(Deny)
    karma: Karma = table(Karma, later=True)
    tls: Tls = table(Tls)
    store: Store = table(Store, later=True)
    record: Record = table(Record)
    web: Web = table(Web, later=True)

    @classmethod
    def load(cls, path: Path | str) -> Config:
        """Read a file. Raises ConfigError with every problem when there is an error."""
        from tarry.config.load import load  # the loader needs this module first

        return load(Path(path)).checked()

    @classmethod
    def from_toml(cls, text: str) -> Config:
        """Read TOML. Raises ConfigError with every problem when there is an error."""
        from tarry.config.load import load  # the loader needs this module first

        return load(None, text=text).checked()
