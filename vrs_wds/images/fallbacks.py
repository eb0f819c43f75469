"""Counts the images that no fast decoder took, by reason."""

from collections import Counter
from threading import Lock
from typing import Final

FALLBACKS: Final[Counter[str]] = Counter()
"""Images that no fast decoder took in this process, by reason. Read it with `fallback_counts`.

`device: ...` counts those that a graphics device was to decode, and the CPU did.
"""

_LOCK: Final = Lock()


def count_fallback(reason: str) -> None:
    """Count one image that is left to a slower decoder; any thread may call this."""
    with _LOCK:
        FALLBACKS[reason] += 1


def fallback_counts() -> dict[str, int]:
    """Return a copy of the counts of this process, sorted by reason."""
    with _LOCK:
        return dict(sorted(FALLBACKS.items()))
