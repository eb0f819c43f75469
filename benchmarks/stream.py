"""How fast are samples read, against what limits it and against peers?

    python -m benchmarks.stream                          # ours and the limits
    python -m benchmarks.stream --peers all --publish    # refreshes the page and its results
    python -m benchmarks.stream --peers webdataset,dali --rows jpeg,png --json out.json

Data are made on the spot and kept in a cache folder, as are the virtual environments of peers. Each
method runs in a fresh process on as many cores as it may have threads; methods take turns, round by
round, and a ratio is always of one round. `benchmarks/rows.py` lists the rows, methods and targets;
each file in `benchmarks/methods` says how a method is set up.

`others` is how many cores other processes kept busy meanwhile. With much of it compare processor
seconds, or pass `--patience 60` to wait for quiet moments.

Not measured: a cold page cache, more than two cores, GPUs.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.data import corpus_folder, prepare_copy
from benchmarks.environments import NotInstalled, python_of
from benchmarks.fresh_process import MethodFailed, run_method
from benchmarks.methods.measuring import Job, busy_seconds
from benchmarks.publish import publish, write_json
from benchmarks.report import text_report
from benchmarks.rows import ROWS, Method, Row, peers

ROOT = Path(__file__).parents[1]
QUIET_CORES = 0.125
MAX_MEAN_DIFFERENCE = 1.0
"""Grey levels by which the means of the pictures of two methods may differ."""


def main() -> None:
    """Measure, print, and keep the results."""
    arguments = parse()
    rows = [row for row in ROWS if row.name in (arguments.rows or [row.name])]
    wanted = {"all": peers(), "none": []}.get(arguments.peers, arguments.peers.split(","))
    if unknown := [name for name in wanted if name not in peers()]:
        raise SystemExit(f"--peers: unknown {unknown}; there are {', '.join(peers())}.")
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": arguments.machine,
        "python": platform.python_version(),
        "commit": commit(),
        "rounds": arguments.rounds,
        "load_average": os.getloadavg()[0],
        "missing": {},
        "runs": [],
    }
    for row in rows:
        run_row(row, wanted, arguments, results)
        if arguments.json:
            write_json(results, arguments.json)
    say(text_report(results))
    if arguments.publish:
        publish(results, ROOT)


def parse() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [row.name for row in ROWS]
    parser.add_argument("--peers", default="none", help=f"all, none, or of: {', '.join(peers())}")
    parser.add_argument("--rows", type=lambda text: text.split(","), help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="samples of every row")
    parser.add_argument("--threads", type=int, default=2, help="threads or workers, and cores")
    parser.add_argument("--min-seconds", type=float, default=4.0, help="passes are repeated")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for quiet")
    parser.add_argument("--machine", default=f"{os.cpu_count()} {platform.machine()} cores")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "vrs_wds-benchmarks",
        help="cache for data and environments",
    )
    parser.add_argument("--json", type=Path, help="file for all runs")
    parser.add_argument("--publish", action="store_true", help="keep results, refresh the page")
    arguments = parser.parse_args()
    if arguments.rows and (unknown := [name for name in arguments.rows if name not in names]):
        parser.error(f"--rows: unknown {unknown}; there are {', '.join(names)}.")
    return arguments


def run_row(
    row: Row, wanted: list[str], arguments: argparse.Namespace, results: dict[str, Any]
) -> None:
    """Run every method of a row, round by round; those that cannot run are noted."""
    samples = arguments.samples or row.samples
    home = corpus_folder(arguments.folder, row.kind, samples)
    job = Job(
        row=row.name,
        folder=str(home),
        samples=samples,
        threads=arguments.threads,
        min_seconds=arguments.min_seconds,
    )
    methods = [m for m in row.methods if m.peer in ("ours", "limit", *wanted)]
    ready = [(m, python) for m in methods if (python := make_ready(m, job, arguments, results))]
    with ExitStack() as stack:
        if row.name.startswith("remote"):
            from benchmarks.link import link_to

            job = replace(job, url=stack.enter_context(link_to(home / "shards")))
        for number in range(1 if row.once else arguments.rounds * row.times):
            first = number % max(1, len(ready))
            for method, python in ready[first:] + ready[:first]:
                wait_for_quiet(arguments.patience)
                try:
                    found = run_method(
                        python, method.module, replace(job, option=method.option), ROOT
                    )
                except MethodFailed as error:
                    note(results, f"{row.name}: {method.name}", str(error))
                    continue
                check_mean(found, row, results)
                kept = {"row": row.name, "method": method.name, "round": number, **found}
                results["runs"].append(kept)
                say(f"{row.name} {number} {method.name}: {short(found)}")


def make_ready(
    method: Method, job: Job, arguments: argparse.Namespace, results: dict[str, Any]
) -> str | None:
    """Return a method's interpreter, its environment and data made; None if they cannot be."""
    try:
        python = python_of(method.environment, arguments.folder)
        if method.has_copy:
            prepare_copy(python, method.module, job, ROOT)
    except NotInstalled as error:
        note(results, method.name, f"does not install: {error.reason}")
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        note(results, method.name, f"its data cannot be written: {' '.join(lines[-2:])}")
    else:
        return python
    return None


def check_mean(found: dict[str, Any], row: Row, results: dict[str, Any]) -> None:
    """Refuse pictures that are not those of the first method."""
    means = [run["mean"] for run in results["runs"] if run["row"] == row.name and run.get("mean")]
    mean = found.get("mean")
    if mean and means and abs(mean - means[0]) > MAX_MEAN_DIFFERENCE:
        raise ValueError(f"{row.name}: expected pictures of mean {means[0]:.2f}, got {mean:.2f}")


def wait_for_quiet(patience: float) -> None:
    """Wait for a moment in which other processes are idle, so long at most."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = busy_seconds()
        time.sleep(0.5)
        if busy_seconds() - before < QUIET_CORES * 0.5:
            return


def note(results: dict[str, Any], what: str, why: str) -> None:
    """Keep why something is missing, and say it."""
    results["missing"][what] = why
    say(f"MISSING {what}: {why}")


def short(found: dict[str, Any]) -> str:
    """Return a run in some words."""
    if "samples" in found:
        return (
            f"{found['samples'] / found['seconds']:,.0f} samples/s, "
            f"{found['cpu_seconds_per_1000']:.2f} CPU s for 1,000, others {found['others']:.1f}"
        )
    return ", ".join(f"{k} {v:.3g}" for k, v in found.items() if isinstance(v, float | int))


def commit() -> str:
    """Return the commit that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - git
    return result.stdout.strip() or "unknown"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
