"""Every store, held to one contract."""

from itertools import count
from pathlib import Path

import pytest

from tests.servers.azurite import Container
from tests.servers.fake_gcs import GoogleBucket
from tests.servers.moto import Bucket
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Store
from vrs_wds.testing.stores import StoreTests

_NUMBERS = count()


class TestLocal(StoreTests):
    """A folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """A folder that does not exist yet."""
        return open_store(tmp_path / "new")


class TestMemory(StoreTests):
    """Memory of the process."""

    @pytest.fixture
    def store(self) -> Store:
        """A prefix that nobody has used."""
        return open_store(f"memory://test-{next(_NUMBERS)}")


class TestS3(StoreTests):
    """A bucket of a server that speaks S3."""

    @pytest.fixture
    def store(self, moto_server: Bucket) -> Store:
        """A folder of an empty bucket."""
        return open_store(moto_server.url, **moto_server.storage_options)


class TestRadosgw(StoreTests):
    """A bucket of a real S3 server."""

    @pytest.fixture
    def store(self, radosgw_server: Bucket) -> Store:
        """A folder of an empty bucket."""
        return open_store(radosgw_server.url, **radosgw_server.storage_options)


class TestS3WithSmallRanges(TestS3):
    """The same, in many more requests."""

    @pytest.fixture
    def store(self, moto_server: Bucket) -> Store:
        """A whole bucket, read 1,500 bytes at a time."""
        url, options = f"s3://{moto_server.name}", moto_server.storage_options
        return open_store(url, range_bytes=1500, max_inflight_bytes=10 << 20, **options)

    num_bytes = 200_000


class TestGoogle(StoreTests):
    """Google's XML API, as obstore speaks it, on a server that speaks S3."""

    # That server does not know x-goog-if-generation-match; and for a copy it makes an empty file,
    # which a rename finds, and mends.
    has_atomic_put_new = False

    @pytest.fixture
    def store(self, moto_server: Bucket) -> Store:
        """A folder of an empty bucket."""
        url = f"gs://{moto_server.name}/folder"
        return open_store(url, base_url=moto_server.endpoint, bearer_token="token")


class TestAzure(StoreTests):
    """A container of Azure."""

    @pytest.fixture
    def store(self, azurite_server: Container) -> Store:
        """A folder of an empty container."""
        return open_store(azurite_server.url, **azurite_server.storage_options)


class TestFsspecMemory(StoreTests):
    """A filesystem of the user's own, without options."""

    @pytest.fixture
    def store(self) -> Store:
        """A folder that nobody has used."""
        import fsspec

        filesystem = fsspec.filesystem("memory")
        return open_store(f"test-{next(_NUMBERS)}/x", filesystem=filesystem)


class TestGcsfs(StoreTests):
    """A filesystem of the user's own, asynchronous within and with options."""

    has_atomic_put_new = False  # gcsfs looks first and writes then

    @pytest.fixture
    def store(self, fake_gcs_server: GoogleBucket) -> Store:
        """A folder of an empty bucket."""
        bucket = fake_gcs_server
        return open_store(f"{bucket.name}/folder", filesystem=bucket.filesystem())
