"""`StreamingLoader`: batches for training."""

import math
import os
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from vrs_wds.errors import ConfigError
from vrs_wds.loader.detect import detect_world
from vrs_wds.loader.executor import ChunkReader, chunked, map_in_threads
from vrs_wds.loader.order import DEFAULT_WINDOW, Order, needed_extensions
from vrs_wds.loader.pinning import pin
from vrs_wds.loader.workers import Chunk, WorkerPool
from vrs_wds.markup import tree
from vrs_wds.order.epoch import rank_places
from vrs_wds.order.world import World
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.collate import RaggedForm
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.faults import BadSample, FaultLog
from vrs_wds.pipeline.stage import SampleStage, StreamStage
from vrs_wds.pipeline.targets import Targets
from vrs_wds.reader.dataset import ShardedDataset, open_dataset
from vrs_wds.tasks.registry import resolve_tasks

_MAX_CHUNK = 16


class StreamingLoader:
    """Batches of a dataset, read and decoded in threads or in worker processes.

    The batches, and their order, are the same for any `num_workers` and number of threads. Each
    `iter(loader)` gives the next epoch, in an order of its own if `shuffle`. A batch is a dict: see
    `vrs_wds.collate`.

    Every rank gets a part of each global batch of `batch_size * world_size` samples, and the same
    number of batches; the last global batch is filled up from the epoch's beginning unless
    `drop_last`.
    """

    def __init__(
        self,
        dataset: str | Path | ShardedDataset,
        split: str | None = None,
        *,
        task: str | None = None,
        batch_size: int = 1,
        size: tuple[int, int] | None = None,
        stages: Sequence[SampleStage | StreamStage] | None = None,
        shuffle: bool = False,
        window: int = DEFAULT_WINDOW,
        seed: int = 0,
        drop_last: bool = False,
        ragged: RaggedForm = "packed",
        num_workers: int = 0,
        num_threads: int | None = None,
        prefetch_factor: int = 2,
        persistent_workers: bool = False,
        pin_memory: bool = False,
        max_skipped: int = 0,
        quarantine: str | Path | None = None,
        world: World | None = None,
    ) -> None:
        """Open the dataset and check the options; no sample is read yet.

        Args:
            dataset: Folder of a dataset, or a selection of `open_dataset`.
            split: Name of the split, where `dataset` is a folder.
            task: Task whose sidecar is read and made a `target`; `all` for every one, None for
                sidecars without targets.
            batch_size: Samples in a batch, on each rank.
            size: Resize pictures to `(width, height)`; without it, pictures of several sizes make
                a list instead of a tensor.
            stages: Stages instead of `Decode` and `Targets`: sample stages first, then stream
                stages. Batches are made after them.
            shuffle: Give the samples in a random order.
            window: How far, in samples, a sample moves beyond the shuffling of shards.
            seed: With the epoch decides the order.
            drop_last: Drop a last batch that is not full.
            ragged: Columns of different lengths: `packed`, or `list`.
            num_workers: Processes that run the stages; 0 runs them in threads of this process,
                which is faster unless a stage of yours holds the GIL.
            num_threads: Threads, with `num_workers=0`; None takes the CPUs this process may use.
            prefetch_factor: Batches made ahead, by each worker or by all threads together.
            persistent_workers: Keep the processes between epochs.
            pin_memory: Put tensors into pinned memory, if there is a CUDA device.
            max_skipped: Bad samples that may be skipped in all; 0 raises the first one's error.
            quarantine: JSON-lines file that skipped samples are appended to.
            world: Rank and world size; None finds out from torch or the launcher.

        Raises:
            ConfigError: if options do not fit.
            DatasetNotFound: if there is no such dataset.
        """
        if isinstance(dataset, ShardedDataset):
            if split is not None and split != dataset.split:
                raise ConfigError(f"split: the dataset given is {dataset.split!r}, not {split!r}.")
            self.dataset = dataset
        else:
            self.dataset = open_dataset(dataset, split)
        _check_options(num_workers, num_threads, prefetch_factor, persistent_workers)
        self.batch = Batch(batch_size, drop_last=drop_last, ragged=ragged)
        self.order = Order(shuffle=shuffle, window=window, seed=seed)
        self.world = detect_world() if world is None else world
        self.num_workers = num_workers
        self.epoch = 0
        """Number of the epoch that the next iteration gives."""
        self._faults = FaultLog(max_skipped, None if quarantine is None else Path(quarantine))
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._prefetch_factor = prefetch_factor
        self._persistent = persistent_workers
        self._num_threads = num_threads or len(_cpus())
        self._chunk_size = min(_MAX_CHUNK, batch_size)
        self._sample_stages, self._stream_stages = _split_stages(
            _default_stages(task, size) if stages is None else _checked(stages, task, size)
        )
        tasks = resolve_tasks(_tasks_of(self._sample_stages), self.dataset.tasks)
        self._reader = ChunkReader(
            self.dataset, needed_extensions(self.dataset, tasks), self._sample_stages
        )
        self._pool: WorkerPool | None = None

    @property
    def skipped(self) -> list[BadSample]:
        """Bad samples skipped so far, over all epochs."""
        return self._faults.skipped

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of an epoch on this rank.

        Raises:
            TypeError: if a stage may give another number of samples than it takes.
        """
        stages = [*self._sample_stages, *self._stream_stages]
        loose = [stage for stage in stages if not getattr(stage, "one_to_one", False)]
        if loose:
            raise TypeError(
                f"the number of batches is not known beforehand: {loose[0]!r} may give more or "
                "fewer samples than it takes."
            )
        length = self._num_places()
        size = self.batch.batch_size
        return length // size if self.batch.drop_last else math.ceil(length / size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of the next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        places = rank_places(
            self.order.places(self.dataset, epoch),
            self.batch.batch_size,
            self.world,
            drop_last=self.batch.drop_last,
        )
        return self._batches(places.tolist())

    def _batches(self, places: list[int]) -> Iterator[dict[str, Any]]:
        chunks = self._chunks(places)
        try:
            samples: Iterator[Any] = self._faults.sift(chain.from_iterable(chunks))
            for stage in self._stream_stages:
                samples = iter(stage(samples))
            for batch in self.batch(samples):
                yield pin(batch) if self._pin_memory else batch
        finally:
            chunks.close()

    def _chunks(self, places: list[int]) -> Generator[Chunk]:
        if self.num_workers == 0:
            per_batch = math.ceil(self.batch.batch_size / self._chunk_size)
            return map_in_threads(
                self._reader,
                chunked(places, self._chunk_size),
                num_threads=self._num_threads,
                ahead=max(self._num_threads, self._prefetch_factor * per_batch),
            )
        if self._pool is None or not self._persistent:
            self._pool = WorkerPool(
                self._reader,
                length=len(places),
                chunk_size=self.batch.batch_size,
                num_workers=self.num_workers,
                prefetch_factor=self._prefetch_factor,
                persistent_workers=self._persistent,
            )
        return self._pool.run(places)

    def _num_places(self) -> int:
        """Return how many samples this rank gets in an epoch."""
        group = self.batch.batch_size * self.world.world_size
        full, rest = divmod(len(self.dataset), group)
        last = 0 if self.batch.drop_last else math.ceil(rest / self.world.world_size)
        return full * self.batch.batch_size + last

    def __repr__(self) -> str:
        stages = [*self._sample_stages, *self._stream_stages, self.batch]
        lines = [f"StreamingLoader(epoch {self.epoch}, {self.order})", f"  {self.dataset!r}"]
        return "\n".join([*lines, *(f"  {stage!r}" for stage in stages)])

    def _repr_html_(self) -> str:
        stages = [self.dataset, *self._sample_stages, *self._stream_stages, self.batch]
        return tree(
            f"StreamingLoader, epoch {self.epoch}, {self.order}", [repr(stage) for stage in stages]
        )


def _check_options(
    num_workers: int, num_threads: int | None, prefetch_factor: int, persistent_workers: bool
) -> None:
    for option, value, least in (
        ("num_workers", num_workers, 0),
        ("num_threads", 1 if num_threads is None else num_threads, 1),
        ("prefetch_factor", prefetch_factor, 1),
    ):
        if value < least:
            raise ConfigError(f"{option}: expected at least {least}, got {value}.")
    if persistent_workers and num_workers == 0:
        raise ConfigError("persistent_workers: there are none to keep with num_workers=0.")
    if num_threads is not None and num_workers > 0:
        raise ConfigError("num_threads: worker processes run one thread each; use num_workers=0.")


def _default_stages(task: str | None, size: tuple[int, int] | None) -> list[SampleStage]:
    decode = Decode(size=size, tasks=task)
    return [decode] if task is None else [decode, Targets(task)]


def _checked(
    stages: Sequence[SampleStage | StreamStage], task: str | None, size: tuple[int, int] | None
) -> Sequence[SampleStage | StreamStage]:
    for option, value in (("task", task), ("size", size)):
        if value is not None:
            raise ConfigError(
                f"{option}: stages are given, so name it there: Decode(size=...), Targets(...)."
            )
    return stages


def _split_stages(
    stages: Sequence[SampleStage | StreamStage],
) -> tuple[tuple[SampleStage, ...], tuple[StreamStage, ...]]:
    """Split stages into the sample stages at the front and everything after them."""
    count = 0
    while count < len(stages) and isinstance(stages[count], SampleStage):
        count += 1
    head = tuple(stage for stage in stages[:count] if isinstance(stage, SampleStage))
    for stage in stages[count:]:
        if isinstance(stage, Batch):
            raise ConfigError("stages: the loader makes batches itself; leave Batch out.")
        if not callable(stage):
            raise ConfigError(
                f"stages: expected callables from iterator to iterator, got {stage!r}."
            )
    return head, tuple(stages[count:])


def _tasks_of(stages: tuple[SampleStage, ...]) -> str | Sequence[str] | None:
    """Return the tasks that the first stage decodes: sidecars of others need not be read."""
    return stages[0].tasks if stages and isinstance(stages[0], Decode) else None


def _cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
