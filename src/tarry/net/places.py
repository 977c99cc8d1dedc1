"""places - a few values that many rows share: a row has the place of its value, a small number, in a column.

What      The policies and the addresses of the waiting room (net/waiting_room), which a reload replaces.
Promises  A value is kept for as long as a row has it, and its place is then another value's: reloads without end take no memory.
          Values are told apart by identity, which costs no comparison of their fields.
"""

from __future__ import annotations

from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Places(Generic[_Value]):
    """Values by place. There are a handful at a time, so each is looked for one by one."""

    def __init__(self) -> None:
        self._values: list[_Value | None] = []
        self._rows: list[int] = []

    def take(self, value: _Value) -> int:
        """Return the place of *value* for one row more."""
        free = -1
        for place, one in enumerate(self._values):
            if one is value:
                self._rows[place] += 1
                return place
            if one is None:
                free = place
        if free < 0:
            free = len(self._values)
            self._values.append(None)
            self._rows.append(0)
        self._values[free], self._rows[free] = value, 1
        return free

    def give_back(self, place: int) -> None:
        """A row has its value no more."""
        self._rows[place] -= 1
        if not self._rows[place]:
            self._values[place] = None

    def __getitem__(self, place: int) -> _Value:
        value = self._values[place]
        assert value is not None, "no row has this place"
        return value

    def __len__(self) -> int:
        """Return how many places were needed at most."""
        return len(self._values)
