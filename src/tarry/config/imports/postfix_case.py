"""postfix_case - one Postfix that is being imported: its parameters, with the overrides of postscreen's line in master.cf.

What      `Case` gives values as the type that they should have, and their sources. What cannot be read is told as missing, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tarry.config.imports.found import Found, ReadFile, Source
from tarry.config.imports.postfix_expand import Unexpandable, Values
from tarry.config.imports.postfix_files import Parameter, Service, seconds
from tarry.config.imports.postscreen_words import DEFAULTS

RENAMED: Mapping[str, str] = {
    "postscreen_denylist_action": "postscreen_blacklist_action",
    "postscreen_dnsbl_allowlist_threshold": "postscreen_dnsbl_whitelist_threshold",
    "postscreen_dnsbl_max_ttl": "postscreen_dnsbl_ttl",
}
"""Parameters of 3.6 (and one of 3.1) by what they were called before; the old name is their default."""


class Case:
    """``in_line`` becomes true as soon as something is to happen after the greeting."""

    def __init__(
        self,
        found: Found,
        given: Mapping[str, Parameter],
        read: ReadFile,
        services: Sequence[Service] | None = None,
        folder: str = "/etc/postfix",
    ) -> None:
        self.found = found
        self.read = read
        self.services = services
        self.postscreens = [one for one in services or () if one.command == "postscreen" and one.type == "inet"]
        overrides = self.postscreens[0].options if self.postscreens else {}
        self.given: Mapping[str, Parameter] = {**given, **overrides}
        self.values = Values(self.given, {**DEFAULTS, "config_directory": folder})
        self.in_line = False
        self._told: set[str] = set()

    def name(self, name: str) -> str:
        """Return the name under which a parameter is set: the present one, or the one that it had."""
        old = RENAMED.get(name, name)
        return old if name not in self.given and old in self.given else name

    def is_set(self, name: str) -> bool:
        return self.name(name) in self.given

    def source(self, name: str, word: str = "") -> Source:
        """Return where a parameter is set, or an element of its list; Postfix's default where it is not."""
        parameter = self.given.get(self.name(name))
        if parameter is None:
            return self.found.default()
        return Source(parameter.file, parameter.line_of(word) if word else parameter.line, parameter.name)

    def raw(self, name: str) -> str:
        parameter = self.given.get(self.name(name))
        return parameter.value if parameter else ""

    def miss(self, name: str, why: str, instead: str) -> None:
        """Tell that a parameter has no counterpart, as it is written."""
        if name not in self._told:
            self._told.add(name)
            source = self.source(name)
            self.found.miss(source if not source.is_default else Source("", 0, name), self.raw(name), why, instead)

    def value(self, name: str) -> str | None:
        """Return the value with everything replaced, None where that is not possible."""
        try:
            return self.values.value(name)
        except Unexpandable as fault:
            raw = self.raw(name)
            self.miss(name, f"{fault}", f"write {raw or name} by hand" if name != "postscreen_greet_banner" else _TEASER)
            return None

    def time(self, name: str, unit: str) -> int | None:
        """Return a time in seconds."""
        value = self.value(name)
        if value is None:
            return None
        try:
            return seconds(value, unit)
        except ValueError:
            self.miss(name, "this is no time of Postfix", "write a number and one of s, m, h, d, w")
            return None

    def number(self, name: str) -> int | None:
        """Return a whole number, which may be negative."""
        value = self.value(name)
        if value is None:
            return None
        bare = value.strip()
        if not bare.removeprefix("-").isascii() or not bare.removeprefix("-").isdigit() or len(bare) > 12:
            self.miss(name, "this is no number", "write one")
            return None
        return int(bare)

    def yes(self, name: str) -> bool:
        return (self.value(name) or "").strip().lower() == "yes"

    def action(self, name: str) -> str:
        """Return ignore, enforce or drop."""
        word = (self.value(name) or "ignore").strip().lower()
        if word not in ("ignore", "enforce", "drop"):
            self.miss(name, "this is no action of postscreen", "it is taken for ignore; write ignore, enforce or drop")
            return "ignore"
        return word


_TEASER = "write the text of the 220- line as hold.teaser, or leave it out: some clients cannot read two lines"
