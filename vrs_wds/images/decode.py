"""Image bytes to RGB pixels.

The rule that says what the pixels are is in the docstring of `vrs_wds.images`. Who decodes:

================  ==========================================================================
JPEG              simplejpeg (libjpeg-turbo), strict
PNG               imagecodecs (libpng), after a check of every chunk
16-bit TIFF       imagecodecs (libtiff)
all else          Pillow, counted: see `vrs_wds.images.fallbacks`
================  ==========================================================================

Everything here may be called from many threads at once; the decoders release the GIL.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vrs_wds.images.fallbacks import count_fallback
from vrs_wds.images.header import ImageHeader, read_headers
from vrs_wds.images.jpeg import decode_jpeg
from vrs_wds.images.jpeg_header import JpegHeader
from vrs_wds.images.orientation import contiguous, swaps_sides
from vrs_wds.images.pillow import decode_with_pillow, upright
from vrs_wds.images.png import decode_png
from vrs_wds.images.refusal import refusal

Slot = Callable[[int, int], NDArray[np.uint8] | None]
"""Takes height and width; gives `(height, width, 3)` memory for the pixels, or None if it has none
of that size."""
Shrink = Callable[[tuple[int, int]], tuple[int, int]]
"""Takes a picture's `(width, height)`; gives the least that it may be decoded to."""

_EIGHTHS: Final = 8
"""libjpeg shrinks a picture to so many parts of its size."""
DEFAULT_MAX_PIXELS: Final = 2**28
"""A square of 16384: 768 MiB as RGB. A small file can claim any size, so there is a limit."""


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
    return decode_into(data, where=where, max_pixels=max_pixels)[0]


def decode_into(
    data: bytes,
    *,
    where: str,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    slot: Slot | None = None,
    shrink: Shrink | None = None,
) -> tuple[NDArray[np.uint8], ImageHeader]:
    """Return the pixels as `decode_rgb` does, and the header; perhaps smaller, in memory given.

    Args:
        data: the whole file.
        where: shard, member or path, for the message of an error.
        max_pixels: see `decode_rgb`.
        slot: memory for the pixels; what it gives is what is returned, filled.
        shrink: a JPEG of at least twice this size is decoded smaller, by eighths, but not below
            it; other pictures come in full.

    Raises:
        DecodeError: see `decode_rgb`.
        ConfigError: see `decode_rgb`.
    """
    header, jpeg = read_headers(data, where=where)
    check_pixels(header, max_pixels, where=where)
    size_wh = full_wh = (header.width, header.height)
    least_wh = (0, 0)
    if shrink is not None and jpeg is not None:
        least_wh = shrink(full_wh)
        if 2 * least_wh[0] > full_wh[0] or 2 * least_wh[1] > full_wh[1]:
            least_wh = (0, 0)
        else:
            size_wh = shrunk_wh(full_wh, least_wh)
    out = None if slot is None else slot(size_wh[1], size_wh[0])
    stored_wh = least_wh[::-1] if swaps_sides(header.orientation) else least_wh
    direct = out if header.orientation == 1 else None
    pixels = _decode(data, header.format, jpeg, direct, stored_wh, where=where)
    if pixels is not out:
        pixels = upright(pixels, header.format, header.orientation)
        if out is not None and pixels.shape == out.shape:
            np.copyto(out, pixels)
            pixels = out
        pixels = contiguous(pixels)
    if pixels is not out and pixels.shape not in {(*full_wh[::-1], 3), (*size_wh[::-1], 3)}:
        expected = f"{header.width} x {header.height} RGB pixels as the header says"
        raise refusal(where, expected=expected, found=f"an array of shape {pixels.shape}")
    return pixels, header


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
    data: bytes,
    image_format: str,
    jpeg: JpegHeader | None,
    out: NDArray[np.uint8] | None,
    least_wh: tuple[int, int],
    *,
    where: str,
) -> NDArray[np.uint8]:
    if jpeg is not None:
        return decode_jpeg(data, jpeg, where=where, out=out, least_wh=least_wh)
    if image_format == "png":
        return decode_png(data, where=where, out=out)
    count_fallback(f"format: {image_format}")
    return decode_with_pillow(data, image_format, where=where)


def check_pixels(header: ImageHeader, max_pixels: int, *, where: str) -> None:
    """Raise if the picture is larger than allowed."""
    limit, name = max_pixels, "max_pixels"
    pillow_limit = Image.MAX_IMAGE_PIXELS
    if header.format not in ("jpeg", "png") and pillow_limit is not None and pillow_limit < limit:
        # Pillow warns above its limit, from inside its decoders and to every thread.
        limit, name = pillow_limit, "PIL.Image.MAX_IMAGE_PIXELS"
    if header.width * header.height > limit:
        raise refusal(
            where,
            expected=f"at most {name}={limit} pixels",
            found=f"{header.width} x {header.height} = {header.width * header.height}",
            advice=f"Raise {name} if the picture is meant to be so large.",
        )
