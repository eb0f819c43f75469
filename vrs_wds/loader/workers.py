"""Worker processes: the sample stages run there, through `torch.utils.data.DataLoader`."""

import multiprocessing
import sys
import warnings
from collections.abc import Generator, Iterable, Iterator
from itertools import count, islice
from multiprocessing.context import BaseContext
from pickle import PicklingError
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vrs_wds.errors import ConfigError
from vrs_wds.loader.batches import Results, examples_of
from vrs_wds.loader.dealing import Dealing, merge
from vrs_wds.loader.executor import ChunkReader, Example
from vrs_wds.loader.fetching import fetched, places_of_examples
from vrs_wds.loader.order import DatasetOrder
from vrs_wds.order.plan import RankBatch
from vrs_wds.order.world import World
from vrs_wds.tasks.registry import register_task, registered_tasks

T = TypeVar("T")


class _WorkerBatches(IterableDataset[tuple[list[int], Results]]):
    """What a worker makes of a rank's batches, one after another; the DataLoader takes in turn."""

    def __init__(
        self,
        reader: ChunkReader,
        order: DatasetOrder,
        world: World,
        position: torch.Tensor,
        read_ahead_bytes: int,
    ) -> None:
        self._reader = reader
        self._read_ahead_bytes = read_ahead_bytes
        self._make_order = order.recipe
        self._world = world
        # Shared: workers that live on see the next epoch.
        self._position = position
        self._tasks = registered_tasks()

    def __iter__(self) -> Iterator[tuple[list[int], Results]]:
        """Yield, for each batch, how many results an example has, and the results."""
        info = get_worker_info()
        assert info is not None  # noqa: S101 - only ever iterated by workers
        for task in self._tasks:  # a script's own are registered in its main part
            register_task(task)
        reader = self._reader.fresh()
        dealing = Dealing(info.num_workers, by_sample=reader.task is not None)
        epoch, start = self._position.tolist()
        first, step = (start, 1) if dealing.by_sample else (start + info.id, info.num_workers)
        batches = self._make_order().batches(epoch, self._world, start=first, step=step)
        parts = _parts(info.id, dealing, zip(count(first - start, step), batches))
        share = self._read_ahead_bytes // info.num_workers
        with fetched(reader, parts, places_of_examples, share) as (source, items, done):
            for examples in items:
                results = source.by_example(examples)
                done()
                lengths = [len(made) for made in results]
                yield lengths, _to_shared([result for made in results for result in made])


def _parts(
    worker: int, dealing: Dealing, batches: Iterable[tuple[int, RankBatch]]
) -> Iterator[list[Example]]:
    """Yield what a worker makes of each batch that it has a part in."""
    for number, batch in batches:
        mine = dealing.owners(number, batch) == worker
        yield [e for e, own in zip(examples_of(batch), mine, strict=True) if own]


class WorkerPool:
    """Makes planned batches in worker processes, one epoch after another."""

    def __init__(
        self,
        reader: ChunkReader,
        order: DatasetOrder,
        world: World,
        *,
        num_workers: int,
        prefetch_factor: int,
        read_ahead_bytes: int,
        persistent_workers: bool,
    ) -> None:
        self._position = torch.zeros(2, dtype=torch.int64)  # epoch, and the batch to begin with
        self._position.share_memory_()  # type: ignore[no-untyped-call]
        self._reader = reader
        self._order = order
        self._world = world
        self._run = 0
        self._persistent = persistent_workers
        self._dealing = Dealing(num_workers, by_sample=reader.task is not None)
        self._loader = DataLoader(
            _WorkerBatches(reader, order, world, self._position, read_ahead_bytes),
            batch_size=None,
            collate_fn=_as_it_is,  # torch's own would turn every array into a tensor
            num_workers=num_workers,
            # A part of a batch counts as one: as much is ahead as with whole batches.
            prefetch_factor=prefetch_factor * (num_workers if self._dealing.by_sample else 1),
            persistent_workers=persistent_workers,
            multiprocessing_context=_context(),
        )

    def run(self, epoch: int, start: int) -> Generator[tuple[RankBatch, Results]]:
        """Yield each batch of an epoch, from `start` on, with what its samples became."""
        self._run += 1
        run = self._run
        workers = None
        batches = self._order.batches(epoch, self._world, start=start)
        for number, batch in enumerate(batches):
            if run != self._run and self._persistent:
                raise ConfigError(
                    "another iteration of this loader was begun: with persistent_workers there is "
                    "one at a time."
                )
            if workers is None:
                self._position.copy_(torch.tensor([epoch, start]))
                workers = self._start()
            parts = {}
            for worker in self._dealing.workers_of(number):
                lengths, received = _first(workers) if number == 0 else next(workers)
                results = iter(_from_shared(received))
                parts[worker] = [list(islice(results, length)) for length in lengths]
            made = merge(self._dealing.owners(number, batch), parts)
            yield batch, [result for results in made for result in results]

    def _start(self) -> Iterator[tuple[list[int], Results]]:
        _refuse_interactive(self._reader.stages)
        try:
            with warnings.catch_warnings():
                # torch warns about what fails to pickle before it raises it
                warnings.simplefilter("ignore", UserWarning)
                return iter(self._loader)
        except (AttributeError, TypeError, PicklingError) as error:
            raise ConfigError(
                f"The stages cannot be sent to worker processes ({error}). Use functions that can "
                "be imported instead of lambdas, or num_workers=0."
            ) from error


def _context() -> BaseContext:
    """Return how processes begin: forked from a server that has torch, and no threads.

    A fork of this process, which may have threads, may hang. Importing torch takes seconds, which
    each worker of each epoch would spend anew.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "torch"])  # the default, and torch
    return context


def _refuse_interactive(stages: Iterable[object]) -> None:
    """What was made in a notebook or at the prompt is in no file that a worker could import."""
    if hasattr(sys.modules["__main__"], "__file__"):
        return
    for stage in stages:
        own = [type(stage), *(getattr(stage, name, None) for name in ("function", "predicate"))]
        if any(getattr(part, "__module__", None) == "__main__" for part in own):
            raise ConfigError(
                f"{stage!r} uses what was made in a notebook or at a prompt: worker processes "
                "cannot import it. Put it into a .py file, or use num_workers=0."
            )


def _first(workers: Iterator[T]) -> T:
    try:
        return next(workers)
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise ConfigError(
            "A worker process ended at its start or was killed. A script that loads with "
            "num_workers > 0 needs `if __name__ == '__main__':` around its main part, and enough "
            "memory; or use num_workers=0."
        ) from error


def _as_it_is(item: T) -> T:
    return item


def _to_shared(results: Results) -> Results:
    """Turn pictures into tensors, which travel in shared memory: arrays would be pickled.

    Pictures of one size make one tensor, given in place of the first one's: each tensor takes an
    open file.
    """
    arrays = {
        i: result["image"]
        for i, result in enumerate(results)
        if isinstance(result, dict) and isinstance(result.get("image"), np.ndarray)
    }
    shared = [{**r, "image": None} if i in arrays else r for i, r in enumerate(results)]
    if len({(array.shape, array.dtype) for array in arrays.values()}) == 1:
        tensors = torch.from_numpy(np.stack(list(arrays.values())))
        return [list(arrays), tensors, *shared]
    single = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays.values()]
    return [list(arrays), single, *shared]


def _from_shared(received: Results) -> Results:
    places, tensors, *results = received
    for place, tensor in zip(places, tensors, strict=True):
        results[place]["image"] = tensor.numpy()
    return results
