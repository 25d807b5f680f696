"""Object storages and a Redis for the tests of a file that need one."""

from collections.abc import Iterator

import pytest

from tests.jobs.azure_server import AzureServer
from tests.jobs.gcs_server import GcsServer
from tests.jobs.redis import DURABLE, redis_running
from tests.jobs.s3_server import S3Server
from tests.web.redis_server import Server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A running S3 server; a test that takes it away starts one of its own.

    It ends with the file: other tests look at the children of their process.
    """
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureServer]:
    """A running Azurite; ends with the file."""
    with AzureServer() as server:
        yield server


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    """A running fake-gcs-server; ends with the file."""
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """A running Redis for jobs; ends with the file."""
    with redis_running(*DURABLE) as server:
        yield server


@pytest.fixture
def credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its credentials in this process's environment."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return s3
