"""A bucket on a real S3 server, for the tests of artifacts."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from benchmarks.folders import open_folder
from tests.s3 import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the session. Do not stop it: tests that do make their own."""
    with open_folder() as folder, S3Server(folder) as server:
        yield server


@pytest.fixture(scope="session")
def s3_bucket(s3_server: S3Server) -> str:
    """The name of a bucket that tests share: each uses a prefix of its own."""
    return s3_server.make_bucket()


@pytest.fixture
def s3_url(s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL of this test's own in a bucket; this process and its children have what reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_bucket}/{uuid4().hex}"
