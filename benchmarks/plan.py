"""How long and how much memory does the plan of an epoch take, and how well does it shuffle?

    python -m benchmarks.plan

Manifests are simulated: no data are read. Each size is measured in a process of its own.

- `open`: the seconds to open a dataset (11.2 million samples in 1,120 shards at the most), and to
  plan the first batch of one rank alone.
- `rank`: the plan of one rank of 256, for up to a billion samples in 100,000 shards, with 1,024
  streams; and the time to find any batch.
- `shuffle`: how far neighbours of an epoch lie apart in the dataset, as a share of what a full
  shuffle gives; and the share of a batch that is from its most frequent shard. Beside webdataset's
  shuffle of shards and a buffer.
- `epochs`: the same of epochs 0, 1 and 2; and how they hang together. `correlation` of the times at
  which a sample comes (0 for independent shuffles), the mean `displacement` of these times (1 for
  independent shuffles: a third of the epoch), and how many pairs of samples that share a batch do
  so again in the next epoch (`meet_again`: 1 for independent shuffles; `of_8` in batches of 8). For
  few samples, for shards whose borders are those of streams, for a single shard, and for many.
  Neighbours of a batch are from the same stream or the next one, so their distance is small where a
  stream is a part of a shard.

Not measured: reading.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_open(num_shards: int, in_shard: int) -> dict[str, float]:
    """Open a simulated dataset and plan the first batch of one rank alone."""
    from vrs_wds.order.plan import EpochPlan, PlanOptions
    from vrs_wds.order.world import World
    from vrs_wds.shard.manifest import decode_manifest

    data = _manifest(num_shards, in_shard)
    before, start = _memory_mb(), time.perf_counter()
    manifest = decode_manifest(data, where="simulated")
    sizes = np.array([shard.nsamples for shard in manifest.shardlist])
    plan = EpochPlan(sizes, PlanOptions(64, shuffle=True), epoch=0)
    opened = time.perf_counter() - start
    plan.rank_batch(0, World())
    return {
        "samples": num_shards * in_shard,
        "open_seconds": opened,
        "first_batch_seconds": time.perf_counter() - start,
        "memory_mb": _memory_mb() - before,
    }


def measure_rank(num_shards: int, in_shard: int) -> dict[str, float]:
    """Plan the epoch of one rank of 256, with 1,024 streams."""
    from vrs_wds.order.plan import EpochPlan, PlanOptions
    from vrs_wds.order.world import World

    world = World(rank=100, world_size=256)
    before, start = _memory_mb(), time.perf_counter()
    options = PlanOptions(256 * 32, shuffle=True, num_streams=1024)
    plan = EpochPlan(np.full(num_shards, in_shard), options, epoch=0)
    plan.rank_batch(0, world)
    planned = time.perf_counter() - start
    start = time.perf_counter()
    count = min(1000, plan.num_batches)
    for batch in np.linspace(0, plan.num_batches - 1, count, dtype=int).tolist():
        plan.rank_batch(batch, world)
    return {
        "samples": num_shards * in_shard,
        "plan_seconds": planned,
        "seek_microseconds": (time.perf_counter() - start) / count * 1e6,
        "memory_mb": _memory_mb() - before,
    }


def measure_shuffle(num_shards: int, in_shard: int) -> dict[str, float]:
    """Compare the order of an epoch with webdataset's shuffle of shards and a buffer."""
    from vrs_wds.order.plan import EpochPlan, PlanOptions
    from vrs_wds.order.world import World

    # A window holds numbers of samples, a buffer the samples themselves: one of 1,000 pictures of
    # 100 KB takes more memory than windows over 25 million samples. Both sizes are shown.
    window = in_shard * 2
    plan = EpochPlan(
        np.full(num_shards, in_shard), PlanOptions(64, shuffle=True, window=window), epoch=0
    )
    ours = np.concatenate([plan.rank_batch(k, World()).numbers for k in range(plan.num_batches)])
    result = _quality("ours", ours, in_shard)
    for name, size in (("webdataset_same_window", window), ("webdataset_1000", 1000)):
        result |= _quality(name, _webdataset_order(num_shards, in_shard, size), in_shard)
    return result


def measure_epochs(num_shards: int, in_shard: int) -> dict[str, float]:
    """Compare the orders of three epochs."""
    total = num_shards * in_shard
    batch = 64 if total < 500_000 else 1024
    orders = [_order(num_shards, in_shard, epoch, batch) for epoch in range(3)]
    small = [_order(num_shards, in_shard, e, 8) for e in range(3)] if total < 500_000 else []
    times = np.empty((3, total))
    for epoch, order in enumerate(orders):
        times[epoch, order] = np.arange(total) / total
    pairs = [(0, 1), (1, 2), (0, 2)]
    result = {"samples": float(total), "shards": float(num_shards)}
    for epoch, order in enumerate(orders):
        result |= _quality(f"epoch_{epoch}", order, in_shard, batch)
    result["correlation"] = float(
        max((np.asarray(np.corrcoef(times))[a, b] for a, b in pairs), key=abs)
    )
    moved = [float(np.abs(times[a] - times[b]).mean() * 3) for a, b in pairs]
    result |= {"displacement_least": min(moved), "displacement_most": max(moved)}
    result["meet_again"] = float(
        np.mean([_meet_again(orders[a], orders[b], batch) for a, b in pairs])
    )
    if small:
        again = [_meet_again(small[a], small[b], 8) for a, b in pairs]
        result["meet_again_of_8"] = float(np.mean(again))
    return result


def _order(num_shards: int, in_shard: int, epoch: int, batch: int) -> np.ndarray:
    from vrs_wds.order.plan import EpochPlan, PlanOptions
    from vrs_wds.order.world import World

    plan = EpochPlan(np.full(num_shards, in_shard), PlanOptions(batch, shuffle=True), epoch)
    return np.concatenate([plan.rank_batch(k, World()).numbers for k in range(plan.num_batches)])


def _meet_again(first: np.ndarray, second: np.ndarray, batch: int) -> float:
    """Return how many pairs of a batch share one in another order too, as a share of chance's."""
    count = len(first)
    batch_of = np.empty(count, dtype=int)
    batch_of[second] = np.arange(count) // batch
    rows = np.sort(batch_of[first[: count // batch * batch]].reshape(-1, batch), axis=1)
    met = sum(int((rows[:, d:] == rows[:, :-d]).sum()) for d in range(1, batch))
    return float(met / (len(rows) * batch * (batch - 1) / 2 * (batch - 1) / (count - 1)))


def _webdataset_order(num_shards: int, in_shard: int, buffer: int) -> np.ndarray:
    import random

    import webdataset as wds

    shards = list(range(num_shards))
    random.Random(0).shuffle(shards)  # noqa: S311 - as webdataset does
    numbers = (shard * in_shard + i for shard in shards for i in range(in_shard))
    shuffled = wds.filters.shuffle(buffer, initial=buffer, seed=0)
    return np.fromiter(shuffled(numbers), dtype=np.int64)


def _quality(name: str, order: np.ndarray, in_shard: int, batch: int = 64) -> dict[str, float]:
    full = len(order) / 3  # mean distance of two random places
    batches = (order[: len(order) // batch * batch] // in_shard).reshape(-1, batch)
    top = [np.unique(row, return_counts=True)[1].max() / batch for row in batches]
    return {
        f"{name}_neighbour_distance": float(np.abs(np.diff(order)).mean() / full),
        f"{name}_share_of_one_shard": float(np.mean(top)),
    }


def _manifest(num_shards: int, in_shard: int) -> bytes:
    from vrs_wds.shard import manifest as m

    shards = tuple(
        m.ShardInfo(
            url=f"train-{i:06d}.tar", nsamples=in_shard, filesize=10**9, sha256="0" * 64, md5sum=""
        )
        for i in range(num_shards)
    )
    details = m.Details(
        format_version=m.FORMAT_VERSION,
        split="train",
        num_samples=num_shards * in_shard,
        fingerprint="0" * 64,
        index=m.FileInfo(
            url="train.index.parquet", filesize=1, sha256="0" * 64, footer_sha256="0" * 64
        ),
        extensions=("png",),
        tasks={},
        layers=(m.Layer(name="base", start=0, stop=num_shards),),
    )
    return m.encode_manifest(m.Manifest(name="train", shardlist=shards, vrs_wds=details))


MEASURES: dict[str, Callable[[int, int], dict[str, float]]] = {
    "open": measure_open,
    "rank": measure_rank,
    "shuffle": measure_shuffle,
    "epochs": measure_epochs,
}
CASES = [
    ("open", 112, 10_000),
    ("open", 1_120, 10_000),
    ("rank", 1_000, 10_000),
    ("rank", 10_000, 10_000),
    ("rank", 100_000, 10_000),
    ("shuffle", 200, 1_000),
    ("epochs", 3, 167),
    ("epochs", 1, 6_400),
    ("epochs", 64, 1_000),
    ("epochs", 200, 1_000),
    ("epochs", 100, 10_000),
]


def main() -> None:
    """Measure each case in a fresh process and print it as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=3, help="measure one case in this process")
    case = parser.parse_args().case
    if case is not None:
        result = MEASURES[case[0]](int(case[1]), int(case[2]))
        sys.stdout.write(json.dumps({"case": case[0]} | result) + "\n")
        return
    sys.stdout.write(f"{platform.machine()}, Python {platform.python_version()}\n")
    for name, num_shards, in_shard in CASES:
        command = [sys.executable, "-m", "benchmarks.plan", "--case", name]
        printed = subprocess.run(  # noqa: S603 - this module again
            [*command, str(num_shards), str(in_shard)], capture_output=True, text=True, check=True
        )
        numbers = json.loads(printed.stdout)
        values = ", ".join(f"{k} {v:,.4g}" for k, v in numbers.items() if k != "case")
        sys.stdout.write(f"{numbers['case']:<8} {values}\n")


if __name__ == "__main__":
    main()
