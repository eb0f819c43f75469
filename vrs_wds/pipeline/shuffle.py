"""Shuffles a stream within a buffer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vrs_wds.errors import ConfigError
from vrs_wds.order.seeds import rng_for
from vrs_wds.pipeline.stage import BriefRepr


@dataclass(frozen=True, repr=False)
class Shuffle(BriefRepr):
    """Yield a random one of the last `buffer_size` items, until all are out.

    Equal seeds and epochs give equal orders. For samples with an index, the shuffle of
    `vrs_wds.stream` and `StreamingLoader` reaches further and holds no samples in memory.
    """

    buffer_size: int
    """Items held back; 1 leaves the order as it is."""
    seed: int = 0
    epoch: int = 0

    def __post_init__(self) -> None:
        if self.buffer_size < 1:
            raise ConfigError(f"buffer_size: expected at least 1, got {self.buffer_size}.")

    def __call__(self, items: Iterable[Any], /) -> Iterator[Any]:
        """Shuffle the items."""
        rng = rng_for(self.seed, epoch=self.epoch, stream="buffer")
        buffer: list[Any] = []
        for item in items:
            if len(buffer) < self.buffer_size - 1:
                buffer.append(item)
                continue
            buffer.append(item)
            place = int(rng.integers(len(buffer)))
            buffer[place], buffer[-1] = buffer[-1], buffer[place]
            yield buffer.pop()
        while buffer:
            place = int(rng.integers(len(buffer)))
            buffer[place], buffer[-1] = buffer[-1], buffer[place]
            yield buffer.pop()
