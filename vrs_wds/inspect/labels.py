"""Where a label goes: beside its thing, inside the picture, off other things and labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vrs_wds.geometry.boxes import Boxes

Point = tuple[float, float]
"""x and y in pixels."""


def place_label(
    label_wh: tuple[float, float],
    points: Sequence[Point],
    picture_wh: tuple[int, int],
    avoid: Boxes,
) -> Point:
    """Return the left top corner of a label for the thing that the points outline.

    Pure. Of four places, each at the outermost point of its side and moved into the picture, it
    takes the one that covers the least of `avoid`; of equally good ones the first::

              1
            +---+
          4 |   | 3        above, below, right, left
            +---+
              2

    A label above a box, and below the box where there is no room above:

    >>> box = np.array([[40.0, 50.0, 60.0, 70.0]])
    >>> place_label((30, 10), [(40, 50), (60, 50), (60, 70), (40, 70)], (100, 100), box)
    (40.0, 40.0)
    >>> box = np.array([[40.0, 2.0, 60.0, 22.0]])
    >>> place_label((30, 10), [(40, 2), (60, 2), (60, 22), (40, 22)], (100, 100), box)
    (40.0, 22.0)

    Args:
        label_wh: Width and height of the label, in pixels.
        points: The thing's corners; they may lie outside the picture.
        picture_wh: Size of the picture.
        avoid: Boxes (xyxy) of labels placed before, and of things; cover counts by area.
    """
    corners = np.clip(np.array(points, dtype=np.float64), 0, picture_wh)
    x, y = corners.T
    width, height = label_wh
    # Of corners equally far out, the one farther left, or farther up.
    top, bottom = np.lexsort((x, y))[0], np.lexsort((x, -y))[0]
    right, left = np.lexsort((y, -x))[0], np.lexsort((y, x))[0]
    places = np.array(
        [
            (x[top], y[top] - height),
            (x[bottom], y[bottom]),
            (x[right], y[right]),
            (x[left] - width, y[left]),
        ]
    )
    room = np.maximum(np.array(picture_wh) - label_wh, 0)
    places = np.clip(places, 0, room)
    boxes = np.concatenate([places, places + label_wh], axis=1)
    best = int(np.argmin(covered_area(boxes, avoid)))
    return (float(places[best, 0]), float(places[best, 1]))


def covered_area(xyxy: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return, for each box, the sum of the areas that it shares with each of the others.

    >>> covered_area(np.array([[0, 0, 4, 4]]), np.array([[2, 2, 6, 6], [9, 9, 10, 10]]))
    array([4])
    """
    sides = np.minimum(xyxy[:, None, 2:], others[None, :, 2:]) - np.maximum(
        xyxy[:, None, :2], others[None, :, :2]
    )
    area: NDArray[np.float64] = np.maximum(sides, 0).prod(axis=2).sum(axis=1)
    return area
