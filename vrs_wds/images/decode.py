"""Image bytes to RGB pixels.

The rule that says what the pixels are is in the docstring of `vrs_wds.images`. Who decodes:

================  ==========================================================================
JPEG              simplejpeg (libjpeg-turbo), strict
PNG               imagecodecs (libdeflate, libpng), after a check of every chunk
16-bit TIFF       imagecodecs (libtiff)
all else          Pillow, counted: see `vrs_wds.images.fallbacks`
================  ==========================================================================

Everything here may be called from many threads at once; the decoders release the GIL.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vrs_wds.images.coded import DEFAULT_MAX_PIXELS, CodedPicture
from vrs_wds.images.fallbacks import count_fallback
from vrs_wds.images.header import ImageHeader
from vrs_wds.images.jpeg import decode_jpeg
from vrs_wds.images.jpeg_header import JpegHeader
from vrs_wds.images.orientation import contiguous, swaps_sides
from vrs_wds.images.pillow import decode_with_pillow, upright
from vrs_wds.images.png import PngHeader, decode_png
from vrs_wds.images.refusal import refusal

Slot = Callable[[int, int], NDArray[np.uint8] | None]
"""Takes height and width; gives `(height, width, 3)` memory for the pixels, or None if it has none
of that size."""
Shrink = Callable[[tuple[int, int]], tuple[int, int]]
"""Takes a picture's `(width, height)`; gives the least that it may be decoded to."""

_EIGHTHS: Final = 8
"""libjpeg shrinks a picture to so many parts of its size."""


def decode_rgb(
    data: bytes, *, where: str, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Return `(height, width, 3)` RGB uint8 pixels, upright, C-contiguous, the caller's to write.

    The size is that of `read_header`. Equal bytes give equal pixels.

    Args:
        data: the whole file.
        where: shard, member or path, for the message of an error.
        max_pixels: the largest width x height; checked before memory for pixels is taken. What
            Pillow decodes is held to `PIL.Image.MAX_IMAGE_PIXELS` too.

    Raises:
        DecodeError: if the bytes are not one complete image within the rule and the limit.
        ConfigError: if Pillow is needed, and has been told to fill in missing data.
    """
    return decode_picture(CodedPicture.read(data, where=where, max_pixels=max_pixels))


def decode_picture(
    picture: CodedPicture, *, slot: Slot | None = None, shrink: Shrink | None = None
) -> NDArray[np.uint8]:
    """Return the pixels as `decode_rgb` does; perhaps smaller, in memory given.

    Args:
        picture: what is to be decoded.
        slot: memory for the pixels; what it gives is what is returned, filled.
        shrink: a JPEG of at least twice this size is decoded smaller, by eighths, but not below
            it; other pictures come in full.

    Raises:
        DecodeError: see `decode_rgb`.
        ConfigError: see `decode_rgb`.
    """
    header = picture.header
    full_wh = (header.width, header.height)
    size_wh, least_wh = decoded_size(header, shrink)
    out = None if slot is None else slot(size_wh[1], size_wh[0])
    if header.orientation == 1:
        pixels = _decode(picture, out, least_wh)
    else:
        stored_wh = least_wh[::-1] if swaps_sides(header.orientation) else least_wh
        pixels = _decode(picture, None, stored_wh)
    if pixels is out:
        return pixels
    pixels = upright(pixels, header.format, header.orientation)
    if out is not None and pixels.shape == out.shape:
        np.copyto(out, pixels)
        return out
    pixels = contiguous(pixels)
    if pixels.shape not in {(*full_wh[::-1], 3), (*size_wh[::-1], 3)}:
        expected = f"{header.width} x {header.height} RGB pixels as the header says"
        raise refusal(picture.where, expected=expected, found=f"an array of shape {pixels.shape}")
    return pixels


def decoded_size(
    header: ImageHeader, shrink: Shrink | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the `(width, height)` that a picture is decoded to, and the least that is asked for.

    The least is (0, 0) where the picture comes in full.
    """
    full_wh = (header.width, header.height)
    if shrink is None or header.format != "jpeg":
        return full_wh, (0, 0)
    least_wh = shrink(full_wh)
    if 2 * least_wh[0] > full_wh[0] or 2 * least_wh[1] > full_wh[1]:
        return full_wh, (0, 0)
    return shrunk_wh(full_wh, least_wh), least_wh


@lru_cache(maxsize=256)
def shrunk_wh(full_wh: tuple[int, int], least_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the least size, in eighths of the full one, that is no smaller than `least_wh`.

    >>> shrunk_wh((512, 512), (256, 256)), shrunk_wh((1001, 400), (300, 100))
    ((256, 256), (376, 150))
    """
    for eighths in range(1, _EIGHTHS):
        width, height = (-(-side * eighths // _EIGHTHS) for side in full_wh)
        if width >= least_wh[0] and height >= least_wh[1]:
            return width, height
    return full_wh


def _decode(
    picture: CodedPicture, out: NDArray[np.uint8] | None, least_wh: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the stored picture, not yet turned upright."""
    data, stored, where = picture.data, picture.stored, picture.where
    if isinstance(stored, JpegHeader):
        return decode_jpeg(data, stored, where=where, out=out, least_wh=least_wh)
    if isinstance(stored, PngHeader):
        return decode_png(data, stored, where=where, out=out)
    image_format = picture.header.format
    count_fallback(f"format: {image_format}")
    return decode_with_pillow(data, image_format, where=where)
