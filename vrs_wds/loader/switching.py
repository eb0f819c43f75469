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
_HALF_MICROSECOND = 5e-7


class _SwitchInterval:
    """The process's switch interval, kept as short as anybody has asked for, then restored."""

    def __init__(self) -> None:
        self._asked: dict[object, float] = {}
        self._changes = 0
        self._before = self._set = 0.0
        # At interpreter exit, when a generator may leave its block, the module's names are gone.
        self._get, self._put = sys.getswitchinterval, sys.setswitchinterval
        self._half = _HALF_MICROSECOND
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with a lock that nobody holds; threads that have asked are not in the child."""
        # Reentrant: the garbage collector may end a block in the midst of the code below.
        self._lock = threading.RLock()
        if self._asked:
            self._asked.clear()
            self._update()

    @contextmanager
    def at_most(self, seconds: float | None) -> Iterator[None]:
        """Shorten the interval for a block; None leaves it."""
        if seconds is None:
            yield
            return
        token = object()
        try:
            with self._lock:
                if not self._asked or self._get() != self._set:  # or somebody has chosen another
                    self._before = self._set = self._get()
                self._asked[token] = seconds
                self._update()
            yield
        finally:
            with self._lock:
                # A block that was copied by a fork is not among the child's.
                if self._asked.pop(token, None) is not None:
                    self._update()

    def _update(self) -> None:
        """Set the shortest interval that is asked for, or what was there before."""
        self._changes += 1
        changes = -1
        while changes != self._changes:  # else a block was ended meanwhile, in this thread
            changes = self._changes
            if self._get() == self._set:  # else somebody has chosen another
                # Python cuts off what is below a microsecond, of a number that may be a bit less.
                self._put(min([self._before, *self._asked.values()]) + self._half)
                self._set = self._get()


_INTERVAL = _SwitchInterval()
at_most = _INTERVAL.at_most
"""`with at_most(seconds)`: shorten `sys.getswitchinterval()` for a block; None leaves it.

Of several blocks at once, in any threads, the shortest counts; after the last one the interval is
what it was, or what somebody has set meanwhile.
"""
