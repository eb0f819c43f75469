"""`stream`: a `wds.DataPipeline`."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import webdataset as wds

from vrs_wds.errors import ConfigError, DatasetNotFound
from vrs_wds.loader.stream import Stream, stream
from vrs_wds.order.world import World
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.targets import Targets
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset


def keys(samples: Any) -> list[str]:
    """Return the keys of samples."""
    return [sample["__key__"] for sample in samples]


def test_it_is_a_pipeline_of_raw_samples(small_root: Path, small_dataset: ShardedDataset) -> None:
    """As webdataset has them, in order."""
    pipeline = stream(small_root, split="train")

    assert isinstance(pipeline, wds.DataPipeline)
    assert isinstance(pipeline, torch.utils.data.IterableDataset)
    for sample, expected in zip(pipeline, small_dataset, strict=True):
        assert sample == expected.to_dict()


def test_composed_with_stages(small_root: Path) -> None:
    """Ours, one after another."""
    pipeline = stream(small_root).compose(Decode(size=(8, 8)), Targets("vqa"), Batch(10))

    assert [batch["image"].shape[0] for batch in pipeline] == [10, 10, 3]


def test_with_and_without_index_the_samples_are_the_same(small_root: Path) -> None:
    """Shards given by name are read in order."""
    by_name = stream(f"{small_root}/train-{{000000..000003}}.tar")

    assert list(by_name) == list(stream(small_root))


def test_a_folder_of_tars_without_index(tmp_path: Path, small_root: Path) -> None:
    """Is read as it is; what needs an index says so."""
    for path in small_root.glob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    assert keys(stream(tmp_path)) == keys(stream(small_root))
    with pytest.raises(ConfigError, match="need an index: make one with `vrs-wds index`"):
        stream(tmp_path, shuffle=True)
    with pytest.raises(ConfigError, match="shards given by name have no splits"):
        stream(str(tmp_path / "train-000000.tar"), split="train")
    with pytest.raises(DatasetNotFound, match="4 tar files without a manifest"):
        stream(tmp_path, split="train")
    with pytest.raises(DatasetNotFound, match="no dataset there"):
        stream(tmp_path / "nothing")


def test_only_the_sidecars_asked_for_are_read(small_dataset: ShardedDataset) -> None:
    """And the image, meta.json and what belongs to no task."""
    sample = next(iter(stream(small_dataset, tasks="vqa")))

    assert set(sample) == {"__key__", "__url__", "meta.json", "png"}
    assert "vqa.json" in list(stream(small_dataset, tasks=["vqa"]))[1]


def test_epochs_and_seeds(small_dataset: ShardedDataset) -> None:
    """`set_epoch` chooses another order, and equal numbers give equal ones."""
    pipeline = stream(small_dataset, shuffle=True, seed=5)
    first = keys(pipeline)

    assert keys(pipeline) == first
    assert keys(pipeline.set_epoch(1)) != first
    assert keys(pipeline.set_epoch(0)) == first
    assert keys(stream(small_dataset, shuffle=True, seed=6)) != first
    assert sorted(first) == sorted(small_dataset.column("key"))


@pytest.mark.parametrize("shards", [True, False])
def test_readers_share_the_samples(small_root: Path, shards: bool) -> None:
    """Each sample goes to one of all ranks and workers, with an index or without."""
    url = f"{small_root}/train-{{000000..000003}}.tar" if shards else str(small_root)
    parts = [
        keys(stream(url, world=World(rank, 2, worker, 3)))
        for rank in range(2)
        for worker in range(3)
    ]

    assert sorted(key for part in parts for key in part) == sorted(keys(stream(url)))
    if not shards:
        ranks = [sum(map(len, parts[:3])), sum(map(len, parts[3:]))]
        assert abs(ranks[0] - ranks[1]) <= 1
        assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_workers_of_a_data_loader_share_the_samples(small_root: Path) -> None:
    """Two real worker processes: every sample once; a changed epoch reaches those that live on."""
    pipeline = stream(small_root, shuffle=True).compose(Decode(size=(8, 8)), Targets("captioning"))
    loader = torch.utils.data.DataLoader(
        pipeline,
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="forkserver",
    )
    first = keys(loader)
    pipeline.set_epoch(1)
    second = keys(loader)

    assert sorted(first) == sorted(second) == sorted(keys(stream(small_root)))
    assert first != second


class WorkerInfo(NamedTuple):
    """What `torch.utils.data.get_worker_info` tells a worker."""

    id: int
    num_workers: int


@pytest.fixture
def as_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return how to be a worker of a `DataLoader`."""
    return lambda worker, num_workers: monkeypatch.setattr(
        torch.utils.data, "get_worker_info", lambda: WorkerInfo(worker, num_workers)
    )


@pytest.mark.parametrize("shards", [True, False])
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_given_rank_is_shared_by_its_workers(
    small_root: Path, as_worker: Callable[[int, int], None], shards: bool, world_size: int
) -> None:
    """A world that names no workers does not hide those of a `DataLoader`."""
    url = f"{small_root}/train-{{000000..000003}}.tar" if shards else str(small_root)
    found = []
    for rank, worker in product(range(world_size), range(2)):
        as_worker(worker, 2)
        found += keys(stream(url, world=World(rank, world_size)))

    assert sorted(found) == sorted(open_dataset(small_root).column("key"))


def test_repr_shows_the_stages(small_root: Path) -> None:
    """One a line; as an escaped list in a notebook."""
    pipeline = stream(small_root).compose(Decode(), wds.map(str))

    assert "  Decode()" in repr(pipeline)
    assert len(repr(pipeline).splitlines()) == 4
    assert "<li>" in pipeline._repr_html_()
    assert "<class" not in pipeline._repr_html_()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("length", [6, 23, 60])
def test_with_epoch_counts_over_all_workers(
    small_root: Path, num_workers: int, length: int
) -> None:
    """Not for each; beyond the end the stream begins again."""
    pipeline = stream(small_root).with_epoch(length)
    loader = torch.utils.data.DataLoader(
        pipeline,
        batch_size=None,
        num_workers=num_workers,
        multiprocessing_context="forkserver" if num_workers else None,
    )

    assert len(list(loader)) == length


def test_without_an_index_it_says_what_does_not_hold(
    small_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And what to do."""
    stream(str(small_root / "train-000000.tar"))

    assert "without an index" in caplog.text
    assert "`vrs-wds index`" in caplog.text


def test_with_epoch_goes_on_with_another_order(small_root: Path) -> None:
    """The second pass is not the first again."""
    found = keys(stream(small_root, shuffle=True).with_epoch(46))

    assert sorted(found[:23]) == sorted(found[23:])
    assert found[:23] != found[23:]


def test_with_epoch_shorter_than_the_data_reaches_all_of_them(small_root: Path) -> None:
    """Each iteration is in another order; `set_epoch` goes back to one."""
    short = stream(small_root, shuffle=True).with_epoch(10)
    epochs = [keys(short) for _ in range(12)]
    short.set_epoch(0)

    assert len({tuple(epoch) for epoch in epochs}) == 12
    assert len({key for epoch in epochs for key in epoch}) == 23
    assert keys(short) == epochs[0]


@pytest.mark.parametrize("shards", [True, False])
def test_with_epoch_where_some_workers_have_no_samples(
    small_root: Path, as_worker: Callable[[int, int], None], shards: bool
) -> None:
    """The others give their shares."""
    url = f"{small_root}/train-{{000000..000003}}.tar" if shards else str(small_root)
    for world, expected in ((World(), 60), (World(0, 2), 60), (World(1, 2), 0 if shards else 60)):
        found = []
        for worker in range(25):
            as_worker(worker, 25)
            found += keys(stream(url, world=world).with_epoch(60))
        assert len(found) == expected


def test_with_epoch_of_a_source_of_ones_own() -> None:
    """Begins again, as any other."""
    assert list(Stream(lambda: iter(range(3))).with_epoch(7)) == [0, 1, 2, 0, 1, 2, 0]
