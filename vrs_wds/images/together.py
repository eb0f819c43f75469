"""Decodes several pictures one right after the other.

What a decoder reads and writes takes the place of the interpreter's code in the processor's caches.
So all that can be done beforehand is done for all of them first, and as little as possible between
two pictures.
"""

from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.decode import Shrink, Slot, decoded_size
from vrs_wds.images.jpeg_header import JpegHeader, missing_components
from vrs_wds.images.refusal import DECODER_ERRORS

_Plan = tuple[int, bytes, NDArray[np.uint8], tuple[int, int]]
"""A picture's number, its bytes, memory for its pixels, and `least_wh` as `decode_jpeg` has it."""


def decode_together(
    pictures: Sequence[CodedPicture],
    slots: Sequence[Slot],
    *,
    shrink: Shrink | None = None,
    only_wh: tuple[int, int] | None = None,
) -> list[NDArray[np.uint8] | None]:
    """Decode the plain JPEGs among pictures, each into the memory that its slot gives.

    Args:
        pictures: what is to be decoded.
        slots: see `decode_picture`; one for each picture.
        shrink: see `decode_picture`.
        only_wh: those that come in another `(width, height)` are left out.

    Returns:
        What `decode_picture` would return of each; None for what is no upright JPEG of one or
        three colours, for what has no memory, and for what the decoder refuses: `decode_picture`
        says why, or knows another decoder.
    """
    plans: list[_Plan] = []
    for number, (picture, slot) in enumerate(zip(pictures, slots, strict=True)):
        if not _is_plain(picture):
            continue
        size_wh, least_wh = decoded_size(picture.header, shrink)
        if only_wh is not None and size_wh != only_wh:
            continue
        if (out := slot(size_wh[1], size_wh[0])) is not None:
            plans.append((number, picture.data, out, least_wh))
    found: list[NDArray[np.uint8] | None] = [None] * len(pictures)
    for number, data, out, (width, height) in plans:
        try:
            pixels = simplejpeg.decode_jpeg(
                data, "RGB", min_width=width, min_height=height, buffer=out
            )
        except DECODER_ERRORS:
            continue
        if pixels.shape == out.shape:
            found[number] = out
    return found


def _is_plain(picture: CodedPicture) -> bool:
    stored = picture.stored
    return (
        isinstance(stored, JpegHeader)
        and picture.header.orientation == 1
        and len(stored.components) != 4
        and not missing_components(picture.data, stored)
    )
