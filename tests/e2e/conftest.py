"""conftest - what the end-to-end tests share: one set of front doors a worker."""

from collections.abc import Iterator

import pytest

from tests.e2e.servers.door import Doors


@pytest.fixture(scope="session")
def doors() -> Iterator[Doors]:
    with Doors() as running:
        yield running
