"""What a cache did, in numbers."""

import threading
from collections import Counter
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What a store's cache did in this process since the store was opened."""

    hits: int = 0
    """Blocks that were read from the folder, once for each call that read them."""
    misses: int = 0
    """Blocks that were fetched from the store."""
    cache_bytes: int = 0
    """Bytes that came from the folder."""
    passed: int = 0
    """Ranges that were read from the store past the cache: no room, a fault, no etag."""
    evictions: int = 0
    """Blocks that were removed to make room."""
    rejected: int = 0
    """Blocks that were found damaged, and dropped."""
    faults: int = 0
    """Times that the folder could not be read or written."""


class CacheCounter:
    """Counts, from several threads."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin at 0, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, **counts: int) -> None:
        """Add to some of the counts, by name."""
        with self._lock:
            self._counts.update(counts)

    def now(self) -> CacheCounts:
        """Return the counts as they are."""
        with self._lock:
            return CacheCounts(**{name: self._counts[name] for name in asdict(CacheCounts())})
