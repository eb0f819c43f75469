"""mosaicml-streaming: `StreamingDataset` of MDS shards, two workers, simplejpeg and msgspec."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import simplejpeg
import torch
from streaming import MDSWriter, StreamingDataset
from torch.utils.data import DataLoader

from benchmarks.methods.measuring import Given, Job, Passes, run
from benchmarks.methods.samples import image_extension, read_samples

NAMES = ("captioning", "detection", "grounding", "vqa", "meta")


def prepare(job: Job) -> None:
    """Write MDS shards; every column is bytes."""
    columns = dict.fromkeys(("image", *NAMES), "bytes")
    with MDSWriter(out=str(job.copy_of("mosaicml")), columns=columns) as writer:
        for _, members in read_samples(job):
            image = members[image_extension(members)]
            writer.write({"image": image} | {name: members[f"{name}.json"] for name in NAMES})


class Decoded(StreamingDataset):  # type: ignore[misc]  # streaming has no types
    """Gives a picture and its parsed sidecars."""

    def __getitem__(self, at: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401 - streaming's own
        """Read and decode a sample."""
        sample = super().__getitem__(at)
        texts = [msgspec.json.decode(sample[name]) for name in NAMES]
        return simplejpeg.decode_jpeg(sample["image"], "RGB"), texts


def gather(samples: list[tuple[Any, list[Any]]]) -> tuple[torch.Tensor, list[Any]]:
    """Make a batch."""
    images = np.stack([image for image, _ in samples])
    return torch.from_numpy(images), [texts for _, texts in samples]


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    samples = Decoded(local=str(job.copy_of("mosaicml")), shuffle=False, batch_size=job.batch_size)
    loader: DataLoader[Any] = DataLoader(
        samples, job.batch_size, num_workers=job.threads, collate_fn=gather
    )

    def passes() -> Iterator[Given]:
        for images, texts in loader:
            yield Given(len(images), sum(map(len, texts)), images.numpy())

    return passes


if __name__ == "__main__":
    run(make, prepare)
