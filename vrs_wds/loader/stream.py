"""`stream`: samples in order as a `wds.DataPipeline`."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from webdataset.compat import FluidInterface

from vrs_wds.errors import ConfigError
from vrs_wds.loader.detect import detect_world, world_of
from vrs_wds.loader.order import DatasetOrder, needed_extensions
from vrs_wds.markup import tree
from vrs_wds.order.epochs import check_epoch
from vrs_wds.order.plan import DEFAULT_STREAMS, DEFAULT_WINDOW, PlanOptions, RankBatch
from vrs_wds.order.world import World
from vrs_wds.pipeline.stage import SampleDict
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_with_index
from vrs_wds.reader.read_ahead import DEFAULT_READ_AHEAD_BYTES, ReadAhead
from vrs_wds.reader.sequential import is_shard_pattern, list_shards, read_shard
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Location, Store
from vrs_wds.tasks.registry import resolve_tasks

_CHUNK = 64

_LOG = logging.getLogger(__name__)


class Stream(wds.DataPipeline, FluidInterface):  # type: ignore[misc]  # webdataset has no types
    """A source of samples and stages after it: a `wds.DataPipeline` with its fluid methods.

    `compose(...)` appends stages, ours and webdataset's; `.map`, `.select`, `.shuffle`,
    `.to_tuple`, `.batched` and so on are webdataset's own.
    """

    epoch_length = -1
    """Items of an epoch over all workers; -1: as many as there are."""

    def set_epoch(self, epoch: int) -> "Stream":
        """Choose the epoch that the next iteration gives; workers that live on see it too."""
        epoch = check_epoch(epoch)
        source = self.pipeline[0] if self.pipeline else None
        if isinstance(source, IndexedSource):
            source.epoch.fill_(epoch)
            source.passes[:] = [0, 0]
        return self

    def with_epoch(self, nsamples: int = -1, nbatches: int = -1) -> "Stream":
        """Let an iteration give so many items, over all workers of a `DataLoader` together.

        As webdataset's `with_epoch`, which counts for each worker: the stream begins again if it
        ends before. Ranks each count their own. Each pass over the samples has the order of an
        epoch of its own: an iteration that takes two passes, begun after `set_epoch(3)`, is of
        epochs 3 and 4, and the next iteration begins with epoch 5. In worker processes that end
        with the iteration, `set_epoch` before each, by as many epochs as an iteration has passes:
        or the second pass of one is the first pass of the next.
        """
        self.epoch_length = nbatches if nbatches > 0 else nsamples
        return self

    def __iter__(self) -> Iterator[Any]:
        """Yield the items of an epoch."""
        if self.epoch_length < 0:
            return super().__iter__()  # type: ignore[no-any-return]
        source = self.pipeline[0]
        if isinstance(source, IndexedSource | SequentialSource):
            world, num_sharing = world_of(source.world), source.workers_with_samples()
        else:  # a stream that somebody put together
            world = detect_world()
            num_sharing = world.num_workers
        share = share_of(world.worker, num_sharing, self.epoch_length)
        return islice(self._repeated(), share)

    def _repeated(self) -> Iterator[Any]:
        """Yield one epoch after another, each in an order of its own; ends if one is empty."""
        source, empty = self.pipeline[0], False
        while not empty:
            empty = True
            if isinstance(source, IndexedSource):
                source.begin_pass()
            for item in super().__iter__():
                empty = False
                yield item

    def __repr__(self) -> str:
        return "\n".join(["Stream", *(f"  {stage!r}" for stage in self.pipeline)])

    def _repr_html_(self) -> str:
        return tree("Stream", [repr(stage) for stage in self.pipeline])


@dataclass(frozen=True, eq=False)
class IndexedSource:
    """Samples of a dataset in an epoch's order; the first stage of a stream."""

    dataset: ShardedDataset
    options: PlanOptions
    extensions: tuple[str, ...]
    """Members that are read."""
    world: World | None
    """Which part is read; see `world_of`."""
    epoch: torch.Tensor
    """One int64 in shared memory, so that worker processes see it change."""
    passes: list[int] = field(default_factory=lambda: [0, 0])
    """Of `with_epoch`, in this process: how many epochs after `epoch` it is, and the next one."""
    read_ahead_bytes: int = DEFAULT_READ_AHEAD_BYTES
    """The most bytes to fetch ahead from a far store, over the workers of a rank."""

    def begin_pass(self) -> None:
        """Let the next iteration be another epoch than those that `with_epoch` began before."""
        self.passes[:] = [self.passes[1], self.passes[1] + 1]

    def __call__(self) -> Iterator[SampleDict]:
        """Yield raw samples: `__key__`, `__url__` and bytes by extension."""
        return self.samples(int(self.epoch) + self.passes[0], 0)

    def samples(self, epoch: int, start: int) -> Iterator[SampleDict]:
        """Yield this reader's raw samples of an epoch, but for the first `start`."""
        world, order = self.place()
        # A reader has as many samples of each chunk, but for the last one.
        chunks, start = divmod(start, _CHUNK)
        runs = self._runs(order.batches(epoch, world, start=chunks), world, start)
        share = self.read_ahead_bytes // world.num_workers
        if not ReadAhead.helps(self.dataset, share):
            for places in runs:
                for some in self.dataset.runs(places, _CHUNK):
                    yield from self.dataset.raw_many(some, self.extensions)
            return
        with ReadAhead[list[int]](self.dataset, self.extensions, max_bytes=share) as ahead:
            for places in ahead.follow(runs, list):
                samples = ahead.dataset.raw_many(places, self.extensions)
                ahead.done()
                yield from samples

    def _runs(self, chunks: Iterable[RankBatch], world: World, start: int) -> Iterator[list[int]]:
        """Yield the places of this reader's part of each chunk."""
        for chunk in chunks:
            # Repeated samples would fill up the last chunk of some ranks; of the others each
            # worker takes a run.
            mine = chunk.numbers[chunk.mask]
            yield np.array_split(mine, world.num_workers)[world.worker].tolist()[start:]
            start = 0

    def place(self) -> tuple[World, DatasetOrder]:
        """Return which reader this is, and the order that all of them share."""
        world = world_of(self.world)
        size = _CHUNK * world.num_readers
        return world, DatasetOrder(self.dataset, replace(self.options, global_batch_size=size))

    def workers_with_samples(self) -> int:
        """Return how many workers of this rank, the first ones, have samples."""
        world, order = self.place()
        if len(self.dataset) >= world.num_readers:
            return world.num_workers
        chunk = next(order.batches(int(self.epoch), world), None)
        return 0 if chunk is None else min(world.num_workers, int(chunk.mask.sum()))

    def __repr__(self) -> str:
        return f"{self.dataset!r}, {DatasetOrder(self.dataset, self.options)}"


@dataclass(frozen=True)
class SequentialSource:
    """Samples of shards without an index, in the shards' order; the first stage of a stream."""

    shards: tuple[str, ...]
    world: World | None
    store: Store | None = None
    """Where they are, if a store was given."""

    def __call__(self) -> Iterator[SampleDict]:
        """Yield raw samples. Shards are dealt to readers whole."""
        world = world_of(self.world)
        for shard in self.shards[world.reader :: world.num_readers]:
            for sample in read_shard(shard, self.store):
                yield sample.to_dict()

    def workers_with_samples(self) -> int:
        """Return how many workers of this rank, the first ones, have shards."""
        world = world_of(self.world)
        left = len(self.shards) - world.rank * world.num_workers
        return min(world.num_workers, max(0, left))

    def __repr__(self) -> str:
        return f"{len(self.shards)} shards without index, from {self.shards[0]}"


def stream(
    url: Location | ShardedDataset | Sequence[str | Path],
    split: str | None = None,
    *,
    tasks: str | Sequence[str] | None = None,
    shuffle: bool = False,
    window: int = DEFAULT_WINDOW,
    num_streams: int = DEFAULT_STREAMS,
    seed: int = 0,
    epoch: int = 0,
    read_ahead_bytes: int = DEFAULT_READ_AHEAD_BYTES,
    world: World | None = None,
) -> Stream:
    """Return the samples of a dataset as a pipeline, to be composed with stages.

    Samples are dicts as webdataset has them: `__key__`, `__url__` and bytes by extension. Among
    ranks and `DataLoader` workers each sample goes to one reader; the shares of ranks differ by one
    sample at most.

    Args:
        url: Folder of a dataset; or a selection of `open_dataset`; or shards made by anybody, as
            a folder, a pattern such as `data-{000000..000009}.tar`, or a list. Shards without an
            index are read in order, each by one reader.
        split: Name of the split; may be left out if there is just one.
        tasks: Tasks whose sidecars are read, together with `meta.json`, the image and members of
            no task; None reads those of the dataset's tasks, and leaves out what is only named as
            another task's sidecar.
        shuffle: Give the samples in a random order (needs an index).
        window: How far, in samples, a sample moves beyond the shuffling of shards. As long as
            `window` times `num_streams` covers the dataset, everything is mixed with all that is in
            its stream; beyond, neighbours of the dataset meet more often than by chance.
        num_streams: Places of the dataset that are read in turn, when shuffled.
        seed: With the epoch decides the order.
        epoch: The first epoch; `set_epoch` chooses another.
        read_ahead_bytes: The most bytes to fetch ahead from a store that is not a disk, over all
            workers; needs an index. 0 reads 64 samples when their turn has come.
        world: Which part is read; None finds out from torch or the launcher. One that names no
            workers, such as `World()`, fixes the rank: workers of a `DataLoader` share its part.

    Raises:
        DatasetNotFound: if there is nothing of that name.
        ConfigError: if an option needs an index and there is none.
    """
    if isinstance(url, ShardedDataset):
        dataset = url
    elif _has_manifest(url, split):
        assert not isinstance(url, Sequence) or isinstance(url, str)  # noqa: S101 - so it says
        dataset = open_with_index(url, split)
    else:
        if shuffle or tasks is not None:
            raise ConfigError(
                "shuffle and tasks need an index: make one with `vrs-wds index`. Without it, "
                "webdataset's .shuffle(...) works on this stream."
            )
        shards = tuple(list_shards(url))
        _LOG.warning(
            "%d shards are read without an index: ranks and workers get whole shards and may give "
            "different numbers of samples, the order cannot be shuffled or resumed, and changed "
            "bytes are not found. `vrs-wds index` makes an index.",
            len(shards),
        )
        return Stream(SequentialSource(shards, world, url if isinstance(url, Store) else None))
    return Stream(
        IndexedSource(
            dataset=dataset,
            options=PlanOptions(
                _CHUNK, shuffle=shuffle, seed=seed, window=window, num_streams=num_streams
            ),
            extensions=needed_extensions(dataset, resolve_tasks(tasks, dataset.tasks)),
            world=world,
            epoch=torch.tensor([check_epoch(epoch)]).share_memory_(),  # type: ignore[no-untyped-call]
            read_ahead_bytes=read_ahead_bytes,
        )
    )


def share_of(worker: int, num_sharing: int, length: int) -> int:
    """Return how many of `length` items fall to a worker, if the first `num_sharing` share them.

    Their shares differ by one at most.
    """
    if worker >= num_sharing:
        return 0
    base, extra = divmod(length, num_sharing)
    return base + (worker < extra)


def _has_manifest(url: Location | Sequence[str | Path], split: str | None) -> bool:
    if is_shard_pattern(url):
        if split is not None:
            raise ConfigError(f"split: shards given by name have no splits, got {split!r}.")
        return False
    assert not isinstance(url, Sequence) or isinstance(url, str)  # noqa: S101 - so it says
    # Without a split, a folder of tars that nobody has indexed is read as it is.
    store = open_store(url)
    return (
        split is not None
        or any(name.endswith(".index.parquet") for name in store.list_names())
        or not any(name.endswith(".tar") for name in store.list_names())
    )
