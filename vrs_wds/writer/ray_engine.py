"""Packs blocks in tasks of a Ray cluster; the process that calls makes the split visible."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vrs_wds.errors import ConfigError
from vrs_wds.sample import Source
from vrs_wds.tasks.registry import register_task, registered_tasks
from vrs_wds.tasks.task import Task
from vrs_wds.writer.engine import prepare_all
from vrs_wds.writer.finishing import Finishing
from vrs_wds.writer.journal import ShardEntry, Span, spans
from vrs_wds.writer.pack import Packer
from vrs_wds.writer.ranks import refuse_twice

_MAX_RETRIES = 5
"""A task whose worker dies is tried again this often."""
_CHECK_SECONDS = 2.0


def pack_with_ray(
    packer: Packer,
    source: Source,
    entries: Sequence[ShardEntry],
    *,
    num_tasks: int,
    check: Callable[[], None],
    count: Callable[[int], object],
) -> None:
    """Pack all that has no entry yet, a block a task.

    Ray is started on this machine unless it runs already (`ray.init`). The source and the store
    travel to the workers by pickle.

    Args:
        packer: Writes the shards.
        source: What is packed; it pickles.
        entries: Shards that are complete.
        num_tasks: Tasks at a time; 0: two for each CPU of the cluster, so that none waits.
        check: Raises if this writer may not go on.
        count: Told how many samples were packed.

    Raises:
        ConfigError: if Ray is not installed.
        DuplicateKeyError: if two samples have one key.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "engine: 'ray' needs Ray: pip install 'vrs_wds[ray]'; or use engine='local'."
        ) from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    todo = list(spans(list(entries), len(source), packer.config.shards.max_samples))
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    limit = num_tasks or 2 * max(1, int(resources.get("CPU", 1)))
    remote = ray.remote(max_retries=_MAX_RETRIES)(_pack_block)
    shared = ray.put((packer, source, registered_tasks()))
    waiting: list[Any] = []
    spans_left: Iterator[Span] = iter(todo)
    try:
        while True:
            while len(waiting) < limit and (span := next(spans_left, None)) is not None:
                waiting.append(remote.remote(shared, span))
            if not waiting:
                break
            done, waiting = ray.wait(waiting, timeout=_CHECK_SECONDS)
            check()
            for result in done:
                count(_result(ray, result))
    finally:
        for task in waiting:
            ray.cancel(task, force=True)
    refuse_twice(packer, source)


def _result(ray: Any, task: Any) -> int:  # noqa: ANN401 - Ray's own types
    """Return a task's result; raise our own errors as they are."""
    try:
        return int(ray.get(task))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise


def _pack_block(shared: tuple[Packer, Source, tuple[Task[Any], ...]], span: Span) -> int:
    """Pack one span in a worker; return how many samples it has."""
    packer, source, tasks = shared
    for task in tasks:
        register_task(task)
    numbers = range(span.start, span.start if span.stop is None else span.stop)
    samples = prepare_all(source, packer.config, num_workers=0, numbers=numbers)
    with Finishing() as finishing:
        packed = packer.pack(
            span, samples, finishing,
            check=lambda: None, name=lambda n: f"{packer.split}, samples from {n:,}",
        )  # fmt: skip
        return sum(map(len, packed))
