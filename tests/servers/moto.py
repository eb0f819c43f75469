"""A server that speaks S3, and buckets on it."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import boto3
import pytest

from tests.servers.process import running

_NUMBERS = count()
ACCESS_KEY = "the-key-id-of-the-tests"
SECRET_KEY = "hush-this-is-the-secret-of-the-tests"


@dataclass(frozen=True)
class Bucket:
    """An empty bucket of its own for each test."""

    name: str
    endpoint: str
    client: Any
    """boto3's, to look at the bucket from outside."""

    @property
    def url(self) -> str:
        """A folder in it."""
        return f"s3://{self.name}/folder"

    @property
    def storage_options(self) -> dict[str, Any]:
        """What `open_store` needs to reach it."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            "region": "us-east-1",
        }

    def uploads(self) -> list[str]:
        """Return the names of files whose parts are there while they are not."""
        listed = self.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in listed.get("Uploads", ())]


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks S3."""
    log = tmp_path_factory.mktemp("moto") / "log"
    # Pages of lists are short, so that few names make several.
    environment = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": "50"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
    with running(lambda port: [*command, str(port)], log, environment) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def moto_server(moto_endpoint: str) -> Iterator[Bucket]:
    """An empty bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=moto_endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    # Only letters and digits: the server does not find a-b when it is asked for as a%2Db.
    bucket = Bucket(f"bucket{next(_NUMBERS):04d}", moto_endpoint, client)
    client.create_bucket(Bucket=bucket.name)
    yield bucket
    client.close()
