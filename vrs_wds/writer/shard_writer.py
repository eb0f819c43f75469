"""Packs prepared samples into one shard."""

import hashlib
import time
from typing import Final

from vrs_wds.shard.checksums import crc32c
from vrs_wds.shard.index_table import IndexRow, MemberPlace
from vrs_wds.shard.manifest import ShardInfo
from vrs_wds.shard.tar_header import BLOCK, END_OF_ARCHIVE, make_header, member_bytes, padding
from vrs_wds.storage.store import StoreWriter
from vrs_wds.writer.background_hash import BackgroundHash
from vrs_wds.writer.prepare import PreparedSample

PIECE_BYTES: Final = 1024**2
"""Samples are gathered to pieces of this size, which are written and hashed in one go."""

_ZEROS: Final = bytes(BLOCK)


def packed_bytes(sample: PreparedSample) -> int:
    """Return how many bytes a sample takes in a shard."""
    return sum([member_bytes(f"{sample.key}.{ext}", len(data)) for ext, data in sample.members])


class ShardWriter:
    """Writes samples to a shard, and keeps the rows of its index.

    The last samples are in memory until `close`. Without it there is nothing to clean up.
    """

    def __init__(self, writer: StoreWriter) -> None:
        self.rows: list[IndexRow] = []
        self._writer = writer
        self._size = 0
        self._gathered: list[bytes] = []
        self._written = 0
        self._sha256 = BackgroundHash(hashlib.sha256())
        self._md5 = BackgroundHash(hashlib.md5(usedforsecurity=False))  # wids asks for it

    def fits(self, size: int, *, max_samples: int, max_bytes: int) -> bool:
        """Tell whether a sample of `size` packed bytes still fits; the first always does."""
        if not self.rows:
            return True
        total = self._size + size + len(END_OF_ARCHIVE)
        return len(self.rows) < max_samples and total <= max_bytes

    def add(self, sample: PreparedSample) -> None:
        """Append a sample."""
        offset = position = self._size
        places = {}
        for extension, data in sample.members:
            size = len(data)
            header = make_header(f"{sample.key}.{extension}", size)
            position += len(header)
            places[extension] = MemberPlace(position, size, crc32c(data))
            filler = _ZEROS[: padding(size)]
            position += size + len(filler)
            self._gathered += (header, data, filler)
        self._size = position
        self.rows.append(
            IndexRow(
                key=sample.key,
                offset=offset,
                size=position - offset,
                members=places,
                width=sample.width,
                height=sample.height,
                format=sample.format,
                counts=sample.counts,
                facts=sample.facts,
            )
        )
        if position - self._written >= PIECE_BYTES:
            self._flush()
        # A hash that has done its piece waits for the interpreter, by default for up to 5 ms: twice
        # what a piece takes. This lets it in, and costs a microsecond.
        time.sleep(0)

    def close(self, name: str) -> ShardInfo:
        """Write the end of the tar, and return what the manifest says of it."""
        self._gathered.append(END_OF_ARCHIVE)
        self._size += len(END_OF_ARCHIVE)
        self._flush()
        return ShardInfo(
            url=name,
            nsamples=len(self.rows),
            filesize=self._size,
            md5sum=self._md5.hexdigest(),
            sha256=self._sha256.hexdigest(),
        )

    def _flush(self) -> None:
        """Write and hash what was gathered; a large part is not copied."""
        small: list[bytes] = []
        for part in self._gathered:
            if len(part) < PIECE_BYTES:
                small.append(part)
                continue
            self._write(b"".join(small))
            small.clear()
            self._write(part)
        self._write(b"".join(small))
        self._gathered.clear()
        self._written = self._size

    def _write(self, piece: bytes) -> None:
        if piece:
            self._sha256.update(piece)
            self._md5.update(piece)
            self._writer.write(piece)
