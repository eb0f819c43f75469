"""Gives one sample for each region of a picture: its objects, its expressions, or any boxes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vrs_wds.errors import ConfigError, SampleError
from vrs_wds.geometry.boxes import Boxes, as_rows, clip_xyxy, is_degenerate
from vrs_wds.images.coded import DEFAULT_MAX_PIXELS
from vrs_wds.pipeline.decoded import sidecar_of
from vrs_wds.pipeline.frames import with_picture
from vrs_wds.pipeline.regions import (
    Region,
    crop_many,
    cut_region,
    picture_wh_of,
    require_croppable,
)
from vrs_wds.pipeline.resize import Fit, check_size, fit_frame, resize_rgb
from vrs_wds.pipeline.stage import SampleDict, SampleStage, place_of
from vrs_wds.tasks.items import boxes_of


@dataclass(frozen=True, repr=False)
class CropRegions(SampleStage):
    """Give one sample for each region of a decoded sample, in the sidecar's order.

    ============= =================================================================
    `image`       the region, a copy
    sidecars      in the region's pixels; things outside of it are left out
    `region`      its edges, `(4,)` int64 xyxy in pixels of the picture it is from
    `region_text` the object's label, or the expression; empty for boxes of yours
    `__region__`  its number: its place in the sidecar, or among the boxes
    ============= =================================================================

    After `Decode(defer=True)` one or two regions of a large JPEG are decoded by themselves, with
    the extra `crop`; the pixels are the same.

    Key, shard and everything else are the sample's. Edges are rounded outward to whole pixels. A
    region without any part of the picture gives no sample; nor does a sample without a sidecar.

    Raises:
        TypeError: if the sample is not decoded, or has a target already.
        ConfigError: if `Decode` left the regions' task out, or if `boxes` gives no boxes.
        SampleError: if a region is larger than an image may be.
    """

    needs_pixels: ClassVar[bool] = True

    per: Literal["object", "expression"] = "object"
    """Where regions come from: the detection sidecar's objects, or grounding's expressions."""
    boxes: Callable[[SampleDict], ArrayLike] | None = None
    """Regions of your own instead: takes the sample, gives xyxy in pixels, shape `(N, 4)`."""
    padding: float = 0.0
    """Pixels added on each side."""
    padding_share: float = 0.0
    """Added on each side too: this share of the box's width or height."""
    clip: bool = True
    """Cut regions at the picture's border; False fills the part beyond it with black."""
    min_size: int = 1
    """Regions with a shorter side, in pixels as they are cut, give no sample."""
    min_visible: float = 0.0
    """Least share (0 to 1) of a box's area inside the region for its thing to stay."""
    size: tuple[int, int] | None = None
    """Resize every region to `(width, height)`, so that they can be stacked; None does not."""
    fit: Fit = "letterbox"
    """How `size` is reached: `letterbox` keeps the aspect, which differs greatly among regions."""

    def __post_init__(self) -> None:
        if self.per not in _SOURCES:
            raise ConfigError(f"per: expected 'object' or 'expression', got {self.per!r}.")
        if self.boxes is not None and self.per != "object":
            raise ConfigError("per: regions come from boxes=..., so leave it out.")
        for name in ("padding", "padding_share"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: expected 0 or more, got {getattr(self, name)}.")
        if self.min_size < 1:
            raise ConfigError(f"min_size: expected at least 1 pixel, got {self.min_size}.")
        if not 0 <= self.min_visible <= 1:
            raise ConfigError(f"min_visible: expected 0 to 1, got {self.min_visible}.")
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        if self.fit not in ("stretch", "letterbox"):
            raise ConfigError(f"fit: expected 'stretch' or 'letterbox', got {self.fit!r}.")

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Cut the regions out of one sample."""
        image = require_croppable(sample, "CropRegions")
        boxes, texts = self._boxes_and_texts(sample)
        regions = plan_regions(
            boxes,
            picture_wh_of(image),
            padding=self.padding,
            padding_share=self.padding_share,
            clip=self.clip,
            min_size=self.min_size,
        )
        for region in regions.values():
            _check_area(region, sample)
        return (
            self._cut(sample, pixels, region, number, texts[number])
            for (number, region), pixels in zip(
                regions.items(), crop_many(image, [*regions.values()]), strict=True
            )
        )

    def _boxes_and_texts(self, sample: SampleDict) -> tuple[Boxes, list[str]]:
        if self.boxes is not None:
            boxes = _checked_boxes(self.boxes(sample), sample)
            return boxes, [""] * len(boxes)
        task, items_field, text_field = _SOURCES[self.per]
        sidecar = sidecar_of(sample, task, "CropRegions")
        items = () if sidecar is None else getattr(sidecar, items_field)
        return boxes_of(items), [getattr(item, text_field) for item in items]

    def _cut(
        self,
        sample: SampleDict,
        pixels: NDArray[np.uint8],
        region: Region,
        number: int,
        text: str,
    ) -> SampleDict:
        cut = cut_region(sample, pixels, region, number, min_visible=self.min_visible)
        cut["region_text"] = text
        old_wh = cut["meta"].size_wh
        if self.size is None or old_wh == self.size:
            return cut
        resized = resize_rgb(cut["image"], self.size, self.fit)
        return with_picture(cut, resized, fit_frame(old_wh, self.size, self.fit))


_SOURCES = {
    "object": ("detection", "objects", "label"),
    "expression": ("grounding", "expressions", "text"),
}
"""For each `per`: task, the sidecar's field with the things, and a thing's field with its text."""


def plan_regions(
    boxes: Boxes,
    picture_wh: tuple[int, int],
    *,
    padding: float = 0.0,
    padding_share: float = 0.0,
    clip: bool = True,
    min_size: int = 1,
) -> dict[int, Region]:
    """Return the region of each box, by the box's number; some boxes have none.

    Pure. Two pixels around three boxes of a picture of 20 x 10, the last one beyond it::

        boxes     (3.5, 4, 8, 6)   (0, 0, 5, 5)   (30, 2, 34, 6)
        regions   (1, 2, 10, 8)    (0, 0, 7, 7)   none

    >>> boxes = np.array([[3.5, 4, 8, 6], [0, 0, 5, 5], [30, 2, 34, 6]])
    >>> plan_regions(boxes, (20, 10), padding=2)
    {0: (1, 2, 10, 8), 1: (0, 0, 7, 7)}
    """
    margin = padding + padding_share * (boxes[:, 2:] - boxes[:, :2])
    padded = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    visible = clip_xyxy(padded, picture_wh)
    edges = visible if clip else padded
    regions = {}
    for number in np.flatnonzero(~is_degenerate(visible)).tolist():
        left, top, right, bottom = edges[number].tolist()
        region = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
        if min(region[2] - region[0], region[3] - region[1]) >= min_size:
            regions[number] = region
    return regions


def _checked_boxes(values: ArrayLike, sample: SampleDict) -> Boxes:
    boxes = np.asarray(values, dtype=np.float64)
    if boxes.size == 0:
        return as_rows((), 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        found = f"an array of shape {boxes.shape}"
    elif not np.isfinite(boxes).all() or (boxes[:, :2] > boxes[:, 2:]).any():
        wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, :2] > boxes[:, 2:]).any(axis=1)
        found = f"{boxes[wrong][0].tolist()}"
    else:
        return boxes
    raise ConfigError(
        f"CropRegions: {place_of(sample)}: boxes: expected x_min, y_min, x_max, y_max in pixels, "
        f"shape (N, 4), got {found}."
    )


def _check_area(region: Region, sample: SampleDict) -> None:
    """Raise if a region, with what is black of it, would fill the memory."""
    width, height = region[2] - region[0], region[3] - region[1]
    if width * height > DEFAULT_MAX_PIXELS:
        raise SampleError(
            f"{place_of(sample)}: expected regions of at most {DEFAULT_MAX_PIXELS} pixels, got "
            f"{region}. Use CropRegions(clip=True)."
        )
