"""Regions of a coded picture to RGB pixels, decoding no more than that where it is faster.

The pixels are those of `decode_rgb`, cut out. A baseline JPEG is decoded by nvImageCodec (extra
`crop`) from its first row to a region's last one, and only the region is made RGB; this costs, as
a share of the whole picture's decoding by simplejpeg::

    0.1 + 0.6 * bottom / height + 0.4 * area of the region / area of the picture

If that adds up to less than `_WORTH` for one or two regions, they are decoded so. Otherwise, and
for all other formats, pictures that EXIF turns, and without the package, the whole picture is
decoded once. What is not decoded is not checked: beyond the last row of a region, only that the
file has an end. nvImageCodec says nothing of damage within a scan either; where a scan stops too
early it paints grey, and a region that ends in such a grey is decoded again with the whole picture,
by a decoder that tells.
"""

import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.decode import decode_picture
from vrs_wds.images.jpeg_header import END_MARKER, JpegHeader

Edges = tuple[int, int, int, int]
"""`(left, top, right, bottom)` in pixels, half open, inside of the picture."""

_MAX_ALONE: Final = 2
_WORTH: Final = 0.9
_MIN_WIDTH: Final = 4
"""Of narrower regions at the border, libjpeg replicates colours that it else interpolates."""
_GREY: Final = 128
_LUMA: Final = np.array([0.299, 0.587, 0.114])
_LOCAL: Final = threading.local()


def decode_regions(picture: CodedPicture, regions: Sequence[Edges]) -> Iterator[NDArray[np.uint8]]:
    """Yield regions as `(height, width, 3)` RGB uint8, each the caller's to write.

    Raises:
        DecodeError: if what is decoded is damaged.
        ValueError: if a region reaches beyond the picture, or is empty.
    """
    width, height = picture.size_wh
    for left, top, right, bottom in regions:
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(
                f"expected a region inside of {width} x {height} pixels, got "
                f"{(left, top, right, bottom)}."
            )
    if not regions:
        return
    is_wide = all(right - left >= _MIN_WIDTH for left, _, right, _ in regions)
    if is_wide and is_worth_it(regions, picture.size_wh) and _can_be_cut(picture):
        found = [_decode_alone(picture.data, region) for region in regions]
        alone = [pixels for pixels in found if pixels is not None]
        if len(alone) == len(regions):
            yield from alone
            return
    whole = decode_picture(picture)
    for left, top, right, bottom in regions:
        yield whole[top:bottom, left:right].copy()  # a view would keep the whole picture


def is_worth_it(regions: Sequence[Edges], picture_wh: tuple[int, int]) -> bool:
    """Tell whether decoding regions by themselves is faster than the whole picture. Pure.

    >>> is_worth_it([(0, 0, 128, 128)], (1024, 1024))
    True
    >>> is_worth_it([(0, 0, 128, 128)] * 3, (1024, 1024))
    False
    >>> is_worth_it([(0, 0, 1024, 1000)], (1024, 1024))
    False
    """
    width, height = picture_wh
    cost = sum(
        0.1 + 0.6 * bottom / height + 0.4 * (right - left) * (bottom - top) / (width * height)
        for left, top, right, bottom in regions
    )
    return len(regions) <= _MAX_ALONE and cost < _WORTH


def _can_be_cut(picture: CodedPicture) -> bool:
    """Tell whether a decoder here can begin with a region: of a sound, upright, baseline JPEG."""
    jpeg = picture.stored
    if not isinstance(jpeg, JpegHeader) or jpeg.orientation != 1 or _codec() is None:
        return False
    return (
        len(jpeg.components) == 3
        and not jpeg.progressive
        and not jpeg.missing
        and picture.data.rfind(END_MARKER, jpeg.first_scan) >= 0
    )


@cache
def _codec() -> Any:  # noqa: ANN401 - it ships no types
    """Return nvImageCodec's module; None if it is not installed."""
    try:
        from nvidia import nvimgcodec
    except ImportError:
        return None
    return nvimgcodec


def _decode_alone(data: bytes, region: Edges) -> NDArray[np.uint8] | None:
    """Decode a region; None if the decoder does not take the file."""
    codec = _codec()
    if not hasattr(_LOCAL, "decoder"):  # one a thread: each uses its own thread only
        _LOCAL.decoder = codec.Decoder(
            device_id=codec.NVIMGCODEC_DEVICE_CPU_ONLY,
            max_num_cpu_threads=1,
            backends=[codec.Backend(codec.BackendKind.CPU_ONLY)],
            options=":fancy_upsampling=1",
        )
        _LOCAL.params = codec.DecodeParams(apply_exif_orientation=False)
    left, top, right, bottom = region
    try:
        stream = codec.CodeStream(data).get_sub_code_stream(
            region=codec.Region(top, left, bottom, right)
        )
        image = _LOCAL.decoder.decode(stream, params=_LOCAL.params)
    except RuntimeError:  # what is wrong, the decoder of the whole picture says
        return None
    if image is None:
        return None
    pixels = np.array(image, copy=True)
    expected = (bottom - top, right - left, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8 or _may_be_cut_off(pixels):
        return None
    return pixels


def _may_be_cut_off(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether the last pixel is as bright as what libjpeg paints when a scan stops early.

    A block that is missing is of medium grey; its colour may be mixed with that of blocks before.
    """
    return bool(abs(pixels[-1, -1] @ _LUMA - _GREY) <= 1)
