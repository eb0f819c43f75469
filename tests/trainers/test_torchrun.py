"""Real `torchrun` jobs on the CPU: even steps, each sample once, and resume on fewer ranks."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

STEPS_OF_EPOCH = 3
NEVER = -1


def global_batches(ranks: list[list[list[str]]]) -> list[list[str]]:
    """Return the keys of each global batch, sorted; every rank must have as many."""
    return [sorted(chain(*parts)) for parts in zip(*ranks, strict=True)]


def keys_of(ranks: list[list[dict[str, Any]]]) -> list[list[list[str]]]:
    """Return the keys of each step of each rank."""
    return [[line["keys"] for line in lines] for lines in ranks]


def states_of(ranks: list[list[dict[str, Any]]]) -> list[list[str]]:
    """Return the loader's state after each step of each rank, as text."""
    return [[json.dumps(line["state"]) for line in lines] for lines in ranks]


@pytest.mark.slow
def test_two_ranks_four_ranks_one_killed_and_resumed_by_two(
    tmp_path: Path, uneven_root: Path, all_keys: list[str], launch: Any, read_ranks: Any
) -> None:
    """Three shards of uneven size: fewer than ranks, or than readers.

    Two ranks run undisturbed for two epochs. Of four, one is killed in the second epoch; two go on
    from the last checkpoint.
    """
    done = launch("plain_loops.py", 2, uneven_root, tmp_path)
    assert done.returncode == 0, done.stdout
    undisturbed = read_ranks(tmp_path, 2)
    check_pytorchs_loaders(undisturbed, all_keys)
    expected = global_batches([list(chain(*(e["loader"] for e in rank))) for rank in undisturbed])
    epochs = expected[:STEPS_OF_EPOCH], expected[STEPS_OF_EPOCH:]
    assert [sorted(chain(*epoch)) for epoch in epochs] == [all_keys, all_keys]
    assert epochs[0] != epochs[1]

    checkpoint = tmp_path / "last.pt"
    done = launch("ddp.py", 4, uneven_root, tmp_path, checkpoint, STEPS_OF_EPOCH + 1)
    assert done.returncode != 0
    assert "SIGKILL" in done.stdout, done.stdout
    killed = read_ranks(tmp_path, 4)
    assert [[line["epoch"] for line in lines] for lines in killed] == [[0, 0, 0, 1]] * 4
    assert global_batches(keys_of(killed)) == expected[: STEPS_OF_EPOCH + 1]

    done = launch("ddp.py", 2, uneven_root, tmp_path, checkpoint, NEVER)
    assert done.returncode == 0, done.stdout
    resumed = read_ranks(tmp_path, 2)
    assert resumed[0][0]["step"] == STEPS_OF_EPOCH + 2
    assert global_batches(keys_of(killed)) + global_batches(keys_of(resumed)) == expected

    for ranks in (killed, resumed):
        states = states_of(ranks)
        assert states == [states[0]] * len(ranks)
    assert resumed[0][-1]["state"]["epoch"] == 2


def check_pytorchs_loaders(ranks: list[list[dict[str, Any]]], all_keys: list[str]) -> None:
    """PyTorch's DataLoader: four readers of three shards, and a sampler."""
    epochs = [[key for rank in ranks for key in rank[epoch]["stream"]] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == all_keys
    assert epochs[0] != epochs[1]
    for epoch in range(2):
        parts = [rank[epoch]["map"] for rank in ranks]
        # 23 samples, two ranks: the sampler repeats one.
        assert [len(part) for part in parts] == [12, 12]
        assert sorted({*parts[0], *parts[1]}) == all_keys
    assert ranks[0][0]["map"] != ranks[0][1]["map"]
