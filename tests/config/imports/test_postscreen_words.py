"""Every parameter of postscreen has its place."""

from __future__ import annotations

import pytest

from tarry.config.imports.postfix_case import RENAMED
from tarry.config.imports.postscreen_words import DEFAULTS, MAPPED, WITHOUT, without


def test_no_parameter_is_in_both_lists() -> None:
    """It has a counterpart or none; the old names of renamed ones are known too."""
    assert set() == MAPPED & set(WITHOUT)
    assert set(RENAMED.values()) | {name for name in DEFAULTS if name.startswith("postscreen_")} == MAPPED


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_each_reason_is_a_clause(name: str) -> None:
    """It is put into a sentence, whose full stop is not its own."""
    why, instead = WITHOUT[name]
    assert why
    assert not why.endswith(".") and not instead.endswith(".")
    assert not why[0].isupper()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("postscreen_greet_wait", ""),
        ("postscreen_blacklist_action", ""),
        ("postscreen_cache_map", "a file or a server of its own"),
        ("postscreen_tls_cert_file", "tls.mode"),
        ("postscreen_starttls_timeout", "tls.mode"),
        ("postscreen_gret_wait", "no Postfix"),
    ],
)
def test_a_name_says_why(name: str, told: str) -> None:
    """None for one that has a counterpart; what no Postfix has is told as a slip of the pen."""
    found = without(name)
    assert (told == "") == (found is None)
    assert told in (found or ("",))[0]
