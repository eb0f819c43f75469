"""The end of an epoch: what the streams still hold when some of them have run out.

Streams differ by a sample in length, and by one in what they have served. While every stream has
what is asked of it, batches are full by construction; `first_batch` is where that ends. The samples
left over (at most two a stream) are put in a row, by stream, and laid into columns, one for each
slot, from left to right::

    left over        a a b c c d e e f          9 samples of streams a to f
    slot             0     1     2     3        a global batch of 4
    batch first      a     b     c     e
    batch first + 1  a     c     d     f        (e is the third of slot 2 or 3)
    batch first + 2  -     -     -     e

A slot's samples thus come from streams that serve it, or their neighbours, for any number of ranks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vrs_wds.order.slots import Numbers, Slots


@dataclass(frozen=True, eq=False)
class Tail:
    """The samples left over after the full batches."""

    slots: Slots
    first_batch: int
    """The first global batch that is made of them."""
    served: Numbers
    """For each stream, how many samples the full batches took."""
    ends: Numbers
    """For each stream, how many are left over in it and the streams before it."""

    @classmethod
    def make(cls, slots: Slots, lengths: Numbers) -> "Tail":
        """Find where full batches end, for streams of these lengths."""
        streams = np.arange(slots.num_streams)
        fits, too_many = 0, int(lengths.sum()) // slots.global_batch_size + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if (slots.served(streams, middle) <= lengths).all():
                fits = middle
            else:
                too_many = middle
        served = slots.served(streams, fits)
        return cls(slots, fits, served, np.cumsum(lengths - served))

    def has_item(self, batch: int, slots: Numbers) -> NDArray[np.bool_]:
        """Tell which slots of a batch have a sample."""
        return self._first_item(slots) + batch - self.first_batch < self._first_item(slots + 1)

    def items_of(self, batch: int, slots: Numbers) -> Numbers:
        """Return the left-over sample of each slot; where there is none, a neighbour's."""
        last = np.maximum(self._first_item(slots + 1) - 1, 0)
        return np.minimum(self._first_item(slots) + batch - self.first_batch, last)

    def streams_and_positions(self, items: Numbers) -> tuple[Numbers, Numbers]:
        """Return where left-over samples are found."""
        streams = np.searchsorted(self.ends, items, side="right")
        before = np.where(streams > 0, self.ends[streams - 1], 0)
        return streams, self.served[streams] + items - before

    def _first_item(self, slots: Numbers) -> Numbers:
        """Return the first item of a slot's column."""
        count = int(self.ends[-1]) if len(self.ends) else 0
        return -((-slots * count) // self.slots.global_batch_size)
