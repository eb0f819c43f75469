"""Axis-aligned boxes and quadrilaterals as float arrays.

Coordinates are pixels, origin at the top left corner of the top left pixel, `x` to the right, `y`
down. Sizes are `(width, height)`.

- `xyxy` is `(x_min, y_min, x_max, y_max)`, half open: the width is `x_max - x_min`.
- `xywh` is `(x_min, y_min, width, height)`.
- `cxcywh` is `(x_center, y_center, width, height)`.
- `corners` is `(x1, y1, x2, y2, x3, y3, x4, y4)`, four corners in the order of the annotation.
- `rotated` is `(x_center, y_center, width, height, angle)`; the angle is in degrees,
  counter-clockwise on the screen, as torchvision's CXCYWHR.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]
"""Shape `(N, 4)`."""

Corners = NDArray[np.float64]
"""Shape `(N, 8)`."""


def as_rows(values: ArrayLike, columns: int) -> NDArray[np.float64]:
    """Return `values` as a float array of shape `(N, columns)`, also when there are none."""
    return np.asarray(values, dtype=np.float64).reshape(-1, columns)


def xywh_to_xyxy(xywh: Boxes) -> Boxes:
    """Convert `(x_min, y_min, width, height)` to `xyxy`.

    >>> xywh_to_xyxy(np.array([[10.0, 20.0, 30.0, 40.0]]))
    array([[10., 20., 40., 60.]])
    """
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def xyxy_to_xywh(xyxy: Boxes) -> Boxes:
    """Convert `xyxy` to `(x_min, y_min, width, height)`.

    >>> xyxy_to_xywh(np.array([[10.0, 20.0, 40.0, 60.0]]))
    array([[10., 20., 30., 40.]])
    """
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def xyxy_to_cxcywh(xyxy: Boxes) -> Boxes:
    """Convert `xyxy` to `(x_center, y_center, width, height)`.

    >>> xyxy_to_cxcywh(np.array([[10.0, 20.0, 40.0, 60.0]]))
    array([[25., 40., 30., 40.]])
    """
    return np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def cxcywh_to_xyxy(cxcywh: Boxes) -> Boxes:
    """Convert `(x_center, y_center, width, height)` to `xyxy`.

    >>> cxcywh_to_xyxy(np.array([[25.0, 40.0, 30.0, 40.0]]))
    array([[10., 20., 40., 60.]])
    """
    half = cxcywh[:, 2:] / 2
    return np.concatenate([cxcywh[:, :2] - half, cxcywh[:, :2] + half], axis=1)


def xyxy_to_corners(xyxy: Boxes) -> Corners:
    """Convert `xyxy` to corners: top left, top right, bottom right, bottom left.

    >>> xyxy_to_corners(np.array([[1.0, 2.0, 3.0, 4.0]]))
    array([[1., 2., 3., 2., 3., 4., 1., 4.]])
    """
    return xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]]


def corners_to_xyxy(corners: Corners) -> Boxes:
    """Return the smallest `xyxy` box around each quadrilateral.

    >>> corners_to_xyxy(np.array([[2.0, 0.0, 4.0, 2.0, 2.0, 4.0, 0.0, 2.0]]))
    array([[0., 0., 4., 4.]])
    """
    points = corners.reshape(-1, 4, 2)
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def corners_to_rotated(corners: Corners) -> NDArray[np.float64]:
    """Convert corners in their order (clockwise on the screen) to `rotated`, shape `(N, 5)`.

    The first edge, from the first corner to the second, gives the width and the angle; the second
    edge the height. Exact for rectangles; for other quadrilaterals opposite edges are averaged.

    >>> corners_to_rotated(np.array([[0.0, 0.0, 4.0, 0.0, 4.0, 2.0, 0.0, 2.0]]))
    array([[2., 1., 4., 2., 0.]])
    """
    points = corners.reshape(-1, 4, 2)
    across = (points[:, 1] - points[:, 0] + points[:, 2] - points[:, 3]) / 2
    down = (points[:, 3] - points[:, 0] + points[:, 2] - points[:, 1]) / 2
    # `y` points down, so a counter-clockwise angle on the screen is that of (x, -y). A zero minus
    # `y` is never -0.0, which would turn 180 degrees into -180.
    angle = np.degrees(np.arctan2(0.0 - across[:, 1], across[:, 0]))
    width, height = np.hypot(*across.T), np.hypot(*down.T)
    return np.column_stack([points.mean(axis=1), width, height, angle])


def clip_xyxy(xyxy: Boxes, size_wh: tuple[float, float]) -> Boxes:
    """Clip boxes to the picture; a box beyond it becomes one of zero area at its border.

    >>> clip_xyxy(np.array([[-5.0, 2.0, 30.0, 8.0]]), (20, 10))
    array([[ 0.,  2., 20.,  8.]])
    """
    return np.clip(xyxy, 0, np.array([*size_wh, *size_wh], dtype=np.float64))


def is_degenerate(xyxy: Boxes) -> NDArray[np.bool_]:
    """Tell, for each box, whether it has no area."""
    return (xyxy[:, 2] <= xyxy[:, 0]) | (xyxy[:, 3] <= xyxy[:, 1])
