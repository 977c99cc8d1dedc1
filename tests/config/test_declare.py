"""How a key is declared."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tarry.config import values
from tarry.config.declare import DELAY_PHASES, PHASES, key
from tarry.core.client import Phase


@dataclass(frozen=True)
class Table:
    one: int = key(3, values.whole(0, 9, "things"), help="How many.", source="RFC 5321", required=True)


def test_a_key_is_a_field_that_documents_itself() -> None:
    """Its default is that of the field; the rest stands in the metadata."""
    (field,) = fields(Table)
    assert (3, Table().one) == (field.default, 3)
    assert ("How many.", "0.1", "RFC 5321", True) == tuple(field.metadata[name] for name in ("help", "since", "source", "required"))


def test_phases_are_named_as_in_records() -> None:
    """All but the last; a residual delay is before the reply to a command."""
    assert {phase.word: phase for phase in Phase if phase is not Phase.CLOSED} == PHASES
    assert set(DELAY_PHASES) < set(PHASES)
