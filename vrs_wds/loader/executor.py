"""Runs the chain of sample stages over chunks of examples, in threads, in order."""

import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from vrs_wds.errors import SampleError, noting
from vrs_wds.loader.decoded_cache import DecodedCache
from vrs_wds.pipeline.faults import BadSample, bad_sample
from vrs_wds.pipeline.stage import SampleDict, SampleStage, place_of
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.tasks.registry import get_task

T = TypeVar("T")
R = TypeVar("R")

Example = tuple[int, int]
"""Place of a sample in the dataset, and which of its examples."""
Outcome = list[SampleDict] | BadSample
"""What became of a sample: none, one or several; or why it could not be used."""


@dataclass(frozen=True)
class ChunkReader:
    """Reads samples by their places and runs the sample stages over them."""

    dataset: ShardedDataset
    extensions: tuple[str, ...]
    """Members that are read."""
    stages: tuple[SampleStage, ...]
    task: str | None = None
    """Task whose sidecar is taken apart into examples; None: a sample is one example."""
    cache: DecodedCache = field(default_factory=lambda: DecodedCache(0))
    """Decoded samples whose other examples are still to come."""
    source: ShardedDataset | None = None
    """The same dataset, read through what was fetched ahead; None if nothing is."""

    def fresh(self) -> "ChunkReader":
        """Return the same with an empty cache: for another iteration, which counts anew."""
        return replace(self, cache=DecodedCache(self.cache.max_items))

    def __call__(self, chunk: Sequence[Example]) -> list[SampleDict | BadSample]:
        """Return what becomes of the examples, in order; a bad sample gives a `BadSample`.

        An exception that is not a `SampleError` is a bug: it is raised, with a note that names the
        sample.
        """
        return [result for results in self.by_example(chunk) for result in results]

    def by_example(self, chunk: Sequence[Example]) -> list[list[SampleDict | BadSample]]:
        """Return what becomes of each example."""
        uses = Counter(place for place, _ in chunk)
        outcomes = self._outcomes(list(uses))
        results: list[list[SampleDict | BadSample]] = []
        for place, item in chunk:
            outcome = outcomes[place]
            if not isinstance(outcome, BadSample) and self.task is not None:
                outcome = self._apply(self.stages[1:], pick(outcome[0], self.task, item))
            results.append([outcome] if isinstance(outcome, BadSample) else [*outcome])
        if self.task is not None:
            for place, decoded in outcomes.items():
                if not isinstance(decoded, BadSample):
                    total = get_task(self.task).count(decoded[0][self.task])
                    self.cache.release(place, uses=uses[place], of=total)
        return results

    def _outcomes(self, places: list[int]) -> dict[int, Outcome]:
        """Run the stages that see the whole sample: all, or the first where it is taken apart."""
        stages = self.stages if self.task is None else self.stages[:1]

        def decode(missing: list[int]) -> list[Outcome]:
            return [
                raw if isinstance(raw, BadSample) else self._apply(stages, raw)
                for raw in self._read(missing)
            ]

        if self.task is None:
            return dict(zip(places, decode(places), strict=True))
        return self.cache.get_many(places, decode)

    def _apply(self, stages: Sequence[SampleStage], sample: SampleDict) -> Outcome:
        try:
            with noting(place_of(sample)):
                return run_stages(stages, sample)
        except SampleError as error:
            return bad_sample(error, sample["__key__"], sample["__url__"])

    def _read(self, places: Sequence[int]) -> Iterator[SampleDict | BadSample]:
        """Read all at once; if that fails, one by one, to tell the bad from the good."""
        source = self.dataset if self.source is None else self.source
        try:
            samples = source.get_many(places, extensions=self.extensions)
        except SampleError:
            yield from map(self._read_one, places)
        else:
            yield from (sample.to_dict() for sample in samples)

    def _read_one(self, place: int) -> SampleDict | BadSample:
        try:
            return self.dataset.get_many([place], extensions=self.extensions)[0].to_dict()
        except SampleError as error:
            key = self.dataset.key_at(place)
            return bad_sample(error, key, self.dataset.url)


def pick(sample: SampleDict, task: str, number: int) -> SampleDict:
    """Return a decoded sample with one thing in a task's sidecar; `__item__` tells which."""
    return {
        **sample,
        # A copy: stages after this one may write into it, and other examples share the picture.
        "image": sample["image"].copy(),
        task: get_task(task).pick(sample[task], number),
        "__item__": number,
    }


def run_stages(stages: Sequence[SampleStage], sample: SampleDict) -> list[SampleDict]:
    """Return what a chain of sample stages makes of one sample."""
    samples = [sample]
    for stage in stages:
        samples = [result for item in samples for result in stage.apply(item)]
    return samples


def chunked(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into runs of `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def map_in_threads(
    work: Callable[[T], R], items: Iterable[T], *, num_threads: int, ahead: int
) -> Generator[R]:
    """Apply a function in threads; yield results in the items' order, at most `ahead` in advance.

    When the iterator is closed or an exception passes through, work that has not begun is dropped
    and the threads are joined.
    """
    waiting: deque[Future[R]] = deque()
    iterator = iter(items)
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="vrs_wds")
    is_finalizing = sys.is_finalizing  # at interpreter exit the module's own names are gone
    try:
        for item in islice(iterator, ahead):
            waiting.append(pool.submit(work, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(iterator, 1):
                waiting.append(pool.submit(work, item))
            yield result
    finally:
        if not is_finalizing():  # then the threads have been joined already
            pool.shutdown(wait=True, cancel_futures=True)
