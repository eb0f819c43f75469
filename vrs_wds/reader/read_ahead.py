"""Fetches the members of coming samples from a far store before they are asked for.

::

    items    0 | 1 | 2 3 | 4 5 6 7 | ...     what is read one after another, such as batches
    rounds   0   1    2       3              members of a round are joined to ranges
    ranges   in order of need, several under way, within a bound of bytes

The first item is a round of its own, in short ranges, so that it is there early; each round after
it is twice as long, up to half of the bound. A range is kept until the last item is done that needs
something of it, so that each is fetched once.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from vrs_wds.errors import VrsWdsError
from vrs_wds.forks import reset_in_children
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.members import MemberRequest, RangeSource
from vrs_wds.reader.range_fetcher import Fetch, RangeFetcher
from vrs_wds.reader.range_plan import plan_ranges
from vrs_wds.storage.reading import Reading, reading_of

T = TypeVar("T")

DEFAULT_READ_AHEAD_BYTES = 256 * 1024 * 1024
_FIRST_RANGE_BYTES = 1024 * 1024
_MAX_ITEMS = 1024
"""Items that are planned ahead, however few bytes they have."""


class ReadAhead(Generic[T]):
    """Fetches what items need while others before them are read. A context manager.

    Read the samples of each item that `follow` gives through `dataset`, in any threads; then call
    `done`, once for each item. What was not foreseen is fetched when it is asked for. An error is
    raised where the bytes are asked for, as the store raised it.
    """

    def __init__(
        self,
        dataset: ShardedDataset,
        extensions: Sequence[str] | None = None,
        *,
        max_bytes: int = DEFAULT_READ_AHEAD_BYTES,
    ) -> None:
        """Make an object that has fetched nothing.

        Args:
            dataset: What is read.
            extensions: Members that are read; None for all.
            max_bytes: The most bytes to hold, those under way included. What is asked for is
                fetched in any case.
        """
        self.dataset = dataset.through(_Fetched(self, dataset.store))
        """The same samples, read through what was fetched."""
        self._planned_from = dataset
        self._extensions = extensions
        self._max_bytes = max_bytes
        self._fetcher: RangeFetcher | None = None
        self.max_held_bytes = 0
        """The most bytes that were held at once."""
        self.reset_after_fork()
        reset_in_children(self)

    @staticmethod
    def helps(dataset: ShardedDataset, max_bytes: int) -> bool:
        """Tell whether a dataset's ranges should be fetched ahead."""
        return max_bytes > 0 and reading_of(dataset.store).is_far

    def reset_after_fork(self) -> None:
        """Begin with nothing fetched, and no threads."""
        self._lock = threading.Lock()
        self._fetcher = None
        self._plan_more: Callable[[], None] | None = None
        self._planning: Future[None] | None = None  # under way, or failed
        self._planned: deque[T] = deque()  # items not yet given
        self._num_planned = self._num_done = self._num_let_go = 0
        self._round_bytes = 0
        self._by_member: dict[tuple[str, int], Fetch] = {}
        self._by_last: defaultdict[int, list[Fetch]] = defaultdict(list)

    def follow(self, items: Iterable[T], places_of: Callable[[T], Sequence[int]]) -> Iterator[T]:
        """Yield items, with what they and those after them need on its way.

        Args:
            items: Taken in another thread, ahead of what is given.
            places_of: Returns an item's places in the dataset.
        """
        store = self._planned_from.store
        fetcher = self._fetcher = RangeFetcher(
            store, reading_of(store), self._max_bytes, on_change=self._keep_planning
        )
        self._plan_more = partial(self._plan_round, fetcher, iter(items), places_of)
        while True:
            self._keep_planning()
            with self._lock:
                planned = [self._planned.popleft()] if self._planned else []
                planning = self._planning
            if planned:
                yield planned[0]
            elif planning is None:
                return
            else:
                planning.result()  # or raise what the items have raised

    def done(self) -> None:
        """Say that the earliest item not done yet has been read: let go of what only it needs."""
        fetcher = self._fetcher
        if fetcher is None:
            return
        with self._lock:
            self._num_done += 1
            self._let_go(fetcher)
        fetcher.go_on()

    def _let_go(self, fetcher: RangeFetcher) -> None:
        """Let go of what no item needs that is not done; not before the next item is planned."""
        last = self._num_planned - (self._plan_more is not None)
        while self._num_let_go < min(self._num_done, last):
            number = self._num_let_go
            self._num_let_go += 1
            for fetch in self._by_last.pop(number, ()):
                if fetch.last > number:  # an item that was planned later needs it too
                    self._by_last[fetch.last].append(fetch)
                    continue
                fetcher.let_go(fetch)
                for offset in fetch.planned.offsets:
                    self._by_member.pop((fetch.planned.shard, offset), None)

    def find(self, shard: str, offset: int, size: int) -> memoryview | None:
        """Return a member's bytes, when they have come; None if they were not foreseen."""
        fetcher = self._fetcher
        with self._lock:
            fetch = self._by_member.get((shard, offset))
        if fetcher is None or fetch is None or offset + size > fetch.planned.stop:
            return None
        future = fetcher.take(fetch)
        if future is None:
            return None
        start = offset - fetch.planned.start
        return memoryview(future.result())[start : start + size]

    def stop(self) -> None:
        """Begin no more requests: whoever waits for one gets its bytes, or its error, soon."""
        fetcher = self._fetcher
        if fetcher is not None:
            fetcher.stop()

    def close(self) -> None:
        """Begin no more requests, and wait for those under way."""
        with self._lock:
            self._plan_more = None
            fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            fetcher.close()
            self.max_held_bytes = fetcher.max_held_bytes
        with self._lock:
            self._by_member.clear()
            self._by_last.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _keep_planning(self) -> None:
        """Let a round be planned when half of the last one was begun."""
        with self._lock:
            fetcher, plan = self._fetcher, self._plan_more
            if (
                fetcher is not None
                and plan is not None
                and self._planning is None
                and len(self._planned) < _MAX_ITEMS
                and (not self._planned or fetcher.waiting_bytes <= self._round_bytes // 2)
                and (not self._planned or fetcher.has_room)
            ):
                self._planning = fetcher.submit(plan)

    def _plan_round(
        self, fetcher: RangeFetcher, items: Iterator[T], places_of: Callable[[T], Sequence[int]]
    ) -> None:
        """Plan some more items; one thread at a time. What the items raise, `follow` raises."""
        limit = min(2 * self._round_bytes, self._max_bytes // 2)
        taken: list[T] = []
        requests: list[MemberRequest] = []
        size, is_over = 0, False
        while not taken or (size < limit and len(taken) < _MAX_ITEMS):
            found = next(((item,) for item in items), None)
            if found is None:
                is_over = True
                break
            number = self._num_planned + len(taken)
            wanted = self._requests_of(places_of(found[0]), number)
            taken.append(found[0])
            requests += wanted
            size += sum(request.size for request in wanted)
        with self._lock:
            new = self._not_held(requests)
            shards, reading = self._planned_from.shard_names, reading_of(self._planned_from.store)
        if self._num_planned == 0:  # work on its beginning begins while the rest is on its way
            reading = replace(reading, range_bytes=min(reading.range_bytes, _FIRST_RANGE_BYTES))
        ranges = plan_ranges(new, shards, reading)
        with self._lock:
            for fetch in fetcher.add(ranges):
                self._by_last[fetch.last].append(fetch)
                for offset in fetch.planned.offsets:
                    self._by_member[fetch.planned.shard, offset] = fetch
        fetcher.go_on()  # before anything else is planned: that would hold up the threads' start
        with self._lock:
            self._num_planned += len(taken)
            self._planned += taken
            self._round_bytes = size
            self._planning = None
            if is_over:
                self._plan_more = None
            self._let_go(fetcher)
        fetcher.go_on()

    def _requests_of(self, places: Sequence[int], item: int) -> list[MemberRequest]:
        try:
            return self._planned_from.members_of(places, self._extensions, item=item)
        except (VrsWdsError, OSError):
            return []  # whoever reads it will say so

    def _not_held(self, requests: Sequence[MemberRequest]) -> list[MemberRequest]:
        """Return what is yet to be fetched; keep what is held for as long as it is needed."""
        shards, new = self._planned_from.shard_names, []
        for request in requests:
            fetch = self._by_member.get((shards[request.shard], request.offset))
            if fetch is not None:
                fetch.last = max(fetch.last, request.sample)
            elif request.size:
                new.append(request)
        return new


_ONE_BY_ONE = Reading(gap_bytes=-1)
"""Each member lies in one of the ranges that were fetched, but its neighbour may not."""


@dataclass(frozen=True)
class _Fetched:
    """What a `ReadAhead` has fetched, as a source of ranges; the store gives the others."""

    ahead: ReadAhead[Any]
    store: RangeSource
    reading: Reading = _ONE_BY_ONE

    def url_of(self, name: str) -> str:
        return self.store.url_of(name)

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        found = self.ahead.find(name, offset, size)
        return self.store.get_range(name, offset, size) if found is None else bytes(found)
