"""Drawing outlines: sizes, colors and labels."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vrs_wds.inspect.draw import _shortened, draw_outlines, fit_picture
from vrs_wds.inspect.outlines import COLORS, Outline, outlines_of, text_color_on
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.grounding import Expression, Grounding

GROUND = (90, 100, 80)


def ground(width, height):
    """Return a picture of one color, (H, W, 3)."""
    return np.full((height, width, 3), GROUND, dtype=np.uint8)


def rectangle(left, top, right, bottom, **options):
    """Return an outline of four sides."""
    points = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Outline(points, options.pop("label", "ship"), **options)


def changed(image, picture):
    """Return where the drawn picture differs, as booleans (H, W)."""
    return (np.asarray(image) != picture).any(axis=2)


@pytest.mark.parametrize(
    ("size_wh", "side", "drawn_wh"),
    [
        ((512, 512), 512, (512, 512)),
        ((400, 100), 512, (512, 128)),
        ((30, 60), 128, (64, 128)),
        ((5000, 10), 100, (100, 1)),
        ((1, 1), 3, (3, 3)),
    ],
)
def test_the_longer_side_is_as_asked_for(size_wh, side, drawn_wh):
    """The picture keeps its aspect, and a PNG of it has that size."""
    buffer = io.BytesIO()
    draw_outlines(ground(*size_wh), [rectangle(0, 0, 5, 5)], side=side).save(buffer, "PNG")

    assert Image.open(buffer).size == drawn_wh


def test_a_picture_without_outlines_is_as_it_was():
    """Nothing is drawn, and nothing resampled, where there is nothing to draw."""
    picture = ground(64, 48)

    assert not changed(draw_outlines(picture, [], side=64), picture).any()
    assert fit_picture(picture, 64).size == (64, 48)


def test_corners_are_drawn_as_a_polygon():
    """A rotated outline goes through its corners, not around its box."""
    picture = ground(100, 100)
    diamond = Outline(((50, 20), (80, 50), (50, 80), (20, 50)), "")

    drawn = changed(draw_outlines(picture, [diamond], side=100), picture)

    assert drawn[35, 65]
    assert drawn[65, 35]
    assert not drawn[20:30, 20:30].any()
    assert not drawn[45:55, 45:55].any()


def test_outlines_scale_with_the_picture():
    """Coordinates are the picture's, whatever the size it is drawn in."""
    drawn = np.asarray(draw_outlines(ground(100, 100), [rectangle(20, 20, 80, 80, label="")]))

    assert (drawn[300, 20 * 512 // 100] > 200).all()
    assert tuple(drawn[300, 300]) == GROUND


def test_an_outline_without_extent_is_a_dot():
    """A box without area can be seen."""
    picture = ground(100, 100)

    drawn = changed(
        draw_outlines(picture, [rectangle(50, 50, 50, 50, label="")], side=100), picture
    )

    assert drawn[50, 50]
    assert 20 < drawn.sum() < 200


@pytest.mark.parametrize("far", [200.0, 1e5, -1e5])
def test_things_beyond_the_picture_are_labelled_at_its_border(far):
    """Corners as annotated may lie anywhere; the label stays inside."""
    picture = ground(300, 300)
    thing = rectangle(100 + far, 100 + far, 150 + far, 150 + far, label="harbor")

    assert changed(draw_outlines(picture, [thing], side=300), picture).sum() > 200


def test_small_pictures_have_numbers_only():
    """Under 256 pixels the class is not written, the number is."""
    picture = ground(128, 128)
    plain, numbered = (
        changed(
            draw_outlines(picture, [rectangle(40, 60, 80, 90, numbers=numbers)], side=128), picture
        )
        for numbers in ((), (1,))
    )

    assert not plain[:57].any()
    assert 30 < numbered[:57].sum() < 400


def test_a_long_label_is_shortened_to_fit():
    """A label of a thousand characters is drawn within the picture, and says that it goes on."""
    pen, font = ImageDraw.Draw(Image.new("RGB", (8, 8))), ImageFont.load_default(size=11.0)
    for room in (0, 12, 50, 300):
        shown = _shortened("w" * 1000, pen, font, room)
        assert pen.textlength(shown, font=font) <= room
        assert shown == "" or shown.endswith("w...")
    assert _shortened("a ship", pen, font, 300) == "a ship"

    picture = ground(300, 40)
    drawn = changed(
        draw_outlines(picture, [rectangle(5, 5, 20, 20, label="w" * 1000)], side=300), picture
    )
    assert drawn[:, 250:].any()


def test_an_object_and_its_expressions_are_one_outline():
    """Expressions of one place share an outline with the object there, and its color."""
    boxes = {name: (n, n, n + 5.0, n + 5.0) for n, name in enumerate("abc", start=1)}
    sample = {
        "detection": Detection(
            objects=tuple(
                DetectedObject(object_id=i, label=name, box=boxes[name])
                for i, name in enumerate("abc")
            )
        ),
        "grounding": Grounding(
            expressions=tuple(
                Expression(text=f"the {name}", box=boxes[name], label=label)
                for name, label in (("b", ""), ("c", "c"), ("b", "b"))
            )
        ),
    }

    outlines = outlines_of(sample)

    assert [outline.text for outline in outlines] == ["a", "1, 3 b", "2 c"]
    assert [outline.color for outline in outlines] == ["#FFFFFF", COLORS[0], COLORS[1]]


def test_label_texts_are_read_on_their_color():
    """Black or white, whichever has the greater contrast (WCAG 2), at least 4.5 to 1."""

    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    for color in COLORS:
        pair = sorted([luminance(color), luminance(text_color_on(color))])
        assert pair[1] / pair[0] >= 4.5, color
