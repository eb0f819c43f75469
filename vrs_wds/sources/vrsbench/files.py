"""Files in a folder, or in a zip archive that is read without being extracted.

Archives are untrusted: nothing is ever written under a name that they give, and an entry that would
unpack to more than the caller allows is refused.
"""

import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from vrs_wds.errors import SourceError

# What zipfile raises for an entry that is damaged, or packed in a way that it does not know.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError)


class Place(Protocol):
    """Something that holds files by name. It pickles, and may be read by many threads at once."""

    @property
    def path(self) -> Path:
        """The folder or archive."""
        ...

    def names(self) -> list[str]:
        """List the files, at any depth, without system junk; sorted, with `/` between parts."""
        ...

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return a file's bytes."""
        ...

    def size(self, name: str) -> int:
        """Return a file's size in bytes, without reading it."""
        ...

    def label(self, name: str) -> str:
        """Return a short name of a file, for people."""
        ...

    def where(self, name: str) -> str:
        """Return the full name of a file, for errors."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and those below it; links to folders are not followed."""

    path: Path

    def names(self) -> list[str]:
        """List the files, at any depth, without system junk; sorted."""
        found = []
        for folder, _, names in os.walk(self.path):
            below = Path(folder).relative_to(self.path)
            found += [(below / name).as_posix() for name in names]
        return sorted(name for name in found if not is_junk(name))

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return a file's bytes.

        Raises:
            SourceError: if there are more than `max_bytes`.
        """
        with (self.path / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise _too_large(self.where(name), size, max_bytes)
            return file.read()

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return (self.path / name).stat().st_size

    def label(self, name: str) -> str:
        """Return the folder's own name and the file's: `Images_train/P0003_0002.png`."""
        return f"{self.path.name}/{name}"

    def where(self, name: str) -> str:
        """Return the file's path."""
        return str(self.path / name)


class ZipArchive:
    """A zip archive. It is opened when first read, once in each process; a pickle carries its path.

    A process that was forked has the parent's number in its handle, sees that it is not its own
    and opens another: two processes that share a file's position would read each other's bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: tuple[int, zipfile.ZipFile] | None = None

    def names(self) -> list[str]:
        """List the entries that are files, without system junk; sorted.

        Raises:
            SourceError: if it is not a zip archive.
        """
        infos = self._open().infolist()
        return sorted(i.filename for i in infos if not i.is_dir() and not is_junk(i.filename))

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return an entry's bytes, checked against its CRC.

        Raises:
            SourceError: if it is damaged, encrypted, or larger than `max_bytes`.
        """
        archive = self._open()
        info = archive.getinfo(name)
        if info.file_size > max_bytes:
            raise _too_large(self.where(name), info.file_size, max_bytes)
        try:
            # An entry that holds more than it says ends there too, and then fails its CRC.
            return archive.read(info)
        except _DAMAGE as error:
            raise SourceError(
                f"{self.where(name)}: the entry cannot be read: {error}. "
                "Fetch the archive again, or extract it and look at the entry."
            ) from error

    def size(self, name: str) -> int:
        """Return an entry's size in bytes, unpacked."""
        return self._open().getinfo(name).file_size

    def label(self, name: str) -> str:
        """Return the archive's and the entry's own names: `Images_train.zip: P0003_0002.png`."""
        return f"{self.path.name}: {PurePosixPath(name).name}"

    def where(self, name: str) -> str:
        """Return the archive's path and the entry's name."""
        return f"{self.path}: {name}"

    def _open(self) -> zipfile.ZipFile:
        # No lock: a fork could inherit it held. Two threads that both open do no harm.
        handle, process = self._handle, os.getpid()
        if handle is None or handle[0] != process:
            try:
                handle = (process, zipfile.ZipFile(self.path))
            except zipfile.BadZipFile as error:
                raise SourceError(
                    f"{self.path}: expected a zip archive, but it cannot be read as one: {error}. "
                    "Fetch it again; a download that stopped half-way looks like this."
                ) from error
            self._handle = handle
        return handle[1]

    def __reduce__(self) -> tuple[Callable[[Path], "ZipArchive"], tuple[Path]]:
        return ZipArchive, (self.path,)

    def __repr__(self) -> str:
        return f"ZipArchive({str(self.path)!r})"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file in a place."""

    place: Place
    name: str
    """Inside the place, with `/` between parts."""

    @property
    def file_name(self) -> str:
        """The last part of the name."""
        return PurePosixPath(self.name).name

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return PurePosixPath(self.name).stem

    @property
    def extension(self) -> str:
        """The extension, in lower case, without a dot."""
        return PurePosixPath(self.name).suffix[1:].lower()

    @property
    def label(self) -> str:
        """A short name, for people: `Images_train.zip: P0003_0002.png`."""
        return self.place.label(self.name)

    @property
    def where(self) -> str:
        """The full name, for errors."""
        return self.place.where(self.name)

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.place.size(self.name)

    def read(self, max_bytes: int) -> bytes:
        """Return the file's bytes; `SourceError` if there are more than `max_bytes`."""
        return self.place.read(self.name, max_bytes)


def is_junk(name: str) -> bool:
    """Tell whether a name is hidden or what macOS adds to archives.

    >>> is_junk("__MACOSX/Images_train/._a.png"), is_junk("Images_train/a.png")
    (True, False)
    """
    parts = name.split("/")
    return "__MACOSX" in parts or any(p.startswith(".") and p not in (".", "..") for p in parts)


def _too_large(where: str, size: int, max_bytes: int) -> SourceError:
    return SourceError(
        f"{where}: expected at most {max_bytes:,} bytes, got {size:,}. "
        "Remove the file if it does not belong to the dataset."
    )
