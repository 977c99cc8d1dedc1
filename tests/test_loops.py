"""Wiring: the event loop."""

from __future__ import annotations

import asyncio
import builtins
import sys
from collections.abc import Coroutine, Mapping
from types import ModuleType
from typing import Any

import pytest

from tarry import loops


@pytest.mark.parametrize("uvloop_is_there", [True, False])
def test_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, uvloop_is_there: bool) -> None:
    """Else the loop of asyncio."""

    def runner(name: str) -> Any:
        def run_it(main: Coroutine[Any, Any, str]) -> str:
            main.close()
            return name

        return run_it

    module = ModuleType("uvloop")
    module.run = runner("uvloop")  # type: ignore[attr-defined]
    real = builtins.__import__

    def importing(name: str, globals: Mapping[str, object] | None = None, *rest: Any) -> Any:
        if name == "uvloop" and not uvloop_is_there:
            raise ImportError
        return real(name, globals, *rest)

    monkeypatch.setitem(sys.modules, "uvloop", module)
    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.setattr(asyncio, "run", runner("asyncio"))

    async def main() -> str:
        return ""

    assert ("uvloop" if uvloop_is_there else "asyncio") == loops.run(main())
