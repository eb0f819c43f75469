"""Finds out where this process stands: the one place that reads ranks from outside."""

import os
import sys
from dataclasses import replace
from typing import Any

from vrs_wds.errors import ConfigError
from vrs_wds.order.world import World


def detect_world() -> World:
    """Return this process's place among all readers.

    Ranks come from `torch.distributed` if it is initialized, else from `RANK` and `WORLD_SIZE`
    (torchrun), else from `SLURM_PROCID` and `SLURM_NTASKS`, else there is one. Inside a worker of
    a `DataLoader`, the worker's number is told too.
    """
    # Where nobody has imported torch, there is neither a process group nor a worker of its loader.
    torch = sys.modules.get("torch")
    rank, world_size = _ranks(torch)
    return _with_worker(World(rank, world_size, launch=_launch()))


def world_of(given: World | None) -> World:
    """Return which reader this process is, where its rank may have been given.

    A world of one worker fixes the rank only: inside a worker of a `DataLoader` the worker is found
    out, or each would give what the others give too.
    """
    if given is None:
        return detect_world()
    check_world(given)
    return _with_worker(given) if given.num_workers == 1 else given


def check_world(world: object) -> None:
    """Refuse what is no `World`.

    Raises:
        ConfigError: if it is none.
    """
    if not isinstance(world, World):
        raise ConfigError(f"world: expected vrs_wds.World(rank, world_size), got {world!r}.")


def check_same_world(made: World, now: World) -> None:
    """Refuse to go on as one of other ranks: each would give what others give too.

    Raises:
        ConfigError: if the rank, or their number, is not what it was.
    """
    if (now.rank, now.world_size) != (made.rank, made.world_size):
        raise ConfigError(
            f"world: the loader was made as rank {made.rank} of {made.world_size}, "
            f"but this is rank {now.rank} of {now.world_size}. Make it after the process group "
            "is initialized (with Lightning: in `train_dataloader()`), or pass world=..."
        )


def _with_worker(world: World) -> World:
    """Add the number of the `DataLoader`'s worker that this is, if it is one."""
    data = sys.modules.get("torch.utils.data")
    info = None if data is None else data.get_worker_info()
    return world if info is None else replace(world, worker=info.id, num_workers=info.num_workers)


def _launch() -> str:
    """Return what torchrun or Slurm calls this launch; ranks of one see the same."""
    environment = os.environ
    if "RANK" in environment:
        run = environment.get("TORCHELASTIC_RUN_ID", "none")
        if run != "none":  # torchrun's default, of any launch
            return run
        names: tuple[str, ...] = ("MASTER_ADDR", "MASTER_PORT")
    else:
        names = ("SLURM_JOB_ID", "SLURM_STEP_ID")
    return ":".join(environment[name] for name in names if name in environment)


def _ranks(torch: Any) -> tuple[int, int]:  # noqa: ANN401 - the module, if it is loaded
    distributed = getattr(torch, "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    for rank, world_size in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in os.environ and world_size in os.environ:
            try:
                found = World(int(os.environ[rank]), int(os.environ[world_size]))
            except ValueError as error:
                raise ConfigError(
                    f"the environment says {rank}={os.environ[rank]!r} and {world_size}="
                    f"{os.environ[world_size]!r}: expected a rank from 0, below the number of them."
                ) from error
            return found.rank, found.world_size
    return 0, 1
