"""`vrs_wds`: does memory stay the same over thousands of batches, and how much is it?

Batches of 8, as many as the job's option says. Memory is what the process has that is not a file's:
`RssAnon` and `RssShmem`. Code of libraries that is touched for the first time is `code_mb`; it is
the same for batches of any size, and processes share it.

`growth_mb`: the mean of the last quarter less that of the second one. `held`: the most memory above
that before the first batch, over what must be held (`must_mb`): two batches ahead, one in the
making, the consumer's, and the bytes from which the first three are made. The index, which is read
with the first batch, counts as held.
"""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods.measuring import Job, run_by
from vrs_wds import StreamingLoader

_BATCH = 8
_AHEAD = 2
_MEMORY = ("RssAnon", "RssShmem")
_CODE = ("RssFile",)


def resident_mb(kinds: tuple[str, ...]) -> float:
    """Return how much resident memory of these kinds this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return sum(int(values[kind].split()[0]) for kind in kinds) * 1024 / 1e6


def measure_memory(job: Job) -> dict[str, Any]:
    """Iterate, and look at the memory after each batch."""
    loader = StreamingLoader(
        f"{job.folder}/shards", "train", batch_size=_BATCH, prefetch_factor=_AHEAD
    )
    num_batches = int(job.option)
    coded_mb = sum(Path(shard).stat().st_size for shard in job.shards) / job.samples * _BATCH / 1e6
    before, code, found = resident_mb(_MEMORY), resident_mb(_CODE), []
    batch_mb = 0.0
    epochs = -(-num_batches // len(loader))
    for batch in chain.from_iterable(iter(loader) for _ in range(epochs)):
        batch_mb = batch["image"].nbytes / 1e6
        found.append(resident_mb(_MEMORY))
        if len(found) == num_batches:
            break
    quarter = len(found) // 4
    second, last = np.mean(found[quarter : 2 * quarter]), np.mean(found[3 * quarter :])
    must_mb = (_AHEAD + 2) * batch_mb + (_AHEAD + 1) * coded_mb
    return {
        "batches": len(found),
        "batch_mb": batch_mb,
        "before_mb": before,
        "most_mb": max(found),
        "growth_mb": float(last - second),
        "must_mb": must_mb,
        "code_mb": resident_mb(_CODE) - code,
        "held": (max(found) - before) / must_mb,
    }


if __name__ == "__main__":
    run_by(measure_memory)
