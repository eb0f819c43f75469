"""`to_hf_iterable`: a dataset as a `datasets.IterableDataset`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import datasets

from vrs_wds.errors import ConfigError
from vrs_wds.loader.chain import device_of
from vrs_wds.loader.executor import chunked, run_stages
from vrs_wds.loader.order import needed_extensions
from vrs_wds.order.plan import DEFAULT_STREAMS
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.stage import SampleDict, SampleStage
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.tasks.registry import resolve_tasks

_CHUNK = 64
"""Samples read at once."""


def to_hf_iterable(
    dataset: ShardedDataset, *stages: SampleStage, num_parts: int = DEFAULT_STREAMS
) -> datasets.IterableDataset:
    """Return a dataset, or a selection of it, as Hugging Face's `datasets` streams it.

    Its examples are what the stages make of a sample; without stages, bytes by extension. Its
    `num_shards` are `num_parts` runs of samples of equal length (give or take one), however many
    files there are: `datasets.distributed.split_dataset_by_node` deals them to ranks without
    reading those of others, and `DataLoader` to its workers. `.shuffle(seed, buffer_size)` and
    `.set_epoch(epoch)` put them in another order, `state_dict` resumes.

    The lengths of ranks differ a little, so steps may not be even: `StreamingLoader` promises that,
    this does not.

    Args:
        dataset: From `open_dataset`.
        stages: Sample stages, such as `Decode`.
        num_parts: Runs of samples; a multiple of the ranks times the workers of each.

    Raises:
        ConfigError: if `num_parts` is below 1, a stage is no sample stage, or `Decode` leaves
            pictures to a device.
    """
    if num_parts < 1:
        raise ConfigError(f"num_parts: expected at least 1, got {num_parts}.")
    for stage in stages:
        if not isinstance(stage, SampleStage):
            raise ConfigError(
                f"stages: expected sample stages, such as Decode, got {stage!r}. Others come "
                "after, as methods of the result."
            )
    if device_of(stages) is not None:
        raise ConfigError("device: pictures are decoded there by a StreamingLoader; leave it out.")
    tasks = stages[0].tasks if stages and isinstance(stages[0], Decode) else None
    extensions = needed_extensions(dataset, resolve_tasks(tasks, dataset.tasks))
    return datasets.IterableDataset.from_generator(
        _PartReader(dataset, extensions, stages),
        # A list is what `datasets` deals out.
        gen_kwargs={"parts": cut_parts(len(dataset), num_parts)},
    )


def cut_parts(length: int, num_parts: int) -> list[tuple[int, int]]:
    """Cut a row of samples into runs, each `(start, stop)`; none is empty.

    >>> cut_parts(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    >>> cut_parts(1, 3)
    [(0, 1)]
    """
    count = max(1, min(num_parts, length))
    edges = [i * length // count for i in range(count + 1)]
    return list(pairwise(edges))


@dataclass(frozen=True)
class _PartReader:
    """Reads runs of samples; pickles, unlike a nested function."""

    dataset: ShardedDataset
    extensions: tuple[str, ...]
    stages: tuple[SampleStage, ...]

    def __call__(self, parts: Sequence[tuple[int, int]]) -> Iterator[SampleDict]:
        for start, stop in parts:
            for places in chunked(range(start, stop), _CHUNK):
                for sample in self.dataset.raw_many(places, self.extensions):
                    yield from run_stages(self.stages, sample)
