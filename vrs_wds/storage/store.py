"""What a store can do, and the one door to all of them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlparse

from vrs_wds.errors import ConfigError


class StoreWriter(Protocol):
    """Takes the bytes of a file that is not yet visible."""

    def write(self, data: bytes, /) -> None:
        """Append bytes."""
        ...


class Store(Protocol):
    """Holds bytes by name below one URL. Safe to use from several threads; pickles.

    Names are relative, with `/` between components. Every method raises `FileNotFoundError` for a
    name that is not there.
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

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        ...

    def list_names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted."""
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

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name; one of that name is replaced."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...


def open_store(url: str | Path) -> Store:
    """Open the store at a path or a `file://` URL. Nothing is read or made.

    Raises:
        ConfigError: if the scheme is unknown.
    """
    from vrs_wds.storage.local import LocalStore

    if isinstance(url, Path):
        return LocalStore(url)
    parsed = urlparse(url)
    if parsed.scheme == "file" and parsed.netloc in ("", "localhost"):
        return LocalStore(Path(unquote(parsed.path)))
    # A single letter is a Windows drive.
    if len(parsed.scheme) <= 1 or "://" not in url:
        return LocalStore(Path(url))
    raise ConfigError(
        f"{url}: expected a path or a file:// URL; this version stores on local disks."
    )
