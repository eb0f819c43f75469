"""Which worker process makes what of a rank's batches. Pure.

Whole batches are dealt in turn. Where several examples are made of one sample, its examples may be
in several batches: then every worker makes its part of each batch, all examples of the samples that
are its own, so that a sample is read and decoded by one worker. Two workers, batches of four::

    examples    3a 3b 2a 5a | 5b 8a 8b 8c | 9a 6a ...
    whole        0  0  0  0 |  1  1  1  1 |  0  0
    by sample    1  1  0  0 |  0  1  1  1 |  1  1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vrs_wds.order.plan import RankBatch

T = TypeVar("T")

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio."""


@dataclass(frozen=True, slots=True)
class Dealing:
    """How batches are dealt to worker processes."""

    num_workers: int
    by_sample: bool
    """Deal samples, with all their examples, instead of whole batches."""

    def owners(self, number: int, batch: RankBatch) -> NDArray[np.int64]:
        """Return the worker that makes each example of a batch, the `number`-th that is dealt."""
        if self.by_sample:
            # Multiples of the golden ratio, modulo 1, spread evenly also where it is every second
            # sample, or every fourth, that has examples at all.
            spread = batch.numbers.astype(np.uint64) * _GOLDEN >> np.uint64(32)
            return (spread * np.uint64(self.num_workers) >> np.uint64(32)).astype(np.int64)
        return np.full(len(batch.numbers), number % self.num_workers)

    def workers_of(self, number: int) -> Sequence[int]:
        """Return the workers that give something for a batch, in their order."""
        return range(self.num_workers) if self.by_sample else (number % self.num_workers,)


def merge(owners: NDArray[np.int64], parts: dict[int, list[T]]) -> list[T]:
    """Put what the workers made of a batch into its order.

    >>> merge(np.array([1, 0, 1]), {0: ["b"], 1: ["a", "c"]})
    ['a', 'b', 'c']
    """
    rest = {worker: iter(part) for worker, part in parts.items()}
    return [next(rest[owner]) for owner in owners.tolist()]
