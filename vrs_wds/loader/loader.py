"""`StreamingLoader`: batches for training."""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vrs_wds.errors import ConfigError
from vrs_wds.loader.batch_memory import MemoryPool
from vrs_wds.loader.batches import MAX_CHUNK, MadeBatch, find_good, sift_batch
from vrs_wds.loader.chain import check_given, default_stages, device_of, split_stages, tasks_of
from vrs_wds.loader.decoded_cache import DecodedCache
from vrs_wds.loader.detect import check_same_world, check_world, detect_world
from vrs_wds.loader.executor import ChunkReader
from vrs_wds.loader.fetching import fetch_and_read
from vrs_wds.loader.on_device import decode_batches, decode_results
from vrs_wds.loader.options import check_options, tail_rule, usable_cpus
from vrs_wds.loader.order import DatasetOrder, needed_extensions
from vrs_wds.loader.pinning import pin
from vrs_wds.loader.switching import DEFAULT_SWITCH_INTERVAL
from vrs_wds.loader.workers import WorkerPool
from vrs_wds.markup import tree
from vrs_wds.order.epochs import check_epoch
from vrs_wds.order.plan import (
    DEFAULT_STREAMS,
    DEFAULT_WINDOW,
    PlanOptions,
    TailRule,
)
from vrs_wds.order.state import LoaderState, check_same_run, parse_state, place_of_state
from vrs_wds.order.world import World
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.collate import RaggedForm, collate
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.faults import BadSample, FaultLog
from vrs_wds.pipeline.pad import ImagesForm
from vrs_wds.pipeline.stage import SampleStage, StreamStage
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_with_index
from vrs_wds.reader.read_ahead import DEFAULT_READ_AHEAD_BYTES
from vrs_wds.storage.store import Location
from vrs_wds.tasks.registry import resolve_tasks


class StreamingLoader:
    """Batches of a dataset, read and decoded in threads or in worker processes.

    Every rank gets a part of each global batch of `batch_size * world_size` samples, and the same
    number of batches. A global batch has the same samples for any number of ranks, workers and
    threads: `state_dict` and `load_state_dict` resume after any batch, on any of them. Each
    `iter(loader)` gives the next epoch, in an order of its own if `shuffle`.

    A batch is a dict: see `vrs_wds.collate`. Its `mask`, bool (B,), is False where a sample is
    repeated to give each rank as many as the others.
    """

    def __init__(
        self,
        dataset: Location | ShardedDataset,
        split: str | None = None,
        *,
        task: str | None = None,
        batch_size: int = 1,
        size: tuple[int, int] | None = None,
        device: str | None = None,
        stages: Sequence[SampleStage | StreamStage] | None = None,
        per: str = "image",
        shuffle: bool = False,
        window: int = DEFAULT_WINDOW,
        num_streams: int = DEFAULT_STREAMS,
        seed: int = 0,
        tail: TailRule | None = None,
        drop_last: bool = False,
        ragged: RaggedForm = "packed",
        images: ImagesForm = "list",
        num_workers: int = 0,
        num_threads: int | None = None,
        switch_interval: float | None = DEFAULT_SWITCH_INTERVAL,
        prefetch_factor: int = 2,
        read_ahead_bytes: int = DEFAULT_READ_AHEAD_BYTES,
        persistent_workers: bool = False,
        pin_memory: bool = False,
        max_skipped: float = 0,
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
            size: Resize pictures to `(width, height)`; without it, pictures may be of several
                sizes: see `images`.
            device: CUDA device, such as `cuda`, that JPEGs are decoded on, by this process, when
                their batch is made; see `Decode`. `image` is there; all else stays on the CPU.
            stages: Stages instead of `Decode` and `Targets`: sample stages first, then stream
                stages. Batches are made after them.
            per: What an example is: `image`, or `question`, `expression`, `object`, `caption`: an
                image with five questions gives five examples, one after another in its stream,
                and is decoded once an epoch, in threads or in one of the worker processes; it is
                kept decoded from its first example to its last, so that up to `num_streams`
                pictures are kept beside those that are read ahead. (Ranks that share a stream
                each decode the images that they share: make `num_streams` a multiple of the
                ranks.) `__item__` tells which example it is.
            shuffle: Give the samples in a random order.
            window: How far, in samples, a sample moves beyond the shuffling of shards. As long as
                `window` times `num_streams` covers the dataset, everything is mixed with all that
                is in its stream; beyond, neighbours of the dataset meet more often than by chance.
            num_streams: Places of the dataset that a global batch draws from, when shuffled; a
                multiple of the number of ranks lets each rank read shards of its own.
            seed: With the epoch decides the order.
            tail: What becomes of a last global batch that is not full: `exact` (every sample
                once), `drop`, `pad` or `wrap`; see `vrs_wds.order.plan`.
            drop_last: As `tail="drop"`.
            ragged: Columns of different lengths: `packed`, or `list`.
            images: Pictures of different sizes: a `list`, or one tensor, `padded` with black at
                the right and below to the largest of the batch; `sizes_wh`, int64 (B, 2), then
                has the width and height of each.
            num_workers: Processes that run the stages; 0 runs them in threads of this process,
                which is faster unless a stage of yours holds the GIL.
            num_threads: Threads, with `num_workers=0`; None takes the CPUs this process may use.
            switch_interval: Seconds after which a thread that has decoded a picture gets the
                interpreter's lock, though the consumer runs Python: from when a batch is given
                to when the next one is asked for, `sys.getswitchinterval()` is no longer than
                this, in the whole process; None leaves it as it is.
            prefetch_factor: Batches made ahead, by each worker or by all threads together.
            read_ahead_bytes: The most bytes to fetch ahead from a store that is not a disk, over
                all workers; a batch that is larger is fetched all the same. 0 reads a chunk of
                samples when its turn has come.
            persistent_workers: Keep the processes between epochs.
            pin_memory: Put tensors into pinned memory, if there is a CUDA device.
            max_skipped: Bad samples that may be skipped in all, each counted once an epoch however
                many examples it has; `math.inf` for any number; 0 raises the first one's error.
                Where all of a batch are skipped, another sample stands in with False in the mask.
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
            self.dataset = open_with_index(dataset, split)
        check_options(
            num_workers,
            num_threads,
            switch_interval,
            prefetch_factor,
            read_ahead_bytes,
            persistent_workers,
        )
        self.batch = Batch(batch_size, drop_last=drop_last, ragged=ragged, images=images)
        if world is not None:
            check_world(world)
        self.world = detect_world() if world is None else world
        self._found_world = world is None
        self._sample_stages, self._stream_stages = split_stages(
            default_stages(task, size, device)
            if stages is None
            else check_given(stages, task=task, size=size, device=device)
        )
        self.order = DatasetOrder(
            self.dataset,
            PlanOptions(
                self.batch.batch_size * self.world.world_size,
                shuffle=shuffle,
                seed=seed,
                window=window,
                num_streams=num_streams,
                tail=tail_rule(tail, drop_last=drop_last),
            ),
            per=per,
            # Samples that fill a batch up are told by its mask, which is lost with the plan.
            repeats=self._loose_stage() is None,
        )
        self.num_workers = num_workers
        self.epoch = 0
        """Number of the epoch that the next iteration gives."""
        self._start = 0  # the batch that it begins with
        self._given = (0, 0)  # epoch, and how many batches of it the consumer has
        self._run = 0  # the iteration that may say so
        self._faults = FaultLog(max_skipped, None if quarantine is None else Path(quarantine))
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._prefetch_factor = prefetch_factor
        self._read_ahead_bytes = read_ahead_bytes
        self._persistent = persistent_workers
        self._num_threads = num_threads or len(usable_cpus())
        self._switch_interval = switch_interval
        chunks_of_batch = math.ceil(self.batch.batch_size / MAX_CHUNK)
        self._ahead = max(self._num_threads, prefetch_factor * chunks_of_batch)
        """Chunks that threads read ahead."""
        self._device = device_of(self._sample_stages)
        tasks = resolve_tasks(tasks_of(self._sample_stages), self.dataset.tasks)
        expanded = self.order.task
        if expanded is not None and not (
            self._sample_stages and isinstance(self._sample_stages[0], Decode) and expanded in tasks
        ):
            raise ConfigError(
                f"per: {per!r} takes the sidecar of task {expanded!r} apart, so the first stage "
                f"must be Decode with that task; or give task={expanded!r} instead of stages."
            )
        self._reader = ChunkReader(
            self.dataset,
            needed_extensions(self.dataset, tasks),
            self._sample_stages,
            expanded,
            # A sample is open in each stream at most, and those that are read ahead.
            DecodedCache((num_streams if shuffle else 1) + MAX_CHUNK * self._ahead),
        )
        self._pool: WorkerPool | None = None
        # As many batches as are read ahead, the one that is begun, and the consumer's.
        num_ahead = math.ceil(self._ahead / chunks_of_batch)
        self._memory = MemoryPool(num_ahead + 2, pin_memory=self._pin_memory)

    @property
    def skipped(self) -> list[BadSample]:
        """Bad samples skipped so far, over all epochs."""
        return self._faults.skipped

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives.

        After `load_state_dict` in the middle of that epoch, it still begins where it was.
        """
        epoch = check_epoch(epoch)
        if epoch != self.epoch:
            self.epoch, self._start = epoch, 0
        if self._given != (epoch, self._start):
            # From now on a state tells of the next iteration, not of one that was begun.
            self._given = (epoch, self._start)
            self._run += 1

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands: after the last batch that it gave.

        Plain values for JSON, the same on every rank, whatever the workers and threads.

        Raises:
            ConfigError: if a stage changes the number of samples: batches are not planned then.
        """
        self._require_plan("state_dict")
        return self._state(*place_of_state(*self._given, self.order.num_batches)).to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on after the last batch that was given at the time of saving.

        The number of ranks, workers and threads may differ; `batch_size` times the number of ranks
        may not.

        Raises:
            ConfigError: if the data, the selection or the options of the order have changed; the
                message says how.
        """
        self._require_plan("load_state_dict")
        saved = parse_state(dict(state) if isinstance(state, Mapping) else state)
        check_same_run(saved, self._state(0, 0))
        self.epoch, self._start = place_of_state(saved.epoch, saved.batch, self.order.num_batches)
        self._given = (self.epoch, self._start)
        self._run += 1

    def __len__(self) -> int:
        """Return the number of batches of an epoch; the same on every rank.

        Raises:
            TypeError: if a stage may give another number of samples than it takes.
        """
        if (loose := self._loose_stage()) is not None:
            raise TypeError(
                f"the number of batches is not known beforehand: {loose!r} may give more or fewer "
                "samples than it takes."
            )
        return self.order.num_batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of the next epoch; after `load_state_dict`, the rest of its epoch."""
        check_same_world(self.world, detect_world() if self._found_world else self.world)
        epoch, start = self.epoch, self._start
        self.epoch, self._start = epoch + 1, 0
        self._given = (epoch, start) if self.order.num_batches else (self.epoch, 0)
        self._run += 1
        self._faults.begin_epoch()
        results = self._results(epoch, start)
        if self._loose_stage() is None:
            return self._planned_batches(results, epoch, start, self._run)
        return self._loose_batches(results)

    def _planned_batches(
        self, results: Generator[MadeBatch], epoch: int, start: int, run: int
    ) -> Iterator[dict[str, Any]]:
        """Make one batch of each planned one."""
        number = start
        try:
            for made in results:
                stand_in = partial(
                    find_good, self._reader, self.order, self.world, epoch, number, decode_results
                )
                good, mask = sift_batch(made, self._faults, stand_in)
                batch = collate(
                    good,
                    self.batch.ragged,
                    self.batch.images,
                    stack=made.stack,
                    allocate=self._memory.allocate,
                )
                batch["mask"] = mask
                number += 1
                if run == self._run:  # else another iteration says where the loader stands
                    self._given = (epoch, number)
                # Nothing of the batch is kept here while the consumer has it.
                ready = [pin(batch) if self._pin_memory else batch]
                del made, good, batch, mask
                yield ready.pop()
        finally:
            results.close()

    def _loose_batches(self, results: Generator[MadeBatch]) -> Iterator[dict[str, Any]]:
        """Make batches of whatever the stages give."""
        try:
            samples: Iterator[Any] = self._faults.sift(
                sample for made in results for sample in made.results
            )
            for stage in self._stream_stages:
                samples = iter(stage(samples))
            for batch in self.batch(samples):
                yield pin(batch) if self._pin_memory else batch
        finally:
            results.close()

    def _results(self, epoch: int, start: int) -> Generator[MadeBatch]:
        batches = self._made_batches(epoch, start)
        return batches if self._device is None else decode_batches(batches)

    def _made_batches(self, epoch: int, start: int) -> Generator[MadeBatch]:
        if self.num_workers == 0:
            return fetch_and_read(
                self._reader.fresh(),
                self.order.batches(epoch, self.world, start=start),
                pool=self._memory,
                batch_size=self.batch.batch_size,
                num_threads=self._num_threads,
                switch_interval=self._switch_interval,
                ahead=self._ahead,
                read_ahead_bytes=self._read_ahead_bytes,
            )
        if self._pool is None or not self._persistent:
            self._pool = WorkerPool(
                self._reader,
                self.order,
                World(self.world.rank, self.world.world_size),
                memory=self._memory,
                num_workers=self.num_workers,
                prefetch_factor=self._prefetch_factor,
                read_ahead_bytes=self._read_ahead_bytes,
                persistent_workers=self._persistent,
            )
        return self._pool.run(epoch, start)

    def _loose_stage(self) -> object | None:
        """Return the first stage that may change which samples there are, if there is one."""
        loose = (stage for stage in self._sample_stages if not stage.one_to_one)
        return next(loose, next(iter(self._stream_stages), None))  # these may hold samples back

    def _require_plan(self, method: str) -> None:
        if (loose := self._loose_stage()) is not None:
            raise ConfigError(
                f"{method}: {loose!r} may give more or fewer samples than it takes, so batches "
                "are not planned and a place among them is not known. Select on the index "
                "instead, with dataset.select(...)."
            )

    def _state(self, epoch: int, batch: int) -> LoaderState:
        return LoaderState(
            epoch=epoch,
            batch=batch,
            fingerprint=self.order.fingerprint,
            num_samples=self.order.num_examples,
            order=self.order.describe(),
        )

    def __getstate__(self) -> dict[str, Any]:
        """A copy has no worker processes; it starts its own."""
        return {**self.__dict__, "_pool": None}

    def __repr__(self) -> str:
        stages = [*self._sample_stages, *self._stream_stages, self.batch]
        lines = [f"StreamingLoader(epoch {self.epoch}, {self.order})", f"  {self.dataset!r}"]
        return "\n".join([*lines, *(f"  {stage!r}" for stage in stages)])

    def _repr_html_(self) -> str:
        stages = [self.dataset, *self._sample_stages, *self._stream_stages, self.batch]
        return tree(
            f"StreamingLoader, epoch {self.epoch}, {self.order}", [repr(stage) for stage in stages]
        )
