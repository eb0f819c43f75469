"""Worker processes: the sample stages run there, through `torch.utils.data.DataLoader`."""

import sys
import warnings
from collections.abc import Generator, Iterable, Iterator
from pickle import PicklingError

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vrs_wds.errors import ConfigError
from vrs_wds.loader.batches import Results
from vrs_wds.loader.executor import ChunkReader, chunked
from vrs_wds.order.plan import RankBatch
from vrs_wds.tasks.registry import register_task, registered_tasks


class _WorkerBatches(IterableDataset[Results]):
    """Worker `i` of `n` makes batches `i`, `i + n`, ...; the DataLoader takes them in turn."""

    def __init__(self, reader: ChunkReader, examples: torch.Tensor, batch_size: int) -> None:
        self._reader = reader
        # Shared, and filled anew for each epoch: workers that live on see the new order. Rows of
        # place and item; the first row says how many follow.
        self._examples = examples
        self._batch_size = batch_size
        self._tasks = registered_tasks()

    def __iter__(self) -> Iterator[Results]:
        info = get_worker_info()
        assert info is not None  # noqa: S101 - only ever iterated by workers
        for task in self._tasks:  # a script's own are registered in its main part
            register_task(task)
        length = int(self._examples[0, 0])
        examples = [(place, item) for place, item in self._examples[1 : length + 1].tolist()]
        batches = list(chunked(examples, self._batch_size))
        for batch in batches[info.id :: info.num_workers]:
            yield _to_shared(self._reader(batch))


class WorkerPool:
    """Makes planned batches in worker processes, one epoch after another."""

    def __init__(
        self,
        reader: ChunkReader,
        *,
        max_examples: int,
        batch_size: int,
        num_workers: int,
        prefetch_factor: int,
        persistent_workers: bool,
    ) -> None:
        self._examples = torch.zeros((max_examples + 1, 2), dtype=torch.int64)
        self._examples.share_memory_()  # type: ignore[no-untyped-call]
        self._reader = reader
        self._run = 0
        self._persistent = persistent_workers
        self._loader = DataLoader(
            _WorkerBatches(reader, self._examples, batch_size),
            batch_size=None,
            collate_fn=_as_it_is,  # torch's own would turn every array into a tensor
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            # A fork of a process with threads may hang.
            multiprocessing_context="forkserver",
        )

    def run(self, planned: Iterable[RankBatch]) -> Generator[tuple[RankBatch, Results]]:
        """Yield each planned batch with what its samples became.

        Every batch but the last must be full.
        """
        self._run += 1
        run = self._run
        batches = list(planned)
        if not batches:
            return
        examples = np.concatenate([np.stack([b.numbers, b.items], axis=1) for b in batches])
        self._examples[0, 0] = len(examples)
        self._examples[1 : len(examples) + 1] = torch.from_numpy(examples)
        workers = self._start()
        for number, batch in enumerate(batches):
            if run != self._run and self._persistent:
                raise ConfigError(
                    "another iteration of this loader was begun: with persistent_workers there is "
                    "one at a time."
                )
            results = _first(workers) if number == 0 else next(workers)
            yield batch, _from_shared(results)

    def _start(self) -> Iterator[Results]:
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


def _first(workers: Iterator[Results]) -> Results:
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


def _as_it_is(results: Results) -> Results:
    return results


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
