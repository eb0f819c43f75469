"""Remembers, in the store, which shards of an unfinished write are complete."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vrs_wds.errors import ManifestError
from vrs_wds.shard.manifest import ShardInfo
from vrs_wds.storage.store import Store
from vrs_wds.structs import decoder_of
from vrs_wds.writer.job import Job
from vrs_wds.writer.staging import EntryName, Place, Staging

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 16
"""Files that are fetched, renamed or deleted at once."""


class ShardEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A complete shard."""

    block: int
    part: int
    start: int
    """Number of its first sample in the source."""
    stop: int
    is_end: bool
    """No shard of this block follows."""
    info: ShardInfo
    """Its url is that in the staging folder."""
    etag: str
    """The store's, when it was written."""
    rows: str
    """Name of its rows of the index."""
    rows_sha256: str = ""
    extensions: tuple[str, ...]
    tasks: dict[str, tuple[int, int]]
    """For each task, samples with its sidecar, and things in them."""
    first: int
    """CRC32C of the first sample's members; to find out whether the source has changed."""
    last: int
    """The same of the last sample."""

    @property
    def place(self) -> Place:
        """Block and part."""
        return Place(self.block, self.part)


class _Sealed(msgspec.Struct, frozen=True):
    """An entry as it is kept, with a checksum: what it says becomes the manifest."""

    sha256: str
    entry: msgspec.Raw


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which job is under way."""

    job: Job
    writers: tuple[str, ...]
    """Tokens of the claims under which it was worked on: their shards count."""


@dataclass(frozen=True, slots=True)
class Span:
    """Samples still to be packed: a block, or the rest of one."""

    block: int
    part: int
    """Number of the next shard in the block."""
    start: int
    stop: int | None
    """None: as many as there are, up to the block's end."""


class Journal:
    """The entries of one unfinished write."""

    def __init__(self, store: Store, staging: Staging) -> None:
        self._store = store
        self._staging = staging

    def record(self) -> JobRecord | None:
        """Return the job that is under way, if there is one."""
        try:
            return decoder_of(JobRecord).decode(self._store.get(self._staging.job))
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise self._malformed(self._staging.job, error) from error

    def begin(self, job: Job, writers: Sequence[str]) -> None:
        """Say which job is under way, and whose shards count."""
        record = msgspec.json.encode(JobRecord(job=job, writers=tuple(writers)))
        self._store.put(self._staging.job, msgspec.json.format(record, indent=1))

    def names(self, writers: Sequence[str]) -> list[EntryName]:
        """Return the entries of shards that some writers completed, in order of their places.

        Only those that follow each other from the first part of their block. Where two writers
        completed the same shard, one of the two.
        """
        found: dict[int, dict[int, EntryName]] = defaultdict(dict)
        for name in self._store.list_names(self._staging.folder, hidden=True):
            entry = self._staging.read_entry(name)
            if entry is not None and entry.writer in writers:
                found[entry.place.block].setdefault(entry.place.part, entry)
        return [name for _, parts in sorted(found.items()) for name in _run(parts)]

    def complete(self) -> list[EntryName]:
        """Return the entries of the job that is under way; see `names`."""
        record = self.record()
        return [] if record is None else self.names(record.writers)

    def entries(self, names: Iterable[EntryName]) -> list[ShardEntry]:
        """Fetch entries, in order of their places."""

        def fetch(entry: EntryName) -> ShardEntry:
            name = self._staging.entry(entry)
            try:
                sealed = decoder_of(_Sealed).decode(self._store.get(name))
                if _sha256(bytes(sealed.entry)) != sealed.sha256:
                    raise self._malformed(name, "bytes that were changed")
                return decoder_of(ShardEntry).decode(sealed.entry)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise self._malformed(name, error) from error

        return in_threads(fetch, sorted(names))

    def add(self, entry: ShardEntry, rows: pa.Table, writer: str) -> None:
        """Remember a shard that is complete."""
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        self._store.put(entry.rows, data)
        name = self._staging.entry(EntryName(entry.place, writer, entry.is_end))
        entry = msgspec.structs.replace(entry, rows_sha256=_sha256(data))
        text = msgspec.json.encode(entry)
        self._store.put(name, msgspec.json.encode(_Sealed(_sha256(text), msgspec.Raw(text))))

    def rows(self, entry: ShardEntry, columns: list[str] | None = None) -> pa.Table:
        """Return a shard's rows of the index; its own columns only."""
        try:
            data = self._store.get(entry.rows)
        except FileNotFoundError as error:
            raise self._malformed(entry.rows, error) from error
        if _sha256(data) != entry.rows_sha256:
            raise self._malformed(entry.rows, "bytes that were changed")
        # ParquetFile: read_table would take the names of folders for columns.
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            return file.read(columns=columns, use_threads=False).combine_chunks()

    def throw_away(self, *, names: list[str] | None = None) -> None:
        """Remove everything; entries first, job and commit last: this may be cut short.

        Args:
            names: More files to remove, such as shards that had got their names.
        """
        listed = list(self._store.list_names(self._staging.folder, hidden=True))
        entries = [name for name in listed if self._staging.read_entry(name) is not None]
        last = [self._staging.job, self._staging.commit]
        others = set(listed) - set(entries) - set(last)
        for group in (entries, [*(names or []), *sorted(others)], last[:1], last[1:]):
            in_threads(self._store.delete, group)

    def _malformed(self, name: str, found: object) -> ManifestError:
        return ManifestError(
            f"{self._store.url_of(name)}: expected a writer's journal, found {found}. Throw the "
            "unfinished write away: resume=False (--no-resume)."
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def spans(entries: list[ShardEntry], num_samples: int | None, block_size: int) -> Iterator[Span]:
    """Yield what is still to be packed, in order; without end if the number is not known.

    block_size=4, entries for samples [0, 4) and [4, 6)::

        samples   0 1 2 3 | 4 5 6 7 | 8 9
        spans                  [6,8) [8,10)
    """
    last = {entry.block: entry for entry in entries}
    block = 0
    while num_samples is None or block * block_size < num_samples:
        start = block * block_size
        stop = None if num_samples is None else min(start + block_size, num_samples)
        entry = last.get(block)
        if entry is None:
            yield Span(block, 0, start, stop)
        elif not entry.is_end:
            yield Span(block, entry.part + 1, entry.stop, stop)
        block += 1


def in_threads(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply a function to each item, several at once."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))


def _run(parts: dict[int, EntryName]) -> list[EntryName]:
    """Return the parts 0, 1, 2, ... as far as they go, up to the block's end."""
    run: list[EntryName] = []
    while len(run) in parts:
        run.append(parts[len(run)])
        if run[-1].is_end:
            break
    return run
