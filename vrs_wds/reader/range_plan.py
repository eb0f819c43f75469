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
            shard=shards[joined.shard],
            start=joined.start,
            stop=joined.stop,
            first=min(request.sample for request in joined.requests),
            last=max(request.sample for request in joined.requests),
            offsets=tuple(request.offset for request in joined.requests),
        )
        for joined in coalesce(requests, reading)
    ]
    return sorted(ranges, key=lambda planned: planned.first)
