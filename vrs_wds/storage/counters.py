"""What a store has done so far, in numbers."""

import threading

from vrs_wds.forks import reset_in_children


class Counters:
    """Counts a store's requests, bytes, retries and stalls; safe to read and add to from threads.

    >>> counters = Counters()
    >>> counters.add(requests=2, bytes_read=100)
    >>> counters
    Counters(requests=2, bytes_read=100, bytes_written=0, retries=0, stalls=0)
    """

    def __init__(self) -> None:
        self.requests = 0
        """Requests sent, those tried again included. Of a file written in parts, its writes."""
        self.bytes_read = 0
        """Bytes of files received."""
        self.bytes_written = 0
        """Bytes of files sent, without what was sent again."""
        self.retries = 0
        """Requests sent again after one failed."""
        self.stalls = 0
        """Requests given up because no byte came for `stall_seconds`."""
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with a lock that nobody holds; the numbers stay."""
        self._lock = threading.Lock()

    def add(
        self,
        *,
        requests: int = 0,
        bytes_read: int = 0,
        bytes_written: int = 0,
        retries: int = 0,
        stalls: int = 0,
    ) -> None:
        """Add to the numbers."""
        with self._lock:
            self.requests += requests
            self.bytes_read += bytes_read
            self.bytes_written += bytes_written
            self.retries += retries
            self.stalls += stalls

    def as_dict(self) -> dict[str, int]:
        """Return the numbers, all of one moment."""
        with self._lock:
            return {
                "requests": self.requests,
                "bytes_read": self.bytes_read,
                "bytes_written": self.bytes_written,
                "retries": self.retries,
                "stalls": self.stalls,
            }

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value}" for name, value in self.as_dict().items())
        return f"Counters({numbers})"
