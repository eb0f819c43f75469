"""`vrs_wds` with a consumer that runs pure Python, holding the GIL, for half of the time.

The loader has one thread, or one worker process, so that two cores are enough for both; or one
thread that waits for the lock as long as Python lets it by default, with `switch_interval=None`.
Measured in turns in one process: the loader alone, both together, the loader alone again, with a
consumer that takes as long for each batch as the loader alone; the consumer alone between them.
`share` is the slower one's time alone over that of both together: 1 if neither hinders the other.
Medians over the batches of a turn; turns are short, as the speed of a machine changes.
"""

import statistics
import time
from typing import Any

from benchmarks.methods.measuring import Job, run_by
from vrs_wds import StreamingLoader, open_dataset

_BATCH = 16
_BATCHES = 20
_TURNS = 8


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
    for _ in loader:
        begun = time.perf_counter()
        if steps:
            spin(steps)
            inside.append(time.perf_counter() - begun)
        now = time.perf_counter()
        if last:
            between.append(now - last)
        last = now
    return statistics.median(between), statistics.median(inside or [0.0])


def consumer_seconds(steps: int) -> float:
    """Return how long the consumer takes alone."""
    begun = time.perf_counter()
    spin(steps)
    return time.perf_counter() - begun


def measure_gil(job: Job) -> dict[str, Any]:
    """Compare the loader and the consumer alone with both together."""
    options_of: dict[str, dict[str, Any]] = {
        "num_threads=1": {"num_threads": 1},
        "switch_interval=None": {"num_threads": 1, "switch_interval": None},
        "num_workers=1": {"num_workers": 1, "persistent_workers": True},
    }
    samples = open_dataset(f"{job.folder}/shards", "train")[: _BATCH * _BATCHES]
    loader = StreamingLoader(samples, batch_size=_BATCH, **options_of[job.option])
    seconds_of_batches(loader, 0)  # starts the worker
    turns: list[dict[str, float]] = []
    for _ in range(_TURNS):
        before, _ = seconds_of_batches(loader, 0)
        steps = int(before / consumer_seconds(100_000) * 100_000)
        consumer = consumer_seconds(steps)
        both, inside = seconds_of_batches(loader, steps)
        after, _ = seconds_of_batches(loader, 0)
        alone = (before + after) / 2
        share = max(alone, consumer) / both
        found = {"loader": alone, "consumer": consumer, "both": both, "consumer_in_both": inside}
        turns.append({"share": share, **found})
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    return {**medians, "shares": [turn["share"] for turn in turns]}


if __name__ == "__main__":
    run_by(measure_gil)
