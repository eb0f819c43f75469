"""Box formats on the way out: which numbers, and in which unit.

A sidecar holds pixels (`xyxy`) and corners; every other format is made here, late.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.boxes import (
    Boxes,
    Corners,
    corners_to_rotated,
    corners_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

BoxFormat = Literal["xyxy", "xywh", "cxcywh", "corners", "rotated"]
"""Layouts, as `vrs_wds.geometry.boxes` states them."""

Coordinates = Literal["pixels", "0-1", "0-100", "0-1000"]
"""Units: pixels, or a share of the picture's width (for x) and height (for y)."""

_BOX_FORMATS: tuple[str, ...] = get_args(BoxFormat)
_COORDINATES: tuple[str, ...] = get_args(Coordinates)
_FULL_SIDE: dict[str, float] = {"0-1": 1.0, "0-100": 100.0, "0-1000": 1000.0}


def check_format(box_format: str, coordinates: str) -> None:
    """Raise `ConfigError` unless both words are known."""
    for option, value, allowed in (
        ("box_format", box_format, _BOX_FORMATS),
        ("coordinates", coordinates, _COORDINATES),
    ):
        if value not in allowed:
            raise ConfigError(f"{option}: expected one of {', '.join(allowed)}, got {value!r}.")
    if box_format == "rotated" and coordinates != "pixels":
        raise ConfigError(
            "box_format 'rotated' has a meaning only with coordinates 'pixels': an angle is not "
            "kept when x and y are scaled apart. Use 'corners' for scaled coordinates."
        )


def format_boxes(
    xyxy: Boxes,
    corners: Corners,
    size_wh: tuple[int, int],
    *,
    box_format: BoxFormat = "xyxy",
    coordinates: Coordinates = "pixels",
) -> NDArray[np.float64]:
    """Return boxes in the layout and unit asked for, shape `(N, 4)`, `(N, 5)` or `(N, 8)`.

    Args:
        xyxy: Boxes in pixels, `(N, 4)`; the source of `xyxy`, `xywh` and `cxcywh`.
        corners: Quadrilaterals in pixels, `(N, 8)`; the source of `corners` and `rotated`.
        size_wh: Size of the picture, for units other than pixels.
        box_format: The layout.
        coordinates: The unit.

    Raises:
        ConfigError: if a word is unknown, or if rotated boxes are asked for in shares.

    >>> xyxy = np.array([[64.0, 128.0, 128.0, 256.0]])
    >>> format_boxes(xyxy, xyxy, (512, 512), box_format="xywh", coordinates="0-1000")
    array([[125., 250., 125., 250.]])
    """
    check_format(box_format, coordinates)
    if box_format == "rotated":
        return corners_to_rotated(corners)
    values = corners if box_format == "corners" else xyxy
    if coordinates != "pixels":
        side = _FULL_SIDE[coordinates]
        values = values * side / np.tile(np.array(size_wh, float), values.shape[1] // 2)
    if box_format == "xywh":
        return xyxy_to_xywh(values)
    if box_format == "cxcywh":
        return xyxy_to_cxcywh(values)
    return values


def corners_to_percent_text(corners: Corners, size_wh: tuple[float, float]) -> list[str]:
    """Write each quadrilateral as VRSBench's evaluation does: `{<x1><y1><x2><y2>}`, 0 to 100.

    The numbers are `clip(trunc(100 * enclosing box / size), 0, 100)`: truncated, not rounded.
    This gives the `ground_truth` of VRSBench_EVAL_referring.json from its `obj_corner`.

    >>> corners_to_percent_text(np.array([[0.25, 0.4, 0.33, 0.4, 0.33, 0.6, 0.25, 0.6]]), (1, 1))
    ['{<25><40><33><60>}']
    """
    sides = np.array([*size_wh, *size_wh], dtype=np.float64)
    percent = np.clip(np.trunc(100 * corners_to_xyxy(corners) / sides), 0, 100).astype(int)
    return ["{" + "".join(f"<{number}>" for number in box) + "}" for box in percent.tolist()]
