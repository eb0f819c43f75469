"""A split's index, read a row group (a shard) at a time into numpy columns."""

import bisect
import hashlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vrs_wds.errors import ManifestError, SampleNotFound, StorageError
from vrs_wds.forks import no_fork_meanwhile, reset_in_children
from vrs_wds.reader.runs import RunTable, find_runs
from vrs_wds.shard.index_table import (
    ABSENT,
    FOOTER_TAIL,
    MEMBER_COLUMNS,
    SAMPLE_COLUMNS,
    count_column,
    extensions_in,
    footer_size,
    member_column,
)
from vrs_wds.shard.manifest import FileInfo, Manifest
from vrs_wds.storage.reading import Reading, reading_of
from vrs_wds.storage.store import Store

_MAX_GROUPS = 64
_MAX_KEPT_BYTES = 64 * 1024 * 1024
"""An index up to this size is read from a far store once and kept."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The rows of one shard."""

    keys: list[str]
    extensions: tuple[str, ...]
    """In member order."""
    places: NDArray[np.int64]
    """(samples, extensions, 4): shard, offset, size (-1: there is no such member), CRC32C. All of a
    sample's numbers lie side by side and become Python's in one step."""
    outside: frozenset[int]
    """Rows with a member that lies outside of its shard: an index is not to be trusted."""
    tables: dict[tuple[frozenset[str] | None, Reading], RunTable] = field(default_factory=dict)
    """What `runs` has found."""

    def runs(self, wanted: frozenset[str] | None, reading: Reading) -> RunTable:
        """Return which members of each row are read together; the tables are kept.

        Args:
            wanted: Extensions of the members to read; None for all.
            reading: How their store likes to be read.
        """
        if (table := self.tables.get((wanted, reading))) is None:
            members = [
                (extension, column)
                for column, extension in enumerate(self.extensions)
                if wanted is None or extension in wanted
            ]
            table = self.tables[wanted, reading] = find_runs(self.places, members, reading)
        return table


class Index:
    """The rows of a split, in the order of its shards. Columns are loaded when they are needed."""

    def __init__(self, store: Store, manifest: Manifest, beginning: bytes = b"") -> None:
        """Make an index of which nothing is read yet but, perhaps, the beginning of its file."""
        self._store = store
        self._manifest = manifest
        layer = manifest.vrs_wds.layers[0]
        counts = [shard.nsamples for shard in manifest.shardlist[layer.start : layer.stop]]
        self.starts = list(itertools.accumulate(counts, initial=0))
        """Number of each shard's first sample; the last entry is the number of samples."""
        self.reset_after_fork()
        self._beginning = beginning
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Begin with nothing read, and a lock that nobody holds."""
        self._groups: OrderedDict[int, RowGroup] = OrderedDict()
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._is_checked = False
        self._kept: bytes | None = None
        self._beginning = b""
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self.starts[-1]

    def locate(self, number: int) -> tuple[RowGroup, int, int]:
        """Return the row group of a sample, and the numbers of its first sample and the next's."""
        group = bisect.bisect_right(self.starts, number) - 1
        return self.group(group), self.starts[group], self.starts[group + 1]

    def group(self, number: int) -> RowGroup:
        """Return a row group; the last few used are kept."""
        with self._lock:
            group = self._groups.pop(number, None) or self._read_group(number)
            self._groups[number] = group
            if len(self._groups) > _MAX_GROUPS:
                self._groups.popitem(last=False)
            return group

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a whole column; it is kept.

        Raises:
            KeyError: if there is no such column.
        """
        with self._lock:
            if (found := self._columns.get(name)) is None:
                with self._open() as file:
                    if name not in file.schema_arrow.names:
                        known = [known for known in file.schema_arrow.names if ":" not in known]
                        raise KeyError(f"no column {name!r}; there are {', '.join(known)}")
                    found = file.read(columns=[name], use_threads=False)[name]
                self._columns[name] = found
            return found

    def column_names(self) -> list[str]:
        """Return the names of all columns."""
        with self._lock, self._open() as file:
            names: list[str] = file.schema_arrow.names
            return names

    def key_at(self, number: int) -> str:
        """Return a sample's key."""
        group, first, _ = self.locate(number)
        return group.keys[number - first]

    def numbers_of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Return the numbers of samples by their keys.

        Raises:
            SampleNotFound: if a key is not there.
        """
        column = self.column("key")
        with no_fork_meanwhile():
            found = pc.index_in(pa.array(keys, pa.string()), value_set=column).to_pylist()
        if None in found:
            missing = keys[found.index(None)]
            raise SampleNotFound(
                f"{self._store.url}: split {self._manifest.name!r} has no sample {missing!r}. "
                "Keys are listed by `vrs-wds ls`."
            )
        return np.array(found, dtype=np.int64)

    def values(self, name: str) -> NDArray[Any]:
        """Return a whole numeric column.

        Raises:
            KeyError: if there is no such column.
        """
        column = self.column(name)
        with no_fork_meanwhile():
            return column.to_numpy()  # type: ignore[no-any-return]

    def _read_group(self, number: int) -> RowGroup:
        with self._open() as file:
            extensions = extensions_in(file.schema_arrow)
            names = [member_column(ext, name) for ext in extensions for name in MEMBER_COLUMNS]
            table = file.read_row_group(number, columns=["key", *names], use_threads=False)
            columns = [_numbers(table[name]) for name in names]
            places = np.empty((len(table), len(columns)), dtype=np.int64)
            for i, column in enumerate(columns):
                places[:, i] = column
            by_member = places.reshape(len(table), len(extensions), len(MEMBER_COLUMNS))
            sizes = [shard.filesize for shard in self._manifest.shardlist]
            return RowGroup(
                keys=_texts(table["key"]),
                extensions=tuple(extensions),
                places=by_member,
                outside=rows_outside(by_member, np.array(sizes, dtype=np.int64)),
            )

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        """Open the index file; whatever is wrong with it is a `ManifestError`."""
        info = self._manifest.vrs_wds.index
        try:
            if reading_of(self._store).is_far and info.filesize <= _MAX_KEPT_BYTES:
                with no_fork_meanwhile():
                    file = pq.ParquetFile(pa.BufferReader(self._whole(info)))
                    self._check_rows(file.metadata)
                    yield file
                return
            if (size := self._store.size_of(info.url)) != info.filesize:
                raise self._mismatch(f"{info.filesize:,} bytes", f"{size:,}")
            self._check_footer(info)
            with self._store.open_reader(info.url) as stream:
                self._check_bytes(stream, info)
                with no_fork_meanwhile():
                    # Else arrow's threads read the stream, and one that lets go of what it has
                    # read while the interpreter ends aborts the process.
                    file = pq.ParquetFile(stream, pre_buffer=False)
                    self._check_rows(file.metadata)
                    yield file
        except FileNotFoundError as error:
            raise self._mismatch("the index", "no file") from error
        except StorageError:
            raise  # it says itself what is wrong, and the index may be sound
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._mismatch("a sound Parquet file", str(error)) from error

    def _whole(self, info: FileInfo) -> bytes:
        """Return the whole file, read once: each look at a far store takes its time."""
        if self._kept is None:
            data, self._beginning = self._beginning, b""
            if 0 < len(data) < info.filesize:
                data += self._store.get_range(info.url, len(data), info.filesize - len(data))
            if hashlib.sha256(data).hexdigest() != info.sha256:
                # Nothing came beside the manifest, or of an index that was there before.
                data = self._store.get_range(info.url, 0, info.filesize)
            if len(data) != info.filesize:
                raise self._mismatch(f"{info.filesize:,} bytes", f"{len(data):,}")
            if hashlib.sha256(data).hexdigest() != info.sha256:
                raise self._mismatch("an index with another checksum", "its bytes were changed")
            self._kept = data
        return self._kept

    def _check_bytes(self, stream: BinaryIO, info: FileInfo) -> None:
        """Compare the whole file with the manifest, once."""
        if self._is_checked:
            return
        if hashlib.file_digest(cast(Any, stream), "sha256").hexdigest() != info.sha256:
            raise self._mismatch("an index with another checksum", "its bytes were changed")
        stream.seek(0)
        self._is_checked = True

    def _check_footer(self, info: FileInfo) -> None:
        """Compare the file's end with the manifest, each time: it may have been replaced."""
        tail = self._store.get_range(info.url, info.filesize - FOOTER_TAIL, FOOTER_TAIL)
        try:
            size = footer_size(tail)
        except ValueError as error:
            raise self._mismatch("a Parquet file", str(error)) from error
        footer = self._store.get_range(info.url, max(0, info.filesize - size), size)
        if hashlib.sha256(footer).hexdigest() != info.footer_sha256:
            raise self._mismatch("an index with another checksum", "it was changed or replaced")

    def _check_rows(self, metadata: pq.FileMetaData) -> None:
        counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        expected = np.diff(self.starts).tolist()
        if len(counts) != len(expected):
            raise self._mismatch(f"{len(expected)} row groups, one a shard", str(len(counts)))
        for number, (found, wanted) in enumerate(zip(counts, expected, strict=True)):
            if found != wanted:
                raise self._mismatch(f"{wanted} rows in row group {number}", str(found))
        columns = {*SAMPLE_COLUMNS, *(count_column(t) for t in self._manifest.vrs_wds.tasks)}
        for extension in self._manifest.vrs_wds.extensions:
            columns |= {member_column(extension, name) for name in MEMBER_COLUMNS}
        if missing := columns - {*metadata.schema.to_arrow_schema().names}:
            raise self._mismatch(f"a column {min(missing)!r}", "none of that name")

    def _mismatch(self, expected: str, found: str) -> ManifestError:
        return ManifestError(
            f"{self._store.url_of(self._manifest.vrs_wds.index.url)}: the manifest promises "
            f"{expected}; found {found}. Open the dataset again if it was written anew, or make "
            "the index anew with `vrs-wds index --overwrite`."
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"_store": self._store, "_manifest": self._manifest, "starts": self.starts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.reset_after_fork()
        reset_in_children(self)


def rows_outside(places: NDArray[np.int64], sizes: NDArray[np.int64]) -> frozenset[int]:
    """Return the rows with a member that begins or ends outside of its shard."""
    shard, offset, size = places[..., 0], places[..., 1], places[..., 2]
    known = (shard >= 0) & (shard < len(sizes))
    # Not `offset + size`: a sum of large numbers would turn negative.
    room = sizes[np.where(known, shard, 0)] - offset
    inside = known & (offset >= 0) & (size >= 0) & (size <= room)
    return frozenset(np.flatnonzero((~inside & (size != ABSENT)).any(axis=1)).tolist())


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column without nulls. Unlike its `to_numpy()` this does not import pandas."""
    return np.from_dlpack(column.combine_chunks())


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Return a column of texts."""
    with no_fork_meanwhile():
        return column.to_pylist()  # type: ignore[no-any-return]
