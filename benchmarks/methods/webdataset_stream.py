"""webdataset: `WebDataset` in two worker processes of a `WebLoader`, batches made in the workers.

- `jpeg`, `png`, `remote`, `remote_png`: `.decode("rgb8")`, which is Pillow and `json`; over the
  link the shards come by `pipe:curl`, as its documentation has it.
- `resize`: `.decode("pil")` and torchvision's `Resize`.
- `raw`: bytes, in this process: two workers are slower, as the bytes go through a pipe.
- `sidecars`: members of JSON only (`select_files`), parsed by msgspec, in this process.
"""

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import torch
import webdataset as wds
from torchvision.transforms import v2

from benchmarks.methods.measuring import Given, Job, Passes, run


def is_sidecar(name: str) -> bool:
    """Tell whether a member is JSON."""
    return name.endswith("json")


def gather(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, list[list[Any]]]:
    """Make a batch: pictures as one tensor, sidecars as lists."""
    found = [
        value
        for sample in samples
        for name, value in sample.items()
        if not name.startswith("__") and not is_sidecar(name)
    ]
    is_tensor = isinstance(found[0], torch.Tensor)
    images = torch.stack(found) if is_tensor else torch.from_numpy(np.stack(found))
    texts = [[value for name, value in s.items() if is_sidecar(name)] for s in samples]
    return images, texts


def urls_of(job: Job) -> list[str]:
    """Return the shards, or the commands that fetch them."""
    if not job.url:
        return job.shards
    return [f"pipe:curl -s -f {job.url}/{os.path.basename(path)}" for path in job.shards]


def make(job: Job) -> Passes:
    """Choose what fits the job's row."""
    return {"raw": make_raw, "sidecars": make_sidecars}.get(job.row, make_loader)(job)


def make_loader(job: Job) -> Passes:
    """Batches of decoded pictures."""
    samples = wds.WebDataset(urls_of(job), shardshuffle=False)
    if job.row == "resize":
        resize = v2.Compose([v2.Resize((256, 256)), v2.PILToTensor()])
        samples = samples.decode("pil").map_dict(jpg=resize)
    else:
        samples = samples.decode("rgb8")
    samples = samples.batched(job.batch_size, collation_fn=gather)
    return loader_passes(samples, job)


def loader_passes(samples: Any, job: Job) -> Passes:  # noqa: ANN401 - webdataset has no types
    """Run a pipeline of batches in worker processes."""
    loader = wds.WebLoader(samples, batch_size=None, num_workers=job.threads)

    def passes() -> Iterator[Given]:
        for images, texts in loader:
            yield Given(len(images), sum(map(len, texts)), images.numpy())

    return passes


def make_raw(job: Job) -> Passes:
    """Bytes of members."""
    samples = wds.WebDataset(job.shards, shardshuffle=False)

    def passes() -> Iterator[Given]:
        for sample in samples:
            yield Given(1, members=[v for v in sample.values() if isinstance(v, bytes)])

    return passes


def make_sidecars(job: Job) -> Passes:
    """Parsed sidecars alone."""
    samples = wds.WebDataset(job.shards, shardshuffle=False, select_files=is_sidecar)

    def passes() -> Iterator[Given]:
        for sample in samples:
            parsed = [msgspec.json.decode(v) for v in sample.values() if isinstance(v, bytes)]
            yield Given(1, len(parsed))

    return passes


if __name__ == "__main__":
    run(make)
