"""Boxes and corners: conversions undo each other and agree with torchvision's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import _box_convert, box_convert

from vrs_wds.geometry.boxes import (
    as_rows,
    clip_xyxy,
    corners_to_rotated,
    corners_to_xyxy,
    cxcywh_to_xyxy,
    is_degenerate,
    xywh_to_xyxy,
    xyxy_to_corners,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

# Quarters of a pixel: sums and halves of them are exact.
EXACT = st.integers(-4000, 4000).map(lambda quarters: quarters / 4)
FLOATS = st.floats(-1e4, 1e4)


def rows_of(values, columns):
    """Draw arrays of rows."""
    return st.lists(st.tuples(*[values] * columns), max_size=6).map(
        lambda rows: np.array(rows, dtype=np.float64).reshape(-1, columns)
    )


def xyxy_rows(values):
    """Draw boxes whose maximum is not below their minimum."""
    return rows_of(values, 4).map(
        lambda rows: np.concatenate(
            [np.minimum(rows[:, :2], rows[:, 2:]), np.maximum(rows[:, :2], rows[:, 2:])], axis=1
        )
    )


@st.composite
def rectangles(draw):
    """Draw turned rectangles: centre, sides, angle in degrees."""
    sides = st.floats(1, 100)
    rows = st.tuples(FLOATS, FLOATS, sides, sides, st.floats(-179, 179))
    return np.array(draw(st.lists(rows, min_size=1, max_size=6)))


def corners_of(rotated):
    """Turn rectangles counter-clockwise on the screen, where y points down."""
    x, y, width, height, degrees = rotated.T
    turn = np.radians(degrees)
    corners = []
    for across, down in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        right, below = across * width, down * height
        corners.append(x + right * np.cos(turn) + below * np.sin(turn))
        corners.append(y - right * np.sin(turn) + below * np.cos(turn))
    return np.stack(corners, axis=1)


@given(xyxy_rows(EXACT))
def test_conversions_undo_each_other(xyxy):
    """Exactly, for coordinates that floats hold exactly."""
    np.testing.assert_array_equal(xywh_to_xyxy(xyxy_to_xywh(xyxy)), xyxy)
    np.testing.assert_array_equal(cxcywh_to_xyxy(xyxy_to_cxcywh(xyxy)), xyxy)
    np.testing.assert_array_equal(corners_to_xyxy(xyxy_to_corners(xyxy)), xyxy)


@given(rows_of(EXACT, 4))
def test_conversions_undo_each_other_the_other_way(rows):
    """The other direction, for any numbers."""
    np.testing.assert_array_equal(xyxy_to_xywh(xywh_to_xyxy(rows)), rows)
    np.testing.assert_array_equal(xyxy_to_cxcywh(cxcywh_to_xyxy(rows)), rows)


@given(xyxy_rows(FLOATS))
@pytest.mark.parametrize(
    ("convert", "names"),
    [
        (xyxy_to_xywh, ("xyxy", "xywh")),
        (xywh_to_xyxy, ("xywh", "xyxy")),
        (xyxy_to_cxcywh, ("xyxy", "cxcywh")),
        (cxcywh_to_xyxy, ("cxcywh", "xyxy")),
    ],
)
def test_names_mean_what_torchvision_means(convert, names, xyxy):
    """`torchvision.ops.box_convert` gives the same numbers."""
    expected = box_convert(torch.from_numpy(xyxy), *names).numpy()
    np.testing.assert_allclose(convert(xyxy), expected, rtol=1e-12, atol=1e-9)


@given(rows_of(FLOATS, 8))
def test_the_box_around_corners_is_the_smallest(corners):
    """Its edges are the least and greatest coordinates."""
    xyxy = corners_to_xyxy(corners)
    xs, ys = corners[:, 0::2], corners[:, 1::2]
    for box, x, y in zip(xyxy.tolist(), xs.tolist(), ys.tolist(), strict=True):
        assert box == [min(x), min(y), max(x), max(y)]


@given(rectangles())
def test_rectangles_come_back(rotated):
    """A rectangle turned counter-clockwise on the screen gives its centre, sides and angle."""
    np.testing.assert_allclose(corners_to_rotated(corners_of(rotated)), rotated, atol=1e-7)


@pytest.mark.parametrize(
    ("corners", "angle"),
    [
        ([0, 0, 4, 0, 4, 2, 0, 2], 0),
        ([0, 4, 0, 0, 2, 0, 2, 4], 90),  # the first edge points up
        ([4, 2, 0, 2, 0, 0, 4, 0], 180),
        ([2, 0, 2, 4, 0, 4, 0, 0], -90),  # the first edge points down
    ],
)
def test_angles_are_counter_clockwise_on_the_screen(corners, angle):
    """The angle is that of the first edge; width runs along it."""
    ((_, _, width, height, found),) = corners_to_rotated(as_rows(corners, 8)).tolist()
    assert found == pytest.approx(angle)
    assert (width, height) == pytest.approx((4, 2))


@pytest.mark.skipif(
    not hasattr(_box_convert, "_box_xywhr_to_xyxyxyxy"),
    reason="this torchvision has no rotated boxes",
)
@given(rectangles())
def test_rotated_means_what_torchvision_means(rotated):
    """Corners to CXCYWHR and back, by `torchvision.ops.box_convert`, agree with ours."""
    corners = corners_of(rotated)
    theirs = box_convert(torch.from_numpy(rotated), "cxcywhr", "xyxyxyxy").numpy()
    np.testing.assert_allclose(corners, theirs, atol=1e-7)
    theirs = box_convert(torch.from_numpy(corners), "xyxyxyxy", "cxcywhr").numpy()
    np.testing.assert_allclose(corners_to_rotated(corners), theirs, atol=1e-7)


@given(rectangles(), st.integers(0, 3), st.booleans())
def test_any_order_of_the_corners_gives_the_same_rectangle(rotated, first, turned):
    """Whichever corner comes first, and whichever way they run, the area covered is the same."""
    points = corners_of(rotated).reshape(-1, 4, 2)
    order = np.roll([0, 3, 2, 1] if turned else [0, 1, 2, 3], first)
    found = corners_of(corners_to_rotated(points[:, order].reshape(-1, 8))).reshape(-1, 4, 2)
    for row, expected in zip(found, points, strict=True):
        distances = np.linalg.norm(row[:, None] - expected[None], axis=-1)
        assert distances.min(axis=0).max() < 1e-6
        assert distances.min(axis=1).max() < 1e-6


@given(xyxy_rows(FLOATS), st.integers(1, 500), st.integers(1, 500))
def test_clipped_boxes_lie_in_the_picture(xyxy, width, height):
    """Clipping is done once and for all, and leaves boxes inside as they are."""
    clipped = clip_xyxy(xyxy, (width, height))
    assert (clipped >= 0).all()
    assert (clipped <= (width, height, width, height)).all()
    np.testing.assert_array_equal(clip_xyxy(clipped, (width, height)), clipped)
    inside = (xyxy[:, :2] >= 0).all(axis=1) & (xyxy[:, 2:] <= (width, height)).all(axis=1)
    np.testing.assert_array_equal(clipped[inside], xyxy[inside])


@given(xyxy_rows(FLOATS), st.integers(1, 500), st.integers(1, 500))
def test_boxes_beyond_the_picture_have_no_area(xyxy, width, height):
    """And only boxes that share an area with the picture keep one."""
    x_min, y_min, x_max, y_max = xyxy.T
    shared = (np.minimum(x_max, width) > np.maximum(x_min, 0)) & (
        np.minimum(y_max, height) > np.maximum(y_min, 0)
    )
    np.testing.assert_array_equal(~is_degenerate(clip_xyxy(xyxy, (width, height))), shared)


def test_rows_keep_their_shape_when_there_are_none():
    """Every conversion takes zero rows and gives zero rows."""
    boxes, corners = as_rows([], 4), as_rows((), 8)
    assert boxes.shape == (0, 4)
    for convert in (xywh_to_xyxy, xyxy_to_xywh, xyxy_to_cxcywh, cxcywh_to_xyxy):
        assert convert(boxes).shape == (0, 4)
    assert xyxy_to_corners(boxes).shape == (0, 8)
    assert corners_to_xyxy(corners).shape == (0, 4)
    assert corners_to_rotated(corners).shape == (0, 5)
    assert clip_xyxy(boxes, (5, 5)).shape == (0, 4)
    assert is_degenerate(boxes).shape == (0,)
