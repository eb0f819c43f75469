"""Reads members by the index: plans byte ranges, fetches them, checks every byte."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vrs_wds.errors import ChecksumMismatch, ShardNotFound, ShardTruncated
from vrs_wds.shard.checksums import crc32c
from vrs_wds.storage.store import Store

MAX_GAP_BYTES = 1023
"""Members closer than this are read in one go: padding (511) and a header (512) at most, so that
no byte of a member that was not asked for is read."""
MAX_RANGE_BYTES = 16 * 1024 * 1024
"""Ranges are not joined beyond this size."""


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
    stop = 0
    for request in sorted(requests):
        joined = (
            group
            and request.shard == group[0].shard
            and request.offset - stop <= max_gap
            and request.offset + request.size - group[0].offset <= max_size
        )
        if group and not joined:
            yield group
            group = []
        stop = max(stop, request.offset + request.size) if group else request.offset + request.size
        group.append(request)
    if group:
        yield group


def read_members(
    store: Store, shards: Sequence[str], requests: Sequence[MemberRequest], keys: Sequence[str]
) -> Iterator[tuple[MemberRequest, bytes]]:
    """Fetch members, in the order of their places; every one is checked against its CRC32C.

    Args:
        store: Where the shards are.
        shards: Names of the shards, by number.
        requests: What to read.
        keys: Keys of the samples asked for, for messages.

    Raises:
        ShardNotFound: if a shard is not there.
        ShardTruncated: if a shard ends before a member does.
        ChecksumMismatch: if a member's bytes are not those that were written.
    """
    for group in coalesce(requests):
        name = shards[group[0].shard]
        start = group[0].offset
        stop = max(request.offset + request.size for request in group)
        try:
            data = store.get_range(name, start, stop - start)
        except FileNotFoundError as error:
            raise ShardNotFound(
                f"{store.url_of(name)}: the manifest names this shard, but it is not there. Fetch "
                "it again, or write the split anew."
            ) from error
        for request in group:
            member = data[request.offset - start : request.offset - start + request.size]
            _check(member, request, store.url_of(name), keys[request.sample])
            yield request, member


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
