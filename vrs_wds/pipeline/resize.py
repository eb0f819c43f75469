"""Resizing a picture: stretched, or fitted into a frame with a border."""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.frame import Frame

Fit = Literal["stretch", "letterbox"]
"""`stretch` changes the aspect; `letterbox` keeps it and fills the rest with black, centred."""


ResizeFilter = Literal["shrunk", "triangle", "area"]
"""How pixels become fewer. `triangle` widens as the picture shrinks (antialias); `area` takes the
mean; `shrunk` lets the decoder of a JPEG that is to be at most half as large transform fewer
coefficients, then `triangle` for what is left to do, and is `triangle` for all other pictures."""


def check_size(size: object, option: str = "size") -> tuple[int, int]:
    """Return `(width, height)` if that is what it is.

    Raises:
        ConfigError: if not.
    """
    if (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(side, int) and side >= 1 for side in size)
    ):
        return (size[0], size[1])
    raise ConfigError(f"{option}: expected (width, height) in pixels, got {size!r}.")


@lru_cache(maxsize=256)
def fit_frame(old_wh: tuple[int, int], new_wh: tuple[int, int], fit: Fit) -> Frame:
    """Return where the resized picture lies.

    >>> fit_frame((200, 100), (100, 100), "letterbox")
    Frame(size_wh=(100, 100), scale_xy=(0.5, 0.5), offset_xy=(0.0, 25.0))
    """
    if fit == "stretch":
        return Frame.resize(old_wh, new_wh)
    inner = _inner_size(old_wh, new_wh)
    scale = (inner[0] / old_wh[0], inner[1] / old_wh[1])
    offset = (float((new_wh[0] - inner[0]) // 2), float((new_wh[1] - inner[1]) // 2))
    return Frame(new_wh, scale, offset)


def resize_rgb(
    image: NDArray[np.uint8],
    new_wh: tuple[int, int],
    fit: Fit = "stretch",
    *,
    filter: ResizeFilter = "triangle",
    inner_wh: tuple[int, int] | None = None,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Resize a picture (H, W, 3); the result is contiguous and the caller's to write.

    Args:
        image: The picture.
        new_wh: Width and height of the result.
        fit: See `Fit`.
        filter: See `ResizeFilter`; the picture is decoded, so that `shrunk` is `triangle`.
        inner_wh: Its size within the result; None finds it out from `fit`.
        out: Memory for the result.
    """
    old_wh = (image.shape[1], image.shape[0])
    inner = inner_size(old_wh, new_wh, fit) if inner_wh is None else inner_wh
    if inner != old_wh:
        resample = Image.Resampling.BOX if filter == "area" else Image.Resampling.BILINEAR
        image = np.asarray(Image.fromarray(image).resize(inner, resample))
    canvas = np.empty((new_wh[1], new_wh[0], 3), dtype=np.uint8) if out is None else out
    if inner != new_wh:
        canvas[:] = 0
    left, top = (new_wh[0] - inner[0]) // 2, (new_wh[1] - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = image
    return canvas


@lru_cache(maxsize=256)
def inner_size(old_wh: tuple[int, int], new_wh: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the size that a picture has within the resized one.

    >>> inner_size((200, 100), (100, 100), "letterbox")
    (100, 50)
    """
    return new_wh if fit == "stretch" else _inner_size(old_wh, new_wh)


def _inner_size(old_wh: tuple[int, int], new_wh: tuple[int, int]) -> tuple[int, int]:
    scale = min(new_wh[0] / old_wh[0], new_wh[1] / old_wh[1])
    width, height = (max(1, round(side * scale)) for side in old_wh)
    return min(width, new_wh[0]), min(height, new_wh[1])
