"""Cuts a region out of a decoded sample."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.frame import Frame
from vrs_wds.images.coded import CodedPicture
from vrs_wds.images.regions import decode_regions
from vrs_wds.pipeline.device_picture import DevicePicture
from vrs_wds.pipeline.frames import require_decoded, with_picture
from vrs_wds.pipeline.stage import SampleDict

Region = tuple[int, int, int, int]
"""`(x_min, y_min, x_max, y_max)` in whole pixels, half open; it may reach beyond the picture."""


def cut_region(
    sample: SampleDict,
    image: NDArray[np.uint8],
    region: Region,
    number: int,
    *,
    min_visible: float = 0.0,
) -> SampleDict:
    """Return the sample of one region: its picture, and every sidecar in the region's frame.

    Added are `__region__`, the region's number within the picture, and `region`, its edges as
    `(4,)` int64 in pixels of the picture it was cut from.

    Args:
        sample: A decoded sample.
        image: The region's picture.
        region: What was cut out.
        number: Its number within the picture.
        min_visible: Least share of a box inside the region for its thing to stay.
    """
    cut = with_picture(sample, image, Frame.crop(*region), min_visible=min_visible)
    cut["__region__"] = number
    cut["region"] = np.array(region, dtype=np.int64)
    return cut


def crop_rgb(image: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Copy a region of a picture (H, W, 3); what lies beyond the picture is black."""
    left, top, right, bottom = part_inside(region, (image.shape[1], image.shape[0]))
    inside = image[top:bottom, left:right]
    if (left, top, right, bottom) == region:
        return inside.copy()  # a view would keep the whole picture in memory
    return _on_black(inside, (left, top), region)


def crop_many(
    image: NDArray[np.uint8] | CodedPicture, regions: Sequence[Region]
) -> Iterator[NDArray[np.uint8]]:
    """Yield regions of a picture, as `crop_rgb` does; one that is coded is decoded for them."""
    if not isinstance(image, CodedPicture):
        yield from (crop_rgb(image, region) for region in regions)
        return
    inside = [part_inside(region, image.size_wh) for region in regions]
    shown = [part for part in inside if part[0] < part[2] and part[1] < part[3]]
    decoded = decode_regions(image, shown)
    for region, part in zip(regions, inside, strict=True):
        pixels = next(decoded) if part in shown else np.zeros((0, 0, 3), np.uint8)
        yield pixels if part == region else _on_black(pixels, part[:2], region)


def part_inside(region: Region, picture_wh: tuple[int, int]) -> Region:
    """Return the part of a region that lies inside of the picture."""
    width, height = picture_wh
    left, right = (min(max(x, 0), width) for x in region[::2])
    top, bottom = (min(max(y, 0), height) for y in region[1::2])
    return left, top, right, bottom


def _on_black(
    inside: NDArray[np.uint8], left_top: tuple[int, int], region: Region
) -> NDArray[np.uint8]:
    canvas = np.zeros((region[3] - region[1], region[2] - region[0], 3), dtype=np.uint8)
    x, y = left_top[0] - region[0], left_top[1] - region[1]
    canvas[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return canvas


def picture_wh_of(image: NDArray[np.uint8] | CodedPicture) -> tuple[int, int]:
    """Return a picture's width and height."""
    if isinstance(image, CodedPicture):
        return image.size_wh
    return image.shape[1], image.shape[0]


def require_croppable(sample: SampleDict, stage: str) -> NDArray[np.uint8] | CodedPicture:
    """Return the sample's picture.

    Raises:
        TypeError: if the stages are in the wrong order: the sample is not decoded, or has a target.
        ConfigError: if the picture is left to a device, which decodes when the batch is made.
    """
    if "target" in sample:
        raise TypeError(
            f"{stage} moves sidecars, but not a target that was made of them: put Targets after it."
        )
    if isinstance(image := sample.get("image"), CodedPicture):
        return image
    if isinstance(image := require_decoded(sample, stage), DevicePicture):
        raise ConfigError(
            f"{stage} needs pixels on the CPU, but Decode(device={image.device!r}) decodes when "
            "the batch is made. Leave device out."
        )
    return image
