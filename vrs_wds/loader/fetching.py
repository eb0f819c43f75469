"""Reads a rank's batches with their bytes fetched ahead, where the store is far."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Generic, TypeVar

from vrs_wds.loader.batch_memory import MemoryPool
from vrs_wds.loader.batches import MadeBatch, read_in_threads
from vrs_wds.loader.executor import ChunkReader, Example
from vrs_wds.order.plan import RankBatch
from vrs_wds.reader.read_ahead import ReadAhead

T = TypeVar("T")


def fetch_and_read(
    reader: ChunkReader,
    batches: Iterable[RankBatch],
    *,
    pool: MemoryPool,
    batch_size: int,
    num_threads: int,
    switch_interval: float | None,
    ahead: int,
    read_ahead_bytes: int,
) -> Generator[MadeBatch]:
    """Yield what `read_in_threads` does; what batches need is fetched before, if that helps."""
    with fetched(reader, batches, lambda batch: batch.numbers.tolist(), read_ahead_bytes) as (
        source,
        items,
        done,
        stop,
    ):
        results = read_in_threads(
            source,
            items,
            pool=pool,
            batch_size=batch_size,
            num_threads=num_threads,
            switch_interval=switch_interval,
            ahead=ahead,
            stop=stop,
        )
        try:
            for made in results:
                done()
                given = [made]
                del made
                yield given.pop()  # nothing of it is kept here: its memory is the consumer's
        finally:
            results.close()


@contextmanager
def fetched(
    reader: ChunkReader,
    items: Iterable[T],
    places_of: Callable[[T], Sequence[int]],
    read_ahead_bytes: int,
) -> Iterator[tuple[ChunkReader, Iterable[T], Callable[[], None], Callable[[], None]]]:
    """Give a reader and items to use instead of these.

    And what to call after each item, and before those who use the reader are waited for.
    """
    if not ReadAhead.helps(reader.dataset, read_ahead_bytes):
        yield reader, items, lambda: None, lambda: None
        return
    with ReadAhead[T](reader.dataset, reader.extensions, max_bytes=read_ahead_bytes) as ahead:
        if reader.task is not None:  # a sample is kept decoded for its other examples
            places_of = _NewPlaces(places_of, reader.cache.max_items)
        source = replace(reader, source=ahead.dataset)
        yield source, ahead.follow(items, places_of), ahead.done, ahead.stop


class _NewPlaces(Generic[T]):
    """Returns an item's places but for those that came shortly before."""

    def __init__(self, places_of: Callable[[T], Sequence[int]], max_places: int) -> None:
        self._places_of = places_of
        self._max_places = max_places
        self._recent: OrderedDict[int, None] = OrderedDict()

    def __call__(self, item: T) -> list[int]:
        new = []
        for place in self._places_of(item):
            if place not in self._recent:
                new.append(place)
            self._recent[place] = None
            self._recent.move_to_end(place)
        while len(self._recent) > self._max_places:
            self._recent.popitem(last=False)
        return new


def places_of_examples(examples: Sequence[Example]) -> list[int]:
    """Return the places of examples, each once."""
    return list(dict.fromkeys(place for place, _ in examples))
