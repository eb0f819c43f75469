"""Box formats on the way out."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.boxes import as_rows, xyxy_to_corners
from vrs_wds.geometry.formats import check_format, corners_to_percent_text, format_boxes

SIDES = st.floats(0, 500)
XYXY = as_rows([[64, 128, 128, 256], [0, 0, 256, 512]], 4)
CORNERS = as_rows([[64, 128, 128, 120, 130, 256, 60, 250], [0, 0, 256, 0, 256, 512, 0, 512]], 8)
SIZE_WH = (256, 512)


@pytest.mark.parametrize(
    ("box_format", "coordinates", "expected"),
    [
        ("xyxy", "pixels", [64, 128, 128, 256]),
        ("xywh", "pixels", [64, 128, 64, 128]),
        ("cxcywh", "pixels", [96, 192, 64, 128]),
        ("corners", "pixels", [64, 128, 128, 120, 130, 256, 60, 250]),
        ("xyxy", "0-1", [0.25, 0.25, 0.5, 0.5]),
        ("xywh", "0-100", [25, 25, 25, 25]),
        ("cxcywh", "0-1000", [375, 375, 250, 250]),
        ("corners", "0-1", [0.25, 0.25, 0.5, 120 / 512, 130 / 256, 0.5, 60 / 256, 250 / 512]),
    ],
)
def test_layouts_and_units(box_format, coordinates, expected):
    """Numbers written out by hand; x is a share of the width, y of the height."""
    found = format_boxes(XYXY, CORNERS, SIZE_WH, box_format=box_format, coordinates=coordinates)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


@pytest.mark.parametrize("coordinates", ["0-1", "0-100", "0-1000"])
@pytest.mark.parametrize("box_format", ["xyxy", "corners"])
def test_the_whole_picture_is_the_full_side(box_format, coordinates):
    """The last pixel's far edge is exactly 1, 100 or 1000."""
    found = format_boxes(XYXY, CORNERS, SIZE_WH, box_format=box_format, coordinates=coordinates)
    assert set(found[1].tolist()) == {0, int(coordinates.removeprefix("0-"))}


@given(st.tuples(*[SIDES] * 4), st.integers(1, 600), st.integers(1, 600))
def test_units_differ_by_a_factor(box, width, height):
    """Shares of 100 and 1000 are those of 1, and pixels divided by the sides."""
    xyxy = as_rows(box, 4)

    def shares(coordinates):
        return format_boxes(xyxy, xyxy_to_corners(xyxy), (width, height), coordinates=coordinates)

    np.testing.assert_allclose(shares("0-1") * 100, shares("0-100"), rtol=1e-12)
    np.testing.assert_allclose(shares("0-1") * 1000, shares("0-1000"), rtol=1e-12)
    sides = [width, height, width, height]
    np.testing.assert_allclose(shares("0-1") * sides, xyxy, rtol=1e-12)


@pytest.mark.parametrize(
    ("box_format", "columns"),
    [("xyxy", 4), ("xywh", 4), ("cxcywh", 4), ("corners", 8), ("rotated", 5)],
)
def test_no_boxes_keep_the_shape(box_format, columns):
    """Zero rows have as many columns as any."""
    found = format_boxes(as_rows([], 4), as_rows([], 8), SIZE_WH, box_format=box_format)
    assert found.shape == (0, columns)


def test_what_is_given_stays_as_it_is():
    """Scaling makes a new array."""
    before = XYXY.copy()
    format_boxes(XYXY, CORNERS, SIZE_WH, box_format="xywh", coordinates="0-1")
    np.testing.assert_array_equal(XYXY, before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("yxyx", "pixels"),
            "box_format: expected one of xyxy, xywh, cxcywh, corners, rotated, got",
        ),
        (("xyxy", "0-10"), "coordinates: expected one of pixels, 0-1, 0-100, 0-1000, got '0-10'"),
        (("rotated", "0-1"), "box_format 'rotated' has a meaning only with coordinates 'pixels'"),
    ],
)
def test_unknown_words_are_refused(words, message):
    """The message lists what there is."""
    with pytest.raises(ConfigError, match=message):
        check_format(*words)
    with pytest.raises(ConfigError, match=message):
        format_boxes(XYXY, CORNERS, SIZE_WH, box_format=words[0], coordinates=words[1])


@given(st.tuples(*[st.floats(-50, 250)] * 8), st.integers(1, 200), st.integers(1, 200))
def test_percent_texts(corners, width, height):
    """The box around the corners in whole percent, truncated, from 0 to 100."""
    (text,) = corners_to_percent_text(as_rows(corners, 8), (width, height))
    found = [int(number) for number in re.findall(r"<(\d+)>", text)]
    expected = [
        min(max(math.trunc(100 * edge(corners[axis::2]) / side), 0), 100)
        for edge in (min, max)
        for axis, side in enumerate((width, height))
    ]
    assert found == expected
    assert text == "{" + "".join(f"<{number}>" for number in found) + "}"


def test_percent_texts_of_nothing():
    """No corners, no texts."""
    assert corners_to_percent_text(as_rows([], 8), (5, 5)) == []
