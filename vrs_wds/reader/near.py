"""Reads members from where a range costs little: one range after another, as places come."""

from collections.abc import Sequence

from vrs_wds.reader.members import RangeSource, damaged, fetch_range
from vrs_wds.shard.checksums import KEEP_LOCK, crc32c_from
from vrs_wds.shard.index_table import ABSENT
from vrs_wds.storage.reading import Reading

Place = Sequence[int]
"""Of a member: shard, offset, size and CRC32C."""


class NearReader:
    """Reads samples into dicts; members that lie side by side are read together.

    ::

        members   m1 m2 | m3 | picture | m1 m2 ...     gaps, sizes and lengths as `Reading` says
        ranges    [    )[    )[       )[     )

    This is cheaper than to plan all ranges first, which a far store needs.
    """

    def __init__(self, source: RangeSource, shards: Sequence[str], reading: Reading) -> None:
        """Make a reader that has read nothing.

        Args:
            source: Where the shards are.
            shards: Names of the shards, by number.
            reading: How the source likes to be read.
        """
        self._source = source
        self._shards = shards
        self._gap_bytes, self._range_bytes = reading.gap_bytes, reading.range_bytes
        self._alone_bytes = reading.alone_bytes
        self._shard, self._start, self._stop = -1, 0, 0
        self._waiting: list[tuple[int, int, int, str, dict[str, bytes], str]] = []

    def take(
        self,
        key: str,
        columns: Sequence[tuple[str, int]],
        places: Sequence[Place],
    ) -> dict[str, bytes]:
        """Take a sample; return its members by extension, in the order of `columns`.

        Their bytes are there when the next range is begun, or after `flush`.

        Args:
            key: Its key, for messages.
            columns: Extension of each member to read, and its number in `places`.
            places: Where the members are; those that are nowhere are left out.

        Raises:
            ShardNotFound: if a shard is not there.
            ShardTruncated: if a shard ends before a member does.
            ChecksumMismatch: if a member's bytes are not those that were written.
        """
        waiting, alone_bytes = self._waiting, self._alone_bytes
        members: dict[str, bytes] = {}
        for extension, column in columns:
            shard, offset, size, crc = places[column]
            if size == ABSENT:
                continue
            members[extension] = b""  # in order, whatever is read first
            end = offset + size
            if (
                shard != self._shard
                or not 0 <= offset - self._stop <= self._gap_bytes
                or end - self._start > self._range_bytes
                or size >= alone_bytes
            ):
                self.flush()
                self._shard, self._start = shard, offset
            self._stop = end
            waiting.append((offset, size, crc, extension, members, key))
            if size >= alone_bytes:
                self.flush()
        return members

    def flush(self) -> None:
        """Read what waits; see `take`."""
        waiting, shard, start = self._waiting, self._shard, self._start
        if not waiting:
            return
        name = self._shards[shard]
        data = fetch_range(self._source, name, start, self._stop - start)
        is_short = len(data) < self._stop - start
        for offset, size, crc, extension, members, key in waiting:
            first = offset - start
            member = data[first : first + size]
            if crc32c_from(member, 0, KEEP_LOCK) != crc or (is_short and len(member) < size):
                where = f"{self._source.url_of(name)}: sample {key!r}: member '{key}.{extension}'"
                raise damaged(member, size, crc, where)
            members[extension] = member
        waiting.clear()
        self._shard = -1
