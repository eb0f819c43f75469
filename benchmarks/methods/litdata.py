"""litdata: `StreamingDataset` of its own chunks, two workers, simplejpeg and msgspec."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import simplejpeg
import torch
from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming.cache import Cache

from benchmarks.methods.measuring import Given, Job, Passes, run
from benchmarks.methods.samples import image_extension, read_samples


def prepare(job: Job) -> None:
    """Write chunks of 64 MB; a sample is a dict of bytes."""
    cache = Cache(str(job.copy_of("litdata")), chunk_bytes="64MB")
    for number, (_, members) in enumerate(read_samples(job)):
        image = members.pop(image_extension(members))
        cache[number] = {"image": image} | {name[:-5]: data for name, data in members.items()}
    cache.done()
    cache.merge()


class Decoded(StreamingDataset):  # type: ignore[misc]  # litdata has no types
    """Gives a picture and its parsed sidecars."""

    def __getitem__(self, index: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401 - litdata's own
        """Read and decode a sample."""
        sample = super().__getitem__(index)
        image = simplejpeg.decode_jpeg(sample.pop("image"), "RGB")
        return image, [msgspec.json.decode(data) for data in sample.values()]


def gather(samples: list[tuple[Any, list[Any]]]) -> tuple[torch.Tensor, list[Any]]:
    """Make a batch."""
    images = np.stack([image for image, _ in samples])
    return torch.from_numpy(images), [texts for _, texts in samples]


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    samples = Decoded(str(job.copy_of("litdata")), shuffle=False)
    loader = StreamingDataLoader(
        samples, batch_size=job.batch_size, num_workers=job.threads, collate_fn=gather
    )

    def passes() -> Iterator[Given]:
        for images, texts in loader:
            yield Given(len(images), sum(map(len, texts)), images.numpy())

    return passes


if __name__ == "__main__":
    run(make, prepare)
