"""Runs the chain of sample stages over chunks of samples, in threads, in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from vrs_wds.errors import SampleError
from vrs_wds.pipeline.faults import BadSample, bad_sample, noting
from vrs_wds.pipeline.stage import SampleDict, SampleStage, place_of
from vrs_wds.reader.dataset import ShardedDataset

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ChunkReader:
    """Reads samples by their places and runs the sample stages over them."""

    dataset: ShardedDataset
    extensions: tuple[str, ...]
    """Members that are read."""
    stages: tuple[SampleStage, ...]

    def __call__(self, places: Sequence[int]) -> list[SampleDict | BadSample]:
        """Return what becomes of the samples, in order; a bad one gives a `BadSample`.

        An exception that is not a `SampleError` is a bug: it is raised, with a note that names the
        sample.
        """
        results: list[SampleDict | BadSample] = []
        for raw in self._read(places):
            if isinstance(raw, BadSample):
                results.append(raw)
                continue
            try:
                with noting(place_of(raw)):
                    results += run_stages(self.stages, raw)
            except SampleError as error:
                results.append(bad_sample(error, raw["__key__"], raw["__url__"]))
        return results

    def _read(self, places: Sequence[int]) -> Iterator[SampleDict | BadSample]:
        """Read all at once; if that fails, one by one, to tell the bad from the good."""
        try:
            samples = self.dataset.get_many(places, extensions=self.extensions)
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


def run_stages(stages: Sequence[SampleStage], sample: SampleDict) -> list[SampleDict]:
    """Return what a chain of sample stages makes of one sample."""
    samples = [sample]
    for stage in stages:
        samples = [result for item in samples for result in stage.apply(item)]
    return samples


def chunked(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cut places into runs of `size`."""
    return (places[start : start + size] for start in range(0, len(places), size))


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
    try:
        for item in islice(iterator, ahead):
            waiting.append(pool.submit(work, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(iterator, 1):
                waiting.append(pool.submit(work, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
