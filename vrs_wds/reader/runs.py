"""Which members of a sample are read together, decided for all rows of a shard at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vrs_wds.shard.index_table import ABSENT
from vrs_wds.storage.reading import Reading

Member = tuple[str, int]
"""Extension of a member, and its number in the row's places."""
Run = tuple[Member, ...]
"""Members that lie one after another and are read by one request."""

_NOTHING, _JOINS, _BEGINS = 0, 1, 2
_BASE, _DIGITS = 3, 20
"""Of numbers that stand for rows: 3 ** 20 times two billion rows is less than 2 ** 63."""


@dataclass(frozen=True, slots=True)
class RunTable:
    """The runs of every row; the rows of a shard have a few patterns in common."""

    patterns: list[tuple[Run, ...]]
    pattern_of: list[int]
    """For each row."""

    def runs_of(self, row: int) -> tuple[Run, ...]:
        """Return a row's runs, in member order; members that it lacks are in none."""
        return self.patterns[self.pattern_of[row]]


def find_runs(places: NDArray[np.int64], members: Sequence[Member], reading: Reading) -> RunTable:
    """Join members that lie side by side in their shard to runs. Pure, and vectorised over rows.

    ::

        members    m1 m2    m3    (absent)   picture
        runs      [m1 m2]  [m3]             [picture]     gaps and lengths as `reading` says

    Args:
        places: (rows, members of the index, 4): shard, offset, size and CRC32C.
        members: Those to read, in member order.
        reading: How their store likes to be read.
    """
    codes = np.zeros((len(places), len(members)), np.uint8)
    last_shard = np.full(len(places), -1)
    first = last = np.zeros(len(places), np.int64)
    for i, (_, column) in enumerate(members):
        shard, offset, size, _ = places[:, column].T
        is_there = size != ABSENT
        gap, stop = offset - last, offset + size
        joins = (
            (shard == last_shard)
            & (gap >= 0)
            & (gap <= reading.gap_bytes)
            & (stop - first <= reading.range_bytes)
            & (size < reading.alone_bytes)
        )
        codes[:, i] = np.where(is_there, np.where(joins, _JOINS, _BEGINS), _NOTHING)
        first = np.where(is_there & ~joins, offset, first)
        last = np.where(is_there, stop, last)
        # Nothing joins a member that has a request of its own.
        last_shard = np.where(is_there, np.where(size < reading.alone_bytes, shard, -1), last_shard)
    rows, pattern_of = _equal_rows(codes)
    patterns = [_runs(codes[row].tolist(), members) for row in rows]
    return RunTable(patterns, pattern_of)


def _equal_rows(codes: NDArray[np.uint8]) -> tuple[list[int], list[int]]:
    """Return a row of each kind, and the kind of each row.

    Many times as fast as `np.unique(codes, axis=0)`, which sorts rows as bytes.
    """
    number = np.zeros(len(codes), np.int64)
    for i in range(codes.shape[1]):
        if i % _DIGITS == 0:
            number = np.unique(number, return_inverse=True)[1].reshape(-1)
        number = number * _BASE + codes[:, i]
    _, rows, kinds = np.unique(number, return_index=True, return_inverse=True)
    return rows.tolist(), kinds.reshape(-1).tolist()


def _runs(codes: Sequence[int], members: Sequence[Member]) -> tuple[Run, ...]:
    runs: list[list[Member]] = []
    for code, member in zip(codes, members, strict=True):
        if code == _BEGINS:
            runs.append([])
        if code != _NOTHING:
            runs[-1].append(member)
    return tuple(map(tuple, runs))
