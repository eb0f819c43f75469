"""Makes a rank's batches: reads and decodes their samples, in threads or in worker processes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from vrs_wds.errors import TooManyBadSamples
from vrs_wds.loader.batch_memory import BatchMemory, MemoryPool
from vrs_wds.loader.executor import ChunkReader, Example, map_in_threads
from vrs_wds.loader.order import DatasetOrder
from vrs_wds.loader.switching import at_most
from vrs_wds.order.plan import RankBatch
from vrs_wds.order.world import World
from vrs_wds.pipeline.collate import stack_images
from vrs_wds.pipeline.faults import BadSample, FaultLog

MAX_CHUNK = 16
"""Samples that a thread reads and decodes at once."""
MAX_TRIES = 1000
"""Samples that are read to find a good one, in place of a batch that has none."""

Results = list[Any]
"""Samples and bad samples of one planned batch, in order."""

StackImages = Callable[[Sequence[Any]], torch.Tensor | list[torch.Tensor]]
"""See `stack_images`."""


def examples_of(batch: RankBatch) -> list[Example]:
    """Return a planned batch as pairs of a place and an item."""
    return list(zip(batch.numbers.tolist(), batch.items.tolist(), strict=True))


@dataclass
class MadeBatch:
    """A planned batch and what its samples became."""

    planned: RankBatch
    results: Results
    stack: StackImages = stack_images
    """Makes one tensor of the pictures."""


@dataclass(frozen=True)
class Chunk:
    """Some examples of a batch, next to each other."""

    examples: Sequence[Example]
    first: int
    """Place of the first one in the batch."""
    memory: BatchMemory

    def read(self, reader: ChunkReader) -> Results:
        """Read and decode the examples, into the batch's memory."""
        slots = [self.memory.slot(self.first + i) for i in range(len(self.examples))]
        return reader(self.examples, slots)


def read_in_threads(
    reader: ChunkReader,
    batches: Iterable[RankBatch],
    *,
    pool: MemoryPool,
    batch_size: int,
    num_threads: int,
    switch_interval: float | None,
    ahead: int,
    stop: Callable[[], object] = lambda: None,
) -> Generator[MadeBatch]:
    """Yield each planned batch with what its samples became; at most `ahead` chunks in advance."""
    queue: deque[tuple[RankBatch, BatchMemory, int]] = deque()

    def chunks() -> Iterator[Chunk]:
        for batch in batches:
            examples = examples_of(batch)
            memory = BatchMemory(pool, len(examples), batch_size)
            starts = range(0, len(examples), MAX_CHUNK)
            queue.append((batch, memory, len(starts)))
            for start in starts:
                yield Chunk(examples[start : start + MAX_CHUNK], start, memory)

    results = map_in_threads(
        lambda chunk: chunk.read(reader),
        chunks(),
        num_threads=num_threads,
        ahead=ahead,
        stop=stop,
    )
    made: list[Results] = []
    with closing(results):
        for part in results:
            made.append(part)
            del part
            if len(made) < queue[0][2]:
                continue
            batch, memory, _ = queue.popleft()
            stack = memory.stack
            del memory
            results_of_batch = [sample for part in made for sample in part]
            made.clear()
            # Nothing of the batch is kept here: its memory is the consumer's.
            parts = [MadeBatch(batch, results_of_batch, stack)]
            del batch, results_of_batch, stack
            with at_most(switch_interval):  # while the consumer runs, beside the threads
                yield parts.pop()


def sift_batch(
    made: MadeBatch, faults: FaultLog, stand_in: Callable[[], dict[str, Any] | None]
) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """Return the good samples of a planned batch and their mask; handle the bad ones.

    If none is left, another sample stands in with False in the mask: other ranks make a step, and
    so must this one.

    Raises:
        TooManyBadSamples: if `stand_in` finds none.
    """
    samples, mask = [], []
    for result, real in zip(made.results, made.planned.mask.tolist(), strict=True):
        if isinstance(result, BadSample):
            faults.handle(result)
        else:
            samples.append(result)
            mask.append(real)
    if samples:
        return samples, torch.tensor(mask)
    spare = stand_in()
    if spare is None:
        raise TooManyBadSamples(
            f"all {len(made.results)} samples of a batch are bad, and so are those after it: there "
            f"is nothing to give. The last: {faults.skipped[-1].message}"
        )
    return [spare], torch.tensor([False])


def find_good(
    reader: ChunkReader,
    order: DatasetOrder,
    world: World,
    epoch: int,
    number: int,
    finish: Callable[[Results], Results],
) -> dict[str, Any] | None:
    """Return the first good sample after a batch, in an epoch that begins again at its end.

    Of the rank's own samples, then of the next rank's, and so on; None if there is none among the
    first `MAX_TRIES`. What is given does not depend on what was read before, so a resumed run gives
    the same; nothing is counted as skipped. `finish` does what is left to do with results.
    """
    reader = reader.fresh()
    ranks = [(world.rank + i) % world.world_size for i in range(world.world_size)]
    candidates = (
        example
        for rank in ranks
        for start, stop in ((number + 1, None), (0, number + 1))
        for batch in islice(order.batches(epoch, World(rank, world.world_size), start=start), stop)
        for example in examples_of(batch)
    )
    for example in islice(candidates, MAX_TRIES):
        (result,) = finish(reader([example])[:1])
        if not isinstance(result, BadSample):
            return dict(result)
    return None
