"""A split's index, read a row group (a shard) at a time into numpy columns."""

import bisect
import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vrs_wds.errors import ManifestError, SampleNotFound
from vrs_wds.shard.index_table import MEMBER_COLUMNS, extensions_in, member_column
from vrs_wds.shard.manifest import Manifest
from vrs_wds.storage.store import Store

_MAX_GROUPS = 64


@dataclass(frozen=True, slots=True)
class MemberColumns:
    """Where the members of one extension lie; one number a sample of the row group."""

    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    """-1 where a sample has no such member."""
    crc32c: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The rows of one shard."""

    keys: pa.ChunkedArray
    members: Mapping[str, MemberColumns]
    """By extension, in member order."""


class Index:
    """The rows of a split, in the order of its shards. Columns are loaded when they are needed."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        layer = manifest.vrs_wds.layers[0]
        counts = [shard.nsamples for shard in manifest.shardlist[layer.start : layer.stop]]
        self.starts = list(itertools.accumulate(counts, initial=0))
        """Number of each shard's first sample; the last entry is the number of samples."""
        self._reset()

    def _reset(self) -> None:
        self._groups: OrderedDict[int, RowGroup] = OrderedDict()
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return self.starts[-1]

    def locate(self, number: int) -> tuple[RowGroup, int]:
        """Return the row group of a sample, and its row there."""
        group = bisect.bisect_right(self.starts, number) - 1
        return self.group(group), number - self.starts[group]

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
            if name not in self._columns:
                with self._open() as file:
                    if name not in file.schema_arrow.names:
                        known = [known for known in file.schema_arrow.names if ":" not in known]
                        raise KeyError(f"no column {name!r}; there are {', '.join(known)}")
                    self._columns[name] = file.read(columns=[name])[name]
            return self._columns[name]

    def column_names(self) -> list[str]:
        """Return the names of all columns."""
        with self._lock, self._open() as file:
            names: list[str] = file.schema_arrow.names
            return names

    def key_at(self, number: int) -> str:
        """Return a sample's key."""
        group, row = self.locate(number)
        key: str = group.keys[row].as_py()
        return key

    def numbers_of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Return the numbers of samples by their keys.

        Raises:
            SampleNotFound: if a key is not there.
        """
        import pyarrow.compute as pc

        found = pc.index_in(pa.array(keys, pa.string()), value_set=self.column("key"))
        if found.null_count:
            missing = keys[found.is_null().to_pylist().index(True)]
            raise SampleNotFound(
                f"{self._store.url}: split {self._manifest.name!r} has no sample {missing!r}. "
                "Keys are listed by `vrs-wds ls`."
            )
        numbers: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return numbers

    def _read_group(self, number: int) -> RowGroup:
        with self._open() as file:
            extensions = extensions_in(file.schema_arrow)
            names = [member_column(ext, name) for ext in extensions for name in MEMBER_COLUMNS]
            table = file.read_row_group(number, columns=["key", *names])
        expected = self.starts[number + 1] - self.starts[number]
        if table.num_rows != expected:
            raise self._mismatch(f"{expected} rows in row group {number}", str(table.num_rows))
        return RowGroup(
            keys=table["key"],
            members={
                extension: MemberColumns(
                    *(table[member_column(extension, name)].to_numpy() for name in MEMBER_COLUMNS)
                )
                for extension in extensions
            },
        )

    def _open(self) -> "_ParquetReader":
        return _ParquetReader(self._store, self._manifest, len(self.starts) - 1)

    def _mismatch(self, expected: str, found: str) -> ManifestError:
        return _mismatch(self._store, self._manifest, expected, found)

    def __getstate__(self) -> dict[str, Any]:
        return {"_store": self._store, "_manifest": self._manifest, "starts": self.starts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class _ParquetReader:
    """Opens the index file; a damaged one is a `ManifestError`."""

    def __init__(self, store: Store, manifest: Manifest, num_groups: int) -> None:
        self._store, self._manifest, self._num_groups = store, manifest, num_groups

    def __enter__(self) -> pq.ParquetFile:
        url = self._manifest.vrs_wds.index.url
        self._context = self._store.open_reader(url)
        try:
            file = pq.ParquetFile(self._context.__enter__())
        except FileNotFoundError as error:
            raise _mismatch(self._store, self._manifest, "the index", "no file") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise _mismatch(self._store, self._manifest, "a Parquet file", str(error)) from error
        if file.num_row_groups != self._num_groups:
            raise _mismatch(
                self._store,
                self._manifest,
                f"{self._num_groups} row groups, one a shard",
                str(file.num_row_groups),
            )
        return file

    def __exit__(self, *exception: object) -> None:
        self._context.__exit__(None, None, None)


def _mismatch(store: Store, manifest: Manifest, expected: str, found: str) -> ManifestError:
    return ManifestError(
        f"{store.url_of(manifest.vrs_wds.index.url)}: the manifest promises {expected}; found "
        f"{found}. Make the index anew with `vrs-wds index --overwrite`."
    )
