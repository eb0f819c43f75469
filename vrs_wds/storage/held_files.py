"""Open files with locks that the kernel releases when their process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


class HeldFiles:
    """Open files of one object. Locks are `flock`s, so they hold between threads, too.

    A child of a fork shares them with its parent and must close them: a lock lasts until the last
    process has closed its file.
    """

    def __init__(self) -> None:
        self._descriptors: set[int] = set()

    def open(self, path: str, flags: int) -> int:
        """Open a file, never through a link; readable by its owner only if it is made."""
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._descriptors.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        """Release a file's lock, in forked children too, and close it."""
        unlock(descriptor)
        self._descriptors.discard(descriptor)
        os.close(descriptor)

    @contextmanager
    def opened(self, path: str, flags: int) -> Iterator[int]:
        """Open a file for a while."""
        descriptor = self.open(path, flags)
        try:
            yield descriptor
        finally:
            self.close(descriptor)

    def close_in_child(self) -> None:
        """Close all, as a child of a fork: the parent's locks stay the parent's."""
        descriptors, self._descriptors = self._descriptors, set()
        for descriptor in descriptors:
            os.close(descriptor)


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Wait for a lock."""
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock if nobody else has one of any kind."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release a lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
