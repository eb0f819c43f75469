"""Hugging Face datasets: `load_dataset("webdataset", streaming=True)` in two worker processes.

Pictures are decoded by simplejpeg instead of Pillow, which is faster; sidecars come parsed.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import simplejpeg
import torch
from datasets import Image, load_dataset
from torch.utils.data import DataLoader

from benchmarks.methods.measuring import Given, Job, Passes, run


def gather(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, list[list[Any]]]:
    """Decode pictures and make a batch."""
    images = [simplejpeg.decode_jpeg(sample["jpg"]["bytes"], "RGB") for sample in samples]
    texts = [[value for name, value in s.items() if name.endswith("json")] for s in samples]
    return torch.from_numpy(np.stack(images)), texts


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    samples = load_dataset("webdataset", data_files=job.shards, split="train", streaming=True)
    samples = samples.cast_column("jpg", Image(decode=False))
    loader = DataLoader(samples, job.batch_size, num_workers=job.threads, collate_fn=gather)

    def passes() -> Iterator[Given]:
        for images, texts in loader:
            yield Given(len(images), sum(map(len, texts)), images.numpy())

    return passes


if __name__ == "__main__":
    run(make)
