"""Reads members by the index: plans byte ranges, fetches them, checks every byte."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from vrs_wds.errors import ChecksumMismatch, ShardNotFound, ShardTruncated
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.reading import NEAR, Reading, reading_of

_PADDING = NEAR.gap_bytes
_PLACE = attrgetter("shard", "offset")


class RangeSource(Protocol):
    """Gives ranges of shards: a store, or what was fetched from one."""

    def url_of(self, name: str) -> str:
        """Return a name's full address, for messages."""
        ...

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class MemberRequest:
    """One member to read, and what its bytes must be."""

    shard: int
    offset: int
    size: int
    crc32c: int
    sample: int
    """Place of its sample among those asked for."""
    extension: str


def coalesce(
    requests: Iterable[MemberRequest], reading: Reading = NEAR
) -> Iterator[list[MemberRequest]]:
    """Group requests into byte ranges: same shard, small gaps, bounded size. Pure.

    gap_bytes=10::

        bytes     [0 100)  [105 200)      [900 950)
        ranges    [      0 200     )      [900 950)
    """
    group: list[MemberRequest] = []
    start = stop = unasked = 0
    for request in sorted(requests, key=_PLACE):
        gap, end = request.offset - stop, request.offset + request.size
        if (
            not group
            or request.shard != group[0].shard
            or gap > reading.gap_bytes
            or end - start > reading.range_bytes
            or (gap > _PADDING and unasked + gap > reading.max_unasked * (stop - start - unasked))
        ):
            if group:
                yield group
            group, start, stop, unasked, gap = [], request.offset, request.offset, 0, 0
        unasked += max(gap, 0)
        stop = max(stop, end)
        group.append(request)
    if group:
        yield group


def read_members(
    source: RangeSource,
    shards: Sequence[str],
    requests: Sequence[MemberRequest],
    keys: Sequence[str],
) -> Iterator[tuple[MemberRequest, bytes]]:
    """Fetch members, in the order of their places; every one is checked against its CRC32C.

    Args:
        source: Where the shards are. From a far store, several ranges are fetched at once.
        shards: Names of the shards, by number.
        requests: What to read.
        keys: Keys of the samples asked for, for messages.

    Raises:
        ShardNotFound: if a shard is not there.
        ShardTruncated: if a shard ends before a member does.
        ChecksumMismatch: if a member's bytes are not those that were written.
    """
    reading = reading_of(source)
    groups = list(coalesce(requests, reading))

    def fetch(group: list[MemberRequest]) -> bytes:
        return _fetch(source, shards[group[0].shard], group)

    for group, data in zip(groups, _side_by_side(fetch, groups, reading.requests), strict=True):
        start, url = group[0].offset, source.url_of(shards[group[0].shard])
        for request in group:
            member = data[request.offset - start : request.offset - start + request.size]
            _check(member, request, url, keys[request.sample])
            yield request, member


def _fetch(source: RangeSource, name: str, group: list[MemberRequest]) -> bytes:
    start = group[0].offset
    stop = max(request.offset + request.size for request in group)
    try:
        return source.get_range(name, start, stop - start)
    except FileNotFoundError as error:
        raise ShardNotFound(
            f"{source.url_of(name)}: the manifest names this shard, but it is not there. Fetch "
            "it again, or write the split anew."
        ) from error


def _side_by_side(
    fetch: Callable[[list[MemberRequest]], bytes], groups: list[list[MemberRequest]], requests: int
) -> Iterator[bytes]:
    """Yield the bytes of each group in order, with several requests under way."""
    if min(requests, len(groups)) <= 1:
        yield from map(fetch, groups)
        return
    with ThreadPoolExecutor(min(requests, len(groups)), "vrs_wds-get") as pool:
        yield from pool.map(fetch, groups)


def _check(member: bytes, request: MemberRequest, url: str, key: str) -> None:
    name = f"{url}: sample {key!r}: member '{key}.{request.extension}'"
    if len(member) < request.size:
        raise ShardTruncated(
            f"{name} should hold {request.size:,} bytes but the shard ends after {len(member):,}. "
            f"Fetch the shard again; `vrs-wds verify` finds all that is missing."
        )
    if (found := crc32c(member)) != request.crc32c:
        raise ChecksumMismatch(
            f"{name}: expected CRC32C {request.crc32c:08x}, found {found:08x}: its bytes were "
            "changed. Fetch the shard again; `vrs-wds verify` finds all such members."
        )
