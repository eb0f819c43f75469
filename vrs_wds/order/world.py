"""Where one reader stands among all readers of a run."""

from dataclasses import dataclass, field

from vrs_wds.checks import whole_number
from vrs_wds.errors import ConfigError


@dataclass(frozen=True, slots=True)
class World:
    """A value: it is passed in, never looked up. `loader.detect_world()` makes one."""

    rank: int = 0
    """This process among `world_size`, from 0."""
    world_size: int = 1
    """Processes in the run, over all nodes."""
    worker: int = 0
    """This data-loading worker among the `num_workers` of its rank, from 0."""
    num_workers: int = 1
    """Data-loading workers of one rank, as `DataLoader` counts them, but never 0."""
    launch: str = field(default="", compare=False, repr=False)
    """Tells the ranks of one launch from those of another; empty where nobody says."""

    def __post_init__(self) -> None:
        for name in ("rank", "world_size", "worker", "num_workers"):
            number = whole_number(f"world: {name}", getattr(self, name), least=0)
            object.__setattr__(self, name, number)  # NumPy's would not fit a state
        if not self.rank < self.world_size or not self.worker < self.num_workers:
            raise ConfigError(f"world: expected rank and worker below their numbers, got {self}.")

    @property
    def reader(self) -> int:
        """This worker among those of all ranks, from 0."""
        return self.rank * self.num_workers + self.worker

    @property
    def num_readers(self) -> int:
        """Workers of all ranks."""
        return self.world_size * self.num_workers
