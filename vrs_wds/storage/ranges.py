"""Byte ranges, each an offset and a size. Pure."""

from collections.abc import Iterator, Sequence


def check_ranges(ranges: Sequence[tuple[int, int]]) -> None:
    """Refuse ranges that begin before the file or are less than empty.

    Raises:
        ValueError: if one does.
    """
    for offset, size in ranges:
        if offset < 0 or size < 0:
            raise ValueError(f"expected an offset and a size from 0, got {offset} and {size}.")


def cut_range(offset: int, size: int, limit: int) -> Iterator[tuple[int, int]]:
    """Cut a range into pieces of at most `limit` bytes.

    >>> list(cut_range(100, 25, 10))
    [(100, 10), (110, 10), (120, 5)]
    """
    for start in range(offset, offset + size, limit):
        yield start, min(limit, offset + size - start)
