"""Starts real trainers on a small dataset, and ends them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vrs_wds as vw
from vrs_wds.writer.options import ShardConfig, ShardOptions

SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT_SECONDS = 100

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
def launch(monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Return a function that runs a script of the folder `scripts`, and waits for it.

    With a number of ranks, under torchrun; with None, as it is.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(vw.__file__).parents[1]), prepend=os.pathsep)

    def run(
        script: str, num_ranks: int | None, *arguments: object
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable]
        if num_ranks is not None:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += [f"--nproc-per-node={num_ranks}"]
        command += [str(SCRIPTS / script), *map(str, arguments)]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own, to be ended as a whole
        ) as process:
            try:
                output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)  # torchrun then ends its ranks
                try:
                    output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
                finally:
                    os.killpg(process.pid, signal.SIGKILL)
                pytest.fail(f"{script} hung for {TIMEOUT_SECONDS} seconds:\n{output}")
        return subprocess.CompletedProcess(command, process.returncode, output)

    return run


@pytest.fixture
def read_ranks() -> Callable[[Path, int], list[list[Any]]]:
    """Return a function that reads what each rank has written, a list of lines a rank."""

    def read(out: Path, num_ranks: int) -> list[list[Any]]:
        return [
            [json.loads(line) for line in (out / f"{rank}.jsonl").read_text().splitlines()]
            for rank in range(num_ranks)
        ]

    return read
