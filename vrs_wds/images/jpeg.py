"""JPEG to RGB: simplejpeg, strict; Pillow for what it does not know."""

from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vrs_wds.images.fallbacks import count_fallback
from vrs_wds.images.jpeg_header import END_MARKER, JpegHeader, missing_components
from vrs_wds.images.pillow import decode_with_pillow
from vrs_wds.images.refusal import DECODER_ERRORS, refusal, refused

_UNSUPPORTED: Final = {
    "Could not determine subsampling": "jpeg: unusual subsampling",
    "Unsupported color conversion": "jpeg: colour conversion",
    "Unsupported JPEG data precision": "jpeg: precision",
    "Unsupported JPEG process": "jpeg: process",
    "arithmetic coding": "jpeg: arithmetic coding",
    "unknown JFIF revision": "jpeg: odd header",
    "Unknown Adobe color transform": "jpeg: odd header",
    "Invalid SOS parameters": "jpeg: odd header",
}
"""What simplejpeg says of a sound file that it refuses, and the reason that is counted."""


def decode_jpeg(
    data: bytes,
    header: JpegHeader,
    *,
    where: str,
    out: NDArray[np.uint8] | None = None,
    least_wh: tuple[int, int] = (0, 0),
) -> NDArray[np.uint8]:
    """Return the stored picture, not yet turned upright.

    Args:
        data: the whole file.
        header: what `parse_jpeg_header` says of it.
        where: shard, member or path, for the message of an error.
        out: where the pixels are put, if they are as many.
        least_wh: the picture may be made smaller, by eighths, down to this width and height:
            only as many coefficients are transformed. (0, 0) asks for the whole picture.

    simplejpeg takes libjpeg's warnings about corrupt data for errors, which Pillow does not; so
    Pillow gets only files that simplejpeg calls unsupported, never those it calls corrupt.
    """
    if missing := missing_components(data, header):
        found = f"no data of components {list(missing)}"
        raise refusal(where, expected="a complete jpeg image", found=found)
    try:
        reason = "jpeg: four colours"
        if len(header.components) != 4:
            try:
                return _decode(data, out, least_wh)
            except ValueError as error:
                reason = _reason_to_fall_back(error)
        else:
            _check_four_colours(data)
    except DECODER_ERRORS as error:
        raise refused(error, where, "jpeg") from error
    if data.find(END_MARKER, header.first_scan) < 0:  # Pillow may do without
        found = f"no end marker in {len(data)} bytes"
        raise refusal(where, expected="a complete jpeg image", found=found)
    count_fallback(reason)
    return decode_with_pillow(data, "jpeg", where=where)


def _decode(
    data: bytes, out: NDArray[np.uint8] | None, least_wh: tuple[int, int]
) -> NDArray[np.uint8]:
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", min_width=least_wh[0], min_height=least_wh[1], buffer=out
    )
    if out is not None and pixels.shape == out.shape:
        return out  # itself, and not another view of it
    return np.asarray(pixels, np.uint8)


def _check_four_colours(data: bytes) -> None:
    """Let simplejpeg look for corrupt data, which Pillow would pass over."""
    try:
        simplejpeg.decode_jpeg(data, "CMYK")
    except ValueError as error:
        _reason_to_fall_back(error)


def _reason_to_fall_back(error: ValueError) -> str:
    """Return why Pillow should try; raise the error again if the data are corrupt."""
    for text, reason in _UNSUPPORTED.items():
        if text in str(error):
            return reason
    raise error
