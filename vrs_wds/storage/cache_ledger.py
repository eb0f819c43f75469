"""How many bytes a cache folder holds, and who may change it: one small file, and its lock."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crc32c import crc32c

from vrs_wds.storage.held_files import HeldFiles, lock

_NAME = "usage"
_MARK = b"VRSWDSu1"
_NUMBER = struct.Struct("<8sQ")
_CHECKSUM = struct.Struct("<I")
_SIZE = _NUMBER.size + _CHECKSUM.size


class CacheLedger:
    """The number of bytes that are in use or promised; only the holder of its lock changes files.

    It is written before a file is made and after one is removed, so that a process that is killed
    in between leaves a number that is too high, never one that is too low.
    """

    def __init__(self, folder: Path, files: HeldFiles) -> None:
        self._folder = folder
        self._files = files

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the lock of the whole folder, which is made if it is missing; for a short time."""
        path = self._folder / _NAME
        while True:
            try:
                _check_owner(self._folder)
                descriptor = self._files.open(str(path), os.O_RDWR | os.O_CREAT)
            except FileNotFoundError:
                _make_folder(self._folder)
                continue
            try:
                lock(descriptor)
                if _is_at(path, descriptor):
                    if os.fstat(descriptor).st_size < _SIZE:  # a new one: it counts, too
                        os.ftruncate(descriptor, _SIZE)
                    yield descriptor
                    return
            finally:
                self._files.close(descriptor)

    def read(self, descriptor: int) -> int | None:
        """Return the number of bytes, or None if it is not known."""
        data = os.pread(descriptor, _SIZE, 0)
        if len(data) != _SIZE:
            return None
        (found,) = _CHECKSUM.unpack_from(data, _NUMBER.size)
        mark, used = _NUMBER.unpack_from(data)
        whole = mark == _MARK and found == crc32c(data[: _NUMBER.size])
        return int(used) if whole else None

    def write(self, descriptor: int, used: int) -> None:
        """Replace the number of bytes."""
        data = _NUMBER.pack(_MARK, used)
        os.pwrite(descriptor, data + _CHECKSUM.pack(crc32c(data)), 0)

    def give_back(self, descriptor: int, size: int) -> None:
        """Take some bytes off, if the number is known."""
        used = self.read(descriptor)
        if used is not None:
            self.write(descriptor, max(used - size, 0))


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _make_folder(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def _check_owner(folder: Path) -> None:
    """Trust no folder that another user has made, or put a link in the place of."""
    stat = folder.lstat()
    if folder.is_symlink() or stat.st_uid != os.geteuid():
        raise PermissionError(f"{folder}: expected a folder made by this user")
