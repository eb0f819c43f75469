"""Things with a place in the picture: objects and expressions, their boxes and corners."""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from vrs_wds.geometry.boxes import (
    Boxes,
    Corners,
    as_rows,
    xyxy_to_corners,
)
from vrs_wds.geometry.formats import format_boxes
from vrs_wds.geometry.frame import Frame
from vrs_wds.tasks.task import TargetOptions

Box = tuple[float, float, float, float]
"""`xyxy` in pixels, half open."""
Quadrilateral = tuple[float, float, float, float, float, float, float, float]
"""Four corners in pixels, x1, y1, ..., x4, y4; they may lie outside the picture."""


class LocatedItem(Protocol):
    """A Struct with a label, a box and, perhaps, corners."""

    @property
    def label(self) -> str:
        """The class."""
        ...

    @property
    def box(self) -> Box:
        """The box, clipped to the picture."""
        ...

    @property
    def corners(self) -> Quadrilateral | None:
        """The corners as annotated, not clipped; None where only a box was annotated."""
        ...


_HAIR = 1e-6
"""Pixels."""

ItemT = TypeVar("ItemT", bound=LocatedItem)


def place_corners(corners: Quadrilateral, size_wh: tuple[int, int]) -> Box:
    """Return the box around corners, clipped to the picture."""
    # Plain numbers: sources call this once for every object, and numpy would take ten times longer.
    xs = [min(max(x, 0.0), float(size_wh[0])) for x in corners[::2]]
    ys = [min(max(y, 0.0), float(size_wh[1])) for y in corners[1::2]]
    return (min(xs), min(ys), max(xs), max(ys))


def boxes_of(items: Sequence[LocatedItem]) -> Boxes:
    """Return the items' boxes, `(N, 4)` xyxy."""
    return as_rows([item.box for item in items], 4)


def corners_of(items: Sequence[LocatedItem]) -> Corners:
    """Return the items' corners, `(N, 8)`; those of the box where none were annotated."""
    corners = xyxy_to_corners(boxes_of(items))
    for i, item in enumerate(items):
        if item.corners is not None:
            corners[i] = item.corners
    return corners


def check_items(items: Iterable[LocatedItem], field: str, size_wh: tuple[int, int] | None) -> None:
    """Raise `ValueError` if a coordinate is not finite, or a box turned or beyond the picture."""
    width, height = size_wh or (math.inf, math.inf)
    for i, item in enumerate(items):
        x_min, y_min, x_max, y_max = item.box
        # A sum of finite numbers may be infinite, but never the other way round.
        if (
            0 <= x_min <= x_max <= width
            and 0 <= y_min <= y_max <= height
            and math.isfinite(x_max + y_max + sum(item.corners or ()))
        ):
            continue  # nearly always: all is well
        if not all(map(math.isfinite, item.box)) or not all(map(math.isfinite, item.corners or ())):
            raise ValueError(
                f"{field}[{i}]: expected finite coordinates, got box {item.box} and corners "
                f"{item.corners}"
            )
        if item.box[0] > item.box[2] or item.box[1] > item.box[3]:
            raise ValueError(
                f"{field}[{i}].box: expected x_min, y_min, x_max, y_max in pixels, got {item.box}"
            )
        if size_wh is not None and (
            min(item.box) < 0 or item.box[2] > size_wh[0] or item.box[3] > size_wh[1]
        ):
            raise ValueError(
                f"{field}[{i}].box: expected pixels within the picture of {size_wh[0]} x "
                f"{size_wh[1]}, got {item.box}; clip it, and keep what lies beyond in corners"
            )


def move_items(items: Sequence[ItemT], frame: Frame, min_visible: float) -> tuple[ItemT, ...]:
    """Carry items into another frame: boxes are clipped to it, corners are not.

    Left out are items whose box has no part, or too small a part, inside the new picture. An item
    whose box had no area before stays if it lies inside.
    """
    # Plain numbers: for the few things in a picture numpy would take several times longer.
    (scale_x, scale_y), (offset_x, offset_y) = frame.scale_xy, frame.offset_xy
    width, height = map(float, frame.size_wh)
    moved_items = []
    for item in items:
        x_min, y_min, x_max, y_max = item.box
        left, right = x_min * scale_x + offset_x, x_max * scale_x + offset_x
        top, bottom = y_min * scale_y + offset_y, y_max * scale_y + offset_y
        clipped_left, clipped_right, clipped_top, clipped_bottom = left, right, top, bottom
        if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
            clipped_left, clipped_right = min(max(left, 0.0), width), min(max(right, 0.0), width)
            clipped_top, clipped_bottom = min(max(top, 0.0), height), min(max(bottom, 0.0), height)
        if x_max <= x_min or y_max <= y_min:
            # Scaling rounds: what lay on the border may come out a hair beyond it.
            keep = (
                abs(left - clipped_left) <= _HAIR
                and abs(top - clipped_top) <= _HAIR
                and abs(right - clipped_right) <= _HAIR
                and abs(bottom - clipped_bottom) <= _HAIR
            )
        else:
            visible = (clipped_right - clipped_left) * (clipped_bottom - clipped_top)
            keep = visible > 0 and visible >= min_visible * ((right - left) * (bottom - top))
        if keep:
            corners = item.corners
            if corners is not None:
                x1, y1, x2, y2, x3, y3, x4, y4 = corners
                corners = (
                    x1 * scale_x + offset_x,
                    y1 * scale_y + offset_y,
                    x2 * scale_x + offset_x,
                    y2 * scale_y + offset_y,
                    x3 * scale_x + offset_x,
                    y3 * scale_y + offset_y,
                    x4 * scale_x + offset_x,
                    y4 * scale_y + offset_y,
                )
            moved_items.append(
                msgspec.structs.replace(
                    item,  # type: ignore[type-var]  # items are Structs; a Protocol can't say so
                    box=(clipped_left, clipped_top, clipped_right, clipped_bottom),
                    corners=corners,
                )
            )
    return tuple(moved_items)


def large_enough(items: Sequence[ItemT], min_box_size: float) -> list[ItemT]:
    """Leave out items with a side shorter than `min_box_size`; 0 keeps all."""
    if min_box_size == 0:
        return list(items)
    return [
        item
        for item in items
        if min(item.box[2] - item.box[0], item.box[3] - item.box[1]) >= min_box_size
    ]


def formatted_boxes(
    items: Sequence[LocatedItem], size_wh: tuple[int, int], options: TargetOptions
) -> NDArray[np.float64]:
    """Return the items' boxes in the format asked for, one row an item."""
    boxes = boxes_of(items)
    if options.box_format == "xyxy" and options.coordinates == "pixels":
        return boxes  # as sidecars have them
    return format_boxes(
        boxes,
        # The other formats do not look at corners.
        corners_of(items) if options.box_format in ("corners", "rotated") else boxes,
        size_wh,
        box_format=options.box_format,
        coordinates=options.coordinates,
    )


def labels_of(
    items: Sequence[LocatedItem], options: TargetOptions
) -> list[str] | NDArray[np.int64]:
    """Return the items' labels: texts, or numbers when `options.classes` is given."""
    if options.classes is None:
        return [item.label for item in items]
    return np.array([options.label_to_number(item.label) for item in items], dtype=np.int64)
