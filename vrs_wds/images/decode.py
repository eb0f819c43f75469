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

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vrs_wds.images.fallbacks import count_fallback
from vrs_wds.images.header import ImageHeader, read_header
from vrs_wds.images.jpeg import decode_jpeg
from vrs_wds.images.orientation import contiguous
from vrs_wds.images.pillow import decode_with_pillow, upright
from vrs_wds.images.png import decode_png
from vrs_wds.images.refusal import refusal

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
    header = read_header(data, where=where)
    check_pixels(header, max_pixels, where=where)
    pixels = _decode(data, header.format, where=where)
    pixels = contiguous(upright(pixels, header.format, header.orientation))
    if pixels.shape != (header.height, header.width, 3):
        expected = f"{header.width} x {header.height} RGB pixels as the header says"
        raise refusal(where, expected=expected, found=f"an array of shape {pixels.shape}")
    return pixels


def _decode(data: bytes, image_format: str, *, where: str) -> NDArray[np.uint8]:
    if image_format == "jpeg":
        return decode_jpeg(data, where=where)
    if image_format == "png":
        return decode_png(data, where=where)
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
