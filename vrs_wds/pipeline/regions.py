"""Cuts a region out of a decoded sample."""

import numpy as np
from numpy.typing import NDArray

from vrs_wds.geometry.frame import Frame
from vrs_wds.pipeline.frames import require_decoded, with_picture
from vrs_wds.pipeline.stage import SampleDict

Region = tuple[int, int, int, int]
"""`(x_min, y_min, x_max, y_max)` in whole pixels, half open; it may reach beyond the picture."""


def cut_region(
    sample: SampleDict, region: Region, number: int, *, min_visible: float = 0.0
) -> SampleDict:
    """Return the sample of one region: its picture, and every sidecar in the region's frame.

    Added are `__region__`, the region's number within the picture, and `region`, its edges as
    `(4,)` int64 in pixels of the picture it was cut from.

    Args:
        sample: A decoded sample.
        region: What to cut out.
        number: Its number within the picture.
        min_visible: Least share of a box inside the region for its thing to stay.
    """
    image = crop_rgb(sample["image"], region)
    cut = with_picture(sample, image, Frame.crop(*region), min_visible=min_visible)
    cut["__region__"] = number
    cut["region"] = np.array(region, dtype=np.int64)
    return cut


def crop_rgb(image: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Copy a region of a picture (H, W, 3); what lies beyond the picture is black."""
    left, top, right, bottom = region
    height, width = image.shape[:2]
    x_min, x_max = (min(max(x, 0), width) for x in (left, right))
    y_min, y_max = (min(max(y, 0), height) for y in (top, bottom))
    inside = image[y_min:y_max, x_min:x_max]
    if (x_min, y_min, x_max, y_max) == region:
        return inside.copy()  # a view would keep the whole picture in memory
    canvas = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    canvas[y_min - top : y_max - top, x_min - left : x_max - left] = inside
    return canvas


def require_croppable(sample: SampleDict, stage: str) -> NDArray[np.uint8]:
    """Return the sample's picture.

    Raises:
        TypeError: if the stages are in the wrong order: the sample is not decoded, or has a target.
    """
    if "target" in sample:
        raise TypeError(
            f"{stage} moves sidecars, but not a target that was made of them: put Targets after it."
        )
    return require_decoded(sample, stage)
