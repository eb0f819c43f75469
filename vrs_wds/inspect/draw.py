"""Draws boxes, corners and labels into a picture."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vrs_wds.tasks.items import LocatedItem, corners_of

# Okabe and Ito's palette, told apart by the colour-blind too; without black.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def draw_items(
    image: NDArray[np.uint8], items: Sequence[LocatedItem], texts: Sequence[str], *, scale: int = 1
) -> Image.Image:
    """Return the picture with every item's outline and its text.

    Args:
        image: (H, W, 3) uint8.
        items: Objects or expressions, in the picture's frame.
        texts: One text an item.
        scale: Enlarge the picture so many times, for texts that can be read.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image).resize((width * scale, height * scale))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=13)
    for i, (corners, text) in enumerate(zip(corners_of(items) * scale, texts, strict=True)):
        colour = _COLOURS[i % len(_COLOURS)]
        points = [(float(x), float(y)) for x, y in corners.reshape(4, 2)]
        draw.polygon(points, outline=colour, width=2)
        left, top = (max(0.0, min(point[axis] for point in points)) for axis in (0, 1))
        anchor = (left, max(0.0, top - 16))
        draw.rectangle(draw.textbbox(anchor, text, font=font), fill=colour)
        draw.text(anchor, text, fill="black", font=font)
    return picture
