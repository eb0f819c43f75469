"""Draws outlines and their labels into a picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vrs_wds.geometry.boxes import as_rows
from vrs_wds.inspect.labels import Point, place_label
from vrs_wds.inspect.outlines import Outline, text_color_on

_FINER = 2
"""Outlines are drawn so many times larger and scaled down: smooth edges."""
_CASING = "#00000099"
"""Around every line, so that it shows on any ground."""
_LEAST_LABELLED_SIDE = 256
"""On a smaller picture only numbers are written; classes would hide it."""
_MAX_LABEL = 200
"""Characters of a label that are looked at."""
_DOT = 4.0
"""Radius of what stands for an outline without extent, in pixels."""


def draw_outlines(
    image: NDArray[np.uint8], outlines: Sequence[Outline], *, side: int = 512
) -> Image.Image:
    """Return the picture, its longer side brought to `side` pixels, with outlines and labels.

    Labels lie inside the picture, beside their things and off each other where there is room.
    Their font is Pillow's own, which has ASCII only: a box stands for any other letter.

    Args:
        image: (H, W, 3) uint8.
        outlines: In the picture's pixels.
        side: Longer side of the drawn picture, in pixels; at least 1.
    """
    picture = fit_picture(image, side)
    scale = np.array(picture.size) / image.shape[1::-1]
    scaled = [[(x * scale[0], y * scale[1]) for x, y in outline.points] for outline in outlines]
    layer = Image.new("RGBA", (picture.width * _FINER, picture.height * _FINER))
    pen = ImageDraw.Draw(layer)
    for outline, points in zip(outlines, scaled, strict=True):
        _draw_line(pen, points, outline.color)
    _draw_labels(pen, picture.size, outlines, scaled)
    smooth = layer.resize(picture.size, Image.Resampling.BOX)
    return Image.alpha_composite(picture.convert("RGBA"), smooth).convert("RGB")


def fit_picture(image: NDArray[np.uint8], side: int) -> Image.Image:
    """Return the picture with its longer side brought to `side` pixels."""
    height, width = image.shape[:2]
    longer = max(width, height)
    size_wh = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    picture = Image.fromarray(image)
    return picture if size_wh == picture.size else picture.resize(size_wh, Image.Resampling.LANCZOS)


def _draw_line(pen: ImageDraw.ImageDraw, points: Sequence[Point], color: str) -> None:
    finer = [(x * _FINER, y * _FINER) for x, y in points]
    if max(np.ptp(np.array(finer), axis=0)) < _DOT:
        x, y = finer[0]
        radius = _DOT * _FINER
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=color, outline=_CASING, width=_FINER)
        return
    closed = [*finer, *finer[:2]]  # the first edge twice: its joint is rounded too
    pen.line(closed, fill=_CASING, width=4 * _FINER, joint="curve")
    pen.line(closed, fill=color, width=2 * _FINER, joint="curve")


def _draw_labels(
    pen: ImageDraw.ImageDraw,
    picture_wh: tuple[int, int],
    outlines: Sequence[Outline],
    scaled: Sequence[Sequence[Point]],
) -> None:
    side = max(picture_wh)
    font = ImageFont.load_default(size=max(11.0, side / 40) * _FINER)
    avoid = [(*np.min(points, axis=0), *np.max(points, axis=0)) for points in scaled]
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (11, 2)
    pad, height = 3, (ascent + descent) / _FINER
    for outline, points in zip(outlines, scaled, strict=True):
        text = outline.text if side >= _LEAST_LABELLED_SIDE else outline.number_text
        text = _shortened(text, pen, font, (picture_wh[0] - 2 * pad) * _FINER)
        if not text:
            continue
        width = pen.textlength(text, font=font) / _FINER + 2 * pad
        left, top = place_label((width, height), points, picture_wh, as_rows(avoid, 4))
        box = (left, top, left + width, top + height)
        # Another label in the way is worse than a thing.
        avoid += [box] * 8
        pen.rounded_rectangle([v * _FINER for v in box], radius=2 * _FINER, fill=outline.color)
        anchor = ((left + pad) * _FINER, top * _FINER)
        pen.text(anchor, text, fill=text_color_on(outline.color), font=font)


def _shortened(
    text: str,
    pen: ImageDraw.ImageDraw,
    font: "ImageFont.FreeTypeFont | ImageFont.ImageFont",
    room: float,
) -> str:
    """Return as much of a text as there is room for, in pixels; nothing if that is hardly any."""
    text = " ".join(text[:_MAX_LABEL].split())
    if pen.textlength(text, font=font) <= room:
        return text
    while len(text) > 1 and pen.textlength(text + "...", font=font) > room:
        text = text[:-1]
    return text + "..." if len(text) > 1 else ""
