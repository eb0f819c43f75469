"""Prepares samples in this process or in several, always in the source's order."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from vrs_wds.errors import ConfigError
from vrs_wds.sample import Source, SourceSample
from vrs_wds.tasks.registry import register_task, registered_tasks
from vrs_wds.tasks.task import Task
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.prepare import PreparedSample, prepare_sample

_CHUNK = 16
"""Samples that a worker prepares at once."""

_worker: tuple[Source | None, ShardConfig] | None = None


def prepare_all(
    source: Source | Iterable[SourceSample], config: ShardConfig, *, num_workers: int
) -> Iterator[PreparedSample]:
    """Yield the prepared samples in the source's order, whatever the number of workers.

    A `Source` is loaded by the workers; another iterable in this process.
    """
    if num_workers == 0:
        samples = _load_all(source) if isinstance(source, Source) else source
        return (prepare_sample(sample, config) for sample in samples)
    return _prepare_in_workers(source, config, num_workers)


def _prepare_in_workers(
    source: Source | Iterable[SourceSample], config: ShardConfig, num_workers: int
) -> Iterator[PreparedSample]:
    shipped = source if isinstance(source, Source) else None
    items: Iterable[Any] = range(len(source)) if isinstance(source, Source) else source
    # forkserver: a fork of a process with threads may hang.
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("forkserver"),
        initializer=_start_worker,
        initargs=(shipped, config, registered_tasks()),
    )
    try:
        yield from _in_order(pool, items, num_workers)
    except BrokenProcessPool as error:
        raise ConfigError(
            "A worker process ended at its start or was killed. A script that writes with "
            "num_workers > 0 needs `if __name__ == '__main__':` around its main part, and enough "
            "memory; or use num_workers=0."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, items: Iterable[Any], num_workers: int
) -> Iterator[PreparedSample]:
    """Keep a bounded number of chunks in the workers; yield their results in order."""
    waiting: deque[Future[list[PreparedSample]]] = deque()
    chunks = _chunks(items)
    for chunk in chunks:
        try:
            waiting.append(pool.submit(_prepare_chunk, chunk))
        except (TypeError, AttributeError) as error:
            raise ConfigError(
                f"The source cannot be sent to worker processes ({error}). Use num_workers=0, or "
                "pass a generator of its samples, to load them in this process."
            ) from error
        if len(waiting) > 2 * num_workers:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk


def _load_all(source: Source) -> Iterator[SourceSample]:
    return (source[number] for number in range(len(source)))


def _start_worker(source: Source | None, config: ShardConfig, tasks: tuple[Task[Any], ...]) -> None:
    global _worker
    for task in tasks:
        register_task(task)
    _worker = (source, config)


def _prepare_chunk(items: list[Any]) -> list[PreparedSample]:
    assert _worker is not None  # noqa: S101 - the pool's initializer has run
    source, config = _worker
    samples = items if source is None else (source[number] for number in items)
    return [prepare_sample(sample, config) for sample in samples]
