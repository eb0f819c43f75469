"""Where labels go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.inspect.labels import covered_area, place_label

NOTHING = np.zeros((0, 4))
coordinates = st.floats(-1e6, 1e6)
sizes = st.integers(1, 500)


def square(left, top, side=10):
    """Return the corners of a square."""
    return [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]


@given(
    points=st.lists(st.tuples(coordinates, coordinates), min_size=4, max_size=4),
    picture_wh=st.tuples(sizes, sizes),
    share=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_labels_lie_inside_the_picture(points, picture_wh, share):
    """A label that fits into the picture never leaves it, wherever its thing is."""
    label_wh = (picture_wh[0] * share[0], picture_wh[1] * share[1])

    left, top = place_label(label_wh, points, picture_wh, NOTHING)

    assert left >= 0
    assert top >= 0
    assert left + label_wh[0] <= picture_wh[0] + 1e-9
    assert top + label_wh[1] <= picture_wh[1] + 1e-9


def test_a_label_stands_above_its_thing():
    """With room on every side the label sits on the thing's top."""
    assert place_label((20, 5), square(40, 40), (100, 100), NOTHING) == (40, 35)


def test_a_label_evades_labels_placed_before():
    """Four labels of one thing are on its four sides, and none covers another."""
    avoid = [[40.0, 40.0, 50.0, 50.0]]
    for _ in range(4):
        left, top = place_label((20, 5), square(40, 40), (100, 100), np.array(avoid))
        avoid.append([left, top, left + 20, top + 5])

    labels = np.array(avoid[1:])

    for i in range(3):
        assert covered_area(labels[i : i + 1], labels[i + 1 :]) == 0
    assert len(np.unique(labels, axis=0)) == 4


def test_a_label_larger_than_the_picture_begins_at_its_corner():
    """What cannot fit is placed at the top left."""
    assert place_label((20, 20), square(2, 2, 3), (10, 10), NOTHING) == (0, 0)
