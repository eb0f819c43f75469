"""Where an object is, in fractions of the picture's sides: from corners, boxes, percentages."""

import re
from collections import Counter
from typing import NamedTuple, TypeGuard

import msgspec

from vrs_wds.sources.vrsbench.report import Repair
from vrs_wds.tasks.items import Box, Quadrilateral, place_corners

# A fraction beyond this is no place near a picture; it may not even stay finite in pixels.
_MAX_FRACTION = 1e6
_NUMBER = r"<\s*(-?\d+(?:\.\d+)?)\s*>"
_NUMBERS = r"\s*".join([_NUMBER] * 4)
_PERCENT_BOX = re.compile(rf"\{{\s*{_NUMBERS}\s*(?:\|\s*{_NUMBER}\s*)?\}}")


class Location(msgspec.Struct, frozen=True, gc=False):
    """A place in fractions of the picture's sides; 1 is the right or the lower border."""

    box: Box
    """`xyxy`, between 0 and 1."""
    corners: Quadrilateral | None = None
    """As annotated: may leave 0 to 1. None where only a box was annotated."""

    def to_pixels(self, size_wh: tuple[int, int]) -> tuple[Box, Quadrilateral | None]:
        """Return box, clipped to the picture, and corners, not clipped, in pixels."""
        width, height = size_wh
        if self.corners is None:
            x1, y1, x2, y2 = self.box
            return (x1 * width, y1 * height, x2 * width, y2 * height), None
        x1, y1, x2, y2, x3, y3, x4, y4 = self.corners
        corners = (
            *(x1 * width, y1 * height, x2 * width, y2 * height),
            *(x3 * width, y3 * height, x4 * width, y4 * height),
        )
        return place_corners(corners, size_wh), corners

    @property
    def has_area(self) -> bool:
        """Whether any of it lies in the picture and has an area."""
        return self.box[0] < self.box[2] and self.box[1] < self.box[3]


class PercentBox(NamedTuple):
    """A box as the conversations write it: `xyxy` in percent of the picture's sides."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    angle: float | None = None
    """Degrees; only the oriented variants have one."""


def parse_percent_box(text: str) -> PercentBox | None:
    """Return the first box `{<x1><y1><x2><y2>}` or `{<x1><y1><x2><y2>|<angle>}`; None without one.

    Training boxes leave 0 to 100: a minus sign counts.

    >>> tuple(parse_percent_box("{<-2><88><21><106>}"))
    (-2.0, 88.0, 21.0, 106.0, None)
    """
    match = _PERCENT_BOX.search(text)
    if match is None:
        return None
    *box, angle = match.groups()
    x_min, y_min, x_max, y_max = map(float, box)
    return PercentBox(x_min, y_min, x_max, y_max, None if angle is None else float(angle))


def from_corners(values: object) -> Location | None:
    """Return the place of `obj_corner`; None unless it is eight usable numbers."""
    if not _are_fractions(values, 8):
        return None
    x1, y1, x2, y2, x3, y3, x4, y4 = map(float, values)
    xs, ys = (x1, x2, x3, x4), (y1, y2, y3, y4)
    box = (_clip(min(xs)), _clip(min(ys)), _clip(max(xs)), _clip(max(ys)))
    return Location(box, (x1, y1, x2, y2, x3, y3, x4, y4))


def from_coord(values: object, repairs: Counter[Repair]) -> Location | None:
    """Return the place of `obj_coord`, turned the right way and clipped; None if it is unusable."""
    if not _are_fractions(values, 4):
        return None
    x1, y1, x2, y2 = map(float, values)
    box = (
        *(_clip(min(x1, x2)), _clip(min(y1, y2))),
        *(_clip(max(x1, x2)), _clip(max(y1, y2))),
    )
    repairs["boxes_from_obj_coord"] += 1
    if box != (x1, y1, x2, y2):
        repairs["boxes_repaired"] += 1
    return Location(box)


def from_percent(box: PercentBox, repairs: Counter[Repair]) -> Location | None:
    """Return the place of a box in percent; its corners are those of the box, not clipped.

    The angle is not applied: what it turns around is not stated anywhere.
    """
    x1, x2 = sorted((box.x_min / 100, box.x_max / 100))
    y1, y2 = sorted((box.y_min / 100, box.y_max / 100))
    if box.x_min > box.x_max or box.y_min > box.y_max:
        repairs["boxes_repaired"] += 1
    return from_corners([x1, y1, x2, y1, x2, y2, x1, y2])


def count_area(location: Location, repairs: Counter[Repair]) -> Location:
    """Count a place without area, and return it."""
    if not location.has_area:
        repairs["boxes_of_zero_area"] += 1
    return location


def _are_fractions(values: object, count: int) -> TypeGuard[list[float]]:
    # bool is an int to Python; NaN fails the comparison.
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and abs(value) <= _MAX_FRACTION for value in values)
    )


def _clip(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)
