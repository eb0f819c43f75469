"""How much faster are one or two regions of a large JPEG decoded by themselves?

    python -m benchmarks.crop      # needs the extra `crop`

Samples are in memory: a JPEG of 1024 x 1024, quality 90, 4:2:0, with one or more boxes of 128 x 128
at random places. Both ways run the same stages, in turn, in one thread: `Decode()` or
`Decode(defer=True)`, then `CropRegions`. The times are means over the samples of a
round; the ratio is the median over rounds.

2026-11-20, two cores of a busy x86-64 machine, nvImageCodec 0.9: one region 2.7 times (2.6-3.3),
two regions 1.4 times (1.0-2.7), three the same as whole.

Not measured: reading.
"""

import argparse
import os
import statistics
import sys
import time
from typing import Any

import numpy as np
import simplejpeg

from vrs_wds.pipeline.crop_regions import CropRegions
from vrs_wds.pipeline.decode import Decode

SIDE, CROP = 1024, 128


def make_samples(count: int, num_boxes: int) -> list[dict[str, Any]]:
    """Make raw samples, each with boxes of its own."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    smooth = 128 + 60 * np.sin(9 * x)[..., None] * np.cos(7 * y)[..., None]
    pixels = np.clip(smooth + rng.normal(0, 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    data = bytes(simplejpeg.encode_jpeg(pixels, 90, colorsubsampling="420"))
    corners = rng.integers(0, SIDE - CROP + 1, (count, num_boxes, 2))
    boxes = np.concatenate([corners, corners + CROP], axis=2)
    return [
        {"__key__": str(i), "__url__": "memory", "jpg": data, "__boxes__": boxes[i]}
        for i in range(count)
    ]


def seconds_of(decode: Decode, samples: list[dict[str, Any]]) -> list[float]:
    """Decode and cut each sample."""
    crop = CropRegions(boxes=lambda sample: sample["__boxes__"])
    times = []
    for sample in samples:
        start = time.perf_counter()
        found = [cut for decoded in decode.apply(sample) for cut in crop.apply(decoded)]
        times.append(time.perf_counter() - start)
        if len(found) != len(sample["__boxes__"]):
            raise RuntimeError("a region is missing")
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=60)
    options = parser.parse_args()
    for num_boxes in (1, 2, 3):
        samples = make_samples(options.samples, num_boxes)
        ways = {"whole": Decode(), "deferred": Decode(defer=True)}
        for decode in ways.values():
            seconds_of(decode, samples[:3])
        ratios, shown = [], {}
        for _ in range(options.rounds):
            shown = {name: statistics.mean(seconds_of(way, samples)) for name, way in ways.items()}
            ratios.append(shown["whole"] / shown["deferred"])
        times = ", ".join(f"{name} {1e3 * value:.2f} ms" for name, value in shown.items())
        sys.stdout.write(
            f"{num_boxes} regions: {statistics.median(ratios):.2f} times "
            f"({min(ratios):.2f}-{max(ratios):.2f}); {times}; load {os.getloadavg()[0]:.1f}\n"
        )


if __name__ == "__main__":
    main()
