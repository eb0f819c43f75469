"""A split as a sequence of samples, read by its index."""

import operator
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import starmap
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from vrs_wds.errors import SampleNotFound
from vrs_wds.forks import no_fork_meanwhile
from vrs_wds.markup import table
from vrs_wds.reader.index import Index
from vrs_wds.reader.members import MemberRequest, RangeSource, read_members
from vrs_wds.reader.near import read_near
from vrs_wds.reader.rows import IndexRows
from vrs_wds.reader.where import evaluate_where
from vrs_wds.sample import Sample
from vrs_wds.shard.index_table import count_column
from vrs_wds.shard.manifest import Manifest
from vrs_wds.storage.reading import Reading, reading_of
from vrs_wds.storage.store import Store
from vrs_wds.tasks.registry import get_task, resolve_tasks
from vrs_wds.tasks.sidecars import META_EXTENSION, SidecarParser
from vrs_wds.tasks.task import extension_of

_Read = tuple[str, dict[str, bytes], str]
"""A sample's key, its members by extension, and its shard's URL."""
_ITER_CHUNK = 64
"""The most samples that iteration reads at once."""
_RUN_BYTES = 1280 * 1024
"""Bytes read at once from a disk: about what a processor's second cache holds."""
_LARGE_BYTES = 128 * 1024
"""Larger samples are read one by one: glibc gives their memory back to the system each time."""


class ShardedDataset:
    """A split of a dataset, or a selection of it: a sequence of samples, also found by key.

    `dataset[7]`, `dataset["P0003_0002"]` and `get_many` read whole samples; `metadata` reads
    sidecars only; `select` reads the index only. Every byte read is checked against its CRC32C.
    Safe to use from several threads; pickles.
    """

    def __init__(
        self, store: Store, manifest: Manifest, index: Index, numbers: NDArray[np.int64] | None
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._index = index
        self._numbers = numbers
        self._shards = [shard.url for shard in manifest.shardlist]
        self._rows = IndexRows(store, manifest, index)
        self._source: RangeSource = store

    @property
    def url(self) -> str:
        """Address of the dataset."""
        return self._store.url

    @property
    def split(self) -> str:
        """Name of the split."""
        return self._manifest.vrs_wds.split

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that some sample has a sidecar for."""
        return tuple(self._manifest.vrs_wds.tasks)

    @property
    def extensions(self) -> tuple[str, ...]:
        """Extensions of all members."""
        return self._manifest.vrs_wds.extensions

    @property
    def manifest(self) -> Manifest:
        """The split's manifest."""
        return self._manifest

    @property
    def store(self) -> Store:
        """Where the dataset is."""
        return self._store

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the split's contents; the same for every selection of it."""
        return self._manifest.vrs_wds.fingerprint

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Numbers of the samples in the whole split, in this selection's order."""
        if self._numbers is None:
            return np.arange(len(self._index), dtype=np.int64)
        return self._numbers

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole split, rather than a selection."""
        return self._numbers is None

    @property
    def shard_starts(self) -> list[int]:
        """Number of the first sample of each shard of the whole split, and the split's length."""
        return self._index.starts

    def __len__(self) -> int:
        return len(self._index) if self._numbers is None else len(self._numbers)

    @overload
    def __getitem__(self, place: SupportsIndex | str, /) -> Sample: ...
    @overload
    def __getitem__(self, place: slice, /) -> "ShardedDataset": ...
    def __getitem__(self, place: SupportsIndex | str | slice, /) -> "Sample | ShardedDataset":
        """Read a sample by its place or key; a slice gives a selection and reads nothing."""
        if isinstance(place, slice):
            return self._selection(self.numbers[place])
        return self.get_many([place])[0]

    def __iter__(self) -> Iterator[Sample]:
        """Read every sample in order, some at once."""
        for run in self.runs(range(len(self)), _ITER_CHUNK):
            yield from self.get_many(run)

    def runs(self, places: Sequence[int], max_size: int) -> Iterator[Sequence[int]]:
        """Cut places into runs that are best read at once before their samples are used.

        What is read from a disk just before it is used is still in the processor's cache; from any
        other store, the more at once the better.

        Args:
            places: Places of samples, or whatever stands for samples.
            max_size: The most samples of a run.
        """
        most = max_size
        if reading_of(self._source).one_by_one:
            most = min(max_size, self._samples_at_once)
        count = -(-len(places) // most)
        size = -(-len(places) // max(1, count))
        return (places[start : start + size] for start in range(0, len(places), max(1, size)))

    @cached_property
    def _samples_at_once(self) -> int:
        mean_bytes = self._manifest.num_bytes // max(1, self._manifest.vrs_wds.num_samples)
        return 1 if mean_bytes > _LARGE_BYTES else _RUN_BYTES // max(1, mean_bytes)

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a sample of that key."""
        if not isinstance(key, str):
            return False
        try:
            self._places([key])
        except SampleNotFound:
            return False
        return True

    def get_many(
        self,
        places: Iterable[SupportsIndex | str],
        *,
        extensions: Iterable[str] | None = None,
    ) -> list[Sample]:
        """Read several samples at once, in the order asked for.

        Args:
            places: Places (negative ones count from the end) or keys; repetitions are allowed.
            extensions: Members to read, or one; None reads all. Those that a sample lacks are left
                out.

        Raises:
            IndexError: if a place is beyond the end.
            SampleNotFound: if a key is not there.
            ShardError: if a shard is missing, truncated or changed.
            TypeError: if a text is given for several keys.
        """
        return list(starmap(Sample, self._read_many(places, extensions)))

    def raw_many(
        self, places: Iterable[SupportsIndex | str], extensions: Iterable[str] | None
    ) -> list[dict[str, Any]]:
        """Read samples as `get_many` does, each as `Sample.to_dict` gives it."""
        return [
            {"__key__": key, "__url__": url, **members}
            for key, members, url in self._read_many(places, extensions)
        ]

    def _read_many(
        self, places: Iterable[SupportsIndex | str], extensions: Iterable[str] | None
    ) -> list[_Read]:
        numbers = self._places(places)
        extensions = [extensions] if isinstance(extensions, str) else extensions
        wanted = None if extensions is None else frozenset(extensions)
        reading = reading_of(self._source)
        if reading.is_far:
            keys, requests, parts = self._rows.requests(numbers, wanted, reading)
            read_members(self._source, self._shards, requests, keys, parts)
            return list(zip(keys, parts, map(self._rows.url_of, numbers), strict=True))
        return self._read_near(numbers, wanted, reading)

    def _read_near(
        self, numbers: Sequence[int], wanted: frozenset[str] | None, reading: Reading
    ) -> list[_Read]:
        in_order = sorted(numbers)  # as they lie on the disk
        source, shards = self._source, self._shards
        found = [
            (key, read_near(source, shards, key, runs, places), url)
            for key, runs, places, url in self._rows.iterate(in_order, wanted, reading)
        ]
        if in_order == numbers:
            return found
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        by_place = dict(zip(order, found, strict=True))
        return [by_place[i] for i in range(len(numbers))]

    def metadata(
        self, place: SupportsIndex | str, tasks: str | Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Read a sample's sidecars, parsed; no byte of the image is read.

        Returns:
            `__key__`, `__url__`, `meta` (None if the sample has no `meta.json`), and for each task
            its Struct, or None where the sample has no sidecar.

        Raises:
            UnknownTaskError: if the dataset has no such task.
            SidecarError: if a sidecar does not fit its task.
        """
        return self.metadata_many([place], tasks)[0]

    def metadata_many(
        self,
        places: Iterable[SupportsIndex | str],
        tasks: str | Iterable[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Read the sidecars of several samples at once; see `metadata`."""
        names = resolve_tasks(tasks, self.tasks)
        found = self._read_many(places, [META_EXTENSION, *map(extension_of, names)])
        parse = SidecarParser(map(get_task, names)).parse
        return [parse(members, key, url) for key, members, url in found]

    def members_of(
        self, places: Iterable[int], extensions: Iterable[str] | None, *, item: int
    ) -> list[MemberRequest]:
        """Return where the members of samples lie, each with `item` as its `sample`."""
        wanted = None if extensions is None else frozenset(extensions)
        numbers = [self._number_at(place) for place in places]
        return self._rows.requests(numbers, wanted, reading_of(self._source), item)[1]

    def through(self, source: RangeSource) -> "ShardedDataset":
        """Return the same samples, whose bytes come from a source that stands before the store."""
        other = self._selection(self._numbers)
        other._source = source
        return other

    @property
    def shard_names(self) -> Sequence[str]:
        """Names of the shards in the store, by number."""
        return self._shards

    def select(
        self, tasks: str | Iterable[str] | None = None, where: str | None = None
    ) -> "ShardedDataset":
        """Return a selection of the samples, in the same order. Reads the index only.

        Args:
            tasks: Keep samples that have something for every one of these tasks.
            where: Keep samples for which this holds, such as `num_objects > 3`,
                `"ship" in classes`, `width >= 512 and label == "harbor"`. Columns are those of the
                index; see docs/reference/format.md.

        Raises:
            UnknownTaskError: if the dataset has no such task.
            ConfigError: if the expression is malformed or names no column.
        """
        keep = np.ones(len(self._index), dtype=bool)
        for task in () if tasks is None else resolve_tasks(tasks, self.tasks):
            keep &= self._index.values(count_column(task)) > 0
        if where is not None:
            keep &= evaluate_where(where, self._index.column, self._index.column_names())
        return self._selection(self.numbers[keep[self.numbers]])

    def column(self, name: str) -> list[Any]:
        """Return a column of the index for these samples, such as `key` or `num_objects`.

        Raises:
            KeyError: if there is no such column.
        """
        column = self._index.column(name)
        with no_fork_meanwhile():
            return (column if self._numbers is None else column.take(self._numbers)).to_pylist()  # type: ignore[no-any-return]

    def numbers_in(self, name: str) -> NDArray[Any]:
        """Return a numeric column of the index for these samples, as an array.

        Raises:
            KeyError: if there is no such column.
        """
        column: NDArray[Any] = self._index.values(name)
        return column if self._numbers is None else column[self._numbers]

    def key_at(self, place: int) -> str:
        """Return the key of the sample at a place. Reads the index only."""
        return self._index.key_at(self._number_at(place))

    def url_at(self, place: int) -> str:
        """Return the address of the shard that holds the sample at a place."""
        return self._rows.url_of(self._number_at(place))

    def columns(self) -> list[str]:
        """Return the names of the index's columns."""
        return self._index.column_names()

    def _places(self, places: Iterable[SupportsIndex | str]) -> list[int]:
        """Turn places and keys into numbers of the whole split."""
        if isinstance(places, str):
            raise TypeError(f"places: expected several places or keys, got the text {places!r}.")
        asked = list(places)
        size = len(self)
        if self._numbers is None and all(type(p) is int and 0 <= p < size for p in asked):
            return asked  # type: ignore[return-value]  # they are numbers
        keys = [place for place in asked if isinstance(place, str)]
        by_key = dict(zip(keys, self._numbers_of(keys), strict=True)) if keys else {}
        return [
            by_key[place] if isinstance(place, str) else self._number_at(operator.index(place))
            for place in asked
        ]

    def _number_at(self, place: int) -> int:
        size = len(self)
        if not -size <= place < size:
            raise IndexError(
                f"{self.url}: split {self.split!r} has {size:,} samples here; there is no "
                f"sample {place:,}."
            )
        place %= size
        return place if self._numbers is None else int(self._numbers[place])

    def _numbers_of(self, keys: list[str]) -> list[int]:
        numbers: list[int] = self._index.numbers_of(keys).tolist()
        if self._numbers is not None:
            inside = np.isin(numbers, self._numbers)
            if not inside.all():
                missing = keys[int(np.argmin(inside))]
                raise SampleNotFound(
                    f"{self.url}: split {self.split!r} has the sample {missing!r}, but this "
                    "selection has not."
                )
        return numbers

    def _selection(self, numbers: NDArray[np.int64] | None) -> "ShardedDataset":
        return ShardedDataset(self._store, self._manifest, self._index, numbers)

    def __repr__(self) -> str:
        details = self._manifest.vrs_wds
        part = "" if self._numbers is None else f" of {details.num_samples:,}"
        tasks = ", ".join(f"{name} {info.num_samples:,}" for name, info in details.tasks.items())
        return (
            f"ShardedDataset({self.url!r}, split={self.split!r}: {len(self):,}{part} samples, "
            f"{len(self._shards):,} shards, {self._manifest.num_bytes / 1e6:,.1f} MB; {tasks})"
        )

    def _repr_html_(self) -> str:
        details = self._manifest.vrs_wds
        rows: list[tuple[str, object]] = [
            ("split", self.split),
            ("samples", f"{len(self):,} of {details.num_samples:,}"),
            ("shards", f"{len(self._shards):,}, {self._manifest.num_bytes / 1e6:,.1f} MB"),
            ("extensions", ", ".join(self.extensions)),
        ]
        rows += [
            (name, f"{info.num_samples:,} samples, {info.count:,} in all")
            for name, info in details.tasks.items()
        ]
        return table(f"ShardedDataset {self.url}", rows)
