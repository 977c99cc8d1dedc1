"""conftest - what the end-to-end tests share: one set of front doors a worker, and one certificate."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.servers import certificate
from tests.e2e.servers.door import Doors, TlsSink
from tests.e2e.servers.need import need
from tests.e2e.servers.sink import Sink


@pytest.fixture(scope="session")
def doors() -> Iterator[Doors]:
    with Doors() as running:
        yield running


@pytest.fixture(scope="session")
def tls_sink(tmp_path_factory: pytest.TempPathFactory) -> TlsSink:
    need("openssl")
    paths = certificate.make(tmp_path_factory.mktemp("tls"))
    return TlsSink(partial(Sink, tls=paths), paths[0])
