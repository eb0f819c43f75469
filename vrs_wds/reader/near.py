"""Reads a sample from where a range costs little: one run of members after another."""

from collections.abc import Sequence

from vrs_wds.reader.members import RangeSource, damaged, fetch_range
from vrs_wds.reader.runs import Run
from vrs_wds.shard.checksums import KEEP_LOCK, crc32c_from

Place = Sequence[int]
"""Of a member: shard, offset, size and CRC32C."""


def read_near(
    source: RangeSource,
    shards: Sequence[str],
    key: str,
    runs: Sequence[Run],
    places: Sequence[Place],
) -> dict[str, bytes]:
    """Return a sample's members by extension, each checked against its CRC32C.

    Args:
        source: Where the shards are.
        shards: Names of the shards, by number.
        key: The sample's key, for messages.
        runs: What to read together; the members come in this order.
        places: Where the members are, by number.

    Raises:
        ShardNotFound: if a shard is not there.
        ShardTruncated: if a shard ends before a member does.
        ChecksumMismatch: if a member's bytes are not those that were written.
    """
    members: dict[str, bytes] = {}
    for run in runs:
        shard, start, _, _ = places[run[0][1]]
        _, last, size, _ = places[run[-1][1]]
        name = shards[shard]
        data = fetch_range(source, name, start, last + size - start)
        for extension, column in run:
            _, offset, size, crc = places[column]
            first = offset - start
            member = data[first : first + size]
            if crc32c_from(member, 0, KEEP_LOCK) != crc or len(member) != size:
                where = f"{source.url_of(name)}: sample {key!r}: member '{key}.{extension}'"
                raise damaged(member, size, crc, where)
            members[extension] = member
    return members
