"""How a store likes to be read."""

import math
from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """What requests to a store should look like, so that reading is fast.

    A store may have an attribute `reading` that says so; one without is read as `NEAR`.
    """

    requests: int = 1
    """How many should be under way at once. With 1, a range is read when it is needed, by the
    thread that needs it; with more, ranges are fetched ahead, in other threads."""
    gap_bytes: int = 1023
    """Bytes between two ranges that are better read along than asked around.

    With `requests` under way, another request takes latency / requests from the link's time: worth
    latency x bandwidth / requests bytes.
    """
    max_unasked: float = math.inf
    """The most bytes of gaps in a range, as a share of those that are asked for."""
    range_bytes: int = 16 * MIB
    """Ranges are not joined beyond this size."""
    alone_bytes: float = math.inf
    """A member of this size has a range of its own: its bytes need not be cut out of others'."""
    inflight_bytes: int = 64 * MIB
    """The most bytes to be under way at once."""

    one_by_one: bool = False
    """Whether a sample is best read just before it is decoded, instead of several at once."""

    @property
    def is_far(self) -> bool:
        """Whether ranges should be fetched ahead."""
        return self.requests > 1


NEAR = Reading()
"""What does not say otherwise. Between members that are joined is padding (511) and a header (512)
at most: no byte is read of a member that was not asked for."""
DISK = Reading(range_bytes=128 * KIB, alone_bytes=16 * KIB, one_by_one=True)
"""A local disk: there is nothing to win by long ranges, and the bytes of a short one are still in
the processor's cache when they are checked and decoded. To read a picture by itself takes a
microsecond, to copy it takes six."""
FAR = Reading(requests=64, gap_bytes=64 * KIB, max_unasked=1.0, range_bytes=8 * MIB)
"""An object store: 64 KiB are 50 ms of 100 MB/s, or 5 ms of 1 GB/s, shared by 64 requests. Half of
what is read, or more, was asked for: pictures between sidecars are not read for these."""


def reading_of(store: object) -> Reading:
    """Return how a store likes to be read."""
    found = getattr(store, "reading", NEAR)
    return found if isinstance(found, Reading) else NEAR
