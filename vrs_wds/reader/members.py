"""Reads members by the index: plans byte ranges, fetches them, checks every byte."""

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

import msgspec

from vrs_wds.errors import ChecksumMismatch, ShardNotFound, ShardTruncated
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.patience import stop_event, stop_with
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


class MemberRange(msgspec.Struct, gc=False):
    """Bytes of a shard that hold members."""

    shard: int
    start: int
    stop: int
    requests: list[MemberRequest]
    """In the order of their offsets."""


def coalesce(requests: Iterable[MemberRequest], reading: Reading = NEAR) -> list[MemberRange]:
    """Group requests into byte ranges: same shard, small gaps, bounded size. Pure.

    gap_bytes=10::

        bytes     [0 100)  [105 200)      [900 950)
        ranges    [      0 200     )      [900 950)
    """
    gap_bytes, range_bytes = reading.gap_bytes, reading.range_bytes
    alone_bytes, max_unasked = reading.alone_bytes, reading.max_unasked
    ranges: list[MemberRange] = []
    shard, start, stop, unasked = -1, 0, 0, 0
    for request in sorted(requests):
        offset, size = request.offset, request.size
        gap, end = offset - stop, offset + size
        if (
            request.shard != shard
            or gap > gap_bytes
            or end - start > range_bytes
            or size >= alone_bytes
            or (gap > _PADDING and unasked + gap > max_unasked * (stop - start - unasked))
        ):
            shard, start, stop, unasked, gap = request.shard, offset, offset, 0, 0
            ranges.append(current := MemberRange(shard, start, stop, []))
        if gap > 0:
            unasked += gap
        if end > stop:
            current.stop = stop = end
        current.requests.append(request)
        if size >= alone_bytes:
            shard = -1  # nothing joins it
    return ranges


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
    ranges = coalesce(requests, reading)

    def fetch(planned: MemberRange) -> bytes:
        name = shards[planned.shard]
        return fetch_range(source, name, planned.start, planned.stop - planned.start)

    # Not left to the garbage collector, which may run in one of the threads and cannot end it.
    with closing(_fetched(fetch, ranges, min(reading.requests, len(ranges)))) as fetched:
        for planned, data in zip(ranges, fetched, strict=True):
            _take_members(planned, data, source, shards, keys, members)


def _take_members(
    planned: MemberRange,
    data: bytes,
    source: RangeSource,
    shards: Sequence[str],
    keys: Sequence[str],
    members: Sequence[dict[str, bytes]],
) -> None:
    """Cut members out of their range, and check them."""
    start = planned.start
    for request in planned.requests:
        first, size = request.offset - start, request.size
        member = data[first : first + size]
        if crc32c(member) != request.crc32c or len(member) < size:
            url, key = source.url_of(shards[request.shard]), keys[request.sample]
            where = f"{url}: sample {key!r}: member '{key}.{request.extension}'"
            raise damaged(member, request.size, request.crc32c, where)
        members[request.sample][request.extension] = member


def fetch_range(source: RangeSource, name: str, start: int, size: int) -> bytes:
    """Return bytes of a shard.

    Raises:
        ShardNotFound: if it is not there.
    """
    try:
        return source.get_range(name, start, size)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ShardNotFound(
            f"{source.url_of(name)}: the manifest names this shard, but it is not there. Fetch "
            "it again, or write the split anew."
        ) from error


def _fetched(
    fetch: Callable[[MemberRange], bytes], ranges: list[MemberRange], requests: int
) -> Generator[bytes]:
    """Yield the bytes of each range in order, with several requests under way."""
    if requests <= 1:
        yield from map(fetch, ranges)
        return
    outer = stop_event()  # of a loader's thread, which may be told to stop while it waits here
    stopped = threading.Event() if outer is None else outer
    with ThreadPoolExecutor(
        requests, "vrs_wds-get", initializer=stop_with, initargs=(stopped,)
    ) as pool:
        try:
            yield from pool.map(fetch, ranges)
        finally:
            if outer is None:
                stopped.set()


def damaged(
    member: bytes, size: int, expected_crc32c: int, where: str
) -> ShardTruncated | ChecksumMismatch:
    """Return the error that says what is wrong with a member's bytes."""
    if len(member) < size:
        return ShardTruncated(
            f"{where} should hold {size:,} bytes but the shard ends after {len(member):,}. "
            f"Fetch the shard again; `vrs-wds verify` finds all that is missing."
        )
    return ChecksumMismatch(
        f"{where}: expected CRC32C {expected_crc32c:08x}, found {crc32c(member):08x}: its bytes "
        "were changed. Fetch the shard again; `vrs-wds verify` finds all such members."
    )
