"""Which stream serves which slot of a global batch, and how far into the stream.

Slot `j` of batch `k` is served by stream `(j * C + p_k) // G`, where C is the number of streams, G
the size of a global batch and `p_k = (k * G) mod C`. C = 6 streams, G = 4 slots::

    slot       0  1  2  3
    batch 0    0  1  3  4     p = 0
    batch 1    1  2  4  5     p = 4
    batch 2    0  2  3  5     p = 2

For any W that divides G and C, the slots of rank `r`, `[r * G/W, (r + 1) * G/W)`, are served by its
own streams `[r * C/W, (r + 1) * C/W)`: a rank reads its own shards only. After `k` batches stream
`c` has served `F(c + 1) - F(c + 1 - k)` slots, where `F(x) = ceil(x * G / C)`: seeking costs
nothing, and the streams never differ by more than one.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
IntT = TypeVar("IntT", int, Numbers)


@dataclass(frozen=True, slots=True)
class Slots:
    """How the slots of global batches are served by streams."""

    num_streams: int
    global_batch_size: int

    def streams_of(self, batch: int, slots: Numbers) -> Numbers:
        """Return the stream that serves each slot of a batch."""
        return (slots * self.num_streams + self._phase(batch)) // self.global_batch_size

    def positions_of(self, batch: int, slots: Numbers) -> Numbers:
        """Return, for each slot of a batch, the position in its stream."""
        streams = self.streams_of(batch, slots)
        first = -(
            (self._phase(batch) - streams * self.global_batch_size) // self.num_streams
        )  # the first slot that the stream serves in this batch
        return self.served(streams, batch) + slots - first

    def served(self, streams: Numbers, num_batches: int) -> Numbers:
        """Return how many slots each stream has served after `num_batches` batches."""
        return self._ceil(streams + 1) - self._ceil(streams + 1 - num_batches)

    def _phase(self, batch: int) -> int:
        return batch * self.global_batch_size % self.num_streams

    def _ceil(self, x: IntT) -> IntT:
        return -((-x * self.global_batch_size) // self.num_streams)
