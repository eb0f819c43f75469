"""Locks and open files after a fork: a child begins with fresh ones.

A process may be forked while another of its threads holds a lock; in the child nobody would ever
release it. Our own locks are made anew there; those of libraries, and Python's locks of modules
that are being imported, we cannot reach: a fork waits until no thread of ours is in such a library.
"""

# Both have something to do before and after a fork. Imported here, since they must not be imported,
# by whatever imports them, while a fork waits: they would do the second without the first.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Resettable(Protocol):
    """Has locks, caches or open files that a child of a fork must not share."""

    def reset_after_fork(self) -> None:
        """Replace them by fresh ones."""
        ...


_OBJECTS: "weakref.WeakSet[Resettable]" = weakref.WeakSet()


def reset_in_children(obj: Resettable) -> None:
    """Let an object be reset in every child process that is forked from now on."""
    _OBJECTS.add(obj)


_MAX_WAIT_SECONDS = 30


class _Gate:
    """Threads go in and out; a fork waits until all others are out, and keeps them out."""

    def __init__(self) -> None:
        self._inside = 0
        self._changed = threading.Condition()
        self._mine = threading.local()

    @contextmanager
    def passed(self) -> Iterator[None]:
        depth = getattr(self._mine, "depth", 0)
        if depth == 0:
            with self._changed:
                self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth == 0:
                with self._changed:
                    self._inside -= 1
                    self._changed.notify_all()

    def close(self) -> None:
        """Let no thread in any more, and wait for the others to come out, but not for ever."""
        self._changed.acquire()
        self._changed.wait_for(lambda: self._inside == self._threads_of_mine(), _MAX_WAIT_SECONDS)

    def open(self) -> None:
        """Let threads in again."""
        self._changed.release()

    def reset(self) -> None:
        """Begin anew in a child, where the forking thread is the only one."""
        self._inside = self._threads_of_mine()
        self._changed = threading.Condition()

    def _threads_of_mine(self) -> int:
        """Return 1 if the thread that asks is inside itself, else 0."""
        return int(getattr(self._mine, "depth", 0) > 0)


_GATE = _Gate()


def no_fork_meanwhile() -> AbstractContextManager[None]:
    """Let other threads' forks wait until the end of the block, which has to be short.

    For calls into libraries with locks of their own, or that import modules when first called.
    Take locks before, not inside: their owner may have to wait for the end of the fork.
    """
    return _GATE.passed()


def _reset_all() -> None:
    _GATE.reset()
    for obj in list(_OBJECTS):
        obj.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_GATE.close, after_in_parent=_GATE.open, after_in_child=_reset_all)
