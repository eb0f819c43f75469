"""Packs prepared samples into one shard."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from vrs_wds.shard.checksums import crc32c
from vrs_wds.shard.index_table import IndexRow, MemberPlace
from vrs_wds.shard.manifest import ShardInfo
from vrs_wds.shard.tar_header import BLOCK, END_OF_ARCHIVE, make_headers
from vrs_wds.storage.store import StoreWriter
from vrs_wds.writer.background import Background
from vrs_wds.writer.prepare import PreparedSample

PIECE_BYTES: Final = 4 * 1024**2
"""Samples are gathered to pieces of this size, which are written and hashed in one go.

A thread that has hashed a piece waits for the interpreter, for up to 5 ms, to get the next one: a
piece takes it longer than that.
"""

_SMALL_BYTES: Final = 32 * 1024
"""A sample up to this size is joined at once; to copy a larger one twice takes too long. Packing
one takes longer than hashing it."""

_FILLERS: Final = tuple(bytes(-size % BLOCK) for size in range(BLOCK))
"""What follows data of this size, modulo a block."""


class ShardWriter:
    """Writes samples to a shard, and keeps the rows of its index.

    `add` samples, as long as they fit, then `end`; both in one thread. Then `close`, in any thread.
    To give up at any time: `stop`.
    """

    def __init__(self, writer: StoreWriter, *, max_samples: int, max_bytes: int) -> None:
        self._max_samples = max_samples
        self._max_bytes = max_bytes
        self.rows: list[IndexRow] = []
        self._size = 0
        self._gathered: list[bytes] = []
        self._written = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)  # wids asks for it
        self._takers = (self._sha256.update, self._md5.update, writer.write)
        self._works: list[Background] = []

    def add(self, sample: PreparedSample) -> bool:
        """Append a sample; tell whether it fitted. The first always does."""
        offset = position = self._size
        parts: list[bytes] = []
        places = {}
        headers = make_headers(sample.key, sample.members)
        for header, (extension, data) in zip(headers, sample.members, strict=True):
            size = len(data)
            filler = _FILLERS[size % BLOCK]
            parts += (header, data, filler)
            position += len(header)
            places[extension] = MemberPlace(position, size, crc32c(data))
            position += size + len(filler)
        if self.rows and (
            len(self.rows) >= self._max_samples or position + len(END_OF_ARCHIVE) > self._max_bytes
        ):
            return False
        if position - offset <= _SMALL_BYTES:
            parts = [b"".join(parts)]  # while they are in the processor's cache
        self._gathered += parts
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
        return True

    def end(self) -> None:
        """Hand over the last samples and the end of the tar."""
        self._gathered.append(END_OF_ARCHIVE)
        self._size += len(END_OF_ARCHIVE)
        self._flush()

    def close(self, name: str) -> ShardInfo:
        """Wait until all is hashed and written; return what the manifest says of the shard."""
        for work in self._works:
            work.wait()
        return ShardInfo(
            url=name,
            nsamples=len(self.rows),
            filesize=self._size,
            md5sum=self._md5.hexdigest(),
            sha256=self._sha256.hexdigest(),
        )

    def stop(self) -> None:
        """Leave what is not hashed and written; afterwards nobody uses the store's writer."""
        for work in self._works:
            work.stop()

    def _flush(self) -> None:
        """Hand over what was gathered; a large part is not copied."""
        small: list[bytes] = []
        for part in self._gathered:
            if len(part) < PIECE_BYTES:
                small.append(part)
                continue
            self._put(b"".join(small))
            small.clear()
            self._put(part)
        self._put(b"".join(small))
        self._gathered.clear()
        self._written = self._size

    def _put(self, piece: bytes) -> None:
        if not self._works:
            self._works = [Background(take) for take in self._threads_for(len(self.rows))]
        if piece:
            for work in self._works:
                work.put(piece)

    def _threads_for(self, num_samples: int) -> Sequence[Callable[[bytes], object]]:
        """Return what threads do: all three one after another, or each of them one."""
        if self._size > num_samples * _SMALL_BYTES:
            return self._takers

        def take(piece: bytes) -> None:
            for taker in self._takers:
                taker(piece)

        # Small samples take longer to pack: more threads would only get in that one's way.
        return (take,)
