"""Blocks: files cut into pieces of one size. Pure; positions are bytes, ranges are half open."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from vrs_wds.storage.store import Stat

BLOCK_BYTES = 8 * 1024 * 1024
"""What is fetched at once: large enough for the speed of one request to an object store."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of one version of one file."""

    number: int
    """Place in the file, counted in blocks."""
    start: int
    """Its first byte in the file."""
    size: int
    """Bytes; only the last block of a file is smaller than the others."""
    key: bytes
    """32 bytes that no other block of any version of any file has."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of one block that belongs to one of the ranges asked for."""

    place: int
    """Number of the range among those asked for."""
    start: int
    """First byte in the block."""
    stop: int
    """One more than the last byte in the block."""


@dataclass(frozen=True, slots=True)
class CutFile:
    """One version of a file, cut into blocks."""

    url: str
    stat: Stat
    block_bytes: int
    key: bytes = b""
    """32 bytes made of all of the above, which decides the bytes of the file's blocks."""

    def __post_init__(self) -> None:
        named = json.dumps([self.url, self.stat.etag, self.stat.size, self.block_bytes])
        object.__setattr__(self, "key", hashlib.sha256(named.encode("utf-8")).digest())

    def block(self, number: int) -> Block:
        """Return a block by its number."""
        start = number * self.block_bytes
        return Block(
            number=number,
            start=start,
            size=min(self.block_bytes, self.stat.size - start),
            key=hashlib.sha256(self.key + number.to_bytes(8, "little")).digest(),
        )


def plan_pieces(
    ranges: Sequence[tuple[int, int]], *, file_bytes: int, block_bytes: int
) -> dict[int, list[Piece]]:
    """Say which part of which block each range needs; what lies behind the file's end is left out.

    file_bytes=25, block_bytes=10::

        block      0          1          2
                   [0    10)  [10   20)  [20 25)
        range 0        [6      14)
        range 1                  [16           30)

        pieces     0: 6-10    0: 0-4
                              1: 6-10    1: 0-5

    Args:
        ranges: Offset and size of each; neither is negative.
        file_bytes: Size of the file.
        block_bytes: Size of a block.

    Returns:
        Pieces by the number of their block; those of one range lie in order of their blocks.
    """
    pieces: dict[int, list[Piece]] = {}
    for place, (offset, size) in enumerate(ranges):
        stop = min(offset + size, file_bytes)
        for number in range(offset // block_bytes, -(-stop // block_bytes)):
            start = number * block_bytes
            piece = Piece(place, max(offset - start, 0), min(stop - start, block_bytes))
            if piece.start < piece.stop:
                pieces.setdefault(number, []).append(piece)
    return pieces
