"""What share of the decoder's own speed does `StreamingLoader` reach, and what does resizing cost?

    python -m benchmarks.loader                  # all rows
    python -m benchmarks.loader jpeg --rounds 9

Drawn 512 x 512 pictures (`benchmarks.write`) with five sidecars, in shards in memory (`/dev/shm`).
The limit is the decoder alone: two threads, bytes that are in memory already, into a ring of four
batches that were touched before. The loader has its default options and gives uint8 batches of 64
and the targets of all five tasks: it reads, checks every byte, parses and decodes. `workers` is the
same with two processes, `unswitched` with `switch_interval=None`. All run in one process, in turn,
round by round, each round in another order; the first round is not counted.

- `jpeg`: quality 90, decoded by simplejpeg; `png`: decoded by imagecodecs.
- `half`: the JPEGs, to 256 x 256; the limit is simplejpeg's own shrinking to that size.
- `filters`: PSNR of each resize filter against the full picture and the mean of areas.
- `steps`, `png_steps`: processor microseconds of what lies between the loader and the decoder for
  one JPEG or PNG, each step by itself, over runs of 16 samples; best of many. Behind a decoder,
  which empties the processor's caches, a step takes longer: `all but decoding` is what a run takes
  with its pictures decoded, less what the decoder takes. `in threads` are the loader's steps as two
  threads take them in turn, in processor microseconds of each.

A share is of samples a second; `cpu` is the same of processor seconds, which other processes on the
machine disturb less. Medians of the rounds.

Not measured: a disk or a network; a consumer that does something.
"""

import argparse
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg

from benchmarks.write import MemorySource, make_pictures

BATCH, RING, CHUNK = 64, 4, 16
ROWS = {"jpeg": ("jpeg", 640, None), "png": ("png", 192, None), "half": ("jpeg", 640, (256, 256))}
STEPS = {"steps": "jpeg", "png_steps": "png"}
Run = Callable[[], int]


def decoder_alone(data: list[bytes], case: str, size: tuple[int, int] | None) -> Run:
    """Return what decodes all pictures in two threads."""
    width, height = (512, 512) if size is None else size
    ring = np.zeros((RING, BATCH, height, width, 3), np.uint8)

    def decode(number: int) -> int:
        out = ring[number // BATCH % RING, number % BATCH]
        if case == "png":
            imagecodecs.png_decode(data[number], out=out)
        else:
            least = {} if size is None else {"min_width": width, "min_height": height}
            simplejpeg.decode_jpeg(data[number], "RGB", buffer=out, **least)
        return number

    def run() -> int:
        with ThreadPoolExecutor(2) as pool:
            chunks = [range(i, min(i + CHUNK, len(data))) for i in range(0, len(data), CHUNK)]
            list(pool.map(lambda chunk: [decode(number) for number in chunk], chunks))
        return len(data)

    return run


def loader(dataset: Any, size: tuple[int, int] | None, **options: Any) -> Run:  # noqa: ANN401
    """Return what iterates over an epoch."""
    import vrs_wds as vw

    batches = vw.StreamingLoader(dataset, task="all", batch_size=BATCH, size=size, **options)
    return lambda: sum(len(batch["__key__"]) for batch in batches)


def measure(run: Run) -> tuple[float, float]:
    """Return samples a second, and samples a processor second of this process."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    count = run()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return count / wall, count / (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    )


def measure_row(row: str, folder: Path, rounds: int) -> None:
    """Measure one row and print it."""
    import vrs_wds as vw

    case, count, size = ROWS[row]
    dataset = vw.open_dataset(shards_of(case, count, folder))
    data = [sample["png" if case == "png" else "jpg"] for sample in dataset]
    methods = {
        "limit": decoder_alone(data, case, size),
        "loader": loader(dataset, size),
        "unswitched": loader(dataset, size, switch_interval=None),
        "workers": loader(dataset, size, num_workers=2, persistent_workers=True),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    order = random.Random(0)  # noqa: S311 - what runs before a method may slow it down
    for number in range(rounds + 1):
        for name in order.sample(sorted(methods), len(methods)):
            measured = measure(methods[name])
            if number:
                found[name].append(measured)
    for name, values in found.items():
        pairs = list(zip(values, found["limit"], strict=True))
        shares = [statistics.median(own[i] / limit[i] for own, limit in pairs) for i in range(2)]
        cpu = "" if name == "workers" else f", cpu {shares[1]:.2f}"
        best = max(value[0] for value in values)
        sys.stdout.write(f"{row:<6}{name:<11}share {shares[0]:.2f}{cpu}, best {best:,.0f}/s\n")


def cpu_micros(work: Callable[[], object], count: int, repeats: int = 15) -> float:
    """Return this thread's processor microseconds for one of `count` samples; the least."""
    found = []
    for _ in range(repeats):
        begun = time.thread_time()
        work()
        found.append((time.thread_time() - begun) / count * 1e6)
    return min(found)


def measure_steps(row: str, folder: Path) -> None:
    """Print what each step takes for one picture."""
    import vrs_wds as vw
    from vrs_wds.loader.executor import ChunkReader

    case, number, _ = ROWS[row]
    dataset = vw.open_dataset(shards_of(case, number, folder))
    count = len(dataset)
    decode, targets = vw.Decode(), vw.Targets("all")
    runs = [range(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
    raw = [sample.to_dict() for sample in dataset]
    files = [sample["png" if case == "png" else "jpg"] for sample in raw]
    store, paths = dataset.store, dataset.shard_names
    pictures = [
        max(dataset.members_of([i], None, item=0), key=lambda m: m.size) for i in range(count)
    ]
    ring = np.zeros((RING * BATCH, 512, 512, 3), np.uint8)
    reader = ChunkReader(dataset, dataset.extensions, (decode, targets))

    def in_slots(run: range) -> object:
        slots = [partial(slot_of, ring[i % len(ring)]) for i in run]
        return reader([(i, 0) for i in run], slots)

    def decode_all() -> None:
        decoder = decoder_of(case)
        for i, data in enumerate(files):
            decoder(data, ring[i % len(ring)])

    def read_pictures() -> None:
        for m in pictures:
            store.get_range(paths[m.shard], m.offset, m.size)

    decoded = [targets.apply(decode.parse(sample) | {"image": ring[0]}) for sample in raw]
    made = [sample for [sample] in decoded]
    batches = [made[i : i + BATCH] for i in range(0, count, BATCH)]
    steps: dict[str, Callable[[], object]] = {
        "read the picture": read_pictures,
        "read all, check CRC32C": lambda: [None for run in runs if not dataset.get_many(run)],
        "parse": lambda: [None for sample in raw if not decode.parse(sample)],
        "targets": lambda: [None for sample in made if not targets.apply(sample)],
        "make the batch": lambda: [vw.collate(b, stack=lambda _: None) for b in batches],
        "decode alone": decode_all,
        "all in a thread": lambda: [None for run in runs if not in_slots(run)],
    }
    found = {name: cpu_micros(work, count) for name, work in steps.items()}
    found["all but decoding"] = found["all in a thread"] - found["decode alone"]
    measure_in_threads(row, dataset, files)
    for name, micros in found.items():
        sys.stdout.write(f"{row} steps {name:<22}{micros:8,.1f} us\n")


def measure_in_threads(row: str, dataset: Any, files: list[bytes]) -> None:  # noqa: ANN401
    """Print what each step takes where two threads read, parse and decode, run by run."""
    import vrs_wds as vw

    decode = vw.Decode()
    ring = np.zeros((RING * BATCH, 512, 512, 3), np.uint8)
    spent: dict[str, list[float]] = {"read": [], "parse": [], "decode": [], "decode alone": []}

    def step(name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it returns
        begun = time.thread_time()
        result = work()
        spent[name].append(time.thread_time() - begun)
        return result

    def load(run: range) -> None:
        raw = step("read", lambda: dataset.raw_many(run, dataset.extensions))
        parsed = step("parse", lambda: [decode.parse(sample) for sample in raw])
        slots = [partial(slot_of, ring[i % len(ring)]) for i in run]
        step("decode", lambda: [*map(decode.finish, parsed, slots)])

    def alone(run: range) -> None:
        decoder = decoder_of("png" if row.startswith("png") else "jpeg")
        step("decode alone", lambda: [decoder(files[i], ring[i % len(ring)]) for i in run])

    runs = [range(i, min(i + CHUNK, len(files))) for i in range(0, len(files), CHUNK)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            list(pool.map(load, runs))
            list(pool.map(alone, runs))
    for name, seconds in spent.items():
        micros = sum(seconds) / len(files) / 5 * 1e6
        sys.stdout.write(f"{row} in threads: {name:<14}{micros:8,.1f} us\n")


def decoder_of(case: str) -> Callable[[bytes, Any], object]:
    """Return what decodes a picture into memory."""
    if case == "png":
        return lambda data, out: imagecodecs.png_decode(data, out=out)
    return lambda data, out: simplejpeg.decode_jpeg(data, "RGB", buffer=out)


def slot_of(memory: Any, height: int, width: int) -> Any:  # noqa: ANN401 - as slots are typed
    """Return memory for a picture."""
    return memory


def shards_of(case: str, count: int, folder: Path) -> Path:
    """Return a folder with shards of a case, made when first asked for."""
    import vrs_wds as vw

    root = folder / f"{case}-shards"
    if not root.exists():
        mean = make_pictures(case, folder)
        source: Any = MemorySource(case, folder, count)
        vw.write_shards(source, root, split="train", progress=False)
        sys.stdout.write(f"{case}: {mean / 1024:.0f} KiB a picture\n")
    return root


def compare_filters(folder: Path) -> None:
    """Print the PSNR of resize filters, mean and least."""
    from vrs_wds.images.coded import CodedPicture
    from vrs_wds.images.decode import decode_picture
    from vrs_wds.pipeline.resize import resize_rgb

    for side in (256, 200, 128):

        def shrink(_: tuple[int, int], side: int = side) -> tuple[int, int]:
            return side, side

        ratios: dict[str, list[float]] = {"shrunk": [], "triangle": []}
        for path in sorted((folder / "jpeg").iterdir()):
            data, target = path.read_bytes(), (side, side)
            picture = CodedPicture.read(data, where=path.name)
            full, small = decode_picture(picture), decode_picture(picture, shrink=shrink)
            mean = resize_rgb(full, target, filter="area").astype(float)
            for name, image in (("shrunk", small), ("triangle", full)):
                error = np.mean((resize_rgb(image, target) - mean) ** 2)
                ratios[name].append(10 * np.log10(255**2 / error))
        text = ", ".join(f"{n} {np.mean(v):.1f} (least {min(v):.1f})" for n, v in ratios.items())
        sys.stdout.write(f"512 -> {side}, PSNR in dB: {text}\n")


def main() -> None:
    """Measure the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=[*ROWS, *STEPS, "filters"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 - nothing is left there
    folder = Path(tempfile.mkdtemp(dir=memory if memory.exists() else None))
    try:
        for row in options.rows:
            if row in STEPS:
                measure_steps(STEPS[row], folder)
            elif row == "filters":
                if not (folder / "jpeg").exists():
                    make_pictures("jpeg", folder)
                compare_filters(folder)
            else:
                measure_row(row, folder, options.rounds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
