"""Worker processes: the sample stages run there, through `torch.utils.data.DataLoader`."""

import gc
import multiprocessing
import sys
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import count, islice
from multiprocessing.context import BaseContext
from pickle import PicklingError
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vrs_wds.errors import ConfigError
from vrs_wds.loader.batch_memory import BatchMemory, MemoryPool
from vrs_wds.loader.batches import MadeBatch, Results, StackImages, examples_of
from vrs_wds.loader.dealing import Dealing, merge
from vrs_wds.loader.executor import ChunkReader, Example
from vrs_wds.loader.fetching import fetched, places_of_examples
from vrs_wds.loader.order import DatasetOrder
from vrs_wds.loader.shared_memory import Layout, ReceivedBuffers, SharedPool, new_flags
from vrs_wds.order.plan import RankBatch
from vrs_wds.order.world import World
from vrs_wds.parents import end_with_parent
from vrs_wds.pipeline.collate import stack_images
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
        flags: Sequence[torch.Tensor],
        read_ahead_bytes: int,
    ) -> None:
        self._reader = reader
        self._flags = flags
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
        # Modules and what they hold live as long as the process: the collector need not walk them.
        if not gc.get_freeze_count():  # in its first epoch
            gc.freeze()
        for task in self._tasks:  # a script's own are registered in its main part
            register_task(task)
        reader = self._reader.fresh()
        dealing = Dealing(info.num_workers, by_sample=reader.task is not None)
        pool, capacity = SharedPool(self._flags[info.id]), 0
        epoch, start = self._position.tolist()
        first, step = (start, 1) if dealing.by_sample else (start + info.id, info.num_workers)
        batches = self._make_order().batches(epoch, self._world, start=first, step=step)
        parts = _parts(info.id, dealing, zip(count(first - start, step), batches))
        share = self._read_ahead_bytes // info.num_workers
        with fetched(reader, parts, places_of_examples, share) as (source, items, done, _):
            for examples in items:
                capacity = max(capacity, len(examples))  # a shorter last batch fits too
                memory = BatchMemory(pool, len(examples), capacity)
                slots = [memory.slot(i) for i in range(len(examples))]
                results = source.by_example(examples, slots)
                done()
                lengths = [len(made) for made in results]
                flat = [result for made in results for result in made]
                yield lengths, _to_shared(flat, memory, pool)


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
        memory: MemoryPool,
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
        self._memory = memory
        # Those made ahead, the one in the making, and the consumer's.
        flags = new_flags(num_workers, prefetch_factor + 3)
        self._buffers = [ReceivedBuffers(own) for own in flags]
        self._loader = DataLoader(
            _WorkerBatches(reader, order, world, self._position, flags, read_ahead_bytes),
            batch_size=None,
            collate_fn=_as_it_is,  # torch's own would turn every array into a tensor
            num_workers=num_workers,
            # A part of a batch counts as one: as much is ahead as with whole batches.
            prefetch_factor=prefetch_factor * (num_workers if self._dealing.by_sample else 1),
            persistent_workers=persistent_workers,
            multiprocessing_context=_context(),
            worker_init_fn=_begin_worker,
        )

    def run(self, epoch: int, start: int) -> Generator[MadeBatch]:
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
            parts: dict[int, list[Results]] = {}
            stacks: list[StackImages] = []
            for worker in self._dealing.workers_of(number):
                lengths, received = _first(workers) if number == 0 else next(workers)
                opened, stack = self._from_shared(received, self._buffers[worker])
                results = iter(opened)
                stacks.append(stack)
                parts[worker] = [list(islice(results, length)) for length in lengths]
                del received, opened, results
            if len(stacks) > 1:  # each worker has made a part: it is copied to its place
                stacks = [BatchMemory(self._memory, len(batch.items), len(batch.items)).stack]
            made = merge(self._dealing.owners(number, batch), parts)
            whole = [MadeBatch(batch, [r for results in made for r in results], stacks[0])]
            del parts, made, stacks, stack
            yield whole.pop()  # nothing of it is kept here: its memory is the consumer's

    def _from_shared(
        self, received: Results, buffers: ReceivedBuffers
    ) -> tuple[Results, StackImages]:
        """Put the pictures back into the samples; and give what makes one tensor of them."""
        places, tensors, layout, parcel, *results = received
        opened = buffers.open(parcel)
        if layout is not None:
            for place, view in zip(places, layout.views(opened[1]), strict=True):
                results[place]["image"] = torch.from_numpy(view) if place in tensors else view
            return results, stack_images
        memory = BatchMemory.holding(self._memory, opened, parcel[1])
        for place, view in zip(places, memory.views, strict=True):
            results[place]["image"] = view
        return results, memory.stack

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


def _begin_worker(_: int) -> None:
    end_with_parent()


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


def _to_shared(results: Results, memory: BatchMemory, pool: SharedPool) -> Results:
    """Put pictures into one tensor, which travels in shared memory: arrays would be pickled.

    One for all, also of several sizes: each tensor takes an open file, of which a process may have
    about a thousand.
    """
    images = {i: r.get("image") for i, r in enumerate(results) if isinstance(r, dict)}
    found = ((i, _array_of(image)) for i, image in images.items())
    arrays = {i: array for i, array in found if array is not None}
    tensors = [i for i in arrays if arrays[i] is not images[i]]
    shared = [{**r, "image": None} if i in arrays else r for i, r in enumerate(results)]
    if not tensors and len({(array.shape, array.dtype) for array in arrays.values()}) == 1:
        (shape, dtype) = next((array.shape, array.dtype) for array in arrays.values())
        if dtype == np.uint8 and len(shape) == 3 and shape[2] == 3:
            stacked = memory.stack([*arrays.values()])
            assert isinstance(stacked, torch.Tensor)  # noqa: S101 - of one size
            return [list(arrays), tensors, None, pool.send(stacked.permute(0, 2, 3, 1)), *shared]
    pool.note(in_place=False)
    layout = Layout.of([*arrays.values()])
    tensor, pixels = pool.take(max(1, layout.num_bytes))
    for view, array in zip(layout.views(pixels), arrays.values(), strict=True):
        view[...] = array
    return [list(arrays), tensors, layout, pool.send(tensor), *shared]


def _array_of(image: object) -> NDArray[Any] | None:
    """Return a picture as an array; None if it is not one, nor a tensor that could be one."""
    if isinstance(image, np.ndarray):
        return image
    if type(image) is not torch.Tensor or image.requires_grad:
        return None
    try:
        return image.numpy()
    except (TypeError, RuntimeError):  # on a device, sparse, or of a type that NumPy lacks
        return None
