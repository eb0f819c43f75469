"""A folder of cached blocks that the processes of a node share; it never exceeds its limit."""

import logging
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vrs_wds.forks import reset_in_children
from vrs_wds.storage.block_file import (
    MARK,
    DamagedBlock,
    ForeignFile,
    charge,
    encode_block,
    file_bytes,
    is_marked,
    read_pieces,
)
from vrs_wds.storage.blocks import Block
from vrs_wds.storage.cache_counts import CacheCounter
from vrs_wds.storage.cache_ledger import CacheLedger
from vrs_wds.storage.held_files import HeldFiles, lock, try_lock

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_BLOCK, _PART = ".block", ".part"
_NAME = re.compile(r"[0-9a-f]{64}\.(?:block|part)")
_PAUSE = 256
"""Blocks that are not cached after a fault: a full disk is not tried again each time."""
_SPARE = 20
"""One part in so many of the limit is freed beyond what is needed, so that files are not listed for
every single block."""


class CacheFolder:
    """Holds blocks of files. Every method works on when the folder fails; see `CacheCounts.faults`.

    All changes are made by the holder of the ledger's lock. A block that is being fetched is a file
    `KEY.part`, locked by the one who fetches and as large as it will become; then it is renamed to
    `KEY.block`. A file without the mark is another's, and stays. Readers hold a shared lock, and
    what is being read is not evicted. `flock`s end with their process, however it ends.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder / f"vrs-wds-cache.{os.getuid()}"
        self._prefix = f"{self.folder}{os.sep}"
        self.max_bytes = max_bytes
        self.counter = CacheCounter()
        self._files = HeldFiles()
        self._ledger = CacheLedger(self.folder, self._files)
        self._begun = False
        self._pause = 0
        self._told: set[str] = set()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Close the parent's files, and count from 0."""
        self._files.close_in_child()
        self.counter.reset()

    def read(self, block: Block, pieces: Sequence[tuple[int, int]]) -> list[list[bytes]] | None:
        """Return parts of a block, each `[first, stop)`, to be joined; None if it is not here."""
        if not self._begun and self._pause > 0:
            return None
        return self._try(lambda: self._find(block, pieces))

    def _begin(self) -> None:
        """Once in each process: count what is there, and hold it to the limit."""
        if not self._begun:
            with self._ledger.locked() as ledger:
                self._ledger.write(ledger, self._make_room(0))
            self._begun = True

    def _find(self, block: Block, pieces: Sequence[tuple[int, int]]) -> list[list[bytes]] | None:
        self._begin()
        try:
            descriptor = self._files.open(self._path(block, _BLOCK), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return self._read(descriptor, block, pieces)
        finally:
            self._files.close(descriptor)

    def _read(
        self, descriptor: int, block: Block, pieces: Sequence[tuple[int, int]]
    ) -> list[list[bytes]] | None:
        lock(descriptor, shared=True)
        found = os.fstat(descriptor)
        if found.st_nlink == 0 or not stat.S_ISREG(found.st_mode):
            return None
        try:
            data = read_pieces(descriptor, block, pieces, found_bytes=found.st_size)
        except ForeignFile:
            return None
        except DamagedBlock as error:
            path = self._path(block, _BLOCK)
            self._tell("damaged", "%s: a damaged block is fetched again: %s", path, error)
            self._drop(block, found)
            return None
        os.utime(descriptor)
        self.counter.add(hits=1, cache_bytes=sum(stop - first for first, stop in pieces))
        return data

    def claim(self, block: Block) -> "Claim | Waiting | None":
        """Ask to fetch a block that `read` did not find.

        Returns:
            A claim, with room for the block: the caller fetches. Or whom to wait for before looking
            again. Or None if the block cannot be cached.
        """
        if self._pause > 0:
            self._pause -= 1
            return None
        return self._try(lambda: self._claim(block))

    def _claim(self, block: Block) -> "Claim | Waiting | None":
        block_path, path = self._path(block, _BLOCK), self._path(block, _PART)
        with self._ledger.locked() as ledger:
            if os.path.lexists(block_path):
                with self._files.opened(block_path, os.O_RDONLY) as descriptor:
                    ours = _is_ours(descriptor)
                if not ours:
                    self._tell("foreign", "%s: not written by this cache; it stays", block_path)
                return Waiting(self._files, None) if ours else None
            if os.path.lexists(path):
                descriptor = self._files.open(path, os.O_RDONLY)
                if not try_lock(descriptor):
                    return Waiting(self._files, descriptor)
                try:  # whoever was fetching has died
                    if not _is_ours(descriptor):
                        return None
                    os.unlink(path)
                    self._ledger.give_back(ledger, charge(file_bytes(block)))
                finally:
                    self._files.close(descriptor)
            return self._make_claim(ledger, block, path)

    def _make_claim(self, ledger: int, block: Block, path: str) -> "Claim | None":
        need = charge(file_bytes(block))
        used = self._ledger.read(ledger)
        if used is None or used + need > self.max_bytes:
            used = self._make_room(need)
            self._ledger.write(ledger, used)
        if used + need > self.max_bytes:
            return None
        self._ledger.write(ledger, used + need)
        try:
            descriptor = self._make_part(block, path)
        except OSError:
            self._ledger.write(ledger, used)
            raise
        return Claim(self, block, path, descriptor)

    def _make_part(self, block: Block, path: str) -> int:
        """Make the file of a block that is to be fetched, marked, locked and of its full size."""
        descriptor = self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            lock(descriptor)
            os.pwrite(descriptor, MARK, 0)
            os.ftruncate(descriptor, file_bytes(block))
        except OSError:
            os.unlink(path)
            self._files.close(descriptor)
            raise
        return descriptor

    def _make_room(self, need: int) -> int:
        """Count what is there, remove what the dead left, and evict; return the bytes in use."""
        used, blocks = 0, []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed by hand
                    continue
                size = charge(found.st_size)
                ours = bool(_NAME.fullmatch(entry.name)) and stat.S_ISREG(found.st_mode)
                if ours and entry.name.endswith(_PART) and self._remove(entry.path):
                    size = 0
                used += size
                if ours and entry.name.endswith(_BLOCK):
                    blocks.append((found.st_mtime_ns, entry.name, size))
        if used + need > self.max_bytes:
            spare = self.max_bytes // _SPARE // need * need if need else 0
            aim = self.max_bytes - need - spare
            for _, name, size in sorted(blocks):
                if used <= aim:
                    break
                if self._remove(self._prefix + name):
                    used -= size
                    self.counter.add(evictions=1)
        return used

    def _remove(self, path: str) -> bool:
        """Remove a file that nobody has locked; return whether it is gone."""
        with suppress(FileNotFoundError), self._files.opened(path, os.O_RDONLY) as descriptor:
            if not try_lock(descriptor) or not is_marked(descriptor):
                return False
            os.unlink(path)
        return True

    def _drop(self, block: Block, found: os.stat_result) -> None:
        """Remove a damaged block, unless another one has taken its place."""
        path = self._path(block, _BLOCK)
        with self._ledger.locked() as ledger, suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(path), found):
                os.unlink(path)
                size = min(charge(found.st_size), charge(file_bytes(block)))
                self._ledger.give_back(ledger, size)
                self.counter.add(rejected=1)

    def _finish(self, claim: "Claim", data: bytes | None) -> None:
        """Make a claim's file a block with these bytes, or remove it."""
        written = None
        try:
            if data is not None:
                parts = encode_block(claim.block, data)
                written = self._try(lambda: _write(claim.descriptor, parts))
        finally:
            try:
                self._try(lambda: self._settle(claim, keep=written is not None))
            finally:
                self._files.close(claim.descriptor)

    def _settle(self, claim: "Claim", *, keep: bool) -> None:
        with self._ledger.locked() as ledger:
            path = self._path(claim.block, _BLOCK)
            if keep and not os.path.lexists(path):
                os.rename(claim.path, path)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(claim.path)
                self._ledger.give_back(ledger, charge(file_bytes(claim.block)))

    def _path(self, block: Block, ending: str) -> str:
        return f"{self._prefix}{block.key.hex()}{ending}"

    def _try(self, action: Callable[[], T]) -> T | None:
        """Do something on the disk; if that fails, go on without the cache, and give None."""
        try:
            return action()
        except OSError as error:
            self._pause = _PAUSE
            self.counter.add(faults=1)
            text = "%s: the cache cannot be used, and reading goes on without it: %s"
            self._tell("fault", text, self.folder, error)
            return None

    def _tell(self, kind: str, text: str, *values: object) -> None:
        """Log a warning, once of each kind."""
        if kind not in self._told:
            self._told.add(kind)
            _LOG.warning(text, *values)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right, and the duty, to fetch a block; others wait for it."""

    cache: CacheFolder
    block: Block
    path: str
    descriptor: int

    def keep(self, data: bytes) -> None:
        """Put the block into the cache."""
        self.cache._finish(self, data)

    def give_up(self) -> None:
        """Leave it to others to fetch it."""
        self.cache._finish(self, None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody else fetches the block."""

    files: HeldFiles
    descriptor: int | None
    """None if the block has come in the meantime."""

    def wait(self) -> None:
        """Return when it is there, or has been given up, or the other has died."""
        if self.descriptor is not None:
            try:
                lock(self.descriptor, shared=True)
            finally:
                self.close()

    def close(self) -> None:
        """Wait no longer."""
        if self.descriptor is not None:
            self.files.close(self.descriptor)


def _is_ours(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode) and is_marked(descriptor)


def _write(descriptor: int, parts: Sequence[bytes]) -> int:
    """Write a file from its start; return its size."""
    position = 0
    for part in parts:
        view = memoryview(part)
        while view:
            written = os.pwrite(descriptor, view, position)
            view, position = view[written:], position + written
    return position
