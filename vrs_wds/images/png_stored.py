"""A PNG whose compressed stream is replaced by the same bytes stored: inflated by libdeflate.

libpng takes most of its time in zlib, which libdeflate does in half of it; what libpng is good at,
undoing the filters, stays with libpng::

    head | IDAT IDAT ... | rest         as it came
    head | IDAT: 64 KiB stored, ... | IEND    what libpng gets
"""

import threading
from collections.abc import Sequence
from itertools import pairwise
from struct import Struct
from typing import Any, Final, cast

import imagecodecs
import numpy as np

from vrs_wds.images.refusal import DECODER_ERRORS

_MIN_BYTES: Final = 1 << 16
_MAX_BYTES: Final = 1 << 24
"""Smaller pictures gain nothing; for larger ones fresh memory costs what libdeflate saves."""
_MOST_SQUEEZED: Final = 1032
"""Bytes that deflate can make of one (https://zlib.net/zlib_tech.html): else the header lies."""

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel, by the colour type (PNG, table 11.1)."""
_IHDR: Final = Struct(">IIBBBBB")
_IHDR_START: Final = 16
_BLOCK_BYTES: Final = 0xFFFF
"""The most that a stored block may hold (RFC 1951, 3.2.4)."""
_BLOCK: Final = Struct("<BHH")
_UINT32: Final = Struct(">I")
_CHUNK_HEAD: Final = Struct(">I4s")
_ZLIB_HEAD: Final = b"\x78\x01"
"""A window of 32 KiB (RFC 1950, 2.2): libdeflate does not hold a stream to a smaller one."""
_END: Final = b"\0\0\0\0IEND\xae\x42\x60\x82"

_rooms = threading.local()


def with_stored_stream(data: bytes, streams: Sequence[tuple[int, int]]) -> memoryview | None:
    """Return a PNG of the same pixels whose stream is stored; valid until this thread's next call.

    Args:
        data: A PNG of which every chunk was found whole.
        streams: Start and stop of the bodies of its IDAT chunks.

    Returns:
        None if it would not help, or the stream is not what the header says: libpng is to say what
        is wrong with it.
    """
    size = _size_of_rows(data)
    if not streams or size < _MIN_BYTES or streams[0][0] + size > _MAX_BYTES:
        return None
    if not _are_in_a_row(streams):
        return None
    view = memoryview(data)
    stream = b"".join([view[start:stop] for start, stop in streams])
    if stream[:1] != _ZLIB_HEAD[:1] or size > _MOST_SQUEEZED * len(stream):
        return None
    head = streams[0][0] - _CHUNK_HEAD.size
    body = len(_ZLIB_HEAD) + -(-size // _BLOCK_BYTES) * _BLOCK.size + size + _UINT32.size
    total = head + _CHUNK_HEAD.size + body + _UINT32.size + len(_END)
    png = _room(total)
    # The rows go as far back as there is room; then block by block moves to its place before.
    rows: Any = png[total - size :]
    try:
        if len(imagecodecs.deflate_decode(stream, out=rows)) != size:
            return None
    except DECODER_ERRORS:
        return None
    adler = imagecodecs.deflate_adler32(rows)  # the stream's end may not be its last bytes
    png[:head] = view[:head]
    _CHUNK_HEAD.pack_into(png, head, body, b"IDAT")
    checksum = _store(png, head + _CHUNK_HEAD.size, rows)
    _UINT32.pack_into(png, checksum, adler)
    end = checksum + _UINT32.size
    chunk: Any = png[head + _UINT32.size : end]
    _UINT32.pack_into(png, end, imagecodecs.deflate_crc32(chunk))
    png[end + _UINT32.size :] = _END
    return png


def _store(png: memoryview, position: int, rows: memoryview) -> int:
    """Write a zlib stream of stored blocks; return where its checksum goes."""
    png[position : position + len(_ZLIB_HEAD)] = _ZLIB_HEAD
    position += len(_ZLIB_HEAD)
    for first in range(0, len(rows), _BLOCK_BYTES):
        block = rows[first : first + _BLOCK_BYTES]
        size, is_last = len(block), first + _BLOCK_BYTES >= len(rows)
        _BLOCK.pack_into(png, position, is_last, size, size ^ _BLOCK_BYTES)
        position += _BLOCK.size
        png[position : position + size] = block
        position += size
    return position


def _are_in_a_row(chunks: Sequence[tuple[int, int]]) -> bool:
    """Tell whether no other chunk stands between these; libpng refuses that."""
    between = _UINT32.size + _CHUNK_HEAD.size
    return all(start == stop + between for (_, stop), (start, _) in pairwise(chunks))


def _size_of_rows(data: bytes) -> int:
    """Return the number of bytes that the stream holds; 0 if they are in another order."""
    width, height, depth, colour, _, _, interlace = _IHDR.unpack_from(data, _IHDR_START)
    if interlace or colour not in _CHANNELS:
        return 0
    size: int = height * (1 + -(-width * depth * _CHANNELS[colour] // 8))
    return size


def _room(size: int) -> memoryview:
    """Return memory that this thread uses again and again."""
    room = getattr(_rooms, "room", None)
    if room is None or len(room) < size:
        room = _rooms.room = memoryview(cast(Any, np.empty(size, np.uint8)))
    return room[:size]
