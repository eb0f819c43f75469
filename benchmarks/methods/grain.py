"""grain: a `MapDataset` of an ArrayRecord file, read and decoded in two threads; msgspec."""

from collections.abc import Iterator
from typing import Any

import grain
import msgspec
import numpy as np
import simplejpeg
from array_record.python.array_record_module import ArrayRecordWriter

from benchmarks.methods.measuring import Given, Job, Passes, run
from benchmarks.methods.samples import image_extension, read_samples


def prepare(job: Job) -> None:
    """Write one file; a record is a sample's members as msgpack."""
    job.copy_of("grain").mkdir(exist_ok=True)
    writer = ArrayRecordWriter(
        str(job.copy_of("grain") / "all.arecord"), "group_size:1,uncompressed"
    )
    for _, members in read_samples(job):
        image = members.pop(image_extension(members))
        writer.write(msgspec.msgpack.encode([image, *members.values()]))
    writer.close()


def decode(record: bytes) -> dict[str, Any]:
    """Decode a sample."""
    image, *texts = msgspec.msgpack.decode(record)
    return {
        "image": simplejpeg.decode_jpeg(image, "RGB"),
        "texts": [msgspec.json.decode(data) for data in texts],
    }


def gather(samples: list[dict[str, Any]]) -> tuple[Any, int]:
    """Make a batch."""
    texts = [sample["texts"] for sample in samples]
    return np.stack([sample["image"] for sample in samples]), sum(map(len, texts))


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    source = grain.sources.ArrayRecordDataSource(str(job.copy_of("grain") / "all.arecord"))
    samples = grain.MapDataset.source(source).map(decode)
    options = grain.ReadOptions(num_threads=job.threads, prefetch_buffer_size=2 * job.batch_size)

    def passes() -> Iterator[Given]:
        batches = samples.to_iter_dataset(options).batch(
            job.batch_size, drop_remainder=False, batch_fn=gather
        )
        for images, sidecars in batches:
            yield Given(len(images), sidecars, images)

    return passes


if __name__ == "__main__":
    run(make, prepare)
