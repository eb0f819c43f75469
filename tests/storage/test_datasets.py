"""Datasets in a bucket: all that reads, reads them."""

from pathlib import Path

import pytest

import vrs_wds as vw
from tests.servers.moto import Bucket
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Store


@pytest.fixture
def filled(moto_server: Bucket, small_root: Path) -> Store:
    """A bucket with the small dataset."""
    store = open_store(moto_server.url, **moto_server.storage_options)
    for path in sorted(small_root.iterdir()):
        store.put(path.name, path.read_bytes())
    return store


def test_by_the_index(filled: Store, small_root: Path) -> None:
    """Samples, sidecars, columns, verification."""
    dataset, local = vw.open_dataset(filled, "train"), vw.open_dataset(small_root, "train")

    assert len(dataset) == len(local)
    assert [dict(sample) for sample in dataset] == [dict(sample) for sample in local]
    assert list(dataset.column("key")) == list(local.column("key"))
    assert vw.open_dataset(filled).fingerprint == local.fingerprint
    assert vw.verify(filled, split="train").ok


def test_a_missing_dataset_is_told_as_anywhere(filled: Store) -> None:
    """With the split that there is."""
    with pytest.raises(vw.DatasetNotFound, match="val"):
        vw.open_dataset(filled, "val")


def test_by_url_with_keys_of_the_environment(
    filled: Store, moto_server: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As most people have it; a missing shard's message has its address."""
    options = moto_server.storage_options
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["secret_access_key"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.endpoint)

    assert len(list(vw.stream(moto_server.url))) == 23
    shards = f"{moto_server.url}/train-{{000000..000001}}.tar"
    assert len(list(vw.stream(shards))) == 14
    dataset = vw.open_dataset(moto_server.url)
    filled.delete("train-000000.tar")
    with pytest.raises(vw.ShardNotFound, match=f"{moto_server.url}/train-000000.tar"):
        dataset[0]


def test_as_a_stream(filled: Store, small_root: Path) -> None:
    """With the index, and without."""
    with_index = [sample["__key__"] for sample in vw.stream(filled)]
    for name in ("train.json", "train.index.parquet"):
        filled.delete(name)
    without = [sample["__key__"] for sample in vw.stream(filled)]

    assert with_index == without == list(vw.open_dataset(small_root).column("key"))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_by_the_loader(filled: Store, small_root: Path, num_workers: int) -> None:
    """In threads, and in worker processes, which are given the keys as they are started."""
    loaders = [
        vw.StreamingLoader(
            place, task="captioning", batch_size=4, num_workers=num_workers, seed=3, shuffle=True
        )
        for place in (filled, small_root)
    ]
    far, near = ([list(batch["__key__"]) for batch in loader] for loader in loaders)

    assert far == near
    assert sum(map(len, far)) == 23
