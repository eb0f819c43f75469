"""The plan of an epoch: which samples make up which global batch, and which part is a rank's.

::

    shards, permuted      |    3    | 0 |      2      |   1   |
    C canonical streams   |   1   |   0   |   2   |   3   |        cut at sample borders, the row
                                                                   turned by a random distance;
                                                                   numbered anew each epoch
    each shuffled         within a window, from a random place on, by generators of their own; one
                          that is not longer than the window, as a whole
    global batch k        takes its share of each stream in turn   (see `slots`)
    rank r                takes the slots that its streams serve: a contiguous part of the batch

The plan depends on the sizes of the shards, the seed, the epoch, the shuffle options, the number of
streams and the size of a global batch; and on nothing else. Memory: one number a shard, and one
number for each sample of the streams that are read.
"""

from dataclasses import dataclass
from math import gcd
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vrs_wds.checks import whole_number, yes_or_no
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
    """Samples; how far one moves within its stream, which is permuted as a whole if it is not
    longer. 0 shuffles shards only."""
    num_streams: int = DEFAULT_STREAMS
    """Canonical streams (C), when shuffled. A multiple of the number of ranks lets each rank read
    shards of its own."""
    tail: TailRule = "exact"
    min_stream_samples: int = 64
    """With fewer in a stream there are fewer streams: a window mixes within one stream only."""

    def __post_init__(self) -> None:
        for field, option, least in (
            ("global_batch_size", "batch_size", 1),
            ("seed", "seed", 0),
            ("window", "window", 0),
            ("num_streams", "num_streams", 1),
        ):
            number = whole_number(option, getattr(self, field), least=least)
            object.__setattr__(self, field, number)  # NumPy's would not fit a state
        object.__setattr__(self, "shuffle", yes_or_no("shuffle", self.shuffle))
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
    items: Numbers
    """Which of a sample's examples; 0 where each sample is one."""


class EpochPlan:
    """The batches of one epoch. Any batch of any rank is found in constant time."""

    def __init__(
        self,
        sizes: NDArray[np.integer],
        options: PlanOptions,
        epoch: int,
        counts: NDArray[np.integer] | None = None,
    ) -> None:
        """Plan an epoch.

        Args:
            sizes: Samples of each shard.
            options: What the order depends on.
            epoch: Counted from 0.
            counts: How many examples each sample gives, by its number; None: one each. The
                examples of a sample follow each other in its stream.
        """
        self._sequence = ShardSequence.make(
            sizes,
            shuffle=options.shuffle,
            turn=options.window > 0,  # without a window, shards are read whole
            seed=options.seed,
            epoch=epoch,
        )
        self._options = options
        self._epoch = epoch
        num_samples = len(self._sequence)
        self.num_streams = _fitting_streams(options, num_samples)
        self._slots = Slots(self.num_streams, options.global_batch_size)
        self._counts = None if counts is None else counts[self._all_numbers()]
        self._starts, self._lengths, lengths = self._cut()
        self.num_examples = int(lengths.sum())
        self._tail = Tail.make(self._slots, lengths)
        self._orders: dict[int, NDArray[np.integer]] = {}
        self._ends: dict[int, Numbers] = {}

    @property
    def num_batches(self) -> int:
        """Number of batches of the epoch; the same on every rank."""
        total, size = self.num_examples, self._options.global_batch_size
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
            streams = self._slots.streams_of(batch, slots)
            positions = self._slots.positions_of(batch, slots)
            return self._examples(streams, positions, np.ones(size, dtype=bool))
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
        found = self._examples(*self._tail.streams_and_positions(items), mask)
        if self._options.tail == "wrap" and not mask.all() and batch > 0:
            start = self.rank_batch(0, world)
            return RankBatch(
                np.where(mask, found.numbers, start.numbers),
                mask,
                np.where(mask, found.items, start.items),
            )
        return found

    def _all_numbers(self) -> Numbers:
        return self._sequence.numbers_at(np.arange(len(self._sequence)))

    def _cut(self) -> tuple[Numbers, Numbers, Numbers]:
        """Cut the row of samples into streams: where each starts, its samples, its examples.

        Streams have equal numbers of examples, as far as samples are not cut through.
        """
        num_samples, cuts = len(self._sequence), np.arange(self.num_streams + 1)
        pieces = _pieces_of_streams(self._options, self._epoch, self.num_streams)
        if self._counts is None:
            starts = cuts * num_samples // self.num_streams
            lengths = np.diff(starts)[pieces]
            return starts[pieces], lengths, lengths
        ends = np.concatenate([[0], np.cumsum(self._counts)])
        starts = np.searchsorted(ends, cuts * int(ends[-1]) / self.num_streams)
        starts[0], starts[-1] = 0, num_samples
        return starts[pieces], np.diff(starts)[pieces], np.diff(ends[starts])[pieces]

    def _examples(self, streams: Numbers, positions: Numbers, mask: NDArray[np.bool_]) -> RankBatch:
        places, items = np.empty_like(streams), np.zeros_like(streams)
        for stream in np.unique(streams).tolist():
            chosen = streams == stream
            wanted = positions[chosen]
            if self._counts is not None:
                wanted, items[chosen] = self._samples_of(stream, wanted)
            places[chosen] = self._starts[stream] + self._order_of(stream, wanted)
        return RankBatch(self._sequence.numbers_at(places), mask, items)

    def _samples_of(self, stream: int, positions: Numbers) -> tuple[Numbers, Numbers]:
        """Return, for positions among a stream's examples, the sample and which of its own."""
        assert self._counts is not None  # noqa: S101 - asked for only then
        ends = self._ends.get(stream)
        if ends is None:
            length = int(self._lengths[stream])
            order = self._starts[stream] + self._order_of(stream, np.arange(length))
            ends = self._ends[stream] = np.cumsum(self._counts[order])
        samples = np.searchsorted(ends, positions, side="right")
        return samples, positions - np.where(samples > 0, ends[samples - 1], 0)

    def _order_of(self, stream: int, positions: Numbers) -> NDArray[np.integer]:
        """Return which samples of a stream come at some positions, after its window shuffle."""
        if not self._options.shuffle or self._options.window == 0:
            return positions
        order = self._orders.get(stream)
        if order is None:
            order = self._orders[stream] = self._shuffled(stream)
        return order[positions]

    def _shuffled(self, stream: int) -> NDArray[np.integer]:
        length = int(self._lengths[stream])
        rng = rng_for(self._options.seed, epoch=self._epoch, stream="window", number=stream)
        keys = rng.random(length)
        if length > self._options.window:  # else any order is within the window
            keys *= self._options.window
            # Begin anywhere in the stream: what is late in its shard is not late in each epoch.
            keys += (np.arange(length) - rng.integers(length)) % length
        order = np.argsort(keys, kind="stable")
        return order.astype(np.int32) if length < 2**31 else order


def _fitting_streams(options: PlanOptions, num_samples: int) -> int:
    """Return how many streams there are: halved until each has samples enough to be mixed."""
    if not options.shuffle:  # batches follow the order of the samples
        return 1
    streams = options.num_streams
    while streams > 1 and num_samples < streams * options.min_stream_samples:
        streams //= 2
    return streams


def _pieces_of_streams(options: PlanOptions, epoch: int, num_streams: int) -> Numbers:
    """Return, for each stream, which piece of the row it is.

    A batch that is smaller than the number of streams draws on some of them, always the same ones
    together, some distance apart: so streams are numbered anew each epoch, or samples at this
    distance would meet in batch after batch of every epoch, and others never. They keep within
    groups of neighbours, as many as the greatest number of ranks that divides streams and batch:
    the streams of a rank stay together.
    """
    pieces = np.arange(num_streams).reshape(gcd(num_streams, options.global_batch_size), -1)
    if options.shuffle:
        rng = rng_for(options.seed, epoch=epoch, stream="streams")
        rng.permuted(pieces, axis=1, out=pieces)
    return pieces.ravel()
