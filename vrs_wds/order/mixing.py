"""Whose turn it is: a schedule of parts in proportion to their weights, without chance.

Part `s` with weight `w_s` (of a sum of 1) has had `n_s` of the first `k` turns; the next turn goes
to the part that is furthest behind, the one with the largest `w_s * (k + 1) - n_s`; of equals, the
first. Parts stay within about a turn of their share. Weights 0.5, 0.3 and 0.2::

    0 1 2 0 0 | 1 0 2 1 0 | ...

The counts say all: the schedule goes on from them.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from vrs_wds.errors import ConfigError

Until = Literal["first", "all"]
"""When a mixture's epoch ends.

- `first`: when a part has had as many turns as its own epoch has batches. The others go on in the
  next epoch where they were.
- `all`: when every part has given its epoch; those that are through begin another one.
"""


def normalized(weights: Sequence[float]) -> list[float]:
    """Return weights with a sum of 1.

    Raises:
        ConfigError: if there is none, or one is not above 0.
    """
    if not weights or not all(0 < weight < float("inf") for weight in weights):
        raise ConfigError(f"weights: expected numbers above 0, got {list(weights)}.")
    total = sum(weights)
    return [weight / total for weight in weights]


def next_part(weights: Sequence[float], counts: Sequence[int]) -> int:
    """Return the part whose turn it is, after each has had `counts` turns."""
    turn = sum(counts) + 1
    behind = [weight * turn - count for weight, count in zip(weights, counts, strict=True)]
    # Rounded: equal weights must tie, whatever the order of the additions.
    return max(range(len(weights)), key=lambda part: (round(behind[part], 9), -part))


def count_turns(weights: Sequence[float], lengths: Sequence[int], until: Until) -> list[int]:
    """Return how many turns each part has in a mixture's epoch.

    Args:
        weights: With a sum of 1.
        lengths: Batches of each part's own epoch.
        until: When the mixture's epoch ends.

    Raises:
        ConfigError: if `until` is unknown, or a part has no batches.
    """
    if until not in get_args(Until):
        raise ConfigError(f"until: expected one of {', '.join(get_args(Until))}, got {until!r}.")
    if min(lengths) == 0:
        raise ConfigError(f"part {lengths.index(0)} of the mixture has no batch to give.")
    counts = [0] * len(weights)
    while True:
        part = next_part(weights, counts)
        full = counts[part] == lengths[part] if until == "first" else _all_through(counts, lengths)
        if full:
            return counts
        counts[part] += 1


def _all_through(counts: Sequence[int], lengths: Sequence[int]) -> bool:
    return all(count >= length for count, length in zip(counts, lengths, strict=True))
