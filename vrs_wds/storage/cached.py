"""A store whose files, as they are read, are kept on a disk that the processes of a node share."""

import copy
import io
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vrs_wds.errors import ConfigError, FileChanged, StorageError
from vrs_wds.forks import reset_in_children
from vrs_wds.sizes import ByteSize
from vrs_wds.storage.blocks import BLOCK_BYTES, Block, Piece, make_block, plan_pieces
from vrs_wds.storage.cache_counts import CacheCounts
from vrs_wds.storage.cache_folder import CacheFolder, Claim, Waiting
from vrs_wds.storage.local import is_hidden
from vrs_wds.storage.range_reader import RangeReader
from vrs_wds.storage.store import Stat, Store, StoreWriter

_LOG = logging.getLogger(__name__)
_MAX_CLAIMS = 8
"""Blocks that one call fetches at once; they are held in memory."""
_BUFFER_BYTES = 1024 * 1024


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
            store: What to read from. Its copy is used, as pickling would give it.
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
        self._store = copy.copy(store)
        self._block_bytes = block_bytes
        self._cache = CacheFolder(self._folder, max_bytes)
        self._pins: dict[str, Stat] = {}
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

    def url_of(self, name: str) -> str:
        """Return a name's full address, for messages."""
        return self._store.url_of(name)

    def get(self, name: str) -> bytes:
        """Return all bytes of a file."""
        store, pin = self._check(name)
        return self._read(store, name, pin, [(0, pin.size)])[0] if pin else store.get(name)

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        return self.get_ranges(name, [(offset, size)])[0]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file."""
        store, pin = self._pin(name)
        if pin is None or any(min(wanted) < 0 for wanted in ranges):
            return store.get_ranges(name, ranges)
        return self._read(store, name, pin, ranges)

    def stat(self, name: str) -> Stat:
        """Return a file's size and etag, as they are now."""
        return self._store.stat(name)

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        store, pin = self._pin(name)
        return pin.size if pin else store.size_of(name)

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return self._store.exists(name)

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for."""
        return self._store.list_names(prefix, hidden=hidden)

    def open_reader(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading."""
        store, pin = self._check(name)
        if pin is None:
            return store.open_reader(name)
        return io.BufferedReader(RangeReader(self, name, pin.size), _BUFFER_BYTES)

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

    def _pin(self, name: str) -> tuple[Store, Stat | None]:
        """Return the store, and the version of a file to be read; None if it is not cached."""
        with self._lock:
            store, pin = self._store, self._pins.get(name)
        if pin is None and not is_hidden(name):
            found = store.stat(name)
            with self._lock:
                store, pin = self._store, self._pins.setdefault(name, found)
            if not pin.etag and not self._told:
                self._told = True
                _LOG.warning(
                    "%s: the store gives no etag, and files without are not cached",
                    store.url_of(name),
                )
        return store, pin if pin and pin.etag else None

    def _check(self, name: str) -> tuple[Store, Stat | None]:
        """Return what `_pin` does, having looked whether it is still so."""
        known = name in self._pins
        store, pin = self._pin(name)
        if known and pin is not None:
            self._check_unchanged(store, name, pin)
        return store, pin

    def _check_unchanged(self, store: Store, name: str, pin: Stat) -> None:
        if (found := store.stat(name)) != pin:
            raise FileChanged(
                f"{store.url_of(name)}: the file was replaced since it was first read: expected "
                f"etag {pin.etag} and {pin.size:,} bytes, found {found.etag} and {found.size:,}. "
                "Open the dataset anew, with a new store, and do not write to one that is in use."
            )

    def _forget(self, *names: str) -> None:
        """Begin anew with files that were just written here."""
        with self._lock:
            self._store = copy.copy(self._store)
            for name in names:
                self._pins.pop(name, None)

    def _read(
        self, store: Store, name: str, pin: Stat, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        """Return ranges of one version of a file; fetch the blocks that the cache lacks."""
        wanted = plan_pieces(ranges, file_bytes=pin.size, block_bytes=self._block_bytes)
        url = store.url_of(name)
        blocks = {n: make_block(url, pin, n, self._block_bytes) for n in wanted}
        found: dict[int, list[bytes]] = {}
        while len(found) < len(wanted):
            missing = []
            for number in wanted.keys() - found.keys():
                cuts = [(piece.start, piece.stop) for piece in wanted[number]]
                data = self._cache.read(blocks[number], cuts)
                if data is None:
                    missing.append(number)
                else:
                    found[number] = data
            lacking = {blocks[number]: wanted[number] for number in sorted(missing)}
            if lacking:
                found.update(self._fetch(store, name, pin, lacking))
        parts: list[list[bytes]] = [[] for _ in ranges]
        for number in sorted(wanted):
            for piece, data_ in zip(wanted[number], found[number], strict=True):
                parts[piece.place].append(data_)
        return [part[0] if len(part) == 1 else b"".join(part) for part in parts]

    def _fetch(
        self, store: Store, name: str, pin: Stat, wanted: dict[Block, list[Piece]]
    ) -> dict[int, list[bytes]]:
        """Fetch the blocks that nobody else is fetching; wait for the others, but return without.

        Nobody waits while others wait for him.
        """
        claims: list[Claim] = []
        passed: list[Block] = []
        waiting: list[Waiting] = []
        kept = 0
        try:
            for block in wanted:
                match self._cache.claim(block):
                    case Claim() as claim:
                        claims.append(claim)
                    case Waiting() as other:
                        waiting.append(other)
                    case None:
                        passed.append(block)
                if len(claims) == _MAX_CLAIMS:
                    break
            requests = [(claim.block.start, claim.block.size) for claim in claims]
            for block in passed:
                requests += [(block.start + p.start, p.stop - p.start) for p in wanted[block]]
            answers = iter(self._get_exactly(store, name, pin, requests))
            found = {}
            for claim in claims:
                data = next(answers)
                claim.keep(data)
                kept += 1
                found[claim.block.number] = [data[p.start : p.stop] for p in wanted[claim.block]]
            for block in passed:
                found[block.number] = [next(answers) for _ in wanted[block]]
        except BaseException:
            for other in waiting:
                other.close()
            raise
        finally:
            for claim in claims[kept:]:
                claim.give_up()
        for other in waiting:
            other.wait()
        passed_ranges = sum(len(wanted[block]) for block in passed)
        self._cache.counter.add(misses=len(claims), passed=passed_ranges)
        return found

    def _get_exactly(
        self, store: Store, name: str, pin: Stat, requests: list[tuple[int, int]]
    ) -> list[bytes]:
        """Return ranges of exactly one version of a file, and all of their bytes."""
        if not requests:
            return []
        answers = store.get_ranges(name, requests)
        self._check_unchanged(store, name, pin)
        for (offset, size), data in zip(requests, answers, strict=True):
            if len(data) != size:
                raise StorageError(
                    f"{store.url_of(name)}: expected {size:,} bytes from byte {offset:,} on, the "
                    f"store gave {len(data):,}. Try again; if it goes on, write the file anew."
                )
        return answers

    def __getstate__(self) -> dict[str, Any]:
        return {
            "store": self._store,
            "folder": self._folder,
            "max_bytes": self._cache.max_bytes,
            "block_bytes": self._block_bytes,
            "pins": dict(self._pins),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        options = {name: state[name] for name in ("max_bytes", "block_bytes")}
        self.__init__(state["store"], state["folder"], **options)  # type: ignore[misc]  # fresh
        self._pins = state["pins"]

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
