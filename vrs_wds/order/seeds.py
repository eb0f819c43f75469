"""Where chance comes from: one function makes every generator."""

from typing import Literal, get_args

import numpy as np

RandomStream = Literal["shards", "window", "buffer", "streams"]
"""Kinds of random decisions, each with numbers of its own."""

_STREAM_IDS = {name: number for number, name in enumerate(get_args(RandomStream))}


def rng_for(seed: int, *, epoch: int, stream: RandomStream, number: int = 0) -> np.random.Generator:
    """Return the generator behind one kind of random decision.

    Equal arguments give equal numbers in every process on every machine: the clock, the process id
    and `hash()` (salted per process for texts) take no part.

    Args:
        seed: What a run is started with.
        epoch: Counted from 0.
        stream: The kind of decision.
        number: Tells decisions of one kind apart, such as the canonical streams of an epoch.
    """
    return np.random.default_rng([seed, epoch, _STREAM_IDS[stream], number])
