"""The samples of an epoch in one row: shard after shard, in the epoch's order of shards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vrs_wds.order.seeds import rng_for

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ShardSequence:
    """Places in a row of all samples, and the numbers of the samples that stand there.

    Three shards of 2, 3 and 1 samples, in the order 2, 0, 1::

        place     0   1   2   3   4   5
        number    5 | 0   1 | 2   3   4
        shard     2 | 0     | 1

    Holds one number a shard, whatever the number of samples.
    """

    ends: Numbers
    """Place after the last sample of each shard, in the epoch's order of shards."""
    shifts: Numbers
    """Added to a place in the shard, gives the sample's number."""
    turn: int = 0
    """The row begins so many places later, and ends with those: cuts fall elsewhere each epoch."""

    @classmethod
    def make(
        cls, sizes: NDArray[np.integer], *, shuffle: bool, turn: bool, seed: int, epoch: int
    ) -> "ShardSequence":
        """Put shards of these sizes in a row; `shuffle` permutes them, `turn` turns the row."""
        sizes = np.asarray(sizes, dtype=np.int64)
        order = np.arange(len(sizes))
        turned = 0
        if shuffle:
            rng = rng_for(seed, epoch=epoch, stream="shards")
            order = rng.permutation(len(sizes))
            if turn and sizes.sum():
                turned = int(rng.integers(sizes.sum()))
        first_numbers = np.cumsum(sizes) - sizes
        ends = np.cumsum(sizes[order])
        return cls(ends, first_numbers[order] - (ends - sizes[order]), turned)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def numbers_at(self, places: Numbers) -> Numbers:
        """Return the numbers of the samples at some places."""
        if self.turn:
            places = (places + self.turn) % len(self)
        return places + self.shifts[np.searchsorted(self.ends, places, side="right")]
