"""Prepares samples in this process or in several, always in the source's order."""

import itertools
import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from pickle import PicklingError
from typing import Any

from vrs_wds.errors import ConfigError
from vrs_wds.parents import end_with_parent
from vrs_wds.sample import Source, SourceSample
from vrs_wds.tasks.registry import register_task, registered_tasks
from vrs_wds.tasks.task import Task
from vrs_wds.writer.interrupts import InterruptsHeldBack
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.prepare import PreparedSample, prepare_sample

_CHUNK = 16
"""Samples that a worker prepares at once."""

_worker: tuple[Source | None, ShardConfig] | None = None


def prepare_all(
    source: Source | Iterable[SourceSample],
    config: ShardConfig,
    *,
    num_workers: int,
    numbers: Iterable[int] = (),
) -> Iterator[PreparedSample]:
    """Yield the prepared samples in the source's order, whatever the number of workers.

    Of a `Source` those with the given numbers, which the workers load; another iterable is
    iterated to its end in this process.
    """
    if num_workers == 0:
        samples = _load_all(source, numbers) if isinstance(source, Source) else source
        return (prepare_sample(sample, config) for sample in samples)
    return _prepare_in_workers(source, config, num_workers, numbers)


def _prepare_in_workers(
    source: Source | Iterable[SourceSample],
    config: ShardConfig,
    num_workers: int,
    numbers: Iterable[int],
) -> Iterator[PreparedSample]:
    shipped = source if isinstance(source, Source) else None
    _refuse_interactive(shipped)
    items: Iterable[Any] = numbers if isinstance(source, Source) else source
    _start_forkserver()
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
        _stop(pool)


def _refuse_interactive(source: Source | None) -> None:
    """A class made in a notebook or at the prompt is in no file that a worker could import."""
    main = sys.modules["__main__"]
    if type(source).__module__ == "__main__" and not hasattr(main, "__file__"):
        raise ConfigError(
            f"The source's class {type(source).__name__} was made in a notebook or at a prompt: "
            "worker processes cannot import it. Put it into a .py file, or use num_workers=0."
        )


def _start_forkserver() -> None:
    """Start the process that workers are forked from, so that Ctrl-C does not reach them."""
    if threading.current_thread() is not threading.main_thread():
        return
    # An ignored signal stays ignored in the processes that are started from here.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers, whatever they are doing: nobody waits for their results any more."""
    internals: Any = pool
    processes = list((internals._processes or {}).values())
    if processes:
        # A worker that is sending a result will have sent half of it, one that is receiving work
        # will have read half of it. The pool's threads would wait for the other half for as long
        # as somebody could send or read it, and so would the end of this process.
        internals._result_queue._writer.close()
        if sys.version_info < (3, 11, 5):  # github.com/python/cpython/issues/94777
            internals._call_queue._reader.close()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    # Waits for the pool's thread: one that ends at the same time as the interpreter makes that one
    # write to a closed file.
    pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, items: Iterable[Any], num_workers: int
) -> Iterator[PreparedSample]:
    """Keep a bounded number of chunks in the workers; yield their results in order."""
    waiting: deque[Future[list[PreparedSample]]] = deque()
    failure: list[Exception] = []
    for chunk in _chunks(items, failure):
        try:
            with InterruptsHeldBack():  # it starts processes, and remembers them afterwards
                waiting.append(pool.submit(_prepare_chunk, chunk))
        except (TypeError, AttributeError, PicklingError) as error:
            raise ConfigError(
                f"The source cannot be sent to worker processes ({error}). Use num_workers=0, or "
                "pass a generator of its samples, to load them in this process."
            ) from error
        if len(waiting) > 2 * num_workers:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()
    if failure:
        raise failure.pop()


def _chunks(items: Iterable[Any], failure: list[Exception]) -> Iterator[list[Any]]:
    """Yield chunks; if the items raise, the last ones before, and keep the exception for later.

    What came before is packed first, as without workers: so that it need not be loaded again.
    """
    iterator = iter(items)
    is_over = False
    while not is_over:
        chunk: list[Any] = []
        try:
            for item in itertools.islice(iterator, _CHUNK):
                chunk.append(item)  # noqa: PERF402 - those before an exception are kept
        except Exception as error:  # noqa: BLE001 - raised in its turn
            failure.append(error)
        is_over = len(chunk) < _CHUNK
        if chunk:
            yield chunk


def _load_all(source: Source, numbers: Iterable[int]) -> Iterator[SourceSample]:
    return (_load(source, number) for number in numbers)


def _load(source: Source, number: int) -> SourceSample:
    try:
        return source[number]
    except Exception as error:
        error.add_note(f"while loading sample {number} of the source")
        raise


def _start_worker(source: Source | None, config: ShardConfig, tasks: tuple[Task[Any], ...]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for us says when to end
    end_with_parent()
    for task in tasks:
        register_task(task)
    _worker = (source, config)


def _prepare_chunk(items: list[Any]) -> list[PreparedSample]:
    assert _worker is not None  # noqa: S101 - the pool's initializer has run
    source, config = _worker
    samples = items if source is None else (_load(source, number) for number in items)
    return [prepare_sample(sample, config) for sample in samples]
