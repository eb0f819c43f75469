"""A store's file as a Python file that reads ranges."""

import io
from typing import Any

from vrs_wds.storage.store import Store


class RangeReader(io.RawIOBase):
    """One version of a file, as a file."""

    def __init__(self, store: Store, name: str, size: int) -> None:
        super().__init__()
        self._store, self._name, self._size = store, name, size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file, or behind it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"expected a place in the file, got {origin + offset}")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """Return the place in the file."""
        return self._position

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        data = self._store.get_range(self._name, self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
