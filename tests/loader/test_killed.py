"""Who is killed leaves no worker behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, os, signal, sys
import vrs_wds as vw

if __name__ == "__main__":
    options = dict(batch_size=2, num_workers=2, persistent_workers=sys.argv[2] == "persistent")
    loader = vw.StreamingLoader(sys.argv[1], "train", **options)
    if sys.argv[2] == "persistent":
        list(loader)  # they wait for the next epoch
    else:
        batches = iter(loader)  # they wait for room, or work
        next(batches)
    workers = multiprocessing.active_children()
    print(*[worker.pid for worker in workers], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["persistent", "in an epoch"])
def test_workers_end_with_the_process_that_they_work_for(
    small_root: Path, tmp_path: Path, mode: str
) -> None:
    """It is killed; the server that they were forked from lives as long as they do."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(small_root), mode]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            workers = [int(pid) for pid in process.stdout.readline().split()]
            assert process.wait(60) == -signal.SIGKILL
            assert len(workers) == 2
            deadline = time.monotonic() + 60
            while any(map(is_running, workers)):
                assert time.monotonic() < deadline, "they go on"
                time.sleep(0.1)
        finally:
            if any(map(is_running, workers)):
                os.killpg(process.pid, signal.SIGKILL)
