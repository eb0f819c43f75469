"""Fetches planned ranges in their order, several at once, within a bound of bytes."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from vrs_wds.reader.members import RangeSource
from vrs_wds.reader.range_plan import PlannedRange
from vrs_wds.storage.patience import stop_with
from vrs_wds.storage.reading import Reading

R = TypeVar("R")

_GROWTH = 4
"""So many times the bytes that have come may be under way."""


@dataclass(eq=False, slots=True)
class Fetch:
    """A range that was added to a fetcher, and what has become of it."""

    planned: PlannedRange
    last: int
    """The last item that needs it, for all that is known now."""
    future: "Future[bytes] | None" = None
    """Its bytes; None before they are asked for."""
    has_come: bool = False
    """Whether the request has ended."""
    is_dropped: bool = False


class RangeFetcher:
    """Holds planned ranges from when they are asked for until they are let go.

    Those that were added first are fetched beside nothing else; then the bytes under way grow with
    those that have come, up to the store's bound. A range that is taken is fetched in any case.
    No thread ever waits for room: whoever lets go of a range, or has fetched one, begins the next.
    """

    def __init__(
        self,
        source: RangeSource,
        reading: Reading,
        max_bytes: int,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a fetcher with nothing to do.

        Args:
            source: What to fetch from.
            reading: How it likes to be read.
            max_bytes: The most bytes to hold, those under way included.
            on_change: Called, in any thread, after a range was begun, has come or was let go.
        """
        self._source = source
        self._reading = reading
        self._max_bytes = max_bytes
        self._on_change = on_change
        self._lock = threading.Lock()
        # One thread more than requests, for `submit`.
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(
            reading.requests + 1,
            "vrs_wds-ahead",
            initializer=stop_with,
            initargs=(self._stopped,),
        )
        self._is_closed = False
        self._waiting: deque[Fetch] = deque()
        self._first_bytes = self._waiting_bytes = 0
        self._flying = self._flying_bytes = self._come_bytes = self._held_bytes = 0
        self.max_held_bytes = 0
        """The most bytes that were held at once so far."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of ranges that were added and not yet begun."""
        return self._waiting_bytes

    @property
    def has_room(self) -> bool:
        """Whether more than what was added would fit."""
        return self._held_bytes + self._waiting_bytes < self._max_bytes

    def add(self, ranges: Iterable[PlannedRange]) -> list[Fetch]:
        """Put ranges behind those that are waiting; `go_on` begins them."""
        fetches = [Fetch(planned, planned.last) for planned in ranges]
        with self._lock:
            self._waiting.extend(fetches)
            self._waiting_bytes += sum(fetch.planned.size for fetch in fetches)
            if not self._first_bytes:
                self._first_bytes = self._waiting_bytes
        return fetches

    def take(self, fetch: Fetch) -> "Future[bytes] | None":
        """Return a range's bytes, as they come; None if it was let go or all is closed."""
        with self._lock:
            if fetch.is_dropped or self._is_closed:
                return None
            return fetch.future or self._begin(fetch)

    def let_go(self, fetch: Fetch) -> None:
        """Drop a range, now or when its request has ended; `go_on` makes use of the room."""
        with self._lock:
            fetch.is_dropped = True
            if fetch.has_come:
                self._held_bytes -= fetch.planned.size
            elif fetch.future is None:
                self._waiting_bytes -= fetch.planned.size

    def go_on(self) -> None:
        """Begin what there is room for."""
        with self._lock:
            while self._waiting:
                fetch = self._waiting[0]
                is_needed = fetch.future is None and not fetch.is_dropped
                if is_needed and not (self._fits(fetch.planned.size) and self._begin(fetch)):
                    break
                self._waiting.popleft()
        self._on_change()

    def submit(self, work: Callable[[], R]) -> "Future[R] | None":
        """Run something in a thread that makes no requests; None if all is closed."""
        if self._is_closed:
            return None
        try:
            return self._pool.submit(work)
        except RuntimeError:  # the interpreter is going down
            self._is_closed = True
            return None

    def stop(self) -> None:
        """Begin nothing more, and send nothing again that fails."""
        self._stopped.set()
        with self._lock:
            self._is_closed = True
            self._waiting.clear()

    def close(self) -> None:
        """Begin nothing more, wait for what is under way, and drop everything."""
        self.stop()
        if not sys.is_finalizing():  # then the threads have been joined already
            # The garbage collector may call this in one of the threads, which cannot join itself.
            with suppress(RuntimeError):
                self._pool.shutdown(wait=True, cancel_futures=True)

    def _fits(self, size: int) -> bool:
        if self._held_bytes == 0:
            return True
        at_once = min(self._reading.inflight_bytes, self._first_bytes + _GROWTH * self._come_bytes)
        return (
            self._flying < self._reading.requests
            and (self._flying == 0 or self._flying_bytes + size <= at_once)
            and self._held_bytes + size <= self._max_bytes
        )

    def _begin(self, fetch: Fetch) -> "Future[bytes] | None":
        """Ask for a range; the lock is held."""
        fetch.future = self.submit(lambda: self._fetch(fetch))
        if fetch.future is not None:
            size = fetch.planned.size
            self._waiting_bytes -= size
            self._flying += 1
            self._flying_bytes += size
            self._held_bytes += size
            self.max_held_bytes = max(self.max_held_bytes, self._held_bytes)
        return fetch.future

    def _fetch(self, fetch: Fetch) -> bytes:
        planned = fetch.planned
        try:
            return self._source.get_range(planned.shard, planned.start, planned.size)
        finally:
            with self._lock:
                self._flying -= 1
                self._flying_bytes -= planned.size
                self._come_bytes += planned.size
                fetch.has_come = True
                if fetch.is_dropped:
                    self._held_bytes -= planned.size
            self.go_on()
