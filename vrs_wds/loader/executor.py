"""Runs the chain of sample stages over chunks of examples, in threads, in order."""

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np

from vrs_wds.errors import SampleError
from vrs_wds.images.decode import Slot
from vrs_wds.loader.decoded_cache import DecodedCache
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.faults import BadSample, bad_sample
from vrs_wds.pipeline.stage import SampleDict, SampleStage, place_of, results_of
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.storage.patience import stop_with
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

    def __call__(
        self, chunk: Sequence[Example], slots: Sequence[Slot | None] | None = None
    ) -> list[SampleDict | BadSample]:
        """Return what becomes of the examples, in order; a bad sample gives a `BadSample`.

        An exception that is not a `SampleError` is a bug: it is raised, with a note that names the
        sample.
        """
        return [result for results in self.by_example(chunk, slots) for result in results]

    def by_example(
        self, chunk: Sequence[Example], slots: Sequence[Slot | None] | None = None
    ) -> list[list[SampleDict | BadSample]]:
        """Return what becomes of each example; its picture lies in its slot if that is possible."""
        slots = [None] * len(chunk) if slots is None else slots
        if self.task is None:
            outcomes = self._decode([place for place, _ in chunk], self.stages, slots)
            return [[some] if isinstance(some, BadSample) else [*some] for some in outcomes]
        return self._apart(chunk, slots, self.task)

    def _apart(
        self, chunk: Sequence[Example], slots: Sequence[Slot | None], task: str
    ) -> list[list[SampleDict | BadSample]]:
        """Run the first stage over samples, and the others over examples that are cut from them."""
        # A picture of several examples is kept: it has memory of its own.
        found = self.cache.get_many(
            list(dict.fromkeys(place for place, _ in chunk)),
            lambda places: self._decode(places, self.stages[:1], [None] * len(places)),
        )
        results: list[list[SampleDict | BadSample]] = []
        for (place, item), slot in zip(chunk, slots, strict=True):
            outcome = found[place]
            if not isinstance(outcome, BadSample):
                example = pick(outcome[0], task, item, slot)
                [outcome] = run_stages_over([example], self.stages[1:], [None])
            results.append([outcome] if isinstance(outcome, BadSample) else [*outcome])
        uses = Counter(place for place, _ in chunk)
        for place, decoded in found.items():
            if not isinstance(decoded, BadSample):
                total = get_task(task).count(decoded[0][task])
                self.cache.release(place, uses=uses[place], of=total)
        return results

    def _decode(
        self,
        places: Sequence[int],
        stages: Sequence[SampleStage],
        slots: Sequence[Slot | None],
    ) -> list[Outcome]:
        """Read samples and run stages over them, what is best read at once after the other."""
        outcomes: list[Outcome] = []
        for run in self._read(places):
            first = len(outcomes)
            outcomes += run_stages_over(run, stages, slots[first : first + len(run)])
        return outcomes

    def _read(self, places: Sequence[int]) -> Iterator[list[SampleDict | BadSample]]:
        """Yield what is best read at once; if that fails, one by one, to tell the bad."""
        source = self.dataset if self.source is None else self.source
        for run in source.runs(places, len(places)):
            try:
                samples = source.raw_many(run, self.extensions)
            except SampleError:
                yield [self._read_one(place) for place in run]
            else:
                yield [*samples]

    def _read_one(self, place: int) -> SampleDict | BadSample:
        try:
            return self.dataset.raw_many([place], self.extensions)[0]
        except SampleError as error:
            return bad_sample(error, self.dataset.key_at(place), self.dataset.url_at(place))


def pick(sample: SampleDict, task: str, number: int, slot: Slot | None = None) -> SampleDict:
    """Return a decoded sample with one thing in a task's sidecar; `__item__` tells which."""
    image = sample["image"]
    # One that is not decoded yet takes no memory.
    is_decoded = isinstance(image, np.ndarray)
    memory = slot(*image.shape[:2]) if slot is not None and is_decoded else None
    # A copy: stages after this one may write into it, and other examples share the picture.
    copy = image.copy() if memory is None else memory
    if memory is not None:
        memory[:] = image
    sidecar = get_task(task).pick(sample[task], number)
    return {**sample, "image": copy, task: sidecar, "__item__": number}


def run_stages(stages: Sequence[SampleStage], sample: SampleDict) -> list[SampleDict]:
    """Return what a chain of sample stages makes of one sample."""
    samples = [sample]
    for stage in stages:
        samples = [result for item in samples for result in results_of(stage, item)]
    return samples


def run_stages_over(
    samples: Sequence[SampleDict | BadSample],
    stages: Sequence[SampleStage],
    slots: Sequence[Slot | None],
) -> list[Outcome]:
    """Return what a chain of sample stages makes of each sample; bad ones stay as they are.

    `Decode` puts a picture into the memory that its slot gives; stages after it may write into it,
    or replace it. A stage sees all samples before the next one does: code that is called again
    and again is in the processor's cache, which decoding a picture empties.

    Raises:
        Exception: what a stage raises that is no `SampleError`, with a note that names the sample.
    """
    outcomes: list[Outcome] = [s if isinstance(s, BadSample) else [s] for s in samples]
    for stage in stages:
        for step in _steps_of(stage):
            step(samples, outcomes, slots)
    return outcomes


_Step = Callable[[Sequence[SampleDict | BadSample], list[Outcome], Sequence[Slot | None]], None]
"""Takes samples, what became of each so far, which it changes, and their slots."""


def _one_by_one(
    work: Callable[[list[SampleDict], Slot | None], list[SampleDict]],
    samples: Sequence[SampleDict | BadSample],
    outcomes: list[Outcome],
    slots: Sequence[Slot | None],
) -> None:
    """Do one thing with what became of each sample so far, where it is good."""
    for i, outcome in enumerate(outcomes):
        if isinstance(outcome, BadSample):
            continue
        try:
            outcomes[i] = work(outcome, slots[i])
        except SampleError as error:
            sample: Any = samples[i]
            outcomes[i] = bad_sample(error, sample["__key__"], sample["__url__"])
        except Exception as error:
            error.add_note(f"while loading {place_of(cast(SampleDict, samples[i]))}")
            raise


def _together(
    decode: Decode,
    _: Sequence[SampleDict | BadSample],
    outcomes: list[Outcome],
    slots: Sequence[Slot | None],
) -> None:
    """Decode what pictures can be one right after the other; the others stay as they are."""
    alone = [
        (outcome[0], slot)
        for outcome, slot in zip(outcomes, slots, strict=True)
        if not isinstance(outcome, BadSample) and len(outcome) == 1 and slot is not None
    ]
    decode.finish_together([sample for sample, _ in alone], [slot for _, slot in alone])


def _steps_of(stage: SampleStage) -> list[_Step]:
    """Return what is done with all samples before the next thing is."""

    def apply(samples: list[SampleDict], _: Slot | None) -> list[SampleDict]:
        return [result for sample in samples for result in results_of(stage, sample)]

    if type(stage) is not Decode or stage.defer:  # a class of the user does it in its own way
        return [partial(_one_by_one, apply)]

    parse_one = stage.parser()

    def parse(samples: list[SampleDict], _: Slot | None) -> list[SampleDict]:
        return [parse_one(sample) for sample in samples]

    def finish(samples: list[SampleDict], slot: Slot | None) -> list[SampleDict]:
        slot = slot if len(samples) == 1 else None
        return [
            sample if isinstance(sample["image"], np.ndarray) else stage.finish(sample, slot)
            for sample in samples
        ]

    return [partial(_one_by_one, parse), partial(_together, stage), partial(_one_by_one, finish)]


def chunked(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into runs of `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def map_in_threads(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    num_threads: int,
    ahead: int,
    stop: Callable[[], object] = lambda: None,
) -> Generator[R]:
    """Apply a function in threads; yield results in the items' order, at most `ahead` in advance.

    When the iterator is closed or an exception passes through, work that has not begun is dropped
    and the threads are joined. `stop` is called before: it ends what they may wait for.
    """
    waiting: deque[Future[R]] = deque()
    iterator = iter(items)
    stopped = threading.Event()
    pool = ThreadPoolExecutor(
        num_threads, thread_name_prefix="vrs_wds", initializer=stop_with, initargs=(stopped,)
    )
    is_finalizing = sys.is_finalizing  # at interpreter exit the module's own names are gone
    try:
        for item in islice(iterator, ahead):
            waiting.append(_submit(pool, work, item))
        while waiting:
            result = [waiting.popleft().result()]
            for item in islice(iterator, 1):
                waiting.append(_submit(pool, work, item))
            yield result.pop()  # not kept here: it holds the memory of a batch
    finally:
        stopped.set()
        stop()
        if not is_finalizing():  # then the threads have been joined already
            # The garbage collector may end this in one of the threads, which cannot join itself.
            with suppress(RuntimeError):
                pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ThreadPoolExecutor, work: Callable[[T], R], item: T) -> Future[R]:
    try:
        return pool.submit(work, item)
    except RuntimeError as error:
        # Says "after interpreter shutdown", or only "after shutdown".
        if "shutdown" in str(error) and threading.current_thread().daemon:
            # A daemon thread ends with the process. An exception would free the frames it passes,
            # and a tensor that is freed now aborts the process: torch asks for the lock again.
            threading.Event().wait()
        raise
