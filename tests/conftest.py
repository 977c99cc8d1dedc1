"""conftest - what holds for every test: no deadline in hypothesis, and assertions of the playbook and of talks told in full."""

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.playbook", "tests.talk")

# Ignored where a shell has started the tests in the background (`make test &`), and in all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline measures the machine, not the code; the whole suite has a time limit of its own.
settings.register_profile("tarry", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tarry")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for the mail and the log of a front door, whose descriptor limit is not that of the test's own process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: None)
