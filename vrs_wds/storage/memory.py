"""A store in this process's memory, for tests and small things."""

import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from vrs_wds.storage.counters import Counters
from vrs_wds.storage.names import join_name, select_names
from vrs_wds.storage.pins import Pins
from vrs_wds.storage.store import Stat, StoreWriter

_FILES: dict[str, tuple[bytes, int]] = {}
"""Of this process: bytes and version of every file, by full name."""
_VERSIONS = itertools.count(1)


class MemoryStore:
    """Files in memory. All stores of one URL in one process hold the same files.

    A process that is started by spawn or forkserver has none of them.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix.strip("/")
        self._pins = Pins()
        self.counters = Counters()

    @property
    def url(self) -> str:
        """`memory://` and the prefix."""
        return f"memory://{self._prefix}"

    def url_of(self, name: str) -> str:
        """Return a file's address."""
        return f"memory://{self._path(name)}"

    def get(self, name: str) -> bytes:
        """Return all bytes of a file."""
        data, stat = self._read(name)
        self._pins.note_whole(name, stat, self.url_of(name))
        return data

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        data, stat = self._read(name)
        self._pins.pin(name, stat, self.url_of(name))
        return data[offset : offset + size]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file."""
        return [self.get_range(name, offset, size) for offset, size in ranges]

    def stat(self, name: str) -> Stat:
        """Return a file's size and etag."""
        return self._read(name)[1]

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        return self.stat(name).size

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return self._path(name) in _FILES

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for."""
        yield from select_names(list(_FILES), self._prefix, prefix, hidden=hidden)

    @contextmanager
    def open_reader(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading."""
        data, stat = self._read(name)
        self._pins.pin(name, stat, self.url_of(name))
        with io.BytesIO(data) as file:
            yield file

    @contextmanager
    def open_writer(self, name: str) -> Iterator[StoreWriter]:
        """Write a file that appears when the context is left without an exception."""
        with io.BytesIO() as file:
            yield file  # type: ignore[misc]  # BytesIO.write also returns a count
            self.put(name, file.getvalue())

    def put(self, name: str, data: bytes) -> None:
        """Write a file in one go."""
        _FILES[self._path(name)] = bytes(data), next(_VERSIONS)
        self._pins.forget(name)

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file in one go unless there is one of that name."""
        new = bytes(data), next(_VERSIONS)
        if _FILES.setdefault(self._path(name), new) is not new:  # one step: no lock is needed
            raise FileExistsError(f"{self.url_of(name)}: is there already.")
        self._pins.forget(name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name; one of that name is replaced."""
        try:
            data, _ = _FILES.pop(self._path(name))
        except KeyError:
            raise self._missing(name) from None
        _FILES[self._path(new_name)] = data, next(_VERSIONS)
        self._pins.forget(name)
        self._pins.forget(new_name)

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        _FILES.pop(self._path(name), None)
        self._pins.forget(name)

    def sweep(self, prefix: str) -> int:
        """Remove nothing: a killed writer's memory is gone."""
        return 0

    def _path(self, name: str) -> str:
        return join_name(self._prefix, name)

    def _read(self, name: str) -> tuple[bytes, Stat]:
        try:
            data, version = _FILES[self._path(name)]
        except KeyError:
            raise self._missing(name) from None
        self.counters.add(requests=1, bytes_read=len(data))
        return data, Stat(len(data), f"memory-{version}")

    def _missing(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self.url_of(name)}: no such file.")

    def __reduce__(self) -> tuple[type["MemoryStore"], tuple[str]]:
        return MemoryStore, (self._prefix,)

    def __repr__(self) -> str:
        return f"MemoryStore({self.url!r})"
