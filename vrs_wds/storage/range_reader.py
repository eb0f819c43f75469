"""A file to read from start to end, or at any place, by bounded ranges fetched ahead."""

import io
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

Fetch = Callable[[int, int], bytes]
"""Returns `size` bytes from an offset."""


class RangeReader(io.RawIOBase):
    """Reads a file block by block; the next blocks are fetched ahead in other threads.

    Each block is one short request, finished at its own pace: however slowly the file is read, no
    request waits for the reader. At most `ahead + 1` blocks are held. The first read fetches one
    block; the number fetched ahead doubles while reading goes on in order, and a jump begins anew::

        read block   0      1        2            3           |jump| 90
        on the way   1      2 3      3 4 5 6      4 5 6 7            91
    """

    def __init__(
        self, fetch: Fetch, size: int, *, block_bytes: int, ahead: int, pool: Executor | None
    ) -> None:
        self._fetch = fetch
        self._size = size
        self._block_bytes = block_bytes
        self._ahead = ahead if pool is not None else 0
        self._pool = pool
        self._position = 0
        self._blocks: dict[int, Future[bytes]] = {}
        self._current: tuple[int, bytes] = (-2, b"")
        self._window = 1

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; nothing is fetched yet."""
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"expected a place from 0, got {base + offset}.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill a buffer as far as the current block goes; 0 at the end of the file."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        if self._position >= self._size or not len(view):
            return 0
        number, start = divmod(self._position, self._block_bytes)
        piece = memoryview(self._block(number))[start : start + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        """Drop what was fetched; what is on the way is not waited for."""
        for future in self._blocks.values():
            future.cancel()
        self._blocks.clear()
        self._current = (-2, b"")
        super().close()

    def _block(self, number: int) -> bytes:
        last, data = self._current
        if number == last:
            return data
        self._window = min(2 * self._window, self._ahead) if number == last + 1 else 1
        self._current = (-2, b"")  # let go of it before the next is there
        wanted = range(number, number + 1 + min(self._window, self._ahead))
        for old in [old for old in self._blocks if old not in wanted]:
            self._blocks.pop(old).cancel()
        if self._pool is not None:
            for new in wanted:
                if new not in self._blocks and new * self._block_bytes < self._size:
                    self._blocks[new] = self._pool.submit(self._load, new)
        future = self._blocks.pop(number, None)
        data = self._load(number) if future is None else future.result()
        self._current = (number, data)
        return data

    def _load(self, number: int) -> bytes:
        offset = number * self._block_bytes
        return self._fetch(offset, min(self._block_bytes, self._size - offset))

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
