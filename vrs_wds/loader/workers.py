"""Worker processes: the sample stages run there, through `torch.utils.data.DataLoader`."""

import warnings
from collections.abc import Generator, Iterator, Sequence
from pickle import PicklingError
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vrs_wds.errors import ConfigError
from vrs_wds.loader.executor import ChunkReader, chunked

Chunk = list[Any]
"""Samples and bad samples, in order."""


class _WorkerChunks(IterableDataset[Chunk]):
    """Worker `i` of `n` makes chunks `i`, `i + n`, ...; the DataLoader takes them in turn."""

    def __init__(self, reader: ChunkReader, places: torch.Tensor, size: int) -> None:
        self._reader = reader
        # Shared, and filled anew for each epoch: workers that live on see the new order.
        self._places = places
        self._size = size

    def __iter__(self) -> Iterator[Chunk]:
        info = get_worker_info()
        assert info is not None  # noqa: S101 - only ever iterated by workers
        chunks = list(chunked(self._places.tolist(), self._size))
        for chunk in chunks[info.id :: info.num_workers]:
            yield [_to_shared(sample) for sample in self._reader(chunk)]


class WorkerPool:
    """Runs chunks in worker processes, one epoch after another."""

    def __init__(
        self,
        reader: ChunkReader,
        *,
        length: int,
        chunk_size: int,
        num_workers: int,
        prefetch_factor: int,
        persistent_workers: bool,
    ) -> None:
        self._places = torch.zeros(length, dtype=torch.int64)
        self._places.share_memory_()  # type: ignore[no-untyped-call]
        self._loader = DataLoader(
            _WorkerChunks(reader, self._places, chunk_size),
            batch_size=None,
            collate_fn=_as_it_is,  # torch's own would turn every array into a tensor
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            # A fork of a process with threads may hang.
            multiprocessing_context="forkserver",
        )

    def run(self, places: Sequence[int]) -> Generator[Chunk]:
        """Yield the chunks of one epoch, in order."""
        self._places.copy_(torch.as_tensor(places, dtype=torch.int64))
        try:
            with warnings.catch_warnings():
                # torch warns about what fails to pickle before it raises it
                warnings.simplefilter("ignore", UserWarning)
                iterator = iter(self._loader)
        except (AttributeError, TypeError, PicklingError) as error:
            raise ConfigError(
                f"The stages cannot be sent to worker processes ({error}). Use functions that can "
                "be imported instead of lambdas, or num_workers=0."
            ) from error
        for chunk in iterator:
            yield [_from_shared(sample) for sample in chunk]


def _as_it_is(chunk: Chunk) -> Chunk:
    return chunk


def _to_shared(sample: Any) -> Any:  # noqa: ANN401 - a sample or a bad one
    """Turn the picture into a tensor: it travels in shared memory, an array would be pickled."""
    if isinstance(sample, dict) and isinstance(sample.get("image"), np.ndarray):
        return {**sample, "image": torch.from_numpy(sample["image"])}
    return sample


def _from_shared(sample: Any) -> Any:  # noqa: ANN401
    if isinstance(sample, dict) and isinstance(sample.get("image"), torch.Tensor):
        return {**sample, "image": sample["image"].numpy()}
    return sample
