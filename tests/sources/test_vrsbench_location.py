"""Places: corners, boxes and percentages, with everything that VRSBench does to them."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.sources.vrsbench.location import (
    PercentBox,
    from_coord,
    from_corners,
    from_percent,
    parse_percent_box,
)

INSIDE = [0.25, 0.5, 0.5, 0.5, 0.5, 0.75, 0.25, 0.75]


def test_corners_become_pixels_exactly():
    """Fractions k/512 of a 512 picture give whole pixels, corners and the box around them."""
    location = from_corners([k / 512 for k in (10, 20, 30, 21, 29, 41, 9, 40)])
    box, corners = location.to_pixels((512, 512))
    assert corners == (10, 20, 30, 21, 29, 41, 9, 40)
    assert box == (9, 20, 30, 41)


def test_x_scales_with_the_width_and_y_with_the_height():
    """In a picture that is not square each coordinate has its own side."""
    box, corners = from_corners(INSIDE).to_pixels((100, 40))
    assert box == (25, 20, 50, 30)
    assert corners == (25, 20, 50, 20, 50, 30, 25, 30)


def test_corners_beyond_the_picture_stay_and_only_the_box_is_clipped():
    """DIOR's objects leave the crop: the raw corners are kept, the box ends at the border."""
    box, corners = from_corners([-0.25, 0.5, 1.404, 0.5, 1.404, 1.25, -0.25, 1.25]).to_pixels(
        (512, 512)
    )
    assert (min(corners), max(corners)) == (-128, 1.404 * 512)
    assert box == (0, 256, 512, 512)


def test_an_object_wholly_beyond_the_picture_has_a_box_without_area_at_the_border():
    """Such a box is kept, and says that it has no area."""
    location = from_corners([1.1, 0.5, 1.2, 0.5, 1.2, 0.6, 1.1, 0.6])
    assert location.to_pixels((512, 512))[0][::2] == (512, 512)
    assert not location.has_area
    assert from_corners(INSIDE).has_area


@pytest.mark.parametrize(
    "values",
    [
        *(None, "0.1", {}, [], INSIDE[:7], [*INSIDE, 0.5], [*INSIDE[:7], None]),
        *([*INSIDE[:7], "0.5"], [*INSIDE[:7], True], [*INSIDE[:7], math.inf], [1e300] * 8),
    ],
)
def test_corners_that_are_not_eight_usable_numbers_are_no_place(values):
    """Anything but eight numbers near the picture is not taken for corners."""
    assert from_corners(values) is None


@pytest.mark.parametrize(
    ("coord", "box", "repaired"),
    [
        ([0.25, 0.5, 0.75, 1], (0.25, 0.5, 0.75, 1), 0),
        ([-0.1, 0.5, 0.75, 1.2], (0, 0.5, 0.75, 1), 1),
        ([0.75, 1, 0.25, 0.5], (0.25, 0.5, 0.75, 1), 1),
        ([0.5, 0.5, 0.5, 0.5], (0.5, 0.5, 0.5, 0.5), 0),
    ],
)
def test_boxes_from_obj_coord_are_turned_and_clipped(coord, box, repaired):
    """A box beyond the picture or turned around is put right and counted; without area it stays."""
    repairs = Counter()
    location = from_coord(coord, repairs)
    assert (location.box, location.corners) == (box, None)
    assert repairs["boxes_repaired"] == repaired
    assert repairs["boxes_from_obj_coord"] == 1
    x1, y1, x2, y2 = box
    assert location.to_pixels((100, 50)) == ((100 * x1, 50 * y1, 100 * x2, 50 * y2), None)


def test_an_unusable_obj_coord_is_no_place_and_counts_for_nothing():
    """Five numbers are not a box."""
    repairs = Counter()
    assert from_coord([0, 0, 1, 1, 1], repairs) is None
    assert not repairs


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("{<45><45><59><59>}", (45, 45, 59, 59, None)),
        ("{<-73><-2><196><106>}", (-73, -2, 196, 106, None)),
        ("{<10><20><30><40>|<90>}", (10, 20, 30, 40, 90)),
        ("{<10><20><30><40>|<-12.5>}", (10, 20, 30, 40, -12.5)),
        ("It is at {<1> <2> <3> <4>}.", (1, 2, 3, 4, None)),
        ("{<1.5><2><3><4>}", (1.5, 2, 3, 4, None)),
    ],
)
def test_percent_boxes_keep_their_minus_sign(text, box):
    """Every form of box is read: negative, above 100, with an angle, within a sentence."""
    assert parse_percent_box(text) == PercentBox(*box)


@pytest.mark.parametrize("text", ["", "no box", "{<1><2><3>}", "{<a><2><3><4>}", "<1><2><3><4>"])
def test_a_text_without_a_box_gives_none(text):
    """What is not a box is not guessed at."""
    assert parse_percent_box(text) is None


@given(st.tuples(*[st.integers(-200, 300)] * 4))
def test_percent_boxes_read_what_is_written(numbers):
    """Writing a box and reading it gives the same numbers."""
    text = "{" + "".join(f"<{number}>" for number in numbers) + "}"
    assert parse_percent_box(text)[:4] == numbers


def test_a_percent_box_keeps_its_raw_corners_and_is_clipped_as_a_box():
    """`{<-25><50><25><125>}` reaches beyond the picture in its corners, not in its box."""
    repairs = Counter()
    box, corners = from_percent(PercentBox(-25, 50, 25, 125), repairs).to_pixels((512, 256))
    assert box == (0, 128, 128, 256)
    assert corners == (-128, 128, 128, 128, 128, 320, -128, 320)
    assert not repairs


def test_a_percent_box_that_is_turned_around_is_turned_back():
    """The order of the two corners does not matter, and is counted."""
    repairs = Counter()
    assert from_percent(PercentBox(50, 20, 10, 40), repairs).box == (0.1, 0.2, 0.5, 0.4)
    assert repairs == {"boxes_repaired": 1}


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8), st.sampled_from([(512, 512), (7, 300)]))
def test_boxes_always_lie_in_the_picture(values, size_wh):
    """Whatever the corners, the box is ordered and inside."""
    (x1, y1, x2, y2), _ = from_corners(values).to_pixels(size_wh)
    assert 0 <= x1 <= x2 <= size_wh[0]
    assert 0 <= y1 <= y2 <= size_wh[1]
