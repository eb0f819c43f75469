"""How much faster is a PNG decoded whose stream libdeflate has inflated?

    python -m benchmarks.png

`decode_rgb` as it is, against the same that gives libpng each PNG as it came. Two threads decode a
picture in memory again and again; the ways take turns. Processor microseconds of a picture; the
ratio is the median over rounds.

Not measured: pictures that are not in memory; more than two threads.
"""

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
from PIL import Image, ImageFilter

from vrs_wds.images import png
from vrs_wds.images.decode import decode_rgb
from vrs_wds.testing.pictures import draw_picture, encode_png

THREADS = 2


def make_pictures() -> dict[str, bytes]:
    """Draw pictures that a PNG makes small to very different degrees."""
    rng = np.random.default_rng(0)
    drawn = draw_picture(rng, (512, 512))
    blurred = Image.fromarray(drawn).filter(ImageFilter.GaussianBlur(3))
    labels = np.zeros((512, 512, 3), np.uint8)
    for y, x in rng.integers(0, 480, (200, 2)):
        labels[y : y + 32, x : x + 32] = rng.integers(0, 255)
    pictures = {"drawn": drawn, "blurred": np.asarray(blurred), "label map": labels}
    pictures["grey"] = drawn[..., 0]
    pictures |= {f"drawn, {side}": drawn[:side, :side] for side in (256, 128)}
    return {name: encode_png(picture) for name, picture in pictures.items()}


def micros(data: bytes, times: int) -> float:
    """Return processor microseconds of this process for a picture."""
    begun = time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: [decode_rgb(data, where="") for _ in range(times)], range(THREADS)))
    return (time.process_time() - begun) / THREADS / times * 1e6


def main() -> None:
    """Measure each picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--times", type=int, default=40)
    options = parser.parse_args()
    for name, data in make_pictures().items():
        found = []
        for _ in range(options.rounds):
            with mock.patch.object(png, "with_stored_stream", return_value=None):
                came = micros(data, options.times)
            found.append((came, micros(data, options.times)))
        came, stored = map(statistics.median, zip(*found, strict=True))
        ratio = statistics.median(before / now for before, now in found)
        sys.stdout.write(
            f"{name:<12}{len(data) / 1024:6.0f} KiB  as it came {came:6,.0f} us"
            f"  stored {stored:6,.0f} us  {ratio:.2f} times as fast\n"
        )


if __name__ == "__main__":
    main()
