"""need - skip a test by name when a server or client it runs is not there."""

import pytest

from tests.e2e.servers import install


def need(*names: str) -> None:
    """Skip the calling test unless all of *names* (see install) can be used here; the reason says what to do."""
    for name in names:
        if problem := install.missing(name):
            pytest.skip(problem)
