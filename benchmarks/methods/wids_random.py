"""wids: one sample after another by number, shuffled, as bytes; its index is our manifest."""

import io
from collections.abc import Iterator

import numpy as np
import wids

from benchmarks.methods.measuring import Given, Job, Passes, run


def make(job: Job) -> Passes:
    """Whole samples in a shuffled order."""
    shards = [{"url": path, "nsamples": count} for path, count in zip(*counts(job), strict=True)]
    samples = wids.ShardListDataset(shards, transformations=[], keep=True, lru_size=len(shards))
    order = np.random.default_rng(0).permutation(len(samples)).tolist()

    def passes() -> Iterator[Given]:
        for number in order:
            found = samples[number].values()
            yield Given(1, members=[v.getbuffer() for v in found if isinstance(v, io.BytesIO)])

    return passes


def counts(job: Job) -> tuple[list[str], list[int]]:
    """Return the shards, and how many samples each has: the same, but for the last one."""
    most = -(-job.samples // len(job.shards))
    left = job.samples - most * (len(job.shards) - 1)
    return job.shards, [most] * (len(job.shards) - 1) + [left]


if __name__ == "__main__":
    run(make)
