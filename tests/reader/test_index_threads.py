"""The index file is read in the thread that asks: of a stream of Python's, arrow's must not know.

A thread of arrow's that lets go of bytes while the interpreter ends aborts the process.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from vrs_wds.reader.open import open_with_index
from vrs_wds.storage.local import LocalStore


class _Noting(io.BufferedReader):
    """Notes the threads that read it."""

    readers: set[int]

    def read(self, size: int | None = -1, /) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        self.readers.add(threading.get_ident())
        return super().readinto(buffer)


class _NotingStore(LocalStore):
    """Notes the threads that read its files."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.readers: set[int] = set()

    @contextmanager
    def open_reader(self, name: str) -> Iterator[BinaryIO]:
        """Open a file that notes its readers."""
        with _Noting(io.FileIO(self.root / name)) as file:
            file.readers = self.readers
            yield cast(BinaryIO, file)


@pytest.mark.parametrize("read", ["rows", "column", "key"])
def test_only_the_thread_that_asks_reads(small_root: Path, read: str) -> None:
    """Rows of a shard, a whole column, and places by their keys."""
    store = _NotingStore(small_root)
    dataset = open_with_index(store, "train")

    if read == "rows":
        assert dataset.get_many(range(len(dataset)))
    elif read == "column":
        assert dataset.column("width")
    else:
        assert "not there" not in dataset

    assert store.readers == {threading.get_ident()}
