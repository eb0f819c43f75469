"""`vrs_wds`: does memory stay the same over thousands of batches, and how much is it?

Batches of 8, as many as the job's option says. `growth_mb`: the mean of the last quarter less
that of the second one. `held`: the most memory above that before the first batch, over what must be
held: two batches ahead, one in the making and the consumer's.
"""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods.measuring import Job, run_by
from vrs_wds import StreamingLoader

_BATCH = 8
_MUST_HOLD = 4


def memory_mb() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def measure_memory(job: Job) -> dict[str, Any]:
    """Iterate, and look at the memory after each batch."""
    loader = StreamingLoader(f"{job.folder}/shards", "train", batch_size=_BATCH)
    num_batches = int(job.option)
    before, found = memory_mb(), []
    batch_mb = 0.0
    epochs = -(-num_batches // len(loader))
    for batch in chain.from_iterable(iter(loader) for _ in range(epochs)):
        batch_mb = batch["image"].nbytes / 1e6
        found.append(memory_mb())
        if len(found) == num_batches:
            break
    quarter = len(found) // 4
    second, last = np.mean(found[quarter : 2 * quarter]), np.mean(found[3 * quarter :])
    return {
        "batches": len(found),
        "batch_mb": batch_mb,
        "before_mb": before,
        "most_mb": max(found),
        "growth_mb": float(last - second),
        "held": (max(found) - before) / (batch_mb * _MUST_HOLD),
    }


if __name__ == "__main__":
    run_by(measure_memory)
