"""The bytes of a cached block's file: a mark, a key, checksums, data.

::

    bytes         content, numbers are little-endian
    0-8           the mark: a file without it is not ours
    8-40          key of the block
    40-44         size of the data
    44-48         bytes of data under one checksum
    48-52         CRC32C of the bytes 0-48 and of the checksums
    52-52+4n      CRC32C of each part of the data
    ...           the data

Data are checked each time they are read, but only the parts that are read.
"""

import os
import struct
from collections.abc import Sequence

from crc32c import crc32c

from vrs_wds.storage.blocks import Block

MARK = b"VRSWDSb1"
_HEAD = struct.Struct("<8s32sII")
_CHECKSUM = struct.Struct("<I")
_PART_BYTES = 64 * 1024
_ROUND_BYTES = 4096


class DamagedBlock(Exception):
    """A block's file is not what was written."""


class ForeignFile(Exception):
    """A file was not written by this package."""


def file_bytes(block: Block) -> int:
    """Return the size of a block's file."""
    return _data_start(block) + block.size


def charge(size: int) -> int:
    """Return what a file of this size counts: disks give whole pages.

    >>> charge(0), charge(1), charge(4096)
    (0, 4096, 4096)
    """
    return -(-size // _ROUND_BYTES) * _ROUND_BYTES


def is_marked(descriptor: int) -> bool:
    """Tell whether a file begins with the mark, ends within it, or lost it to a power cut.

    A disk that lost power gives zeros for what it had not written yet.
    """
    return _has_mark(os.pread(descriptor, len(MARK), 0))


def _has_mark(top: bytes) -> bool:
    mark = top[: len(MARK)]
    return MARK.startswith(mark) or not any(mark)


def encode_block(block: Block, data: bytes) -> list[bytes]:
    """Return what a block's file holds, in parts."""
    sums = b"".join(
        _CHECKSUM.pack(crc32c(data[start : start + _PART_BYTES]))
        for start in range(0, len(data), _PART_BYTES)
    )
    head = _HEAD.pack(MARK, block.key, len(data), _PART_BYTES)
    return [head, _CHECKSUM.pack(crc32c(head + sums)), sums, data]


def read_pieces(
    descriptor: int, block: Block, pieces: Sequence[tuple[int, int]], *, found_bytes: int
) -> list[list[bytes]]:
    """Read parts of a block from its file; every byte returned has been checked.

    Args:
        descriptor: The open file.
        block: The block that should be in it.
        pieces: First byte in the block, and one more than the last, of each part.
        found_bytes: Size of the file.

    Returns:
        The bytes of each part, to be joined.

    Raises:
        ForeignFile: if there is no mark.
        DamagedBlock: if the file is not what was written.
    """
    start = _data_start(block)
    top = os.pread(descriptor, start, 0)
    if not _has_mark(top):
        raise ForeignFile
    if found_bytes != file_bytes(block):
        raise DamagedBlock(f"expected {file_bytes(block):,} bytes, found {found_bytes:,}")
    head, (found,) = top[: _HEAD.size], _CHECKSUM.unpack_from(top, _HEAD.size)
    sums = top[_HEAD.size + _CHECKSUM.size :]
    if head != _HEAD.pack(MARK, block.key, block.size, _PART_BYTES):
        raise DamagedBlock("the head is that of another block")
    if found != crc32c(head + sums):
        raise DamagedBlock("the head's checksum differs")
    expected = struct.unpack(f"<{_parts(block)}I", sums)
    return [_read_parts(descriptor, start, block, expected, first, stop) for first, stop in pieces]


def _read_parts(
    descriptor: int, data_start: int, block: Block, sums: Sequence[int], first: int, stop: int
) -> list[bytes]:
    """Read the parts that hold `[first, stop)`, check them, and cut what was not asked for."""
    found = []
    for number in range(first // _PART_BYTES, -(-stop // _PART_BYTES)):
        start = number * _PART_BYTES
        part = os.pread(descriptor, min(_PART_BYTES, block.size - start), data_start + start)
        if crc32c(part) != sums[number]:
            raise DamagedBlock(f"the checksum of the data from byte {start:,} on differs")
        if start < first or start + len(part) > stop:
            part = part[max(first - start, 0) : stop - start]
        found.append(part)
    return found


def _parts(block: Block) -> int:
    return -(-block.size // _PART_BYTES)


def _data_start(block: Block) -> int:
    return _HEAD.size + _CHECKSUM.size * (1 + _parts(block))
