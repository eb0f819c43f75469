"""Keeps decoded samples while other examples of theirs are still to come."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vrs_wds.forks import reset_in_children

V = TypeVar("V")


class DecodedCache:
    """Results by key, shared by threads: each is made by one of them.

    A result is dropped when it has been used as often as it will be, and says so with `release`.
    Beyond `max_items`, the one that was asked for longest ago is dropped.

    It pickles as an empty one: every worker process has a cache of its own.
    """

    def __init__(self, max_items: int) -> None:
        self.max_items = max_items
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin empty, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._results: OrderedDict[int, Future[Any]] = OrderedDict()
        self._used: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many results are kept."""
        return len(self._results)

    def get_many(self, keys: list[int], make: Callable[[list[int]], list[V]]) -> dict[int, V]:
        """Return the results of several keys; `make` gives those that nobody is making yet."""
        with self._lock:
            missing = [key for key in keys if key not in self._results]
            mine = {key: self._results.setdefault(key, Future()) for key in missing}
            found = {key: self._results[key] for key in keys}
            for key in keys:
                self._results.move_to_end(key)
            while len(self._results) > max(self.max_items, len(keys)):
                key, _ = self._results.popitem(last=False)
                self._used.pop(key, None)
        if missing:
            self._fill(mine, make)
        return {key: future.result() for key, future in found.items()}

    def release(self, key: int, *, uses: int, of: int) -> None:
        """Say that a result was used so many times more, `of` so many that there will be."""
        with self._lock:
            used = self._used[key] = self._used.get(key, 0) + uses
            if used >= of or key not in self._results:
                self._results.pop(key, None)
                del self._used[key]

    def _fill(self, mine: dict[int, Future[V]], make: Callable[[list[int]], list[V]]) -> None:
        try:
            results = make(list(mine))
        except BaseException as error:
            with self._lock:  # another try makes them anew
                for key, future in mine.items():
                    self._results.pop(key, None)
                    future.set_exception(error)
            raise
        for future, result in zip(mine.values(), results, strict=True):
            future.set_result(result)

    def __getstate__(self) -> dict[str, Any]:
        return {"max_items": self.max_items}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["max_items"])  # type: ignore[misc]  # a fresh one
