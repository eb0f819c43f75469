"""Lets threads stop sending requests again when nobody waits for the answers any more.

Whoever starts threads that read from a store gives each of them an event, and sets it before
joining them: else Ctrl-C would wait for as long as a store that does not answer is tried.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_threads = threading.local()


def stop_with(stopped: threading.Event | None) -> None:
    """Let this thread's requests end when `stopped` is set: those that fail are not sent again.

    To be used as `initializer` of a pool of threads. None: they are sent as often as is allowed.
    """
    _threads.stopped = stopped


def stop_event() -> threading.Event | None:
    """Return what tells this thread to stop."""
    return getattr(_threads, "stopped", None)


def carried(work: Callable[[T], R]) -> Callable[[T], R]:
    """Return the same work for other threads, where it stops when this thread is to stop."""
    stopped = stop_event()

    def run(item: T) -> R:
        before = stop_event()
        stop_with(stopped)
        try:
            return work(item)
        finally:
            stop_with(before)

    return run
