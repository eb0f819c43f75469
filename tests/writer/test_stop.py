"""The end of workers is the end of the process, too, whatever they were doing."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, threading, time
from concurrent.futures import ProcessPoolExecutor
from vrs_wds.writer.engine import _stop

NUM_BYTES = 200_000_000  # takes longer to send than the delays differ by

if __name__ == "__main__":
    for tenths in range(8):
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"))
        pool.submit(int).result()  # the worker is there
        pool.submit({work})
        time.sleep(tenths / 20)
        _stop(pool)
        print(threading.active_count(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("work", ["bytes, NUM_BYTES", "len, bytes(NUM_BYTES)"])
def test_a_worker_that_is_sending_or_receiving(tmp_path: Path, work: str) -> None:
    """It is ended in the midst of it; nobody waits for the rest, and no thread is left."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("{work}", work))

    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["1"] * 8
