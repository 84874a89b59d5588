"""An S3 server for the tests of this room, started once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemsplit.cloud import lease, store, waiting
from stemsplit.cloud.address import parse
from stemsplit.cloud.store import Bucket
from tests.cloud.server import BUCKET, Server


@pytest.fixture(scope="package")
def servers() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


@pytest.fixture
def s3(servers: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server with an empty bucket, which the environment tells of."""
    servers.begin()
    for variable in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for variable, value in servers.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lease, "_watch", lease._Watch())
    store._bucket.cache_clear()
    yield servers
    lease._heart(os.getpid()).leases.clear()  # what a test did not release would be renewed in the next one's bucket


@pytest.fixture
def bucket(s3: Server) -> Bucket:  # noqa: ARG001  # it has to be there
    return store.bucket_of(parse(f"s3://{BUCKET}"))
