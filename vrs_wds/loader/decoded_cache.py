"""Keeps decoded samples while other examples of theirs are still to come."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vrs_wds.forks import reset_in_children

V = TypeVar("V")


class DecodedCache:
    """The last few results by key, shared by threads: each is made by one of them.

    It pickles as an empty one: every worker process has a cache of its own.
    """

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin empty, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._results: OrderedDict[int, Future[Any]] = OrderedDict()

    def get_many(self, keys: list[int], make: Callable[[list[int]], list[V]]) -> dict[int, V]:
        """Return the results of several keys; `make` gives those that nobody is making yet."""
        with self._lock:
            missing = [key for key in keys if key not in self._results]
            mine = {key: self._results.setdefault(key, Future()) for key in missing}
            found = {key: self._results[key] for key in keys}
            for key in keys:
                self._results.move_to_end(key)
            while len(self._results) > max(self._max_items, len(keys)):
                self._results.popitem(last=False)
        if missing:
            self._fill(mine, make)
        return {key: future.result() for key, future in found.items()}

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
        return {"_max_items": self._max_items}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_max_items"])  # type: ignore[misc]  # a fresh one
