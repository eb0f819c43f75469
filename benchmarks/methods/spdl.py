"""SPDL: `iter_tarfile` and a pipeline of two threads; simplejpeg decodes into the batch, msgspec.

SPDL's own decoder needs FFmpeg of the system, and is not faster for JPEG. The stage takes eight
samples at a time, so that the event loop has less to do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import simplejpeg
import spdl.io
from spdl.pipeline import PipelineBuilder

from benchmarks.methods.measuring import MEMBERS_OF_JSON, Given, Job, Passes, run

_CHUNK = 8


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""

    def chunks() -> Iterator[list[Any]]:
        some: list[Any] = []
        members: list[bytes] = []
        for path in job.shards:
            with Path(path).open("rb") as file:
                for _, data in spdl.io.iter_tarfile(file):
                    members.append(bytes(data))
                    if len(members) == MEMBERS_OF_JSON + 1:
                        some.append(members)
                        members = []
                    if len(some) == _CHUNK:
                        yield some
                        some = []
        if some:
            yield some

    def decode(samples: list[list[bytes]]) -> tuple[Any, int]:
        images = np.empty((len(samples), 512, 512, 3), np.uint8)
        texts = []
        for slot, (*sidecars, image) in zip(images, samples, strict=True):
            simplejpeg.decode_jpeg(image, "RGB", buffer=slot)
            texts.append([msgspec.json.decode(data) for data in sidecars])
        return images, sum(map(len, texts))

    def gather(parts: list[tuple[Any, int]]) -> tuple[Any, int]:
        return np.concatenate([images for images, _ in parts]), sum(n for _, n in parts)

    def passes() -> Iterator[Given]:
        pipeline = (
            PipelineBuilder()
            .add_source(chunks())
            .pipe(decode, concurrency=job.threads, output_order="input")
            .aggregate(job.batch_size // _CHUNK)
            .pipe(gather)
            .add_sink(2)
            .build(num_threads=job.threads)
        )
        with pipeline.auto_stop():
            for images, sidecars in pipeline:
                yield Given(len(images), sidecars, images)

    return passes


if __name__ == "__main__":
    run(make)
