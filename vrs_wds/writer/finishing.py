"""Completes shards beside the thread that packs, one after another.

::

    packing      |   shard 0   |   shard 1   | waits |   shard 2   | ...
    completing                 |       shard 0       |       shard 1       | ...

To complete a shard is to wait for its checksums and for the disk, and to enter it into the journal.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

THREAD_NAME = "vrs_wds-finishing"


class Finishing:
    """A thread that completes at most one shard at a time.

    Used by `with`: at its end the last shard is complete, whatever else went wrong. What goes wrong
    with one is raised by the next `wait`, or at the end.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)
        self._last: Future[None] | None = None

    def start(self, complete: Callable[[ExitStack], None], stack: ExitStack) -> None:
        """Complete a shard while the caller goes on; `wait` for the one before it first.

        Args:
            complete: What is to be done; it closes the stack that it is given.
            stack: Its contents are passed on.
        """
        moved = stack.pop_all()
        try:
            self._last = self._pool.submit(complete, moved)
        except BaseException:  # no thread to be had
            stack.push(moved)
            raise

    def wait(self) -> None:
        """Wait for the shard that is being completed; raise what went wrong with it."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "Finishing":
        """Begin with nothing to complete."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the last shard."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()
