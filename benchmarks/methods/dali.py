"""NVIDIA DALI on the CPU: `readers.webdataset` with index files; sidecars by msgspec."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from nvidia.dali import fn, pipeline_def, types

from benchmarks.methods.measuring import Given, Job, Passes, run

SIDECARS = ("captioning.json", "detection.json", "grounding.json", "vqa.json", "meta.json")


def prepare(job: Job) -> None:
    """Write DALI's index of each shard, as its `wds2idx` does: version 1.2."""
    folder = job.copy_of("dali")
    folder.mkdir(exist_ok=True)
    for path in job.shards:
        samples: dict[str, list[str]] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                entry = f"{extension} {member.offset_data} {member.size} {member.name}"
                samples.setdefault(key, []).append(entry)
        lines = [f"v1.2 {len(samples)}", *(" ".join(entries) for entries in samples.values())]
        (folder / f"{Path(path).stem}.idx").write_text("\n".join(lines) + "\n")


def make(job: Job) -> Passes:
    """Batches of decoded pictures."""
    indexes = [str(job.copy_of("dali") / f"{Path(path).stem}.idx") for path in job.shards]
    extension = "png" if job.row == "png" else "jpg"

    @pipeline_def(batch_size=job.batch_size, num_threads=job.threads, device_id=None)  # type: ignore[untyped-decorator]
    def pipeline() -> Any:  # noqa: ANN401 - DALI's nodes
        image, *texts = fn.readers.webdataset(
            paths=job.shards,
            index_paths=indexes,
            ext=[extension, *SIDECARS],
            missing_component_behavior="error",
        )
        return fn.decoders.image(image, device="cpu", output_type=types.RGB), *texts

    made = pipeline()
    made.build()

    def passes() -> Iterator[Given]:
        for start in range(0, job.samples, job.batch_size):
            images, *texts = made.run()
            count = min(job.batch_size, job.samples - start)
            parsed = [
                msgspec.json.decode(np.asarray(column[i]).data)
                for column in texts
                for i in range(count)
            ]
            yield Given(count, len(parsed), np.asarray(images.as_tensor())[:count])

    return passes


if __name__ == "__main__":
    run(make, prepare)
