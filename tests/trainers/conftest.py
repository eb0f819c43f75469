"""Starts real trainers on a small dataset, and ends them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vrs_wds as vw
from vrs_wds.writer.options import ShardConfig, ShardOptions

SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT_SECONDS = 120

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def uneven_root(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 samples in three shards of 10, 10 and 3."""
    root = tmp_path_factory.mktemp("uneven")
    samples = (
        vw.SourceSample(vw.key_to_name(sample.key), sample["png"], "png")
        for sample in vw.open_dataset(small_root, "train")
    )
    config = ShardConfig(shards=ShardOptions(max_samples=10))
    vw.write_shards(samples, root, split="train", config=config)
    return root


@pytest.fixture
def all_keys(uneven_root: Path) -> list[str]:
    """The keys of the dataset, sorted."""
    return sorted(vw.open_dataset(uneven_root).column("key"))


@pytest.fixture
def launch() -> Launch:
    """Return a function that runs a script of the folder `scripts` under torchrun, and waits."""

    def run(script: str, num_ranks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={num_ranks}", str(SCRIPTS / script), *map(str, arguments)]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(vw.__file__).parents[1]), *sys.path]),
        }
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that all ranks can be ended together
        ) as process:
            try:
                output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(command, process.returncode, output)

    return run


@pytest.fixture
def read_ranks(tmp_path: Path) -> Callable[..., list[list[Any]]]:
    """Return a function that reads what each rank has written, a list of lines a rank."""

    def read(out: Path, num_ranks: int) -> list[list[Any]]:
        return [
            [json.loads(line) for line in (out / f"{rank}.jsonl").read_text().splitlines()]
            for rank in range(num_ranks)
        ]

    return read


@pytest.fixture(autouse=True)
def _default_signals() -> Iterator[None]:
    """Give signals back to Python: some trainers take them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
