"""Ctrl-C ends a process whose store does not answer, whoever is reading."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import Rule, StallReply, Status
from tests.servers.ranges import serving

_PATIENT_SECONDS = 600
"""How long a request is tried; a process that goes on trying is found by the time limit."""
_LIMIT_SECONDS = 100

OPEN = f"""
import sys, vrs_wds as vw
store = vw.open_store("s3://bucket/folder", endpoint=sys.argv[1], region="us-east-1",
    skip_signature=True, retries=1000, retry_seconds={_PATIENT_SECONDS}, stall_seconds=3,
    **({{"cache_dir": sys.argv[2], "cache_bytes": "1 GiB"}} if sys.argv[2] else {{}}))
dataset = vw.open_dataset(store, "train")
"""
READERS = {
    "loader": "for _ in vw.StreamingLoader(store, 'train', batch_size=4, num_threads=2): pass",
    "nothing ahead": "for _ in vw.StreamingLoader(store, 'train', batch_size=4, "
    "read_ahead_bytes=0): pass",
    "stream": "list(vw.stream(store, 'train'))",
    "several": "dataset.get_many(range(len(dataset)))",
    "one": "dataset[0]",
}


@pytest.fixture
def proxy(small_root: Path) -> Iterator[FaultProxy]:
    """Stands before a server that has a small dataset."""
    with serving() as server:
        server.files = {
            f"/bucket/folder/{path.relative_to(small_root).as_posix()}": path.read_bytes()
            for path in small_root.rglob("*")
            if path.is_file()
        }
        with FaultProxy(("127.0.0.1", int(server.url.rpartition(":")[2]))) as proxy:
            yield proxy


@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("reader", READERS)
def test_a_store_that_is_busy(
    proxy: FaultProxy, tmp_path: Path, reader: str, *, cache: bool
) -> None:
    """It says 503 for ever: nobody goes on asking."""
    rule = proxy.add(Status(503), path=r"\.tar")
    _interrupt(rule, proxy, READERS[reader], str(tmp_path / "cache") if cache else "")


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_store_that_falls_silent(proxy: FaultProxy, reader: str) -> None:
    """A request that is under way is waited for, for `stall_seconds`; it is the last one."""
    _interrupt(proxy.add(StallReply(0), path=r"\.tar"), proxy, READERS[reader], "")


def _interrupt(rule: Rule, proxy: FaultProxy, reader: str, cache: str) -> None:
    """Start a reader, send it SIGINT when it has met the fault, and wait for its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN + reader, proxy.url, cache], stderr=subprocess.PIPE, text=True
    )
    try:
        while not rule.hits and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)  # more than one thread is in it
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=_LIMIT_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGINT, errors
    assert errors.strip().endswith("KeyboardInterrupt")
