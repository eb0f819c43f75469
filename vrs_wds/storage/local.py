"""A folder on a local disk as a store."""

import errno
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from vrs_wds.forks import reset_in_children
from vrs_wds.storage.names import is_hidden
from vrs_wds.storage.pins import Pins
from vrs_wds.storage.reading import DISK, Reading
from vrs_wds.storage.store import Stat, StoreWriter

_MAX_OPEN_FILES = 128
_READ_BUFFER_BYTES = 128 * 1024
"""Read at once of an open file. A column of a large index has parts of some 64 KiB: a larger buffer
would read their neighbours as well."""
_ATTEMPTS = 100
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY = ".tmp~"
"""End of the names of files that are being written."""


class _OpenFile:
    """A file descriptor that closes when nobody uses it any more."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self.stat = _to_stat(os.fstat(self.descriptor))

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        # Bound as a default: at interpreter exit the module's own names are gone.
        if self.descriptor >= 0:
            _close(self.descriptor)


class LocalStore:
    """A folder. Files being written have hidden temporary names until they are complete."""

    reading: ClassVar[Reading] = DISK

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pins = Pins()
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with no open files and a lock that nobody holds."""
        self._open_files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._last: tuple[str, _OpenFile] | None = None  # most reads are of the file read before
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self.root)

    def url_of(self, name: str) -> str:
        """Return a file's path."""
        return str(self.root / name)

    def get(self, name: str) -> bytes:
        """Return all bytes of a file."""
        with (self.root / name).open("rb") as file:
            stat = _to_stat(os.fstat(file.fileno()))
            data = file.read()
        self._pins.note_whole(name, stat, self.url_of(name))
        return data

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, or fewer where the file ends."""
        descriptor = (file := self._file(name)).descriptor
        data = os.pread(descriptor, size, offset)
        while data and len(data) < size:  # Linux reads at most 2 GiB at once
            more = os.pread(descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        del file  # held until here: another thread may have dropped it from the open ones
        return data

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return several ranges of a file."""
        return [self.get_range(name, offset, size) for offset, size in ranges]

    def stat(self, name: str) -> Stat:
        """Return a file's size, and an etag made of inode, size and time of change.

        A file that was replaced since it was opened here is opened anew for the next read.
        """
        found = _to_stat((self.root / name).stat())
        with self._lock:
            file = self._open_files.get(name)
            if file is not None and file.stat != found:
                del self._open_files[name]
                self._last = None
        return found

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes."""
        return (self.root / name).stat().st_size

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.root / name).is_file()

    def list_names(self, prefix: str = "", *, hidden: bool = False) -> Iterator[str]:
        """Yield the names that start with `prefix`, sorted; hidden ones only if asked for."""
        # Only the folder that the prefix names, not everything beside it.
        names = (
            path.relative_to(self.root).as_posix()
            for path in _files_below(self.root / prefix.rpartition("/")[0])
        )
        yield from sorted(
            name
            for name in names
            if name.startswith(prefix) and not name.endswith(_TEMPORARY)
            if hidden or not is_hidden(name)
        )

    @contextmanager
    def open_reader(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading."""
        with (self.root / name).open("rb", buffering=_READ_BUFFER_BYTES) as file:
            self._pins.pin(name, _to_stat(os.fstat(file.fileno())), self.url_of(name))
            yield file

    @contextmanager
    def open_writer(self, name: str) -> Iterator[StoreWriter]:
        """Write a file under a temporary name, then rename it."""
        path = self.root / name
        with _temporary_file(path) as file:
            yield file  # type: ignore[misc]  # BufferedWriter.write also returns a count
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
            self._forget(name)
            _sync_folder(path.parent)

    def put(self, name: str, data: bytes) -> None:
        """Write a file in one go."""
        with self.open_writer(name) as writer:
            writer.write(data)

    def put_new(self, name: str, data: bytes) -> None:
        """Write a file in one go unless there is one of that name."""
        path = self.root / name
        with _temporary_file(path) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)  # unlike a rename it fails if the name is taken
            self._forget(name)
            _sync_folder(path.parent)
        self._remove_if_empty(path.parent)  # another process may have removed the file already

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name; one of that name is replaced.

        A hidden folder that it was the last in is removed.
        """
        (self.root / name).replace(self.root / new_name)
        self._forget(name)
        self._forget(new_name)
        _sync_folder((self.root / new_name).parent)
        self._remove_if_empty((self.root / name).parent)

    def delete(self, name: str) -> None:
        """Remove a file, and the hidden folder that it was the last in; none is no error."""
        path = self.root / name
        path.unlink(missing_ok=True)
        self._forget(name)
        self._remove_if_empty(path.parent)

    def sweep(self, prefix: str) -> int:
        """Remove temporary files below `prefix`."""
        folder = self.root / prefix.rpartition("/")[0]
        leftovers = [
            path
            for path in _files_below(folder)
            if path.name.startswith(".") and path.name.endswith(_TEMPORARY)
            # `.NAME.RANDOM.tmp~` is to become `NAME`
            if path.with_name(path.name[1:]).relative_to(self.root).as_posix().startswith(prefix)
        ]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def _file(self, name: str) -> _OpenFile:
        last = self._last
        if last is not None and last[0] == name:
            return last[1]
        with self._lock:
            file = self._open_files.pop(name, None) or self._opened(name)
            self._open_files[name] = file
            if len(self._open_files) > _MAX_OPEN_FILES:
                self._open_files.popitem(last=False)
            self._last = (name, file)
            return file

    def _opened(self, name: str) -> _OpenFile:
        file = _OpenFile(self.root / name)
        self._pins.pin(name, file.stat, self.url_of(name))
        return file

    def _forget(self, name: str) -> None:
        """Read anew what this store has written itself."""
        with self._lock:
            self._open_files.pop(name, None)
            self._last = None
        self._pins.forget(name)

    def _remove_if_empty(self, folder: Path) -> None:
        if folder != self.root and folder.name.startswith("."):
            with suppress(OSError):  # not empty
                folder.rmdir()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"])  # type: ignore[misc]  # a fresh one

    def __repr__(self) -> str:
        return f"LocalStore({self.url!r})"


def _to_stat(stat: os.stat_result) -> Stat:
    return Stat(stat.st_size, f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}")


@contextmanager
def _temporary_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `path`; it is removed at the end if it still has its first name."""
    name = f".{path.name}.{secrets.token_hex(8)}{_TEMPORARY}"
    for attempt in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.with_name(name).open("xb", buffering=1 << 20)
        # Another process has just removed the empty hidden folder; or a file is in its place.
        except (FileNotFoundError, FileExistsError):
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    try:
        with file:
            yield file
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = str(path)  # the message then says where
        raise
    finally:
        path.with_name(name).unlink(missing_ok=True)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those below, but for what may not be looked into there.

    Other processes may remove some meanwhile.

    Raises:
        OSError: if the folder cannot be listed, or one below fails.
    """

    def check(error: OSError, place: Path) -> None:
        is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        if not is_gone and not (isinstance(error, PermissionError) and place != folder):
            raise error

    for parent, _, names in os.walk(folder, onerror=lambda e: check(e, Path(e.filename))):
        for path in map(Path(parent).joinpath, names):
            try:
                is_file = path.is_file()
            except OSError as error:
                check(error, Path(parent))
            else:
                if is_file:
                    yield path


def _sync_folder(path: Path) -> None:
    """Make a rename last through a power cut."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # another process has just removed the file, and the empty folder
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
