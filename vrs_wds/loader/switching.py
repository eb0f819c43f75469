"""How soon a thread that waits for the interpreter's lock gets it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vrs_wds.forks import reset_in_children

DEFAULT_SWITCH_INTERVAL = 5e-5
"""Seconds. Decoding a picture takes milliseconds without the lock, and some 100 microseconds of
Python around it; a thread that waits 5 ms for these, as is Python's default, decodes one picture
where it could have decoded three."""
MIN_SWITCH_INTERVAL = 1e-6
"""Python counts whole microseconds."""


class _SwitchInterval:
    """The process's switch interval, kept as short as anybody has asked for, then restored."""

    def __init__(self) -> None:
        self._asked: dict[object, float] = {}
        self._before = self._set = 0.0
        # At interpreter exit, when a generator may leave its block, the module's names are gone.
        self._get, self._put = sys.getswitchinterval, sys.setswitchinterval
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with a lock that nobody holds; threads that have asked are not in the child."""
        self._lock = threading.Lock()
        if self._asked:
            self._asked.clear()
            self._restore()

    @contextmanager
    def at_most(self, seconds: float | None) -> Iterator[None]:
        """Shorten the interval for a block; None leaves it."""
        if seconds is None:
            yield
            return
        token = object()
        with self._lock:
            if not self._asked:
                self._before = self._set = self._get()
            self._asked[token] = seconds
            self._shorten()
        try:
            yield
        finally:
            with self._lock:
                # A block that was copied by a fork is not among the child's.
                if self._asked.pop(token, None) is not None:
                    (self._shorten if self._asked else self._restore)()

    def _shorten(self) -> None:
        if self._get() == self._set:  # else somebody has chosen another meanwhile
            self._put(min(self._before, *self._asked.values()))
            self._set = self._get()

    def _restore(self) -> None:
        if self._get() == self._set:
            self._put(self._before)


_INTERVAL = _SwitchInterval()
at_most = _INTERVAL.at_most
"""`with at_most(seconds)`: shorten `sys.getswitchinterval()` for a block; None leaves it.

Of several blocks at once, in any threads, the shortest counts; after the last one the interval is
what it was, unless somebody has set it meanwhile.
"""
