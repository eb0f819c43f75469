"""EXIF orientation: how the stored rows and columns are to be turned.

::

    1        2        3        4        5         6         7         8
    as is    mirror   turn     mirror   mirror    turn 90   mirror    turn 90
             left-    180      top-     diagonal  right     anti-     left
             right             bottom                       diagonal

Numbers 5 to 8 exchange width and height.
"""

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TAG: Final = 0x0112
_SHORT: Final = 3
_MAX_ENTRIES: Final = 1000


def parse_orientation(exif: bytes) -> int:
    """Return the orientation, 1..8, that an EXIF block states; 1 if it states none that is valid.

    Args:
        exif: a TIFF header and its directories, with or without `Exif` and two zeros before it.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        return _find_orientation(block, order)
    except struct.error:  # cut off; the picture itself may be whole
        return 1


def swaps_sides(orientation: int) -> bool:
    """Say whether the upright picture is as wide as the stored one is high."""
    return orientation >= 5


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of `(H, W, ...)` pixels, turned as the orientation says."""
    if swaps_sides(orientation):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _find_orientation(block: bytes, order: str) -> int:
    """Look through the first directory of a TIFF block."""
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    (entries,) = struct.unpack_from(f"{order}H", block, start)
    for number in range(min(entries, _MAX_ENTRIES)):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * number)
        if tag == _TAG:
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1


def contiguous(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels in row order, in memory that may be written to; a copy only if needed."""
    return np.require(pixels, np.uint8, ["C", "W"])
