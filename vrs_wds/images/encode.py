"""RGB pixels to image bytes."""

import io
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EncodedFormat = Literal["jpeg", "webp", "png"]
"""What can be written. PNG is lossless."""

EXTENSIONS: Final = MappingProxyType({"jpeg": "jpg", "webp": "webp", "png": "png"})
"""The member extension of each format."""

_MAX_QUALITY: Final = 100


def encode_rgb(image: NDArray[np.uint8], format: EncodedFormat, *, quality: int = 90) -> bytes:
    """Encode pixels with Pillow, with no metadata: equal pixels and options give equal bytes.

    That holds for one version of Pillow; another may compress differently.

    Args:
        image: `(height, width, 3)` RGB uint8.
        format: `jpeg`, `webp` or `png`.
        quality: 1 to 100; PNG takes no notice of it.

    Raises:
        ValueError: if the array, the format or the quality is not as said, or if the picture is
            larger than the format allows (JPEG 65535, WebP 16383 a side).
    """
    _check(image, format, quality)
    picture = Image.fromarray(np.ascontiguousarray(image))
    buffer = io.BytesIO()
    try:
        if format == "png":
            picture.save(buffer, "PNG")
        else:
            picture.save(buffer, format.upper(), quality=quality)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"A picture of {image.shape[1]} x {image.shape[0]} cannot be written as {format}: "
            f"{error}. Write png, or smaller pictures."
        ) from error
    return buffer.getvalue()


def _check(image: NDArray[np.uint8], format: str, quality: int) -> None:
    """Raise unless the arguments are as `encode_rgb` says."""
    if format not in EXTENSIONS:
        raise ValueError(f"format must be one of {', '.join(EXTENSIONS)}, got {format!r}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"image must be (height, width, 3) uint8 with pixels, got {image.shape} {image.dtype}."
        )
    if not 1 <= quality <= _MAX_QUALITY:
        raise ValueError(f"quality must be 1 to 100, got {quality}.")
