"""`vrs_wds` with a consumer that runs pure Python, holding the GIL, for half of the time.

The loader has one thread, or one worker process, so that two cores are enough for both; or one
thread, with `sys.setswitchinterval` at the seconds that the option says. Measured in
turns in one process: the loader alone, the consumer alone (as long for each batch as the loader
takes), and both together. `share` is the slower one's time alone over that of both together: 1 if
neither hinders the other. Medians over the batches.
"""

import statistics
import sys
import time
from itertools import islice
from typing import Any

from benchmarks.methods.measuring import Job, run_by
from vrs_wds import StreamingLoader

_BATCH = 16
_BATCHES = 40
_TURNS = 2


def spin(steps: int) -> int:
    """Run pure Python for some time."""
    total = 0
    for number in range(steps):
        total += number & 3
    return total


def seconds_of_batches(loader: StreamingLoader, steps: int) -> tuple[float, float]:
    """Return the median seconds from batch to batch, and of the consumer in them."""
    between, inside = [], []
    last = 0.0
    for _ in islice(loader, _BATCHES):
        begun = time.perf_counter()
        if steps:
            spin(steps)
            inside.append(time.perf_counter() - begun)
        now = time.perf_counter()
        if last:
            between.append(now - last)
        last = now
    return statistics.median(between), statistics.median(inside or [0.0])


def measure_gil(job: Job) -> dict[str, Any]:
    """Compare the loader and the consumer alone with both together."""
    in_worker = job.option == "num_workers=1"
    if job.option[0].isdigit():
        sys.setswitchinterval(float(job.option))
    parallel: dict[str, Any] = {"num_workers": 1} if in_worker else {"num_threads": 1}
    loader = StreamingLoader(f"{job.folder}/shards", "train", batch_size=_BATCH, **parallel)
    shares, found = [], {}
    for _ in range(_TURNS):
        alone, _ = seconds_of_batches(loader, 0)
        begun = time.perf_counter()
        spin(100_000)
        steps = int(alone / (time.perf_counter() - begun) * 100_000)
        begun = time.perf_counter()
        spin(steps)
        consumer = time.perf_counter() - begun
        both, inside = seconds_of_batches(loader, steps)
        shares.append(max(alone, consumer) / both)
        found = {"loader": alone, "consumer": consumer, "both": both, "consumer_in_both": inside}
    return {"share": statistics.median(shares), "shares": shares, **found}


if __name__ == "__main__":
    run_by(measure_gil)
