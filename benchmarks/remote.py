"""How fast is a dataset read through a link of 100 MB/s to a server that is 50 ms away?

    python -m benchmarks.remote                 # ours, webdataset (pipe:curl), the link itself

`benchmarks.link` serves the shards with ranges and plays the link. 6,000 samples of 85 KB (JPEG,
512 x 512) with five sidecars, in shards of 64 MiB; batches of 64. Methods take turns, round by
round, each run in a process of its own; imports are not on the clock.

- `link`: ranges of 8 MiB, 8 in flight, with obstore, and ranges of 90 KB, 64 in flight: what the
  link gives.
- `ours ...`: `StreamingLoader`, in order and shuffled; `no decode` hands the bytes on. The clock
  runs from opening the dataset to the batch after the last second; `first` is the time to the first
  batch, with opening the dataset and reading its index, over that of one range of 8 MiB.
- `webdataset ...`: `wds.WebDataset("pipe:curl -s URL")`, in the main process or in two worker
  processes; decoding by simplejpeg. In order: shuffled, it reads the same bytes in the same order.

`share` is bytes of samples a second over the link's 100 MB/s. `load` is the machine's load average:
link, server and reader take two cores themselves.

Not measured: TLS; more than one client; a link that loses packets.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link import BYTES_PER_SECOND, link_to

RANGE_BYTES = 8 * 1024 * 1024
NUM_SAMPLES = 6_000
NUM_PICTURES = 64
IMAGE_BYTES = 85_000
BATCH = 64


class MemorySource:
    """A `Source` of samples that are in memory."""

    def __init__(self) -> None:
        from benchmarks.annotations import sidecars
        from vrs_wds.testing.synthetic import make_annotations

        self._pictures = [make_picture(number) for number in range(NUM_PICTURES)]
        self._annotations = [sidecars(made, 512) for made in make_annotations("train", 256)]

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401 - vrs_wds is imported late
        """Return a sample."""
        from vrs_wds.sample import SourceSample

        return SourceSample(
            name=f"P{number:08d}",
            image=self._pictures[number % NUM_PICTURES],
            extension="jpg",
            annotations=self._annotations[number % len(self._annotations)],
        )


def make_picture(number: int) -> bytes:
    """Return a JPEG of 512 x 512 pixels and about 85 KB."""
    import simplejpeg

    rng = np.random.default_rng(number)
    y, x = np.mgrid[:512, :512] / 512
    smooth = 128 + 60 * np.sin(9 * x + number)[..., None] * np.cos(7 * y)[..., None]
    noise = rng.normal(0, 1, (512, 512, 3))
    low, high = 0.0, 60.0
    data = b""
    while high - low > 0.5:
        middle = (low + high) / 2
        pixels = np.clip(smooth + middle * noise, 0, 255).astype(np.uint8)
        data = simplejpeg.encode_jpeg(pixels, 90, colorsubsampling="420")
        low, high = (middle, high) if len(data) < IMAGE_BYTES else (low, middle)
    return bytes(data)


def measure_link(url: str, size: int, in_flight: int, seconds: float) -> dict[str, float]:
    """Fetch ranges of one size, some in flight."""
    from concurrent.futures import ThreadPoolExecutor

    from vrs_wds.shard.manifest import decode_manifest
    from vrs_wds.storage.open import open_store

    store = open_store(url)
    manifest = decode_manifest(store.get("train.json"), where=url)
    ranges = [
        (shard.url, offset)
        for shard in manifest.shardlist
        for offset in range(0, shard.filesize - size, size)
    ]
    start = time.perf_counter()
    store.get_range(ranges[0][0], ranges[0][1], size)
    one = time.perf_counter() - start
    given = 0
    with ThreadPoolExecutor(in_flight) as pool:
        start = time.perf_counter()
        for data in pool.map(lambda r: store.get_range(r[0], r[1], size), ranges):
            given += len(data)
            if time.perf_counter() - start > seconds:
                pool.shutdown(wait=False, cancel_futures=True)
                break
        elapsed = time.perf_counter() - start
    return {"range": one, "bytes": given, "seconds": elapsed}


def measure_ours(
    url: str, *, shuffle: bool, decode: bool, seconds: float, options: dict[str, Any]
) -> dict[str, float]:
    """Read batches for some seconds."""
    import torch  # noqa: F401 - not on the clock

    from vrs_wds.loader.loader import StreamingLoader
    from vrs_wds.pipeline.decode import Decode
    from vrs_wds.pipeline.map import Map
    from vrs_wds.storage.open import open_store

    start, cpu = time.perf_counter(), time.process_time()
    store = open_store(url, **options)
    loader = StreamingLoader(
        store, "train", batch_size=BATCH, shuffle=shuffle,
        stages=[Decode()] if decode else [Map(_as_it_is)],
    )  # fmt: skip
    times, given = [], 0
    for batch in loader:
        times.append(time.perf_counter() - start)
        given += len(batch["__key__"])
        if times[-1] > seconds:
            break
    rate = (given - BATCH) / max(times[-1] - times[0], 1e-3)
    store_requests = getattr(store, "counters", None)
    return {
        "first": times[0],
        "seconds": times[-1],
        "samples": given,
        "rate": rate,
        "overall": given / times[-1],
        "cpu": time.process_time() - cpu,
        "requests": getattr(store_requests, "requests", 0),
        "read": getattr(store_requests, "bytes_read", 0),
    }


def _as_it_is(sample: dict[str, Any]) -> dict[str, Any]:
    return sample


def measure_webdataset(url: str, *, decode: bool, seconds: float, workers: int) -> dict[str, float]:
    """Read batches for some seconds with webdataset and curl."""
    import torch
    import webdataset as wds

    from vrs_wds.shard.manifest import decode_manifest
    from vrs_wds.storage.open import open_store

    manifest = decode_manifest(open_store(url).get("train.json"), where=url)
    shards = [f"pipe:curl -s {url}/{shard.url}" for shard in manifest.shardlist]
    start = time.perf_counter()
    dataset = wds.WebDataset(shards, shardshuffle=False, workersplitter=wds.split_by_worker)
    if decode:
        dataset = dataset.map(_decode_like_webdataset)
    loader = torch.utils.data.DataLoader(
        dataset.batched(BATCH, collation_fn=list),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    times, given = [], 0
    for batch in loader:
        times.append(time.perf_counter() - start)
        given += len(batch)
        if times[-1] > seconds:
            break
    rate = (given - BATCH) / max(times[-1] - times[0], 1e-3)
    return {
        "first": times[0],
        "seconds": times[-1],
        "samples": given,
        "rate": rate,
        "overall": given / times[-1],
    }


def _decode_like_webdataset(sample: dict[str, Any]) -> dict[str, Any]:
    import simplejpeg

    return {
        name: simplejpeg.decode_jpeg(value)
        if name == "jpg"
        else json.loads(value)
        if name.endswith("json")
        else value
        for name, value in sample.items()
    }


METHODS: dict[str, Callable[..., dict[str, float]]] = {
    "link": lambda url, seconds: measure_link(url, RANGE_BYTES, 8, seconds),
    "link, small ranges": lambda url, seconds: measure_link(url, 90_000, 64, seconds),
    **{
        f"ours {order}{what}": lambda url, seconds, s=shuffle, d=decode: measure_ours(
            url, shuffle=s, decode=d, seconds=seconds, options={}
        )
        for order, shuffle in (("in order", False), ("shuffled", True))
        for what, decode in ((", no decode", False), ("", True))
    },
    **{
        f"webdataset{name}{what}": lambda url, seconds, d=decode, w=workers: measure_webdataset(
            url, decode=d, seconds=seconds, workers=w
        )
        for name, workers in (("", 0), (", 2 workers", 2))
        for what, decode in ((", no decode", False), ("", True))
    },
}


def _run_alone(method: str, url: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.remote", "--one", method, "--url", url]
    done = subprocess.run(  # noqa: S603 - this module again
        [*command, "--seconds", str(seconds)], check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    result["load"] = os.getloadavg()[0]
    sys.stderr.write(f"{method}: {result}\n")
    return result


def make_dataset(root: Path) -> None:
    """Write the shards."""
    import vrs_wds as vw
    from vrs_wds.config import parse_config

    config = parse_config({"shards": {"max_bytes": "64 MiB"}})
    vw.write_shards(MemorySource(), root, split="train", config=config)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--methods", default="", help="only those that contain this")
    parser.add_argument("--data", type=Path, help="keep the dataset here")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _say(json.dumps(METHODS[options.one](options.url, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = options.data or Path(temporary)
        if not (root / "train.json").exists():
            make_dataset(root)
        manifest = json.loads((root / "train.json").read_text())
        size = sum(shard["filesize"] for shard in manifest["shardlist"]) / NUM_SAMPLES
        _say(f"{platform.machine()}, Python {platform.python_version()}; {size:,.0f} B a sample")
        with link_to(root) as url:
            _compare(url, size, options)


def _compare(url: str, size: float, options: argparse.Namespace) -> None:
    chosen = [name for name in METHODS if options.methods in name or name.startswith("link")]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for number in range(options.rounds):
        for name in chosen if number % 2 == 0 else reversed(chosen):
            results[name].append(_run_alone(name, url, options.seconds))
    one_range = statistics.median(run["range"] for run in results["link"])
    _say(f"one range of 8 MiB: {one_range * 1e3:.0f} ms")
    loads = [run["load"] for runs in results.values() for run in runs]
    _say(f"load {_spread(loads)}")
    for name, runs in results.items():
        if name.startswith("link"):
            shares = [run["bytes"] / run["seconds"] / BYTES_PER_SECOND for run in runs]
            _say(f"{name:32} share {_spread(shares)}")
            continue
        shares = [run["overall"] * size / BYTES_PER_SECOND for run in runs]
        steady = [run["rate"] * size / BYTES_PER_SECOND for run in runs]
        firsts = [run["first"] / one_range for run in runs]
        line = f"{name:32} share {_spread(shares)} after the first {_spread(steady)}"
        line += f" first {_spread(firsts)} ranges"
        if runs[0].get("requests"):
            line += f", {runs[-1]['samples'] / runs[-1]['requests']:.2f} samples a request"
            line += f", {1e3 * runs[-1]['cpu'] / runs[-1]['samples']:.2f} ms of a core a sample"
            line += f", {runs[-1]['read'] / runs[-1]['samples'] / size:.2f} of the bytes"
        _say(line)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
