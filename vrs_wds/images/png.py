"""PNG to RGB: imagecodecs (libdeflate, libpng), after a check of every chunk."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from vrs_wds.images.orientation import parse_orientation
from vrs_wds.images.png_stored import with_stored_stream
from vrs_wds.images.refusal import DECODER_ERRORS, refusal, refused
from vrs_wds.images.rgb import to_rgb

_SIGNATURE_BYTES: Final = 8
_IHDR_START: Final = 16
_IHDR_BYTES: Final = 13
_PLAIN_RGB: Final = bytes([8, 2])
"""Bits a sample, and the colour type."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What the chunks say, besides the pixels."""

    width: int
    """As stored, in pixels."""
    height: int
    """As stored, in pixels."""
    orientation: int
    """EXIF orientation, 1..8."""
    is_plain_rgb: bool
    """Whether the pixels are stored as three times 8 bits, without a transparent colour."""


def parse_png_header(data: bytes, *, where: str) -> PngHeader:
    """Read the header and, wherever it stands, the EXIF chunk; checks no checksum.

    Raises:
        DecodeError: if the data do not begin with a complete header.
    """
    orientation, width, height = 1, 0, 0
    is_plain_rgb = data[_IHDR_START + 8 : _IHDR_START + 10] == _PLAIN_RGB
    for kind, start, stop in _chunks(data):
        if start == _IHDR_START and kind == b"IHDR" and stop - start == _IHDR_BYTES:
            width, height = unpack_from(">II", data, start)
        elif kind == b"eXIf":
            orientation = parse_orientation(data[start:stop])
        elif kind == b"tRNS":
            is_plain_rgb = False
    if not width:
        found = f"no IHDR chunk at the start of {len(data)} bytes"
        raise refusal(where, expected="a complete png image", found=found)
    return PngHeader(width, height, orientation, is_plain_rgb)


def decode_png(
    data: bytes, header: PngHeader, *, where: str, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return the stored picture, not yet turned upright; in `out`, if it is 8-bit RGB.

    libpng expands palettes, small depths and transparency; Pillow is not asked, as it rounds
    16-bit colours down and accepts some short data.
    """
    streams = _check_chunks(data, where=where)
    if not header.is_plain_rgb:
        out = None
    stored: Any = with_stored_stream(data, streams)
    try:
        samples = imagecodecs.png_decode(data if stored is None else stored, out=out)
    except DECODER_ERRORS as error:
        _give_back_none()
        raise refused(error, where, "png") from error
    if out is not None:
        return out
    return to_rgb(samples, max_value=int(np.iinfo(samples.dtype).max))


def _give_back_none() -> None:
    """Make up for a reference to None that imagecodecs drops where libpng refuses rows.

    Python 3.11 has some ten thousands of them, and ends with the last; 3.12 does not count them.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))


def _check_chunks(data: bytes, *, where: str) -> list[tuple[int, int]]:
    """Return where the compressed pixels are, if every chunk is whole and its checksum right.

    libpng stops at the last row: it misses a lost end, and passes over a damaged `tRNS` or
    `eXIf`, which changes the picture.
    """
    view: Any = memoryview(data)
    streams = []
    kind, stop = b"", _SIGNATURE_BYTES
    for kind, start, stop in _chunks(data):
        # libdeflate's, many times as fast as zlib's
        if imagecodecs.deflate_crc32(view[start - 4 : stop]) != unpack_from(">I", data, stop)[0]:
            found = f"a wrong checksum of chunk {kind!r} at byte {start - 8}"
            raise refusal(where, expected="a complete png image", found=found)
        if kind == b"IDAT":
            streams.append((start, stop))
    if kind != b"IEND":
        found = f"no end chunk in {len(data)} bytes: the last whole chunk ends at byte {stop + 4}"
        raise refusal(where, expected="a complete png image", found=found)
    return streams


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and stop of the body of each whole chunk, up to the end chunk."""
    position, kind = _SIGNATURE_BYTES, b""
    while kind != b"IEND" and position + 12 <= len(data):
        size, kind = unpack_from(">I4s", data, position)
        start, stop = position + 8, position + 8 + size
        if stop + 4 > len(data):
            return
        yield kind, start, stop
        position = stop + 4
