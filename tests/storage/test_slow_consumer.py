"""A training loop that takes a sample a second from a long shard far away."""

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vrs_wds as vw
from tests.servers.moto import Bucket
from tests.servers.radosgw import is_installed
from tests.servers.ranges import serving
from vrs_wds.reader.sequential import read_shard
from vrs_wds.storage.object_store import ObjectStore

_NUM_SAMPLES = 40
_SAMPLE_BYTES = 5 * 1024 * 1024
_SHARD = "train-000000.tar"
_BODY_SECONDS = 30
"""What obstore grants a whole body, unless it is told otherwise."""
_AHEAD_BYTES = 32 * 1024 * 1024
"""Far less than the shard: most of it has to come while the consumer takes its time."""

OpenStore = Callable[[], ObjectStore]


def _noise(number: int) -> bytes:
    return np.random.default_rng(number).bytes(_SAMPLE_BYTES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of one shard of 200 MiB."""
    with tarfile.open(tmp_path / _SHARD, "w") as tar:
        for number in range(_NUM_SAMPLES):
            member = tarfile.TarInfo(f"{number:04d}.bin")
            member.size = _SAMPLE_BYTES
            tar.addfile(member, io.BytesIO(_noise(number)))
    vw.index_shards(tmp_path, split="train")
    return tmp_path


@pytest.fixture
def open_far(folder: Path, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """Opens the dataset in a bucket of a real S3 server; where there is none, on a small server."""
    if is_installed():
        bucket: Bucket = request.getfixturevalue("radosgw_server")
        for path in folder.iterdir():
            bucket.client.upload_file(str(path), bucket.name, f"folder/{path.name}")
        yield lambda: _open(bucket.url, bucket.storage_options)
        return
    with serving() as server:
        server.files = {
            f"/bucket/folder/{path.name}": path.read_bytes() for path in folder.iterdir()
        }
        options = {"endpoint": server.url, "region": "us-east-1", "skip_signature": True}
        yield lambda: _open("s3://bucket/folder", options)


def _open(url: str, options: dict[str, Any]) -> ObjectStore:
    # Our own client may take ten minutes over a body; this one shows sooner that a body is slow.
    client = {"timeout": f"{_BODY_SECONDS}s"}
    return ObjectStore(url, client_options=client, max_inflight_bytes=_AHEAD_BYTES, **options)


@pytest.mark.slow
def test_a_sample_a_second_for_longer_than_a_body_may_take(open_far: OpenStore) -> None:
    """In order without an index, by stream, by loader: each sample, and every byte.

    One request for the shard, taken in at the consumer's pace, would break off after 30 seconds. A
    plain `obstore.get(...).stream()` did so; with obstore's retries, which go on at the byte and
    would be counted here, it broke off after 183 seconds.
    """
    stores = [open_far() for _ in range(3)]
    in_order, streamed, loaded = stores
    loader = vw.StreamingLoader(loaded, "train", stages=(), read_ahead_bytes=_AHEAD_BYTES)
    readers = (
        (sample["bin"] for sample in read_shard(in_order.url_of(_SHARD), in_order)),
        (s["bin"] for s in vw.stream(streamed, "train", read_ahead_bytes=_AHEAD_BYTES)),
        (batch["bin"][0] for batch in loader),
    )
    began = time.monotonic()
    num_read, left = 0, [0, 0, 0]
    for number, found in enumerate(zip(*readers, strict=True)):
        assert [data == _noise(number) for data in found] == [True] * len(readers), number
        num_read += 1
        if number == _NUM_SAMPLES // 2:
            left = [_NUM_SAMPLES * _SAMPLE_BYTES - store.counters.bytes_read for store in stores]
        if num_read < _NUM_SAMPLES:
            time.sleep(max(0.0, began + num_read - time.monotonic()))

    assert num_read == _NUM_SAMPLES
    assert time.monotonic() - began > _BODY_SECONDS
    # At half-time all had far to go, but for the stream, which takes up to 64 samples at once.
    assert left[0] > _AHEAD_BYTES
    assert left[2] > _AHEAD_BYTES
    assert [store.counters.retries for store in stores] == [0, 0, 0]
