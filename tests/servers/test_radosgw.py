"""The real S3 server does what the stores need of it."""

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tests.servers.moto import Bucket


@pytest.fixture
def bucket(radosgw_server: Bucket) -> S3Store:
    """A client for a new bucket."""
    return client(radosgw_server)


def client(bucket: Bucket, **options: str) -> S3Store:
    """Return a client for a bucket."""
    settings = bucket.storage_options | options
    return S3Store(bucket.name, **settings, client_options={"allow_http": True})


def test_put_get_list_delete(bucket: S3Store) -> None:
    """The plain calls."""
    obstore.put(bucket, "a/b", b"0123456789")
    assert bytes(obstore.get(bucket, "a/b").bytes()) == b"0123456789"
    assert bytes(obstore.get_range(bucket, "a/b", start=2, end=5)) == b"234"
    assert [meta["path"] for batch in obstore.list(bucket) for meta in batch] == ["a/b"]
    obstore.delete(bucket, "a/b")
    assert [*obstore.list(bucket)] == []


def test_multipart(bucket: S3Store) -> None:
    """An upload in parts of 5 MiB."""
    data = bytes(range(256)) * (48 << 10)  # 12 MiB
    obstore.put(bucket, "big", data, use_multipart=True, chunk_size=5 << 20)
    assert obstore.head(bucket, "big")["e_tag"].strip('"').endswith("-3")
    assert bytes(obstore.get(bucket, "big").bytes()) == data


def test_a_conditional_put_has_one_winner(bucket: S3Store) -> None:
    """The second new file of a name is refused, and the first stays."""
    obstore.put(bucket, "lock", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(bucket, "lock", b"second", mode="create")
    assert bytes(obstore.get(bucket, "lock").bytes()) == b"first"


def test_a_wrong_key_is_refused(radosgw_server: Bucket) -> None:
    """Signatures are checked, unlike in a mock."""
    store = client(radosgw_server, secret_access_key="wrong")
    with pytest.raises(Exception, match=r"SignatureDoesNotMatch|403"):
        obstore.put(store, "a", b"")
