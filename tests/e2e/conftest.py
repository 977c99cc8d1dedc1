"""conftest - what the end-to-end tests share: one set of front doors a worker, and one certificate."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

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
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tls_sink(tls_files: tuple[Path, Path]) -> TlsSink:
    return TlsSink(partial(Sink, tls=tls_files), tls_files[0])


@pytest.fixture(scope="session")
def terminate(tls_files: tuple[Path, Path]) -> str:
    """A configuration's [tls] table, for TLS that ends in tarry."""
    return f'[tls]\nmode = "terminate"\ncertificate = "{tls_files[0]}"\nkey = "{tls_files[1]}"\n'
