"""webdataset with simplejpeg and msgspec instead of its own decoders; two worker processes."""

from typing import Any

import msgspec
import simplejpeg
import webdataset as wds

from benchmarks.methods.measuring import Job, Passes, run
from benchmarks.methods.webdataset_stream import gather, is_sidecar, loader_passes


def decode(sample: dict[str, Any]) -> dict[str, Any]:
    """Decode a sample's members."""
    return {
        name: msgspec.json.decode(value)
        if is_sidecar(name)
        else simplejpeg.decode_jpeg(value, "RGB")
        for name, value in sample.items()
        if isinstance(value, bytes)
    }


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    samples = wds.WebDataset(job.shards, shardshuffle=False).map(decode)
    return loader_passes(samples.batched(job.batch_size, collation_fn=gather), job)


if __name__ == "__main__":
    run(make)
