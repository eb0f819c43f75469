"""The order of samples in an epoch."""

import numpy as np
from numpy.typing import NDArray

from vrs_wds.order.seeds import rng_for
from vrs_wds.order.world import World

Numbers = NDArray[np.int64]


def shuffled_order(shards: NDArray[np.integer], *, seed: int, epoch: int, window: int) -> Numbers:
    """Return the places of samples in a shuffled order.

    Shards are permuted; then every sample moves by a random distance of up to `window` samples:
    neighbours come from about `window / samples per shard` shards. Memory and time grow with the
    number of samples; nothing is read.

    Args:
        shards: For each place, the number of its sample's shard.
        seed: With `epoch`, decides the order.
        epoch: Each epoch has another order.
        window: How far a sample moves; 0 shuffles shards only.
    """
    num_shards = int(shards.max()) + 1 if len(shards) else 0
    ranks = rng_for(seed, epoch=epoch, stream="shards").permutation(num_shards)
    by_shard = np.argsort(ranks[shards], kind="stable")
    if window <= 0:
        return by_shard
    jitter = rng_for(seed, epoch=epoch, stream="window").random(len(shards)) * window
    return by_shard[np.argsort(np.arange(len(shards)) + jitter, kind="stable")]


def share_of(reader: int, num_readers: int, length: int) -> range:
    """Return the run of places that one reader takes; the runs differ by one place at most.

    7 places, 3 readers::

        reader 0   0 1 2
        reader 1   3 4
        reader 2   5 6
    """
    base, extra = divmod(length, num_readers)
    start = reader * base + min(reader, extra)
    return range(start, start + base + (reader < extra))


def rank_places(places: Numbers, batch_size: int, world: World, *, drop_last: bool) -> Numbers:
    """Return the places of one rank: a contiguous part of each global batch.

    Every rank gets the same number of places. A last global batch that is not full is shared out
    too, filled up from the epoch's beginning where it does not divide; or dropped.

    10 places, batch_size=2, world_size=2::

                 batch 0   batch 1   batch 2
        rank 0   0 1       4 5       8
        rank 1   2 3       6 7       9
    """
    size = batch_size * world.world_size
    full = len(places) // size * size
    slots = places[:full].reshape(-1, world.world_size, batch_size)[:, world.rank].reshape(-1)
    rest = places[full:]
    if drop_last or not len(rest):
        return slots
    last = -(-len(rest) // world.world_size)
    missing = last * world.world_size - len(rest)
    rest = np.concatenate([rest, np.resize(places, missing)])
    return np.concatenate([slots, rest[world.rank * last : (world.rank + 1) * last]])
