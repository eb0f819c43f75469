"""Frame: coordinates from one picture's frame to another's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.geometry.boxes import as_rows
from vrs_wds.geometry.frame import Frame

COORDINATES = st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 8), max_size=4).map(
    lambda rows: as_rows(rows, 8)
)
SIDES = st.integers(1, 2000)


def test_a_crop_shifts():
    """The region's corner becomes the origin, and its size the size."""
    frame = Frame.crop(30, 20, 130, 70)
    assert frame.size_wh == (100, 50)
    assert frame.move(np.array([30.0, 20, 130, 70])).tolist() == [0, 0, 100, 50]


def test_resizing_scales_x_and_y_apart():
    """The far corner of the old picture becomes that of the new."""
    frame = Frame.resize((200, 100), (50, 80))
    assert frame.size_wh == (50, 80)
    assert frame.move(np.array([200.0, 100, 100, 25])).tolist() == [50, 80, 25, 20]


def test_offsets_are_pixels_of_the_new_picture():
    """They are added after scaling."""
    frame = Frame((50, 50), scale_xy=(0.5, 0.25), offset_xy=(-15.0, 10.0))
    assert frame.move(np.array([[30.0, 20.0]])).tolist() == [[0, 15]]


def test_nothing_is_clipped():
    """What lies outside is carried along."""
    assert Frame.crop(10, 10, 20, 20).move(np.array([0.0, 0, 99, 99])).tolist() == [
        -10,
        -10,
        89,
        89,
    ]


@pytest.mark.parametrize("shape", [(0, 4), (0, 8), (2,), (8,), (3, 4), (3, 8), (2, 3, 4, 2)])
def test_shapes_stay(shape):
    """Pairs run along the last axis, whatever comes before it."""
    moved = Frame.crop(1, 2, 5, 5).move(np.zeros(shape))
    assert moved.shape == shape
    assert (moved.reshape(-1, 2) == [-1, -2]).all()


@given(COORDINATES, SIDES, SIDES, SIDES, SIDES)
def test_resizing_back_undoes_resizing(coordinates, old_width, old_height, width, height):
    """There and back is where it was."""
    old, new = (old_width, old_height), (width, height)
    there = Frame.resize(old, new).move(coordinates)
    np.testing.assert_allclose(Frame.resize(new, old).move(there), coordinates, atol=1e-6)


@given(COORDINATES, *[st.integers(-500, 500)] * 4)
def test_a_crop_of_a_crop_is_a_crop(coordinates, left, top, inner_left, inner_top):
    """Shifts add up."""
    twice = Frame.crop(inner_left, inner_top, inner_left + 9, inner_top + 9).move(
        Frame.crop(left, top, left + 50, top + 50).move(coordinates)
    )
    x, y = left + inner_left, top + inner_top
    np.testing.assert_allclose(twice, Frame.crop(x, y, x + 9, y + 9).move(coordinates), atol=1e-8)


@given(COORDINATES)
def test_coordinates_given_stay_as_they_are(coordinates):
    """Moving makes a new array."""
    before = coordinates.copy()
    Frame((10, 10), (2.0, 3.0), (1.0, 1.0)).move(coordinates)
    np.testing.assert_array_equal(coordinates, before)
