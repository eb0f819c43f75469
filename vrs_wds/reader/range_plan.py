"""Which ranges of shards to fetch for what is coming. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vrs_wds.reader.members import MemberRequest, coalesce
from vrs_wds.storage.reading import Reading


@dataclass(frozen=True, slots=True)
class PlannedRange:
    """Bytes of a shard that one request fetches."""

    shard: str
    """Its name."""
    start: int
    stop: int
    first: int
    """Number of the first item that needs it."""
    last: int
    """Number of the last one."""
    offsets: tuple[int, ...]
    """Where its members begin in the shard."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start


def plan_ranges(
    requests: Iterable[MemberRequest], shards: Sequence[str], reading: Reading
) -> list[PlannedRange]:
    """Join members to ranges as a store likes them, in the order in which they are needed.

    Args:
        requests: Members; `sample` is the number of the item that needs one.
        shards: Names of the shards, by number.
        reading: How the store likes to be read.
    """
    ranges = [
        PlannedRange(
            shard=shards[group[0].shard],
            start=group[0].offset,
            stop=max(request.offset + request.size for request in group),
            first=min(request.sample for request in group),
            last=max(request.sample for request in group),
            offsets=tuple(request.offset for request in group),
        )
        for group in coalesce(requests, reading)
    ]
    return sorted(ranges, key=lambda planned: planned.first)
