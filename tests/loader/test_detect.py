"""Where a process stands."""

from typing import Any

import numpy as np
import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.loader.detect import detect_world
from vrs_wds.order.world import World

NAMES = ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, World()),
        ({"RANK": "1", "WORLD_SIZE": "4"}, World(1, 4)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, World(2, 3)),
        ({"RANK": "0", "WORLD_SIZE": "2", "SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, World(0, 2)),
        ({"RANK": "1"}, World()),
    ],
)
def test_ranks_come_from_the_launcher(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: World
) -> None:
    """Of torchrun, else of Slurm, else there is one."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert detect_world() == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ""),
        ({"RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "7f"}, "7f"),
        (
            {
                "RANK": "1",
                "WORLD_SIZE": "4",
                "TORCHELASTIC_RUN_ID": "none",
                "MASTER_ADDR": "node0",
                "MASTER_PORT": "29500",
                "SLURM_JOB_ID": "12",
            },
            "node0:29500",
        ),
        (
            {
                "SLURM_PROCID": "2",
                "SLURM_NTASKS": "3",
                "SLURM_JOB_ID": "12",
                "SLURM_STEP_ID": "0",
            },
            "12:0",
        ),
    ],
)
def test_launches_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    """By what the launcher calls them; it is no part of the place."""
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID")
    for name in (*NAMES, *names):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert detect_world().launch == expected
    assert World(launch="a") == World()


@pytest.mark.parametrize("rank", ["5", "x", "-1"])
def test_ranks_that_cannot_be(monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    """The message names the variable."""
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=f"RANK='{rank}' and WORLD_SIZE='2'"):
        detect_world()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((2, 2), "world: expected rank and worker below their numbers"),
        ((-1, 2), "world: rank: expected at least 0"),
        (("a", 2), "world: rank: expected a whole number, got 'a'"),
        ((0, 1.5), "world: world_size: expected a whole number"),
    ],
)
def test_a_world_that_cannot_be(numbers: Any, message: str) -> None:
    """Is refused when it is made; NumPy's numbers are welcome."""
    with pytest.raises(ConfigError, match=message):
        World(*numbers)
    assert type(World(np.int64(1), np.int64(2)).rank) is int
