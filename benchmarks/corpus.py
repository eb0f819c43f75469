"""Samples with natural statistics, in memory: drawn pictures and VRSBench-like annotations."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.annotations import sidecars
from vrs_wds.images.encode import encode_rgb
from vrs_wds.sample import SourceSample
from vrs_wds.testing.pictures import draw_picture, encode_png
from vrs_wds.testing.synthetic import make_annotations

NUM_PICTURES = 64
"""Different pictures, but no more than an eighth of the samples, which take turns with them."""
NUM_ANNOTATIONS = 256

SIDES = {"jpeg": 512, "png": 512, "jpeg1024": 1024}
"""Kinds of corpora, and the side of their pictures in pixels."""


def make_samples(kind: str, count: int, seed: int) -> Iterator[SourceSample]:
    """Yield samples with five sidecars: captioning, detection, grounding, vqa and meta."""
    side, extension = SIDES[kind], "png" if kind == "png" else "jpg"
    draw = partial(draw_png if kind == "png" else draw_jpeg, side=side)
    distinct = max(1, min(NUM_PICTURES, count // 8))
    pictures = [draw([seed, number]) for number in range(distinct)]
    made = make_annotations("train", min(count, NUM_ANNOTATIONS), seed=seed)
    annotations = [sidecars(annotation, side) for annotation in made]
    for number in range(count):
        yield SourceSample(
            name=f"P{number:08d}",
            image=pictures[number % len(pictures)],
            extension=extension,
            annotations=annotations[number % len(annotations)],
            extra={"file_name": f"P{number:08d}.{extension}"},
        )


def draw_png(seed: int | list[int], side: int) -> bytes:
    """Draw a picture; PNG at zlib's level 6."""
    return encode_png(draw_picture(np.random.default_rng(seed), (side, side)))


def draw_jpeg(seed: int | list[int], side: int) -> bytes:
    """Draw a picture; JPEG at quality 90, which smooths the grain away that a PNG needs."""
    rng = np.random.default_rng(seed)
    pixels = draw_picture(rng, (side, side))
    grain = rng.standard_normal(pixels.shape) * rng.uniform(3, 9)
    return encode_rgb(np.clip(pixels + grain, 0, 255).astype(np.uint8), "jpeg", quality=90)
