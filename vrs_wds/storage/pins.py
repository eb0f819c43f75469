"""Which version of each file a store has read."""

import threading

from vrs_wds.errors import FileChanged
from vrs_wds.forks import reset_in_children
from vrs_wds.storage.store import Stat


class Pins:
    """Remembers the version of a file from its first read, and refuses others.

    ::

        range of v1 -> v1     pinned; a range of v2 is FileChanged
        whole v1    -> v1     remembered; a range of v2 is FileChanged, a whole v2 is remembered
    """

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with nothing remembered, and a lock that nobody holds."""
        self._stats: dict[str, Stat] = {}
        self._ranged: set[str] = set()
        self._lock = threading.Lock()

    def get(self, name: str) -> Stat | None:
        """Return what was read of a file, if anything."""
        with self._lock:
            return self._stats.get(name)

    def pin(self, name: str, stat: Stat, url: str) -> Stat:
        """Remember the version that a range is of, for good.

        Raises:
            FileChanged: if ranges, or the whole, of another one were read before.
        """
        with self._lock:
            first = self._stats.setdefault(name, stat)
            self._ranged.add(name)
        check_same(first, stat, url)
        return first

    def note_whole(self, name: str, stat: Stat, url: str) -> None:
        """Remember the version of a file that was read as a whole.

        Raises:
            FileChanged: if ranges of another one were read before.
        """
        with self._lock:
            first = self._stats.get(name) if name in self._ranged else None
            if first is None:
                self._stats[name] = stat
        if first is not None:
            check_same(first, stat, url)

    def forget(self, name: str) -> None:
        """Forget a file, which this store has written, renamed or removed itself."""
        with self._lock:
            self._stats.pop(name, None)
            self._ranged.discard(name)


def is_same(first: Stat, second: Stat) -> bool:
    """Tell whether two looks at a file saw one version, as far as can be told."""
    if first.etag and second.etag:
        return first.etag == second.etag
    return first.size == second.size


def check_same(first: Stat, second: Stat, url: str) -> None:
    """Raise `FileChanged` if two looks at a file saw two versions."""
    if not is_same(first, second):
        raise FileChanged(
            f"{url}: was replaced while it was being read: expected the version {first.etag} of "
            f"{first.size:,} bytes, found {second.etag} of {second.size:,}. Open it again."
        )
