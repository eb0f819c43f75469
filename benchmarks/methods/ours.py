"""`vrs_wds`, with default options.

- `jpeg`, `png`, `resize`, `remote`, `remote_png`: a `StreamingLoader` of batches;
  `size=(256, 256)` to resize.
- `crop`: `Decode(defer=True)` and `CropRegions`, with the extra `crop`.
- `raw`: `stream(...)`, which gives bytes by extension, in this thread.
- `sidecars`: `metadata_many`, a batch at once.
- `random`: `get_many`, a batch at once, in a shuffled order.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.methods.measuring import MEMBERS_OF_JSON, Given, Job, Passes, run
from vrs_wds import CropRegions, Decode, StreamingLoader, open_dataset, stream

SIDECARS = ("meta", "captioning", "detection", "grounding", "vqa")


def make(job: Job) -> Passes:
    """Choose what fits the job's row."""
    return {
        "raw": make_raw,
        "sidecars": make_sidecars,
        "random": make_random,
    }.get(job.row, make_loader)(job)


def make_loader(job: Job) -> Passes:
    """Batches of decoded pictures."""
    url = job.url or f"{job.folder}/shards"
    options: dict[str, Any] = {"batch_size": job.batch_size}
    if job.row == "resize":
        options["size"] = (256, 256)
    if job.row == "crop":
        crop = CropRegions(boxes=lambda _: [[300, 300, 428, 428]])
        options["stages"] = [Decode(defer=True), crop]
    loader = StreamingLoader(url, "train", **options)

    def passes() -> Iterator[Given]:
        for batch in loader:
            images = batch["image"].permute(0, 2, 3, 1).numpy()
            sidecars = sum(meta[name] is not None for meta in batch["metas"] for name in SIDECARS)
            yield Given(len(images), sidecars, images)

    return passes


def make_raw(job: Job) -> Passes:
    """Bytes of members, in order."""
    samples = stream(f"{job.folder}/shards", "train")

    def passes() -> Iterator[Given]:
        for sample in samples:
            yield Given(1, members=[v for v in sample.values() if isinstance(v, bytes)])

    return passes


def make_sidecars(job: Job) -> Passes:
    """Parsed sidecars alone."""
    dataset = open_dataset(f"{job.folder}/shards", "train")

    def passes() -> Iterator[Given]:
        for start in range(0, len(dataset), job.batch_size):
            stop = min(start + job.batch_size, len(dataset))
            found = dataset.metadata_many(range(start, stop))
            sidecars = sum(sample[name] is not None for sample in found for name in SIDECARS)
            yield Given(len(found), sidecars)

    return passes


def make_random(job: Job) -> Passes:
    """Whole samples in a shuffled order."""
    dataset = open_dataset(f"{job.folder}/shards", "train")
    order = np.random.default_rng(0).permutation(len(dataset))

    def passes() -> Iterator[Given]:
        for start in range(0, len(order), job.batch_size):
            some = dataset.get_many(order[start : start + job.batch_size])
            members = [data for sample in some for data in sample.members.values()]
            if len(members) != len(some) * (MEMBERS_OF_JSON + 1):
                raise ValueError(f"{len(members)} members of {len(some)} samples")
            yield Given(len(some), members=members)

    return passes


if __name__ == "__main__":
    run(make)
