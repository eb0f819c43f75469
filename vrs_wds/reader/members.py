"""Reads members by the index: plans byte ranges, fetches them, checks every byte."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from vrs_wds.errors import ChecksumMismatch, ShardNotFound, ShardTruncated
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.store import Store

MAX_GAP_BYTES = 1023
"""Members closer than this are read in one go: padding (511) and a header (512) at most, so that
no byte of a member that was not asked for is read."""
MAX_RANGE_BYTES = 16 * 1024 * 1024
"""Ranges are not joined beyond this size."""


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
    requests: Iterable[MemberRequest],
    *,
    max_gap: int = MAX_GAP_BYTES,
    max_size: int = MAX_RANGE_BYTES,
) -> Iterator[list[MemberRequest]]:
    """Group requests into byte ranges: same shard, small gaps, bounded size. Pure.

    max_gap=10::

        bytes     [0 100)  [105 200)      [900 950)
        ranges    [      0 200     )      [900 950)
    """
    group: list[MemberRequest] = []
    shard = start = stop = 0
    for request in sorted(requests):
        end = request.offset + request.size
        if group:
            if (
                request.shard == shard
                and request.offset - stop <= max_gap
                and end - start <= max_size
            ):
                group.append(request)
                stop = max(stop, end)
                continue
            yield group
        group = [request]
        shard, start, stop = request.shard, request.offset, end
    if group:
        yield group


def read_members(
    store: Store,
    shards: Sequence[str],
    requests: Sequence[MemberRequest],
    keys: Sequence[str],
    members: Sequence[dict[str, bytes]],
) -> None:
    """Fetch members, in the order of their places; every one is checked against its CRC32C.

    Args:
        store: Where the shards are.
        shards: Names of the shards, by number.
        requests: What to read.
        keys: Keys of the samples asked for, for messages.
        members: Filled: bytes by extension, for each sample asked for.

    Raises:
        ShardNotFound: if a shard is not there.
        ShardTruncated: if a shard ends before a member does.
        ChecksumMismatch: if a member's bytes are not those that were written.
    """
    # A store may say that short ranges are quicker: they stay in the processor's cache.
    max_size = getattr(store, "joined_range_bytes", MAX_RANGE_BYTES)
    for group in coalesce(requests, max_size=max_size):
        name = shards[group[0].shard]
        start = stop = group[0].offset
        for request in group:
            end = request.offset + request.size
            if end > stop:
                stop = end
        try:
            data = store.get_range(name, start, stop - start)
        except FileNotFoundError as error:
            raise ShardNotFound(
                f"{store.url_of(name)}: the manifest names this shard, but it is not there. Fetch "
                "it again, or write the split anew."
            ) from error
        for request in group:
            first, size = request.offset - start, request.size
            member = data[first : first + size]
            if len(member) < size or crc32c(member) != request.crc32c:
                raise _damaged(member, request, store.url_of(name), keys[request.sample])
            members[request.sample][request.extension] = member


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
