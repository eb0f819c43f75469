"""A bucket as a store, on a server that speaks S3."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.servers.fake_gcs import GoogleBucket
from tests.servers.moto import SECRET_KEY, Bucket
from vrs_wds.errors import ConfigError, FileChanged, StorageError
from vrs_wds.storage import object_store, sweeping
from vrs_wds.storage.object_store import ObjectStore
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Store

NOISE = np.random.default_rng(0).bytes(12 * 1024 * 1024)


def open_bucket(bucket: Bucket, **options: object) -> ObjectStore:
    """Open the bucket's folder."""
    store = open_store(bucket.url, **bucket.storage_options | options)
    assert isinstance(store, ObjectStore)
    return store


def test_names_are_below_the_folder(moto_server: Bucket) -> None:
    """Nothing beside it is seen; the bucket has the whole names."""
    client, name = moto_server.client, moto_server.name
    for key in ("beside", "folder2/x", "folder/y"):
        client.put_object(Bucket=name, Key=key, Body=b"1")

    store = open_bucket(moto_server)
    store.put("sub/z", b"2")

    assert list(store.list_names()) == ["sub/z", "y"]
    assert store.url_of("y") == f"s3://{name}/folder/y"
    assert client.get_object(Bucket=name, Key="folder/sub/z")["Body"].read() == b"2"


@pytest.mark.parametrize("key", ["folder/a//b", "folder//", "folder/./x", "folder/../x"])
def test_a_foreign_key_that_is_no_path(moto_server: Bucket, key: str) -> None:
    """The list ends there, and says so; the empty file that stands for the folder is none."""
    client, name = moto_server.client, moto_server.name
    store = open_bucket(moto_server)
    client.put_object(Bucket=name, Key="folder/", Body=b"")
    assert list(store.list_names()) == []

    client.put_object(Bucket=name, Key=key, Body=b"1")
    with pytest.raises(StorageError, match="move that file away, or use another folder"):
        list(store.list_names())


def test_more_names_than_a_page_holds(moto_server: Bucket) -> None:
    """This server lists 50 at once."""
    for i in range(120):
        moto_server.client.put_object(Bucket=moto_server.name, Key=f"folder/{i:04d}", Body=b"")

    store = open_bucket(moto_server)
    listed = moto_server.client.list_objects_v2(Bucket=moto_server.name)
    assert listed["IsTruncated"]
    assert list(store.list_names()) == [f"{i:04d}" for i in range(120)]


def test_a_replaced_file_is_noticed(moto_server: Bucket) -> None:
    """By ranges, readers and whole reads after ranges; a store that is opened anew reads it."""
    store = open_bucket(moto_server)
    store.put("a", b"1" * 100)
    store.get_range("a", 0, 10)
    open_bucket(moto_server).put("a", b"2" * 100)

    with pytest.raises(FileChanged, match=rf"{store.url_of('a')}: was replaced"):
        store.get_range("a", 10, 10)
    with pytest.raises(FileChanged), store.open_reader("a"):
        pass
    with pytest.raises(FileChanged):
        store.get("a")
    assert open_bucket(moto_server).get_range("a", 0, 10) == b"2" * 10


def test_whole_reads_see_each_version(moto_server: Bucket) -> None:
    """Nothing is mixed when a file is read whole every time."""
    store, other = open_bucket(moto_server), open_bucket(moto_server)
    for version in (b"1", b"2", b"3"):
        other.put("a", version)
        assert store.get("a") == version


def test_a_large_file_is_one_only_when_it_is_complete(moto_server: Bucket) -> None:
    """Parts are on their way before; none is left after."""
    store = open_bucket(moto_server)
    with store.open_writer("a.tar") as writer:
        for start in range(0, len(NOISE), 1 << 20):
            writer.write(NOISE[start : start + (1 << 20)])
        assert moto_server.uploads() == ["folder/a.tar"]
        assert not store.exists("a.tar")

    assert moto_server.uploads() == []
    assert store.get("a.tar") == NOISE
    assert store.counters.bytes_written == len(NOISE)


def test_after_an_exception_no_part_is_left(moto_server: Bucket) -> None:
    """They would be paid for."""
    store = open_bucket(moto_server)
    with pytest.raises(KeyError), store.open_writer("a.tar") as writer:
        writer.write(NOISE)
        raise KeyError

    assert moto_server.uploads() == []
    assert not store.exists("a.tar")


KILLED = """
import os, signal, sys
from vrs_wds.storage.open import open_store
options = {"endpoint": sys.argv[2], "region": "us-east-1", "max_inflight_bytes": 11 << 20}
store = open_store(sys.argv[1], **options)
with store.open_writer(sys.argv[3]) as writer:
    for _ in range(30):
        writer.write(bytes(1 << 20))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_swept(moto_server: Bucket) -> None:
    """Only below the prefix; nothing of it was visible."""
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    for name in (".train.writing/0.tar", "val-0.tar"):
        command = [sys.executable, "-c", KILLED, moto_server.url, moto_server.endpoint, name]
        result = subprocess.run(command, env=os.environ | keys, check=False)
        assert result.returncode == -signal.SIGKILL
    store = open_bucket(moto_server)
    assert sorted(moto_server.uploads()) == ["folder/.train.writing/0.tar", "folder/val-0.tar"]
    assert list(store.list_names(hidden=True)) == []

    assert store.sweep(".train.writing/") == 1
    assert moto_server.uploads() == ["folder/val-0.tar"]
    assert store.sweep("") == 1
    assert moto_server.uploads() == []


def test_more_leftovers_than_a_page_holds(
    moto_server: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages are swept, and nothing beside the folder."""
    monkeypatch.setattr(sweeping, "_PAGE_SIZE", 3)
    for i in range(10):
        moto_server.client.create_multipart_upload(Bucket=moto_server.name, Key=f"folder/{i}")
    moto_server.client.create_multipart_upload(Bucket=moto_server.name, Key="folder2/x")

    assert open_bucket(moto_server).sweep("") == 10
    assert moto_server.uploads() == ["folder2/x"]


def test_sweeping_without_boto3_says_what_to_do(
    moto_server: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A rule of the bucket does it as well."""
    monkeypatch.setattr(sweeping.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert open_bucket(moto_server).sweep("train") == 0
    assert "AbortIncompleteMultipartUpload" in caplog.text
    assert "vrs_wds[s3]" in caplog.text


def test_a_file_too_long_for_a_copy_is_written_again(
    moto_server: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ranges; the old one is gone afterwards."""
    monkeypatch.setattr(object_store, "_MAX_COPY_BYTES", 1000)
    store = open_bucket(moto_server)
    store.put("a", NOISE[:5000])
    store.rename("a", "b")

    assert list(store.list_names()) == ["b"]
    assert store.get("b") == NOISE[:5000]


def test_there_is_no_such_bucket(moto_server: Bucket) -> None:
    """Which is not the same as no such file."""
    options = moto_server.storage_options
    for use in (
        lambda store: store.get("train.json"),
        lambda store: list(store.list_names()),
        lambda store: store.put("a", b""),
        lambda store: store.open_writer("a").__enter__(),
    ):
        store = open_store("s3://nosuchbucket/x", **options)
        with pytest.raises(StorageError, match=r"s3://nosuchbucket/x.*NoSuchBucket.*region"):
            use(store)


def test_plain_http_is_for_this_machine(moto_server: Bucket) -> None:
    """Elsewhere it has to be allowed."""
    options = moto_server.storage_options | {"endpoint": "http://minio.example:9000"}
    with pytest.raises(ConfigError, match=r"minio.example:9000 is not encrypted.*allow_http"):
        open_store("s3://bucket/x", **options)
    open_store("s3://bucket/x", client_options={"allow_http": True}, **options)


def test_options_of_the_client(moto_server: Bucket) -> None:
    """Those of obstore are known; others are named."""
    options = moto_server.storage_options
    open_store("s3://bucket/x", virtual_hosted_style_request=False, **options)
    for wrong, text in (
        ({"acess_key": "hush hush"}, "acess_key"),
        ({"skip_signature": "perhaps"}, "perhaps"),
        ({"client_options": {"speed": 1}}, "speed"),
        ({"retries": -1}, "retries: expected a whole number from 0"),
        ({"stall_seconds": 0}, "stall_seconds: expected more than 0"),
        ({"bucket": "b"}, "bucket: is no option"),
    ):
        with pytest.raises(ConfigError, match=text) as caught:
            open_store("s3://bucket/x", **options | wrong)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://", "expected a bucket"),
        ("s3://bucket/a//b", "empty component"),
        ("s3://bucket/a/../b", "one of dots"),
        ("s3://user:hush@bucket/a", "name or password"),
        ("https://user:hush@host/a", "name or password"),
        ("https://host/a?token=hush", "has no query"),
        ("az://container/a?sig=hush", "has no query"),
        ("nothing://bucket/a", "no store is known for nothing://"),
    ],
)
def test_urls_that_cannot_be(url: str, text: str) -> None:
    """Are refused when they are opened, and never show a secret."""
    with pytest.raises(ConfigError, match=text) as caught:
        open_store(url)
    assert "hush" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fsspec says which."""
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(ConfigError, match=r"sftp://.*paramiko"):
        open_store("sftp://host/folder")


def test_folders_memory_and_stores_take_no_options(tmp_path: Path) -> None:
    """They would be lost silently."""
    store: Store = open_store(tmp_path)
    assert open_store(store) is store
    for url in (tmp_path, f"file://{tmp_path}", "memory://x", store):
        with pytest.raises(ConfigError, match="takes no options, got region"):
            open_store(url, region="us-east-1")


def test_names_that_lead_elsewhere_are_refused(moto_server: Bucket) -> None:
    """As a manifest made by somebody else could hold."""
    store = open_bucket(moto_server)
    for name in ("../beside", "a//b"):
        with pytest.raises((StorageError, ValueError)):
            store.get(name)


def test_google_is_read_by_obstore(fake_gcs_server: GoogleBucket) -> None:
    """What gcsfs wrote there."""
    written = open_store(f"{fake_gcs_server.name}/folder", filesystem=fake_gcs_server.filesystem())
    written.put("a/b.bin", NOISE[:100_000])
    store = open_store(fake_gcs_server.url, range_bytes=30_000, **fake_gcs_server.storage_options)

    assert store.get("a/b.bin") == NOISE[:100_000]
    assert store.get_range("a/b.bin", 5, 10) == NOISE[5:15]
    with store.open_reader("a/b.bin") as file:
        assert file.read() == NOISE[:100_000]
    with pytest.raises(FileNotFoundError):
        store.get("none")
