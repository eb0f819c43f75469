"""16-bit grey and RGB TIFF, of which Pillow keeps the high byte only, or worse."""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from vrs_wds.images.orientation import turn_upright
from vrs_wds.images.refusal import refusing
from vrs_wds.images.rgb import to_rgb

_BITS, _PHOTOMETRIC, _PLANAR, _EXTRA = 258, 262, 284, 338
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_SEPARATE_PLANES = 2
_STRAIGHT_ALPHA = 2


def is_tiff16(image: Image.Image) -> bool:
    """Say whether this is a TIFF that `decode_tiff16` takes: 16 bits, grey or RGB."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    tags: Any = image.tag_v2
    kind = tags.get(_PHOTOMETRIC)
    return set(tags.get(_BITS, ())) == {16} and kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)


def decode_tiff16(
    data: bytes, image: Image.Image, orientation: int, *, where: str
) -> NDArray[np.uint8]:
    """Return the first page, upright; `image` is the same file, opened lazily, for its tags."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    with refusing(where, "tiff"):
        samples = imagecodecs.tiff_decode(data, index=0)
    if samples.ndim == 3 and tags.get(_PLANAR) == _SEPARATE_PLANES:
        samples = np.moveaxis(samples, 0, -1)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        samples = np.uint16(0xFFFF) - samples
    if samples.ndim == 3:
        samples = _without_extra(samples, tags)
    return to_rgb(turn_upright(samples, orientation), max_value=0xFFFF)


def _without_extra(samples: NDArray[np.uint16], tags: Any) -> NDArray[np.uint16]:  # noqa: ANN401
    """Keep straight alpha. Associated alpha is in the colours already; the rest has no meaning."""
    colours = 3 if tags.get(_PHOTOMETRIC) == _RGB else 1
    extra = tags.get(_EXTRA, ())
    has_alpha = len(extra) > 0 and extra[0] == _STRAIGHT_ALPHA
    return samples[:, :, : colours + has_alpha]
