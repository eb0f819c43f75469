"""The limit of each row: the least work that any method has to do, with nothing around it.

- `jpeg`, `png`: decode alone, in two threads, from memory into a ring of batches that is used again
  and again (simplejpeg; imagecodecs).
- `resize`: the same with simplejpeg's scaled decode (DCT scaling), which gives 256 x 256 at once.
- `crop`: the same with a whole decode, of which 128 x 128 pixels are copied.
- `raw`: `readinto` of blocks of 8 MiB.
- `sidecars`: parsing alone, with typed Structs, of bytes in memory; one thread.
- `random`: one `pread` a sample at places known beforehand, shuffled.
- `remote`, `remote_png`: the shards over the link in ranges of 8 MiB, on eight connections.

The consumer touches the bytes here too.
"""

import http.client
import mmap
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import imagecodecs
import numpy as np
import simplejpeg

from benchmarks.methods.measuring import MEMBERS_OF_JSON, Given, Job, Passes, run
from benchmarks.methods.samples import image_extension, read_samples

BLOCK = 8 << 20
CONNECTIONS = 8
_CHUNK = 8
"""Pictures that a thread decodes at once."""
_RING = 3
"""Batches in memory: one is touched, two are made."""

Slot = Any
"""Memory of one picture, `(H, W, 3)` uint8."""


def make(job: Job) -> Passes:
    """Choose the limit of the job's row."""
    return {
        "raw": make_readinto,
        "sidecars": make_parse,
        "random": make_pread,
        "remote": make_link,
        "remote_png": make_link,
    }.get(job.row, make_decode)(job)


def decode_jpeg(data: bytes, slot: Slot) -> None:
    """Decode a JPEG into its memory."""
    simplejpeg.decode_jpeg(data, "RGB", buffer=slot)


def decode_png(data: bytes, slot: Slot) -> None:
    """Decode a PNG into its memory."""
    imagecodecs.png_decode(data, out=slot)


def decode_scaled(data: bytes, slot: Slot) -> None:
    """Decode a JPEG at half its size."""
    height, width = slot.shape[:2]
    simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, buffer=slot)


def decode_crop(data: bytes, slot: Slot) -> None:
    """Decode a JPEG and copy a part."""
    place = 300  # somewhere inside
    picture = simplejpeg.decode_jpeg(data, "RGB")
    slot[:] = picture[place : place + slot.shape[0], place : place + slot.shape[1]]


DECODERS: dict[str, tuple[Callable[[bytes, Slot], None], int]] = {
    "jpeg": (decode_jpeg, 512),
    "png": (decode_png, 512),
    "resize": (decode_scaled, 256),
    "crop": (decode_crop, 128),
}
"""How a row decodes, and the side of its pictures."""


def make_decode(job: Job) -> Passes:
    """Decode into recycled memory."""
    decode, side = DECODERS[job.row]
    images = [members[image_extension(members)] for _, members in read_samples(job)]
    ring = [np.zeros((job.batch_size, side, side, 3), np.uint8) for _ in range(_RING)]
    pool = ThreadPoolExecutor(job.threads)

    def decode_some(start: int, stop: int, batch: Slot) -> None:
        for number in range(start, stop):
            decode(images[number], batch[number % job.batch_size])

    def begin(number: int) -> tuple[int, Slot, list[Any]]:
        start = number * job.batch_size
        stop = min(start + job.batch_size, len(images))
        batch = ring[number % _RING]
        parts = [
            pool.submit(decode_some, first, min(first + _CHUNK, stop), batch)
            for first in range(start, stop, _CHUNK)
        ]
        return stop - start, batch, parts

    def passes() -> Iterator[Given]:
        num_batches = -(-len(images) // job.batch_size)
        ahead = deque(begin(number) for number in range(min(_RING - 1, num_batches)))
        for number in range(num_batches):
            count, batch, parts = ahead.popleft()
            for part in parts:
                part.result()
            if number + _RING - 1 < num_batches:
                ahead.append(begin(number + _RING - 1))
            yield Given(count, images=batch[:count])

    return passes


def make_readinto(job: Job) -> Passes:
    """Read whole shards into one block of memory, which begins with a page.

    Some processors copy 5 to 15 times as slowly where the destination's place in its page is a few
    bytes after the source's, as that of a `bytearray` is (glibc bug 30994).
    """
    block = memoryview(mmap.mmap(-1, BLOCK))

    total = sum(map(os.path.getsize, job.shards))

    def passes() -> Iterator[Given]:
        done = 0
        for path in job.shards:
            with open(path, "rb", buffering=0) as file:
                while size := file.readinto(block):
                    before, done = done, done + size
                    samples = job.samples * done // total - job.samples * before // total
                    yield Given(samples, members=(block[:size],))

    return passes


def make_parse(job: Job) -> Passes:
    """Parse sidecars into Structs."""
    from vrs_wds.tasks.registry import get_task
    from vrs_wds.tasks.sidecars import decode_meta, decode_sidecar

    texts = [
        [(name.removesuffix(".json"), data) for name, data in members.items() if "json" in name]
        for _, members in read_samples(job)
    ]

    def passes() -> Iterator[Given]:
        for start in range(0, len(texts), job.batch_size):
            some = texts[start : start + job.batch_size]
            parsed = [
                decode_meta(data, where="")
                if name == "meta"
                else decode_sidecar(get_task(name), data, where="")
                for sample in some
                for name, data in sample
            ]
            yield Given(len(some), len(parsed))

    return passes


def make_pread(job: Job) -> Passes:
    """Read samples, each by one `pread`, in a shuffled order."""
    files = [os.open(path, os.O_RDONLY) for path in job.shards]
    spans: list[tuple[int, int, int]] = []
    for file, path in zip(files, job.shards, strict=True):
        with tarfile.open(path) as tar:
            members = [(m.offset_data, m.size) for m in tar]
        group = MEMBERS_OF_JSON + 1
        for place in range(0, len(members), group):
            start = members[place][0]
            offset, size = members[place + group - 1]
            spans.append((file, start, offset + size - start))
    order = np.random.default_rng(0).permutation(len(spans)).tolist()

    def passes() -> Iterator[Given]:
        for start in range(0, len(order), job.batch_size):
            some = [spans[number] for number in order[start : start + job.batch_size]]
            data = [os.pread(file, size, offset) for file, offset, size in some]
            yield Given(len(some), members=data)

    return passes


def make_link(job: Job) -> Passes:
    """Read the shards over the link in ranges; the first one alone, to know its time."""
    address = urlsplit(job.url)
    sizes = [(os.path.basename(path), os.path.getsize(path)) for path in job.shards]
    ranges = [
        (name, start, min(start + BLOCK, size))
        for name, size in sizes
        for start in range(0, size, BLOCK)
    ]
    total = sum(size for _, size in sizes)

    def fetch(part: tuple[str, int, int]) -> bytes:
        name, start, stop = part
        with closing(http.client.HTTPConnection(address.netloc)) as connection:
            span = {"Range": f"bytes={start}-{stop - 1}"}
            connection.request("GET", f"{address.path}/{name}", headers=span)
            return connection.getresponse().read()

    def passes() -> Iterator[Given]:
        first = fetch(ranges[0])
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            yield Given(given := job.samples * len(first) // total, members=(first,))
            ahead: deque[Any] = deque()
            done = len(first)
            waiting = iter(ranges[1:])
            ahead.extend(pool.submit(fetch, part) for part in islice(waiting, CONNECTIONS))
            while ahead:
                data = ahead.popleft().result()
                if (part := next(waiting, None)) is not None:
                    ahead.append(pool.submit(fetch, part))
                done += len(data)
                samples = job.samples * done // total - given
                given += samples
                yield Given(samples, members=(data,))

    return passes


if __name__ == "__main__":
    run(make)
