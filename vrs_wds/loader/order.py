"""What a stream and a loader share: the order of a dataset's samples, and which members to read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.order.epoch import shuffled_order
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.tasks.registry import task_names
from vrs_wds.tasks.sidecars import extension_of

DEFAULT_WINDOW = 16_384
"""Samples; with shards of 10,000 samples, neighbours come from two or three shards."""


@dataclass(frozen=True, slots=True)
class Order:
    """How samples are ordered in an epoch."""

    shuffle: bool
    window: int = DEFAULT_WINDOW
    seed: int = 0

    def __post_init__(self) -> None:
        if self.window < 0:
            raise ConfigError(f"window: expected 0 or more samples, got {self.window}.")
        if self.seed < 0:
            raise ConfigError(f"seed: expected 0 or more, got {self.seed}.")

    def __str__(self) -> str:
        return f"shuffled, seed {self.seed}" if self.shuffle else "in order"

    def places(self, dataset: ShardedDataset, epoch: int) -> NDArray[np.int64]:
        """Return the places of the dataset's samples in the epoch's order."""
        if not self.shuffle:
            return np.arange(len(dataset), dtype=np.int64)
        shards = np.searchsorted(dataset.shard_starts, dataset.numbers, side="right") - 1
        return shuffled_order(shards, seed=self.seed, epoch=epoch, window=self.window)


def needed_extensions(dataset: ShardedDataset, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Return the members to read for some tasks: all but the sidecars of other tasks."""
    unwanted = {extension_of(task) for task in task_names() if task not in tasks}
    return tuple(extension for extension in dataset.extensions if extension not in unwanted)
