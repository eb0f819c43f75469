"""Reads members by the index: plans byte ranges, fetches them, checks every byte."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from vrs_wds.errors import ChecksumMismatch, ShardNotFound, ShardTruncated
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.reading import NEAR, Reading, reading_of

_PADDING = NEAR.gap_bytes


class RangeSource(Protocol):
    """Gives ranges of shards: a store, or what was fetched from one."""

    def url_of(self, name: str) -> str:
        """Return a name's full address, for messages."""
        ...

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        ...


class MemberRequest(msgspec.Struct, frozen=True, order=True, gc=False):
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
    gap_bytes, range_bytes = reading.gap_bytes, reading.range_bytes
    group: list[MemberRequest] = []
    shard = start = stop = unasked = 0
    for request in sorted(requests):
        gap, end = request.offset - stop, request.offset + request.size
        if group and (
            request.shard != shard
            or gap > gap_bytes
            or end - start > range_bytes
            or (gap > _PADDING and unasked + gap > reading.max_unasked * (stop - start - unasked))
        ):
            yield group
            group = []
        if not group:
            shard = request.shard
            start = stop = request.offset
            unasked = gap = 0
        if gap > 0:
            unasked += gap
        if end > stop:
            stop = end
        group.append(request)
    if group:
        yield group


def read_members(
    source: RangeSource,
    shards: Sequence[str],
    requests: Sequence[MemberRequest],
    keys: Sequence[str],
    members: Sequence[dict[str, bytes]],
) -> None:
    """Fetch members, in the order of their places; every one is checked against its CRC32C.

    Args:
        source: Where the shards are. From a far store, several ranges are fetched at once.
        shards: Names of the shards, by number.
        requests: What to read.
        keys: Keys of the samples asked for, for messages.
        members: Filled: bytes by extension, for each sample asked for.

    Raises:
        ShardNotFound: if a shard is not there.
        ShardTruncated: if a shard ends before a member does.
        ChecksumMismatch: if a member's bytes are not those that were written.
    """
    reading = reading_of(source)

    def fetch(group: list[MemberRequest]) -> bytes:
        return _fetch(source, shards[group[0].shard], group)

    groups = list(coalesce(requests, reading))
    side_by_side = min(reading.requests, len(groups))
    fetched = _side_by_side(fetch, groups, side_by_side) if side_by_side > 1 else map(fetch, groups)
    for group, data in zip(groups, fetched, strict=True):
        start = group[0].offset
        for request in group:
            first, size = request.offset - start, request.size
            member = data[first : first + size]
            if len(member) < size or crc32c(member) != request.crc32c:
                url = source.url_of(shards[request.shard])
                raise _damaged(member, request, url, keys[request.sample])
            members[request.sample][request.extension] = member


def _fetch(source: RangeSource, name: str, group: list[MemberRequest]) -> bytes:
    start = stop = group[0].offset
    for request in group:
        end = request.offset + request.size
        if end > stop:
            stop = end
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
    with ThreadPoolExecutor(requests, "vrs_wds-get") as pool:
        yield from pool.map(fetch, groups)


def _damaged(
    member: bytes, request: MemberRequest, url: str, key: str
) -> ShardTruncated | ChecksumMismatch:
    name = f"{url}: sample {key!r}: member '{key}.{request.extension}'"
    if len(member) < request.size:
        return ShardTruncated(
            f"{name} should hold {request.size:,} bytes but the shard ends after {len(member):,}. "
            f"Fetch the shard again; `vrs-wds verify` finds all that is missing."
        )
    return ChecksumMismatch(
        f"{name}: expected CRC32C {request.crc32c:08x}, found {crc32c(member):08x}: its bytes were "
        "changed. Fetch the shard again; `vrs-wds verify` finds all such members."
    )
