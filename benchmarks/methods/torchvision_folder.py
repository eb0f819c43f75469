"""torchvision's `ImageFolder`, a `DataLoader` of two workers; sidecars lie beside pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.methods.measuring import Given, Job, Passes, run
from benchmarks.methods.samples import read_samples

NAMES = ("captioning", "detection", "grounding", "vqa", "meta")


def prepare(job: Job) -> None:
    """Write every member as a file, in one class."""
    folder = job.copy_of("torchvision_folder") / "all"
    folder.mkdir(parents=True, exist_ok=True)
    for key, members in read_samples(job):
        for extension, data in members.items():
            (folder / f"{key}.{extension}").write_bytes(data)


class WithSidecars(ImageFolder):  # type: ignore[misc]  # torchvision has no types
    """Gives a picture and its parsed sidecars."""

    def __getitem__(self, number: int) -> tuple[torch.Tensor, list[Any]]:
        """Read a sample."""
        image, _ = super().__getitem__(number)
        stem = self.samples[number][0].rpartition(".")[0]
        texts = [msgspec.json.decode(Path(f"{stem}.{name}.json").read_bytes()) for name in NAMES]
        return image, texts


def gather(samples: list[tuple[torch.Tensor, list[Any]]]) -> tuple[torch.Tensor, list[Any]]:
    """Make a batch."""
    return torch.stack([image for image, _ in samples]), [texts for _, texts in samples]


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    samples = WithSidecars(str(job.copy_of("torchvision_folder")), v2.PILToTensor())
    loader: DataLoader[Any] = DataLoader(
        samples, job.batch_size, num_workers=job.threads, collate_fn=gather, prefetch_factor=2
    )

    def passes() -> Iterator[Given]:
        for images, texts in loader:
            yield Given(len(images), sum(map(len, texts)), images.numpy())

    return passes


if __name__ == "__main__":
    run(make, prepare)
