"""Whose turn it is: a schedule of parts in proportion to their weights, without chance.

Part `s` with weight `w_s` (of a sum of 1) asks for its turn `j`, from 0, at the time
`(j + 1/2) / w_s`. Turns are given by these times; of equals, the first part goes first. Weights
5, 3 and 2 of 10::

    time     1.0   1.7   2.5   3.0   5.0   5.0   7.0   7.5   8.3   9.0
    part       0     1     2     0     0     1     0     2     1     0

By the time `t` a part has had `round(w_s * t)` turns. So after `k` turns a part of `P` has had
`w_s * k`, give or take `1/2 + w_s * (P - 2) / 2`: half a turn with two parts, and always less than
`P / 2` or one. And so the number of turns that each part has had has a closed form, for any `k`.
Weights are taken as the fractions that they are: no rounding, on any machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, lcm
from numbers import Rational, Real
from typing import Any, Literal, get_args

from vrs_wds.errors import ConfigError

Until = Literal["first", "all"]
"""When a mixture's epoch ends.

- `first`: when a part has had as many turns as its own epoch has batches, and would have another
  one. The others go on in the next epoch where they were.
- `all`: when every part has given its epoch; those that are through begin another one.
"""


def normalized(weights: Sequence[float]) -> list[float]:
    """Return weights with a sum of 1.

    Raises:
        ConfigError: if there is none, or one is not above 0.
    """
    given: list[Any] = list(weights)  # NumPy's numbers are welcome
    if not given or not all(
        isinstance(weight, Real) and isfinite(weight) and float(weight) > 0 for weight in given
    ):
        raise ConfigError(f"weights: expected numbers above 0, got {given}.")
    fractions = [_fraction(weight) for weight in given]
    total = sum(fractions)
    shares = [float(fraction / total) for fraction in fractions]
    if not all(shares):
        raise ConfigError(f"weights: too far apart to be told from 0, got {list(weights)}.")
    return shares


def _fraction(weight: Any) -> Fraction:  # noqa: ANN401 - mypy knows no number but its own
    """Return a real number as it is, also one of NumPy's."""
    if isinstance(weight, Rational):  # whole numbers, too
        return Fraction(int(weight.numerator), int(weight.denominator))
    return Fraction(float(weight))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The turns of a mixture's parts."""

    shares: tuple[int, ...]
    """Whole numbers above 0, in the proportion of the weights."""

    @classmethod
    def make(cls, weights: Sequence[float]) -> "Schedule":
        """Make the schedule of parts with these weights, all above 0."""
        fractions = [Fraction(weight) for weight in weights]
        scale = lcm(*(fraction.denominator for fraction in fractions))
        return cls(tuple(int(fraction * scale) for fraction in fractions))

    def next_part(self, counts: Sequence[int]) -> int:
        """Return the part whose turn it is, after each has had `counts` turns."""
        best = 0
        for part in range(1, len(self.shares)):
            # Compares times, (2 * count + 1) / (2 * share), without dividing.
            if (2 * counts[part] + 1) * self.shares[best] < (2 * counts[best] + 1) * self.shares[
                part
            ]:
                best = part
        return best

    def counts_after(self, num_turns: int) -> list[int]:
        """Return how many of the first turns each part has had; takes the same time for any."""
        total, parts = sum(self.shares), len(self.shares)
        # At the time t, between t - parts / 2 and t + parts / 2 turns were given; so by this time
        # (doubled, to be whole) at most `num_turns`, and all but a few of them.
        doubled = max(0, 2 * num_turns - parts)
        counts = [(share * doubled + total) // (2 * total) for share in self.shares]
        if not doubled:
            counts = [0] * parts
        for _ in range(num_turns - sum(counts)):
            counts[self.next_part(counts)] += 1
        return counts

    def counts_in_epoch(self, lengths: Sequence[int], until: Until) -> list[int]:
        """Return how many turns each part has in a mixture's epoch.

        Args:
            lengths: Batches of each part's own epoch.
            until: When the mixture's epoch ends.

        Raises:
            ConfigError: if `until` is unknown, a part has no batches, or the epoch would not end.
        """
        if until not in get_args(Until):
            raise ConfigError(
                f"until: expected one of {', '.join(get_args(Until))}, got {until!r}."
            )
        if min(lengths) == 0:
            raise ConfigError(f"part {lengths.index(0)} of the mixture has no batch to give.")
        if until == "first":  # up to the first turn that a part has no batch for
            ends = [self._counts_before(part, length) for part, length in enumerate(lengths)]
            return min(ends, key=sum)
        last = [self._counts_before(part, length - 1) for part, length in enumerate(lengths)]
        part = max(range(len(lengths)), key=lambda part: sum(last[part]))
        last[part][part] += 1
        if sum(last[part]) >= 2**63:
            raise ConfigError(
                f"weights: until part {part} is through, {sum(last[part]):,} batches pass. Give it "
                "a larger weight, or use until='first'."
            )
        return last[part]

    def _counts_before(self, part: int, turn: int) -> list[int]:
        """Return how many turns each part has before a part's own turn `turn`, from 0."""
        mine, asks = self.shares[part], 2 * turn + 1
        return [
            # Turns at the same time come before if the part is an earlier one.
            (asks * share + mine) // (2 * mine)
            if other < part
            else -((mine - asks * share) // (2 * mine))
            for other, share in enumerate(self.shares)
        ]
