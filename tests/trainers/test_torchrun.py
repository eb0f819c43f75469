"""Real `torchrun` jobs on the CPU: even steps, each sample once, and resume with fewer ranks."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

NEVER = -1


def run_ddp(launch: Any, out: Path, root: Path, num_ranks: int, killed_at: int = NEVER) -> Any:
    """Run the training script; its checkpoint lies beside `out`."""
    out.mkdir()
    return launch("ddp.py", num_ranks, root, out, out.with_suffix(".pt"), killed_at)


def global_batches(ranks: list[list[dict[str, Any]]]) -> list[list[str]]:
    """Return the keys of each global batch, sorted."""
    return [sorted(k for line in lines for k in line["keys"]) for lines in zip(*ranks, strict=True)]


def check_run(ranks: list[list[dict[str, Any]]], all_keys: list[str]) -> None:
    """Both epochs: even steps, each sample once, one state, orders that differ."""
    batches = global_batches(ranks)
    states = [[json.dumps(line["state"]) for line in lines] for lines in ranks]
    steps_of_epoch = len(batches) // 2

    assert [[line["epoch"] for line in lines] for lines in ranks] == (
        [[0] * steps_of_epoch + [1] * steps_of_epoch] * len(ranks)
    )
    assert steps_of_epoch == 3
    assert all(of_rank == states[0] for of_rank in states)
    for epoch in (batches[:steps_of_epoch], batches[steps_of_epoch:]):
        assert sorted(key for batch in epoch for key in batch) == all_keys
    assert batches[:steps_of_epoch] != batches[steps_of_epoch:]


@pytest.mark.slow
def test_four_ranks_one_killed_and_resumed_by_two(
    tmp_path: Path, uneven_root: Path, all_keys: list[str], launch: Any, read_ranks: Any
) -> None:
    """Fewer shards than ranks. The global batches go on as those of an undisturbed run."""
    done = run_ddp(launch, tmp_path / "undisturbed", uneven_root, 4)
    assert done.returncode == 0, done.stdout
    undisturbed = read_ranks(tmp_path / "undisturbed", 4)
    check_run(undisturbed, all_keys)

    killed = tmp_path / "killed"
    done = run_ddp(launch, killed, uneven_root, 4, killed_at=2)
    assert done.returncode != 0
    assert "SIGKILL" in done.stdout
    before = read_ranks(killed, 4)
    assert [len(lines) for lines in before] == [2] * 4

    done = launch("ddp.py", 2, uneven_root, killed, killed.with_suffix(".pt"), NEVER)
    assert done.returncode == 0, done.stdout
    resumed = read_ranks(killed, 2)
    assert resumed[0][0]["step"] == 3
    assert global_batches(before) + global_batches(resumed) == global_batches(undisturbed)
    assert [line["state"] for line in resumed[1]] == [line["state"] for line in undisturbed[0][2:]]


@pytest.mark.slow
def test_plain_loops_under_two_ranks(
    tmp_path: Path, uneven_root: Path, all_keys: list[str], launch: Any, read_ranks: Any
) -> None:
    """Our loader; PyTorch's with four readers of three shards, and with a sampler."""
    done = launch("plain_loops.py", 2, uneven_root, tmp_path)
    assert done.returncode == 0, done.stdout
    ranks = read_ranks(tmp_path, 2)

    given = {
        "stream": [[rank[epoch]["stream"] for rank in ranks] for epoch in range(2)],
        "loader": [[list(chain(*rank[epoch]["loader"])) for rank in ranks] for epoch in range(2)],
    }
    for epochs in given.values():
        assert [sorted(chain(*parts)) for parts in epochs] == [all_keys, all_keys]
        assert epochs[0] != epochs[1]
    for epoch in range(2):
        assert [len(rank[epoch]["loader"]) for rank in ranks] == [3, 3]
        parts = [rank[epoch]["map"] for rank in ranks]
        # 23 samples, two ranks: the sampler repeats one.
        assert [len(part) for part in parts] == [12, 12]
        assert sorted({*parts[0], *parts[1]}) == all_keys
    assert ranks[0][0]["map"] != ranks[0][1]["map"]
