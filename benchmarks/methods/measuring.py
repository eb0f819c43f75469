"""`run`: measures one method in this process and prints one line of JSON.

The clock runs from the first batches of a pass, one a thread, to its last one; passes are repeated
until it has run for long enough. (Workers make their first batches side by side: from the first of
them on, the second would cost nothing. Over a link, which may bring more than these before they are
made, it runs from the beginning of the pass.) Imports come before; opening the data is counted with
the first batch.

The consumer touches what every method gives in the same way: of pictures every byte is summed (as
64-bit words), bytes are copied into one buffer that is used again and again. So nobody wins by
giving less than the others, and the limits, which do this too, are limits of the whole.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

_BUFFER = memoryview(bytearray(16 << 20))
_STRIDE = 4099
"""Every so many bytes of pictures one goes into their mean, by which methods are compared."""
MEMBERS_OF_JSON = 5
"""Sidecars of each sample."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a method is to do."""

    row: str
    folder: str
    """Folder of the samples: `shards` in it, and copies in peers' formats."""
    samples: int
    """Samples in the folder."""
    batch_size: int = 64
    threads: int = 2
    """Threads or worker processes that a method may use, and cores that it runs on."""
    min_seconds: float = 4.0
    """Passes are repeated until the clock has run so long."""
    url: str = ""
    """Address of `shards` behind the link, for the row `remote`."""

    option: str = ""
    """What a row needs besides."""

    @property
    def shards(self) -> list[str]:
        """Paths of the shards, in order."""
        return sorted(map(str, (Path(self.folder) / "shards").glob("*.tar")))

    def copy_of(self, peer: str) -> Path:
        """Return the folder for a copy in a peer's format."""
        return Path(self.folder) / peer


@dataclass(slots=True)
class Given:
    """What a method gives at once: a batch."""

    samples: int
    sidecars: int = 0
    """Parsed sidecars."""
    images: Any = None
    """Pictures: uint8, contiguous, `(B, H, W, 3)` or `(B, 3, H, W)`."""
    members: Sequence[Any] = ()
    """Members as bytes, where nothing is decoded."""


Passes = Callable[[], Iterable[Given]]
Make = Callable[[Job], Passes]


def run(make: Make, prepare: Callable[[Job], None] | None = None) -> None:
    """Measure the job on the command line, or prepare it: `JOB`, or `--prepare JOB`."""
    run_by(lambda job: measure(make, job), prepare)


def run_by(
    measure_job: Callable[[Job], dict[str, Any]], prepare: Callable[[Job], None] | None = None
) -> None:
    """As `run`, with a measurement of one's own."""
    job = Job(**json.loads(sys.argv[-1]))
    if sys.argv[1] == "--prepare":
        if prepare is not None:
            prepare(job)
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
    result = measure_job(job)
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some peers' threads do not end


def measure(make: Make, job: Job) -> dict[str, Any]:
    """Measure passes over the samples, and check their number."""
    consumer = Consumer()
    begun = time.perf_counter()
    passes = make(job)
    opened = time.perf_counter() - begun
    others, cpu, begun = busy_seconds(), cpu_seconds(), time.perf_counter()
    seconds, counted, num_bytes, first_batch = 0.0, 0, 0, 0.0
    num_passes = 0
    while not num_passes or seconds < job.min_seconds:
        start = first = last = time.perf_counter()
        in_first = (0, 0)
        consumer.begin_pass()
        for number, given in enumerate(passes(), start=1):
            consumer.take(given)
            last = time.perf_counter()
            first_batch = first_batch or last - start
            if number == job.threads:
                first, in_first = last, (consumer.samples, consumer.bytes)
        consumer.check(job)
        # As few batches as threads; or what is under way when the clock starts would cost nothing.
        if consumer.samples == in_first[0] or job.url:
            first, in_first = start, (0, 0)
        seconds += last - first
        counted += consumer.samples - in_first[0]
        num_bytes += consumer.bytes - in_first[1]
        num_passes += 1
    wall, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    return {
        "samples": counted,
        "seconds": seconds,
        "bytes": num_bytes,
        "passes": num_passes,
        "open_seconds": opened,
        "first_batch_seconds": opened + first_batch,
        "cpu_seconds_per_1000": cpu / (num_passes * job.samples) * 1000,
        "others": max(0.0, (busy_seconds() - others - cpu) / wall),
        "peak_mb": peak_mb(),
        "mean": consumer.mean,
    }


class Consumer:
    """Touches what it is given, and counts."""

    def __init__(self) -> None:
        self.samples = self.sidecars = self.bytes = 0
        self.sum = 0
        self._means: list[float] = []
        self._shape: tuple[int, ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean of some of the pictures' bytes."""
        return float(np.mean(self._means)) if self._means else None

    def begin_pass(self) -> None:
        """Count anew."""
        self.samples = self.sidecars = self.bytes = 0

    def take(self, given: Given) -> None:
        """Touch a batch."""
        self.samples += given.samples
        self.sidecars += given.sidecars
        if given.images is not None:
            flat = np.asarray(given.images).reshape(-1)
            if flat.base is None or flat.dtype != np.uint8:
                raise TypeError(f"expected contiguous uint8, got {given.images.dtype}")
            whole = len(flat) // 8 * 8
            self.sum += int(flat[:whole].view(np.uint64).sum())
            self._means.append(float(flat[::_STRIDE].mean()))
            self._shape = given.images.shape[1:]
            self.bytes += len(flat)
        for data in given.members:
            size = len(data)
            _BUFFER[:size] = data
            self.bytes += size

    def check(self, job: Job) -> None:
        """Raise if a pass did not give every sample, whole."""
        if self.samples != job.samples:
            raise ValueError(f"expected {job.samples} samples, got {self.samples}")
        if self.sidecars and self.sidecars != self.samples * MEMBERS_OF_JSON:
            raise ValueError(f"expected 5 sidecars a sample, got {self.sidecars} in all")
        side = {"resize": 256, "crop": 128}.get(job.row, 512)
        if self._shape and sorted(self._shape) != [3, side, side]:
            raise ValueError(f"expected pictures of {side} x {side} pixels, got {self._shape}")


def job_to_json(job: Job) -> str:
    """Return a job for the command line."""
    return json.dumps(asdict(job))


def cpu_seconds() -> float:
    """Return processor seconds of this process and its children, with those that have ended."""
    ticks = sum(sum(map(int, stat_of(pid)[11:15])) for pid in (os.getpid(), *children()))
    return ticks / os.sysconf("SC_CLK_TCK")


def children() -> list[int]:
    """Return the ids of this process's children, and of theirs."""
    found, parents = [], [os.getpid()]
    while parents:
        tasks = list(Path(f"/proc/{parents.pop()}/task").glob("*/children"))
        parents += (new := [int(pid) for task in tasks for pid in text_of(task).split()])
        found += new
    return found


def text_of(path: Path) -> str:
    """Return a file's text; none if it is gone: threads end at any time."""
    try:
        return path.read_text()
    except OSError:
        return ""


def stat_of(pid: int) -> list[str]:
    """Return the fields of a process's `stat` after its name; zeros if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ["0"] * 50


def busy_seconds() -> float:
    """Return the seconds for which the machine's cores worked, for whomever; Linux only."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def peak_mb() -> float:
    """Return this process's peak memory, without its children's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
