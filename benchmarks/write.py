"""How fast are shards written, and in how much memory?

    python -m benchmarks.write                      # speed: three kinds of pictures
    python -m benchmarks.write --memory             # peak memory: many samples, big samples
    python -m benchmarks.write --url s3://bucket/x  # speed, into a store

Samples are in memory: drawn 512 x 512 pictures (`jpeg` at quality 90, `png`; `small`: 160 x 160
JPEG) and plain values for five sidecars (captioning, detection, grounding, vqa, meta). Each run has
a process of its own, and the methods take turns, round by round. The clock runs from the first
sample to the last file complete. Imports are not in it: two samples are written before.

- `ours`: `vw.write_shards`, one process; `ours, 2 workers`: with `num_workers=2`. Every shard, the
  index, the card and the manifest are flushed to the disk (fsync), and so are their folders.
- `ours, no SHA-256, MD5`: to see what these two cost; not a way to write.
- `webdataset`: `webdataset.ShardWriter` with a dict a sample, as its documentation has it: it makes
  JSON of the sidecars. It computes no checksum, checks nothing and flushes nothing to the disk.
- `webdataset, checksums`: the same; then its shards are flushed to the disk, read again, and their
  SHA-256 and MD5 are taken in two threads.
- `cp`: `cp` of the finished shards into another folder of the same disk, each then flushed.
- `put`: with `--url`, one `put` a finished shard.

Memory is the peak of the process above that of a bare interpreter; workers are not in it. `others`
is how many cores other processes kept busy meanwhile: with much of it, look at ratios only, or pass
`--patience 60` to wait for quiet moments.

Not measured: reading a source; encoding pictures; more than one writing process.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NUM_PICTURES = 32
"""Different pictures of a case; samples take turns with them."""
SHARD_BYTES = 256 * 1024**2
MAX_OTHERS = 0.25
"""Cores that other processes may take while a run counts as undisturbed."""
SIDE = {"jpeg": 512, "png": 512, "small": 160, "tiny": 8}
NUM_SAMPLES = {"jpeg": 8_000, "png": 2_000, "small": 20_000}
EXTENSION = {"jpeg": "jpg", "png": "png", "small": "jpg", "tiny": "png"}


class MemorySource:
    """A `Source` of samples that are in memory."""

    def __init__(self, case: str, folder: Path, length: int) -> None:
        from benchmarks.annotations import sidecars
        from vrs_wds.testing.synthetic import make_annotations

        self._side, self._extension, self._length = SIDE[case], EXTENSION[case], length
        self._pictures = [path.read_bytes() for path in sorted((folder / case).iterdir())]
        made = make_annotations("train", 256)
        self._annotations = [sidecars(annotation, self._side) for annotation in made]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401 - vrs_wds is imported by `ours` only
        """Return a sample."""
        from vrs_wds.sample import SourceSample

        return SourceSample(
            name=f"P{number:08d}",
            image=self._pictures[number % len(self._pictures)],
            extension=self._extension,
            annotations=self._annotations[number % len(self._annotations)],
            extra={"file_name": f"P{number:08d}.{self._extension}"},
            origin=f"Images_train.zip: P{number:08d}.{self._extension}",
        )

    def dicts(self) -> Iterator[dict[str, Any]]:
        """Yield the same members as webdataset takes them."""
        for number in range(self._length):
            annotations = self._annotations[number % len(self._annotations)]
            yield {
                "__key__": f"P{number:08d}",
                **{f"{task}.json": value for task, value in annotations.items()},
                "meta.json": {
                    "name": f"P{number:08d}",
                    "width": self._side,
                    "height": self._side,
                    "extra": {"file_name": f"P{number:08d}.{self._extension}"},
                },
                self._extension: self._pictures[number % len(self._pictures)],
            }


def make_pictures(case: str, folder: Path) -> float:
    """Draw a case's pictures into a folder; return their mean size in bytes."""
    from benchmarks.corpus import draw_jpeg, draw_png

    (folder / case).mkdir()
    side, sizes = SIDE[case], []
    for number in range(NUM_PICTURES):
        draw = draw_png if EXTENSION[case] == "png" else draw_jpeg
        data = draw(number, side)
        (folder / case / f"{number:03d}").write_bytes(data)
        sizes.append(len(data))
    return statistics.mean(sizes)


Measure = Callable[[MemorySource, str, Path], None]


def write_ours(source: MemorySource, out: str, finished: Path, num_workers: int = 0) -> None:
    """Write the source with `write_shards`."""
    import vrs_wds as vw

    vw.write_shards(source, out, split="train", num_workers=num_workers, progress=False)


def write_ours_workers(source: MemorySource, out: str, finished: Path) -> None:
    """Write the source with `write_shards` and two workers."""
    write_ours(source, out, finished, num_workers=2)


def write_ours_unhashed(source: MemorySource, out: str, finished: Path) -> None:
    """Write the source with `write_shards`, but without SHA-256 and MD5."""
    from vrs_wds.writer import shard_writer

    class NoHash:
        def update(self, data: bytes) -> None:
            pass

        def hexdigest(self) -> str:
            return ""

    def no_hash(**options: object) -> NoHash:
        return NoHash()

    vars(shard_writer)["hashlib"] = SimpleNamespace(sha256=no_hash, md5=no_hash)
    write_ours(source, out, finished)


def write_webdataset(source: MemorySource, out: str, finished: Path) -> None:
    """Write the source with webdataset's own writer."""
    import webdataset as wds

    Path(out).mkdir()
    pattern = f"{out}/train-%06d.tar"
    with wds.ShardWriter(pattern, maxcount=10_000, maxsize=SHARD_BYTES, verbose=0) as sink:
        for sample in source.dicts():
            sink.write(sample)


def write_webdataset_hashed(source: MemorySource, out: str, finished: Path) -> None:
    """Write the source with webdataset's writer, then flush and hash what it wrote."""
    write_webdataset(source, out, finished)
    with ThreadPoolExecutor(2) as pool:
        for path in sorted(Path(out).iterdir()):
            _flush(path)
            list(pool.map(_hash, [path, path], ["sha256", "md5"]))


def copy(source: MemorySource, out: str, finished: Path) -> None:
    """Copy finished shards with `cp`, and flush the copies to the disk."""
    Path(out).mkdir()
    for path in sorted(finished.glob("*.tar")):
        subprocess.run(["cp", str(path), out], check=True)  # noqa: S603, S607 - the system's own
        _flush(Path(out) / path.name)
    _flush(Path(out))


def put(source: MemorySource, out: str, finished: Path) -> None:
    """Put finished shards into a store."""
    from vrs_wds.storage.open import open_store

    store = open_store(out)
    for path in sorted(finished.glob("*.tar")):
        store.put(path.name, path.read_bytes())


METHODS: dict[str, Measure] = {
    "ours": write_ours,
    "ours, 2 workers": write_ours_workers,
    "ours, no SHA-256, MD5": write_ours_unhashed,
    "webdataset": write_webdataset,
    "webdataset, checksums": write_webdataset_hashed,
    "cp": copy,
    "put": put,
}


def _hash(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _peak_mb() -> float:
    """Return this process's peak memory; unlike `ru_maxrss`, it does not begin with a parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_seconds() -> float:
    usages = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _busy_seconds() -> float:
    """Return the seconds for which the machine's cores worked, for whomever; Linux only."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(method: str, case: str, length: int, folder: Path, out: str) -> dict[str, Any]:
    """Run one method in this process."""
    with tempfile.TemporaryDirectory(dir=folder) as first:  # imports what is needed
        if not method.startswith(("cp", "put")):
            METHODS[method](MemorySource(case, folder, 2), f"{first}/out", folder / "finished")
    source = MemorySource(case, folder, length)
    busy, cpu, start = _busy_seconds(), _cpu_seconds(), time.perf_counter()
    METHODS[method](source, out, folder / "finished")
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "others": (_busy_seconds() - busy - cpu) / seconds,
        "peak_mb": _peak_mb(),
        "torch": "torch" in sys.modules,
    }


def _run(method: str, case: str, length: int, folder: Path, out: str) -> dict[str, Any]:
    """Run one method in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.write", "--measure", method, case, str(length)]
    result = subprocess.run(  # noqa: S603 - this module again
        [*command, str(folder), out], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _run_undisturbed(
    method: str, case: str, length: int, folder: Path, out: str, patience: float
) -> dict[str, Any]:
    """Run one method; while there is time, again if other processes took much of the cores."""
    start = time.perf_counter()
    while True:
        while time.perf_counter() - start < patience:
            busy = _busy_seconds()
            time.sleep(0.5)
            if _busy_seconds() - busy < MAX_OTHERS / 2:
                break
        found = _run(method, case, length, folder, out)
        if found["others"] < MAX_OTHERS or time.perf_counter() - start >= patience:
            return found
        if "://" not in out:
            shutil.rmtree(out)


def compare(
    case: str,
    methods: list[str],
    length: int,
    rounds: int,
    url: str | None,
    folder: Path,
    patience: float,
) -> list[dict[str, Any]]:
    """Let the methods take turns; return a line for each run."""
    mean = make_pictures(case, folder)
    finished = folder / "finished"
    _run("ours", case, length, folder, str(finished))
    sizes = [path.stat().st_size for path in finished.glob("*.tar")]
    num_bytes = sum(sizes)
    _say(
        f"\n{case}: {length:,} samples, pictures of {mean / 1024:.0f} KiB, "
        f"{num_bytes / length / 1024:.1f} KiB a sample in {len(sizes)} shards"
    )
    lines = []
    for number in range(rounds):
        for method in methods[number % len(methods) :] + methods[: number % len(methods)]:
            remote = url if url and (method.startswith("ours") or method == "put") else None
            out = f"{remote}/{case}-{number}-{methods.index(method)}" if remote else f"{folder}/out"
            found = _run_undisturbed(method, case, length, folder, out, patience)
            shutil.rmtree(folder / "out", ignore_errors=True)
            lines.append({"case": case, "method": method, "round": number, **found})
    shutil.rmtree(finished)
    _print_table(lines, methods, length, num_bytes)
    return lines


def _print_table(
    lines: list[dict[str, Any]], methods: list[str], length: int, num_bytes: int
) -> None:
    columns = ["median s", "best s", "spread", "samples/s", "MB/s", "CPU s", "us/sample", "peak MB"]
    columns.append("others")
    others = [name for name in ("webdataset", "put", "cp") if name in methods][:2]
    _say(
        f"{'':<23}" + "".join(f"{name:>10}" for name in columns),
        *(f"{f'x {other}':>13}" for other in others),
    )
    of = {name: [line for line in lines if line["method"] == name] for name in methods}
    for name in methods:
        seconds = [line["seconds"] for line in of[name]]
        cpu = statistics.median(line["cpu_seconds"] for line in of[name])
        median = statistics.median(seconds)
        values = [
            f"{median:.2f}",
            f"{min(seconds):.2f}",
            f"{(max(seconds) - min(seconds)) / median:.0%}",
            f"{length / median:,.0f}",
            f"{num_bytes / median / 1e6:,.0f}",
            f"{cpu:.2f}",
            f"{median / length * 1e6:,.0f}",
            f"{max(line['peak_mb'] for line in of[name]) - _BARE_MB:,.0f}",
            f"{statistics.median(line['others'] for line in of[name]):.2f}",
        ]
        times = [
            statistics.median(
                base["seconds"] / line["seconds"]
                for base, line in zip(of[other], of[name], strict=True)
            )
            for other in others
        ]
        _say(
            f"{name:<23}" + "".join(f"{value:>10}" for value in values),
            *(f"{ratio:>13.2f}" for ratio in times),
        )


def measure_memory(folder: Path) -> list[dict[str, Any]]:
    """Print the peak memory for more and more samples, tiny ones and big ones."""
    lines = []
    for case, lengths in (("tiny", (20_000, 200_000)), ("png", (200, 2_000))):
        make_pictures(case, folder)
        for length in lengths:
            found = _run("ours", case, length, folder, f"{folder}/out")
            num_bytes = sum(path.stat().st_size for path in (folder / "out").iterdir())
            shutil.rmtree(folder / "out")
            if found["torch"]:
                raise RuntimeError("torch was loaded")
            _say(
                f"{case:<5} {length:>8,} samples {num_bytes / 1e6:>8,.0f} MB written, peak "
                f"{found['peak_mb'] - _BARE_MB:,.0f} MB above the bare interpreter, torch not "
                f"loaded, {found['seconds'] / length * 1e6:,.0f} us a sample"
            )
            lines.append({"case": case, "length": length, **found})
    return lines


def _bare_mb() -> float:
    code = "print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return int(result.stdout) / 1024


def _say(*texts: str) -> None:
    sys.stdout.write(" ".join(texts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure each method in fresh processes and print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", nargs=5, help="measure one method in this process")
    parser.add_argument("--case", choices=sorted(NUM_SAMPLES), action="append")
    parser.add_argument("--method", choices=sorted(METHODS), action="append")
    parser.add_argument("--samples", type=int, help="samples of every case")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; the default is a new one")
    parser.add_argument(
        "--patience",
        type=float,
        default=0,
        help="seconds to wait, at each run, for a moment in which other processes are idle",
    )
    parser.add_argument("--memory", action="store_true", help="measure peak memory instead")
    parser.add_argument("--url", help="write into this store, and compare with put")
    parser.add_argument("--json", type=Path, help="file for all runs")
    arguments = parser.parse_args()
    if arguments.measure is not None:
        method, case, length, folder, out = arguments.measure
        sys.stdout.write(json.dumps(measure(method, case, int(length), Path(folder), out)) + "\n")
        return
    _say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        if arguments.memory:
            lines = measure_memory(Path(name))
        else:
            methods = arguments.method or [name for name in METHODS if name not in ("cp", "put")]
            methods += ["put" if arguments.url else "cp"]
            lines = []
            for case in arguments.case or NUM_SAMPLES:
                length = arguments.samples or NUM_SAMPLES[case]
                lines += compare(
                    case,
                    methods,
                    length,
                    arguments.rounds,
                    arguments.url,
                    Path(name),
                    arguments.patience,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    _BARE_MB = _bare_mb()
    main()
