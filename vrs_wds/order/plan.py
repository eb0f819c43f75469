"""The plan of an epoch: which samples make up which global batch, and which part is a rank's.

::

    shards, permuted      |    3    | 0 |      2      |   1   |
    C canonical streams   |   0   |   1   |   2   |   3   |        cut at sample borders
    each shuffled         within a window, by generators of their own
    global batch k        takes its share of each stream in turn   (see `slots`)
    rank r                takes the slots that its streams serve: a contiguous part of the batch

The plan depends on the sizes of the shards, the seed, the epoch, the shuffle options, the number of
streams and the size of a global batch; and on nothing else. Memory: one number a shard, and one
number for each sample of the streams that are read.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.order.seeds import rng_for
from vrs_wds.order.sequence import Numbers, ShardSequence
from vrs_wds.order.slots import Slots
from vrs_wds.order.tail import Tail
from vrs_wds.order.world import World

DEFAULT_WINDOW = 16_384
"""Samples. With shards of 10,000, a stream mixes two or three."""
DEFAULT_STREAMS = 64
"""Divided by 1, 2, 4, ... 64 ranks."""

TailRule = Literal["exact", "drop", "pad", "wrap"]
"""What becomes of the last global batch, if it is not full.

- `exact`: every sample once. Ranks share what there is; one that has a sample fewer than another
  gets a repeated one, with False in the mask.
- `drop`: it is left out.
- `pad`: filled up with repeated samples, with False in the mask.
- `wrap`: filled up with samples from the epoch's beginning, with False in the mask.
"""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What an order depends on, besides the data and the epoch."""

    global_batch_size: int
    """Samples of a batch over all ranks (G)."""
    shuffle: bool = False
    seed: int = 0
    window: int = DEFAULT_WINDOW
    """Samples; how far one moves within its stream. 0 shuffles shards only."""
    num_streams: int = DEFAULT_STREAMS
    """Canonical streams (C), when shuffled. A multiple of the number of ranks lets each rank read
    shards of its own."""
    tail: TailRule = "exact"

    def __post_init__(self) -> None:
        for option, value, least in (
            ("batch_size", self.global_batch_size, 1),
            ("seed", self.seed, 0),
            ("window", self.window, 0),
            ("num_streams", self.num_streams, 1),
        ):
            if value < least:
                raise ConfigError(f"{option}: expected at least {least}, got {value}.")
        if self.tail not in get_args(TailRule):
            raise ConfigError(
                f"tail: expected one of {', '.join(get_args(TailRule))}, got {self.tail!r}."
            )


@dataclass(frozen=True, slots=True)
class RankBatch:
    """One rank's part of a global batch."""

    numbers: Numbers
    """Numbers of its samples, in order."""
    mask: NDArray[np.bool_]
    """False where a sample is repeated to fill the batch up."""


class EpochPlan:
    """The batches of one epoch. Any batch of any rank is found in constant time."""

    def __init__(self, sizes: NDArray[np.integer], options: PlanOptions, epoch: int) -> None:
        """Plan an epoch over shards of these sizes, in samples."""
        self._sequence = ShardSequence.make(
            sizes, shuffle=options.shuffle, seed=options.seed, epoch=epoch
        )
        self._options = options
        self._epoch = epoch
        self.num_samples = len(self._sequence)
        # Not shuffled, batches follow the order of the samples: there is one stream. A stream
        # without samples would serve nothing.
        streams = options.num_streams if options.shuffle else 1
        self.num_streams = max(1, min(streams, self.num_samples))
        self._slots = Slots(self.num_streams, options.global_batch_size)
        self._starts = np.arange(self.num_streams + 1) * self.num_samples // self.num_streams
        self._tail = Tail.make(self._slots, np.diff(self._starts))
        self._orders: OrderedDict[int, NDArray[np.integer]] = OrderedDict()

    @property
    def num_batches(self) -> int:
        """Number of batches of the epoch; the same on every rank."""
        total, size = self.num_samples, self._options.global_batch_size
        return total // size if self._options.tail == "drop" else -(-total // size)

    def rank_batch(self, batch: int, world: World) -> RankBatch:
        """Return one rank's part of a global batch.

        Raises:
            IndexError: if the epoch has no such batch.
            ConfigError: if the ranks cannot share a batch evenly.
        """
        if not 0 <= batch < self.num_batches:
            raise IndexError(f"the epoch has {self.num_batches:,} batches; there is no {batch:,}.")
        size, rest = divmod(self._options.global_batch_size, world.world_size)
        if rest:
            raise ConfigError(
                f"global_batch_size: {self._options.global_batch_size} samples cannot be shared "
                f"evenly by {world.world_size} ranks. Use a multiple."
            )
        slots = np.arange(world.rank * size, (world.rank + 1) * size)
        if batch < self._tail.first_batch:
            numbers = self._numbers(
                self._slots.streams_of(batch, slots), self._slots.positions_of(batch, slots)
            )
            return RankBatch(numbers, np.ones(size, dtype=bool))
        return self._tail_batch(batch, slots, world)

    def _tail_batch(self, batch: int, slots: Numbers, world: World) -> RankBatch:
        items = self._tail.items_of(batch, slots)
        mask = self._tail.has_item(batch, slots)
        if self._options.tail == "exact":
            # As many as the rank with the most has; its holes come last.
            every = np.arange(self._options.global_batch_size)
            counts = self._tail.has_item(batch, every).reshape(world.world_size, -1).sum(axis=1)
            order = np.argsort(~mask, kind="stable")[: counts.max()]
            items, mask, slots = items[order], mask[order], slots[order]
        numbers = self._numbers(*self._tail.streams_and_positions(items))
        if self._options.tail == "wrap" and not mask.all() and batch > 0:
            start = self.rank_batch(0, world).numbers
            numbers = np.where(mask, numbers, start)
        return RankBatch(numbers, mask)

    def _numbers(self, streams: Numbers, positions: Numbers) -> Numbers:
        places = np.empty(len(streams), dtype=np.int64)
        for stream in np.unique(streams).tolist():
            chosen = streams == stream
            places[chosen] = self._starts[stream] + self._order_of(stream, positions[chosen])
        return self._sequence.numbers_at(places)

    def _order_of(self, stream: int, positions: Numbers) -> NDArray[np.integer]:
        """Return which samples of a stream come at some positions, after its window shuffle."""
        if not self._options.shuffle or self._options.window == 0:
            return positions
        order = self._orders.get(stream)
        if order is None:
            order = self._orders[stream] = self._shuffled(stream)
        return order[positions]

    def _shuffled(self, stream: int) -> NDArray[np.integer]:
        length = int(self._starts[stream + 1] - self._starts[stream])
        rng = rng_for(self._options.seed, epoch=self._epoch, stream="window", number=stream)
        keys = rng.random(length)
        keys *= self._options.window
        keys += np.arange(length)
        order = np.argsort(keys, kind="stable")
        return order.astype(np.int32) if length < 2**31 else order
