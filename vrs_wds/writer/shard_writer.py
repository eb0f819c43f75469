"""Packs prepared samples into one shard."""

from vrs_wds.shard.checksums import ShardHasher, crc32c
from vrs_wds.shard.index_table import IndexRow, MemberPlace
from vrs_wds.shard.manifest import ShardInfo
from vrs_wds.shard.tar_header import END_OF_ARCHIVE, make_header, member_bytes, padding
from vrs_wds.storage.store import StoreWriter
from vrs_wds.writer.prepare import PreparedSample


def packed_bytes(sample: PreparedSample) -> int:
    """Return how many bytes a sample takes in a shard."""
    return sum(member_bytes(f"{sample.key}.{ext}", len(data)) for ext, data in sample.members)


class ShardWriter:
    """Writes samples to a shard, and keeps the rows of its index."""

    def __init__(self, writer: StoreWriter) -> None:
        self.rows: list[IndexRow] = []
        self._writer = writer
        self._hasher = ShardHasher()

    def fits(self, size: int, *, max_samples: int, max_bytes: int) -> bool:
        """Tell whether a sample of `size` packed bytes still fits; the first always does."""
        if not self.rows:
            return True
        total = self._hasher.size + size + len(END_OF_ARCHIVE)
        return len(self.rows) < max_samples and total <= max_bytes

    def add(self, sample: PreparedSample) -> None:
        """Append a sample."""
        offset = self._hasher.size
        places = {}
        for extension, data in sample.members:
            self._write(make_header(f"{sample.key}.{extension}", len(data)))
            places[extension] = MemberPlace(self._hasher.size, len(data), crc32c(data))
            self._write(data)
            self._write(bytes(padding(len(data))))
        self.rows.append(
            IndexRow(
                key=sample.key,
                offset=offset,
                size=self._hasher.size - offset,
                members=places,
                width=sample.width,
                height=sample.height,
                format=sample.format,
                counts=sample.counts,
                facts=sample.facts,
            )
        )

    def close(self, name: str) -> ShardInfo:
        """Write the end of the tar, and return what the manifest says of it."""
        self._write(END_OF_ARCHIVE)
        return ShardInfo(
            url=name,
            nsamples=len(self.rows),
            filesize=self._hasher.size,
            md5sum=self._hasher.md5,
            sha256=self._hasher.sha256,
        )

    def _write(self, data: bytes) -> None:
        self._writer.write(data)
        self._hasher.update(data)
