"""What every store can do."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store knows of a file without reading it."""

    size: int
    """Bytes."""
    etag: str
    """Another one whenever the bytes were written anew; empty if the store cannot tell."""


class StoreWriter(Protocol):
    """Takes the bytes of a file that is not yet visible."""

    def write(self, data: bytes, /) -> None:
        """Append bytes."""
        ...


@runtime_checkable
class Store(Protocol):
    """Holds bytes by name below one URL. Safe to use from several threads; pickles.

    Names are relative, with `/` between components; a component that begins with a dot is hidden.
    Every method raises `FileNotFoundError` for a name that is not there, unless it says otherwise.
    Reading a range of a file that was replaced since this store first read it is a `FileChanged`
    where the store can tell: bytes of two versions are never mixed. A file that was only ever read
    whole is given as it is now. What a store writes, it reads anew.

    A store may also have an attribute `reading`, a `vrs_wds.storage.reading.Reading`, that says
    how ranges of it are best asked for. Without one each is asked for when it is needed.

    `vrs_wds.testing.stores.StoreTests` holds a store to this.
    """

    @property
    def url(self) -> str:
        """The store's address."""
        ...

    def url_of(self, name: str) -> str:
        """Return a name's full address, for messages."""
        ...

    def get(self, name: str) -> bytes:
        """Return all bytes of a file."""
        ...

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        ...

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file, each an offset and a size; see `get_range`."""
        ...

    def stat(self, name: str) -> Stat:
        """Return a file's size and etag, as they are now."""
        ...

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        ...

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for."""
        ...

    def open_reader(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to be read from start to end, or at any place."""
        ...

    def open_writer(self, name: str) -> AbstractContextManager[StoreWriter]:
        """Write a file that appears, complete, when the context is left without an exception.

        Left by an exception, nothing appears and a file of that name stays as it was.
        """
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a file in one go; it appears complete or not at all."""
        ...

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file in one go unless there is one of that name: of several writers one wins.

        Raises:
            FileExistsError: if there is such a file.
        """
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name; one of that name is replaced.

        On an object store this is a copy made by the server.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def sweep(self, prefix: str) -> int:
        """Remove what killed writers left of files below `prefix` that they had not completed.

        Temporary files of a disk, uploads in parts of an object store. Only for a prefix that
        nobody is writing to.

        Returns:
            The number of leftovers removed.
        """
        ...


Location = str | Path | Store
"""Where a dataset is: a path, a URL, or a store that `open_store` gave."""
