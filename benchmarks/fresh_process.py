"""Runs one method in a process of its own, and watches the memory of it and its children."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.methods.measuring import Job, job_to_json

_LOOK_SECONDS = 1.0
_MAX_SECONDS = 1800.0
_REASON_LINES = 3


class MethodFailed(Exception):
    """A method did not give its samples."""


def run_method(python: str, module: str, job: Job, root: Path) -> dict[str, Any]:
    """Return what a method's process prints.

    `tree_mb` is the most memory of the process and its children; pages that they share count once
    (PSS), looked up every second.

    Raises:
        MethodFailed: if the process fails.
    """
    command = [python, "-m", f"benchmarks.methods.{module}", job_to_json(job)]
    log = Path(job.folder) / "last.log"
    with log.open("w") as errors, (log.with_suffix(".out")).open("w+") as output:
        process = subprocess.Popen(command, cwd=root, stdout=output, stderr=errors)  # noqa: S603
        most, deadline = 0.0, time.monotonic() + _MAX_SECONDS
        while True:
            try:
                process.wait(_LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                most = max(most, tree_mb(process.pid))
            if time.monotonic() > deadline:
                process.kill()
        output.seek(0)
        lines = output.read().splitlines()
    if process.returncode or not lines:
        said = [line for line in log.read_text().splitlines() if line.strip()]
        raise MethodFailed(f"{module}: " + " ".join(said[-_REASON_LINES:]))
    found: dict[str, Any] = json.loads(lines[-1])
    return found | {"tree_mb": max(most, found.get("peak_mb", 0.0))}


def tree_mb(pid: int) -> float:
    """Return the memory of a process and its children in MB."""
    total, pids = 0, [pid]
    while pids:
        home = Path(f"/proc/{pids.pop()}")
        try:
            for task in home.glob("task/*/children"):
                pids += map(int, task.read_text().split())
            for line in (home / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue  # it has ended
    return total / 1024
