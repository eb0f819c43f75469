"""Makes a rank's batches: reads and decodes their samples, in threads or in worker processes."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from vrs_wds.errors import TooManyBadSamples
from vrs_wds.loader.executor import ChunkReader, Example, chunked, map_in_threads
from vrs_wds.order.plan import RankBatch
from vrs_wds.pipeline.faults import BadSample, FaultLog

MAX_CHUNK = 16
"""Samples that a thread reads and decodes at once."""

Results = list[Any]
"""Samples and bad samples of one planned batch, in order."""


def examples_of(batch: RankBatch) -> list[Example]:
    """Return a planned batch as pairs of a place and an item."""
    return list(zip(batch.numbers.tolist(), batch.items.tolist(), strict=True))


def read_in_threads(
    reader: ChunkReader, batches: Iterable[RankBatch], *, num_threads: int, ahead: int
) -> Generator[tuple[RankBatch, Results]]:
    """Yield each planned batch with what its samples became; at most `ahead` chunks in advance."""
    queue: list[tuple[RankBatch, int]] = []

    def chunks() -> Iterator[Sequence[Example]]:
        for batch in batches:
            parts = list(chunked(examples_of(batch), MAX_CHUNK))
            queue.append((batch, len(parts)))
            yield from parts

    results = map_in_threads(reader, chunks(), num_threads=num_threads, ahead=ahead)
    try:
        while True:
            first = next(results, None)
            if first is None:
                return
            batch, count = queue.pop(0)
            parts = [first, *islice(results, count - 1)]
            yield batch, [sample for part in parts for sample in part]
    finally:
        results.close()


def sift_batch(
    batch: RankBatch, results: Results, faults: FaultLog, spare: dict[str, Any] | None
) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """Return the good samples of a planned batch and their mask; handle the bad ones.

    If none is left, `spare`, a sample that was good before, stands in with False in the mask: other
    ranks make a step, and so must this one.

    Raises:
        TooManyBadSamples: if there is no spare yet.
    """
    samples, mask = [], []
    for result, real in zip(results, batch.mask.tolist(), strict=True):
        if isinstance(result, BadSample):
            faults.handle(result)
        else:
            samples.append(result)
            mask.append(real)
    if not samples and spare is not None:
        return [spare], torch.tensor([False])
    if not samples:
        raise TooManyBadSamples(
            f"all {len(results)} samples of the first batch are bad: there is nothing to give. The "
            f"last: {faults.skipped[-1].message}"
        )
    return samples, torch.tensor(mask)
