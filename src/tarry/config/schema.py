"""schema - the configuration as a whole: `Config`.

What      The root of all tables. One value of it is what a server runs with; a session keeps the one it began with.
Promises  Frozen. Every key has a safe default: `Config()` is a working server.
Not here  The tables and their keys: tables.py. Reading files: load.py. Rules between keys: problems.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tarry.checks import REGISTRY
from tarry.config import values
from tarry.config.declare import key
from tarry.config.operation import Control, Karma, Store, Stress, Web
from tarry.config.tables import Deny, Dns, Exempt, Handoff, Headers, Limits, Listen, Record, Smtp, Tls
from tarry.config.waits import Delay, ErrorTarpit, Hold, MailTarpit, NoopTarpit, RcptTarpit, RefusedTarpit, RsetTarpit, Score
from tarry.core.check import Check, Settings

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


def table(factory: Callable[[], Any]) -> Any:
    """Declare one table, or a group of tables."""
    return field(default_factory=factory, metadata={"table": True})


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
    """One check as configured: the keys that all have, its own, and the check itself."""

    settings: Settings
    options: object
    check: Check

    def looks_for(self, code: str) -> bool:
        """False for a code that the check's own keys leave out: options may name, as ``made``, those that are looked for."""
        made = getattr(self.options, "made", None)
        return not isinstance(made, frozenset) or code in made


def as_declared(check: Check) -> CheckConfig:
    """Return a check as it is where the operator says nothing."""
    return CheckConfig(settings=check.settings, options=check.options(), check=check)


def _checks() -> Mapping[str, CheckConfig]:
    return MappingProxyType({check.name: as_declared(check) for check in REGISTRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. ``Config()`` is the defaults."""

    preset: str = key(
        "tarry",
        values.choice(*PRESETS),
        help="A named starting point, laid between the defaults and this file.",
    )
    plugins: tuple[str, ...] = key(
        (),
        values.listed(values.text("file or name", least=1), "list of files and names", '["local_checks.py"]'),
        help="Checks of your own: Python files (relative to the folder of this file), or names of installed entry points of the "
        "group tarry.checks. See docs/own-checks.md.",
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
    karma: Karma = table(Karma)
    stress: Stress = table(Stress)
    tls: Tls = table(Tls)
    store: Store = table(Store)
    record: Record = table(Record)
    control: Control = table(Control)
    web: Web = table(Web)

    @property
    def registry(self) -> tuple[Check, ...]:
        """The checks that it has, the built-in ones and then the operator's, in the order in which they are asked."""
        return tuple(one.check for one in self.checks.values())

    @classmethod
    def load(cls, path: Path | str, *, checks: Sequence[Check] = ()) -> Config:
        """Read a file; *checks* are your own. Raises ConfigError with every problem when there is an error."""
        from tarry.config.load import load  # the loader needs this module first

        return load(Path(path), checks=checks).checked()

    @classmethod
    def from_toml(cls, text: str, *, checks: Sequence[Check] = ()) -> Config:
        """Read TOML; *checks* are your own. Raises ConfigError with every problem when there is an error."""
        from tarry.config.load import load  # the loader needs this module first

        return load(None, text=text, checks=checks).checked()
