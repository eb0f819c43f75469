"""Drawn pictures that look like the ground from above, and compress like it."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Point = tuple[float, float]

_GROUNDS: tuple[Rgb, ...] = (
    *((92, 104, 62), (120, 112, 78), (74, 92, 58), (138, 128, 98)),
    *((104, 118, 84), (150, 138, 112), (66, 84, 70), (112, 100, 72)),
)
_ROAD: Rgb = (128, 126, 122)
_OCTAVES = ((4, 16.0), (8, 11.0), (16, 8.0), (32, 7.0), (64, 6.0), (128, 6.0))
"""Cells along a side, and strength in grey levels."""
_GRAIN = (2.1, 2.45)
"""Least and greatest strength of the noise of single pixels, in grey levels.

It makes most of a file's size; with less of it zlib also takes longer to search.
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """A filled polygon."""

    points: Sequence[Point]
    """Pixels."""
    color: Rgb


def draw_picture(
    rng: np.random.Generator, size_wh: tuple[int, int], shapes: Iterable[Shape] = ()
) -> NDArray[np.uint8]:
    """Draw fields, roads, `shapes` with their shadows, and noise; `(height, width, 3)`.

    Equal generators give equal pictures.
    """
    canvas = Image.new("RGB", size_wh, _GROUNDS[0])
    pen = ImageDraw.Draw(canvas)
    _draw_fields(rng, pen, size_wh)
    _draw_roads(rng, pen, size_wh)
    for shape in shapes:
        shadow = [(x + 3, y + 3) for x, y in shape.points]
        pen.polygon(shadow, fill=(40, 42, 40))
        pen.polygon(list(shape.points), fill=shape.color, outline=(230, 228, 220))
    light = _noise(rng, size_wh)[:, :, None]
    grain = rng.standard_normal((size_wh[1], size_wh[0], 3), dtype=np.float32)
    strength = np.float32(rng.uniform(*_GRAIN))
    pixels = np.asarray(canvas, dtype=np.float32) + light + grain * strength
    return np.clip(pixels, 0, 255).astype(np.uint8)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the pixels as a PNG file, at zlib's level 6."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _draw_fields(
    rng: np.random.Generator, pen: ImageDraw.ImageDraw, size_wh: tuple[int, int]
) -> None:
    width, height = size_wh
    for _ in range(12):
        x, y = rng.uniform(-0.2, 1.0, 2) * size_wh
        across, down = rng.uniform(0.15, 0.6, 2) * size_wh
        slant = rng.uniform(-0.1, 0.1) * min(width, height)
        color = _GROUNDS[int(rng.integers(len(_GROUNDS)))]
        corners = [(x, y), (x + across, y + slant), (x + across, y + down), (x, y + down - slant)]
        pen.polygon(corners, fill=color)


def _draw_roads(
    rng: np.random.Generator, pen: ImageDraw.ImageDraw, size_wh: tuple[int, int]
) -> None:
    width, height = size_wh
    for number in range(int(rng.integers(1, 4))):
        start, end = rng.uniform(0, 1, 2)
        road = (0, start * height, width, end * height)
        if number % 2:
            road = (start * width, 0, end * width, height)
        thickness = max(2, int(rng.integers(6, 18) * min(width, height) / 512))
        pen.line(road, fill=_ROAD, width=thickness)
        pen.line(road, fill=(210, 208, 196), width=max(1, thickness // 8))


def _noise(rng: np.random.Generator, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return smooth noise of several octaves, `(height, width)`, in grey levels."""
    total = np.zeros((size_wh[1], size_wh[0]), dtype=np.float32)
    for cells, strength in _OCTAVES:
        coarse = rng.standard_normal((cells, cells), dtype=np.float32) * strength
        smooth = Image.fromarray(coarse).resize(size_wh, Image.Resampling.BILINEAR)
        total += np.asarray(smooth)
    return total
