"""What a stream and a loader share: a dataset as the plan sees it, and which members to read."""

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vrs_wds.order.plan import EpochPlan, PlanOptions, RankBatch
from vrs_wds.order.world import World
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.shard.index_table import count_column
from vrs_wds.tasks.registry import resolve_tasks, task_names, task_of_unit
from vrs_wds.tasks.task import extension_of


class DatasetOrder:
    """The epochs of a dataset, or of a selection of it, as places in it."""

    def __init__(
        self,
        dataset: ShardedDataset,
        options: PlanOptions,
        *,
        per: str = "image",
        repeats: bool = True,
    ) -> None:
        """Make an order.

        Args:
            dataset: What is ordered.
            options: How.
            per: What is an example; see `StreamingLoader`.
            repeats: Whether samples that fill up the last batch are given; without them it may be
                shorter, or missing.
        """
        self.options = options
        self._repeats = repeats
        self.task = None if per == "image" else task_of_unit(per).name
        """Task whose sidecars are taken apart into examples; None: each sample is one."""
        self._per = per
        self._dataset = dataset
        self._places: NDArray[np.int64] | None = None
        """Place of each sample when they are put in the shards' order; None if they are."""
        self._counts = self._example_counts()
        """Examples of each sample, in the shards' order; None: one each."""
        if not options.shuffle:
            # The order is the selection's own: it does not matter which shards it is from.
            self._sizes = np.array([len(dataset)], dtype=np.int64)
            return
        starts = np.asarray(dataset.shard_starts)
        if dataset.is_whole:
            self._sizes = np.diff(starts)
            return
        shards = np.searchsorted(starts, dataset.numbers, side="right") - 1
        self._sizes = np.bincount(shards, minlength=len(starts) - 1)
        if (np.diff(shards) < 0).any():
            self._places = np.argsort(shards, kind="stable")
            if self._counts is not None:
                self._counts = self._counts[self._places]

    @property
    def recipe(self) -> "partial[DatasetOrder]":
        """What makes this order anew, for worker processes: small, and asks no task until then."""
        return partial(
            DatasetOrder, self._dataset, self.options, per=self._per, repeats=self._repeats
        )

    def plan(self, epoch: int) -> EpochPlan:
        """Return the plan of an epoch, over the samples in the shards' order."""
        return EpochPlan(self._sizes, self.options, epoch, self._counts)

    @property
    def num_examples(self) -> int:
        """Examples of an epoch."""
        return len(self._dataset) if self._counts is None else int(self._counts.sum())

    @property
    def num_batches(self) -> int:
        """Global batches of an epoch."""
        total, size = self.num_examples, self.options.global_batch_size
        return total // size if self.options.tail == "drop" else -(-total // size)

    def batches(
        self, epoch: int, world: World, *, start: int = 0, step: int = 1
    ) -> Iterator[RankBatch]:
        """Yield one rank's part of the epoch's batches, as places in the dataset."""
        plan = self.plan(epoch)
        for number in range(start, plan.num_batches, step):
            batch = plan.rank_batch(number, world)
            if self._places is not None:
                batch = RankBatch(self._places[batch.numbers], batch.mask, batch.items)
            if not self._repeats and not batch.mask.all():
                real = batch.mask
                batch = RankBatch(batch.numbers[real], batch.mask[real], batch.items[real])
            if len(batch.numbers):
                yield batch

    @property
    def fingerprint(self) -> str:
        """The dataset's fingerprint; a selection adds a digest of its own."""
        if self._dataset.is_whole:
            return self._dataset.fingerprint
        numbers = np.ascontiguousarray(self._dataset.numbers, dtype="<i8")
        digest = hashlib.sha256(numbers.tobytes()).hexdigest()
        return f"{self._dataset.fingerprint}+{digest}"

    def describe(self) -> dict[str, int | str | bool]:
        """Return the options that the order depends on, as plain values."""
        options = self.options
        described: dict[str, int | str | bool] = {
            "global_batch_size": options.global_batch_size,
            "shuffle": options.shuffle,
            "tail": options.tail,
        }
        if self.task is not None:
            described["per"] = self._per
        if options.shuffle:  # else they change nothing
            described |= {
                "seed": options.seed,
                "window": options.window,
                "num_streams": options.num_streams,
            }
        return described

    def _example_counts(self) -> NDArray[np.int64] | None:
        if self.task is None:
            return None
        resolve_tasks(self.task, self._dataset.tasks)
        found = self._dataset.numbers_in(count_column(self.task))
        counts: NDArray[np.int64] = np.maximum(found, 0).astype(np.int64)
        return counts

    def __str__(self) -> str:
        if not self.options.shuffle:
            return "in order"
        return f"shuffled, seed {self.options.seed}"


def needed_extensions(dataset: ShardedDataset, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members to read for some tasks: all but the sidecars of other tasks."""
    unwanted = {extension_of(task) for task in task_names() if task not in tasks}
    return tuple(extension for extension in dataset.extensions if extension not in unwanted)
