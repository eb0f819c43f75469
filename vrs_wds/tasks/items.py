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
    clip_xyxy,
    is_degenerate,
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
    if not items:
        return ()
    old = boxes_of(items)
    moved = frame.move(old)
    clipped = clip_xyxy(moved, frame.size_wh)
    area, visible = _area(moved), _area(clipped)
    # Scaling rounds: what lay on the border may come out a hair beyond it.
    inside = np.isclose(moved, clipped, rtol=0, atol=1e-6).all(axis=1)
    keep = np.where(is_degenerate(old), inside, (visible > 0) & (visible >= min_visible * area))
    moved_items = []
    for i in np.flatnonzero(keep).tolist():
        corners = items[i].corners
        moved_items.append(
            msgspec.structs.replace(
                items[i],  # type: ignore[type-var]  # items are Structs; a Protocol can't say so
                box=tuple(clipped[i].tolist()),
                corners=None if corners is None else tuple(frame.move(np.array(corners)).tolist()),
            )
        )
    return tuple(moved_items)


def large_enough(items: Sequence[ItemT], min_box_size: float) -> list[ItemT]:
    """Leave out items with a side shorter than `min_box_size`; 0 keeps all."""
    return [
        item
        for item in items
        if min(item.box[2] - item.box[0], item.box[3] - item.box[1]) >= min_box_size
    ]


def formatted_boxes(
    items: Sequence[LocatedItem], size_wh: tuple[int, int], options: TargetOptions
) -> NDArray[np.float64]:
    """Return the items' boxes in the format asked for, one row an item."""
    return format_boxes(
        boxes_of(items),
        corners_of(items),
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


def _area(xyxy: Boxes) -> NDArray[np.float64]:
    sides = xyxy[:, 2:] - xyxy[:, :2]
    return sides[:, 0] * sides[:, 1]
