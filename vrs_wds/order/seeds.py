"""Where chance comes from: one function makes every generator."""

from typing import Literal, get_args

import numpy as np

RandomStream = Literal["shards", "window", "buffer"]
"""Kinds of random decisions, each with numbers of its own."""

_STREAM_IDS = {name: number for number, name in enumerate(get_args(RandomStream))}


def rng_for(seed: int, *, epoch: int, stream: RandomStream) -> np.random.Generator:
    """Return the generator behind one kind of random decision.

    Equal arguments give equal numbers in every process on every machine: the clock, the process id
    and `hash()` (salted per process for texts) take no part.
    """
    return np.random.default_rng([seed, epoch, _STREAM_IDS[stream]])
