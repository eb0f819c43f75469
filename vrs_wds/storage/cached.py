"""A store whose files, as they are read, are kept on a disk that the processes of a node share."""

import io
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from vrs_wds.errors import ConfigError, FileChanged, StorageError
from vrs_wds.forks import reset_in_children
from vrs_wds.sizes import ByteSize
from vrs_wds.storage.block_reader import read_ranges
from vrs_wds.storage.blocks import BLOCK_BYTES, CutFile
from vrs_wds.storage.cache_counts import CacheCounts
from vrs_wds.storage.cache_folder import CacheFolder
from vrs_wds.storage.names import is_hidden
from vrs_wds.storage.range_reader import RangeReader
from vrs_wds.storage.reading import NEAR, Reading, reading_of
from vrs_wds.storage.store import Stat, Store, StoreWriter

_LOG = logging.getLogger(__name__)
_BUFFER_BYTES = 1024 * 1024
_REQUESTS = 16
"""At once: each may hold a block in memory."""


class CachedStore:
    """Another store, with a cache of the blocks that were read. Safe to use from several threads.

    A file is the version that it was when it was first read through this object: what was read of
    it is served from the cache, and one that was replaced since is a `FileChanged` as soon as the
    store is asked. Files without an etag, and hidden ones, are not cached. Writing goes to the
    store. The disk may fail or fill up: reading goes on without it.
    """

    def __init__(
        self, store: Store, folder: Path, max_bytes: int, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """Make a store around another; nothing is read or made.

        Args:
            store: What to read from, and write to.
            folder: Where to keep blocks; made when needed. Several stores, processes and users may
                share one: each user has a folder in it.
            max_bytes: What the files of this user in it take at most, temporary ones included.
            block_bytes: Size of what is fetched and kept at once.

        Raises:
            ConfigError: if there is something else in the place of the folder, or a number is not
                positive.
        """
        self._folder = Path(folder).absolute()
        if self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(f"cache_dir: expected a folder, but {self._folder} is none.")
        for option, value in (("cache_bytes", max_bytes), ("block_bytes", block_bytes)):
            if value < 1:
                raise ConfigError(f"{option}: expected at least 1, got {value}.")
        self._store = store
        self._block_bytes = block_bytes
        self._cache = CacheFolder(self._folder, max_bytes)
        self._versions: dict[str, CutFile] = {}
        self._told = False
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.Lock()

    @property
    def counts(self) -> CacheCounts:
        """What the cache did for this object, in this process."""
        return self._cache.counter.now()

    @property
    def url(self) -> str:
        """The store's address."""
        return self._store.url

    @property
    def reading(self) -> Reading:
        """As the store's own; but blocks are fetched whole anyway: nothing is read along.

        Threads that want the same block wait for one of them; each of the others may hold one.
        """
        own = reading_of(self._store)
        if not own.is_far:
            return own
        return replace(own, requests=_REQUESTS, gap_bytes=NEAR.gap_bytes)

    def url_of(self, name: str) -> str:
        """Return a name's full address, for messages."""
        return self._store.url_of(name)

    def get(self, name: str) -> bytes:
        """Return all bytes of a file."""
        file = self._version_now(name)
        if file is None:
            return self._store.get(name)
        return self._read(name, file, [(0, file.stat.size)])[0]

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        return self.get_ranges(name, [(offset, size)])[0]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file."""
        file = self._version(name)
        if file is None or any(min(wanted) < 0 for wanted in ranges):
            return self._store.get_ranges(name, ranges)
        return self._read(name, file, ranges)

    def stat(self, name: str) -> Stat:
        """Return a file's size and etag, as they are now."""
        return self._store.stat(name)

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        file = self._version(name)
        return file.stat.size if file else self._store.size_of(name)

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return self._store.exists(name)

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for."""
        return self._store.list_names(prefix, hidden=hidden)

    def open_reader(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading."""
        file = self._version_now(name)
        if file is None:
            return self._store.open_reader(name)
        reader = RangeReader(
            partial(self.get_range, name), file.stat.size,
            block_bytes=_BUFFER_BYTES, ahead=0, pool=None,
        )  # fmt: skip
        return io.BufferedReader(reader, _BUFFER_BYTES)

    @contextmanager
    def open_writer(self, name: str) -> Iterator[StoreWriter]:
        """Write a file; see the store."""
        try:
            with self._store.open_writer(name) as writer:
                yield writer
        finally:
            self._forget(name)

    def put(self, name: str, data: bytes) -> None:
        """Write a file in one go."""
        self._store.put(name, data)
        self._forget(name)

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file in one go unless there is one of that name."""
        self._store.put_new(name, data)
        self._forget(name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name; one of that name is replaced."""
        self._store.rename(name, new_name)
        self._forget(name, new_name)

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        self._store.delete(name)
        self._forget(name)

    def sweep(self, prefix: str) -> int:
        """Remove what killed writers left below `prefix`."""
        return self._store.sweep(prefix)

    def _version(self, name: str) -> CutFile | None:
        """Return the version of a file to be read; None if it is not cached."""
        with self._lock:
            file = self._versions.get(name)
        if file is None and not is_hidden(name):
            found = self._store.stat(name)
            first = CutFile(self._store.url_of(name), found, self._block_bytes)
            with self._lock:
                file = self._versions.setdefault(name, first)
            if not file.stat.etag and not self._told:
                self._told = True
                _LOG.warning("%s: a file without an etag is not cached", file.url)
        return file if file and file.stat.etag else None

    def _version_now(self, name: str) -> CutFile | None:
        """Return what `_version` does, having looked whether it is still so."""
        known = name in self._versions
        file = self._version(name)
        if known and file is not None:
            self._check_unchanged(name, file)
        return file

    def _read(self, name: str, file: CutFile, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return read_ranges(
            self._cache, file, ranges, lambda missing: self._get_exactly(name, file, missing)
        )

    def _get_exactly(
        self, name: str, file: CutFile, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        """Return ranges of exactly one version of a file, and all of their bytes."""
        answers = self._store.get_ranges(name, ranges)
        self._check_unchanged(name, file)
        for (offset, size), data in zip(ranges, answers, strict=True):
            if len(data) != size:
                raise StorageError(
                    f"{file.url}: expected {size:,} bytes from byte {offset:,} on, the store gave "
                    f"{len(data):,}. Try again; if it goes on, write the file anew."
                )
        return answers

    def _check_unchanged(self, name: str, file: CutFile) -> None:
        first = file.stat
        if (found := self._store.stat(name)) != first:
            raise FileChanged(
                f"{file.url}: the file was replaced since it was first read: expected etag "
                f"{first.etag} and {first.size:,} bytes, found {found.etag} and {found.size:,}. "
                "Open the dataset anew, with a new store, and write to none that is in use."
            )

    def _forget(self, *names: str) -> None:
        """Begin anew with files that were just written here."""
        with self._lock:
            for name in names:
                self._versions.pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "store": self._store,
            "folder": self._folder,
            "max_bytes": self._cache.max_bytes,
            "block_bytes": self._block_bytes,
            "versions": dict(self._versions),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        options = {name: state[name] for name in ("max_bytes", "block_bytes")}
        self.__init__(state["store"], state["folder"], **options)  # type: ignore[misc]  # fresh
        self._versions = state["versions"]

    def __repr__(self) -> str:
        size = f"{self._cache.max_bytes:,}"
        return f"CachedStore({self._store!r}, {str(self._folder)!r}, max_bytes={size})"


def add_cache(store: Store, cache_dir: object, cache_bytes: object) -> CachedStore:
    """Put a cache around a store; see `open_store`.

    Raises:
        ConfigError: if one of the options is missing, or is not what it should be.
    """
    if not isinstance(cache_dir, str | Path) or "://" in str(cache_dir) or not str(cache_dir):
        raise ConfigError(f"cache_dir: expected a folder on a local disk, got {cache_dir!r}.")
    if isinstance(cache_bytes, str):
        try:
            cache_bytes = ByteSize.parse(cache_bytes)
        except ValueError as error:
            raise ConfigError(f"cache_bytes: {error}.") from error
    if not isinstance(cache_bytes, int) or isinstance(cache_bytes, bool):
        raise ConfigError(
            'cache_bytes: expected the size that the cache may take, such as "100 GiB", got '
            f"{cache_bytes!r}."
        )
    return CachedStore(store, Path(cache_dir), cache_bytes)
