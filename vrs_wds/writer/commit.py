"""Index, manifest and card: what makes complete shards a dataset."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vrs_wds.shard.index_table import (
    ABSENT,
    FOOTER_TAIL,
    IndexRow,
    count_column,
    footer_size,
    make_schema,
    make_table,
    member_column,
)
from vrs_wds.shard.manifest import (
    FORMAT_VERSION,
    Details,
    FileInfo,
    Layer,
    Manifest,
    ShardInfo,
    TaskInfo,
    encode_manifest,
    make_fingerprint,
)
from vrs_wds.shard.names import CARD_NAME, index_name, manifest_name
from vrs_wds.storage.store import Store, StoreWriter
from vrs_wds.tasks.registry import get_task, task_names
from vrs_wds.tasks.sidecars import META_EXTENSION
from vrs_wds.tasks.task import extension_of
from vrs_wds.writer.card import make_card
from vrs_wds.writer.claim import Claim
from vrs_wds.writer.staging import Staging


@dataclass(frozen=True)
class CompleteShard:
    """A shard as the index and the manifest will know it."""

    info: ShardInfo
    extensions: tuple[str, ...]
    tasks: Mapping[str, tuple[int, int]]
    """For each task, samples with its sidecar, and things in them."""
    rows: Callable[[], pa.Table]
    """Fetches the shard's rows, as `describe_rows` made them."""


def describe_rows(
    rows: Sequence[IndexRow],
) -> tuple[pa.Table, tuple[str, ...], dict[str, tuple[int, int]]]:
    """Return a shard's rows as a table, its extensions in member order, and its tasks."""
    extensions = _member_order(set[str]().union(*[row.members for row in rows]))
    tasks = sorted(set[str]().union(*[row.counts for row in rows]))
    table = make_table(rows, 0, extensions, tasks)
    counts = {}
    for task in tasks:
        column = table[count_column(task)].to_numpy()
        there = column[column != ABSENT]
        counts[task] = (len(there), int(there.sum()))
    return table, extensions, counts


def write_index(store: Store, split: str, shards: Sequence[CompleteShard], writer: str) -> FileInfo:
    """Write the index under its staged name, one row group a shard, one shard at a time."""
    staged = Staging(split).index(writer)
    extensions, tasks = _extensions_of(shards), _tasks_of(shards)
    schema = make_schema(extensions, tuple(tasks))
    with store.open_writer(staged) as file:
        sink = _Hashing(file)
        # Arrow asks a sink for what a file object has.
        with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd") as parquet:
            for number, shard in enumerate(shards):
                table = _full_table(shard.rows(), number, schema, extensions, tuple(tasks))
                parquet.write_table(table, row_group_size=max(1, table.num_rows))
    tail = store.get_range(staged, sink.size - FOOTER_TAIL, FOOTER_TAIL)
    size = footer_size(tail)
    footer = store.get_range(staged, sink.size - size, size)
    return FileInfo(
        url=index_name(split),
        filesize=sink.size,
        sha256=sink.hasher.hexdigest(),
        footer_sha256=hashlib.sha256(footer).hexdigest(),
    )


def remove_staged(store: Store, split: str) -> None:
    """Remove the staged indexes and cards that killed writers left."""
    staging = Staging(split)
    for name in list(store.list_names(staging.folder, hidden=True)):
        if staging.is_of_commit(name):
            store.delete(name)


def make_manifest(split: str, shards: Sequence[CompleteShard], index: FileInfo) -> Manifest:
    """Return the manifest of a split."""
    infos = tuple(shard.info for shard in shards)
    return Manifest(
        name=split,
        shardlist=infos,
        vrs_wds=Details(
            format_version=FORMAT_VERSION,
            split=split,
            num_samples=sum(info.nsamples for info in infos),
            fingerprint=make_fingerprint(infos),
            index=index,
            extensions=_extensions_of(shards),
            tasks={
                task: TaskInfo(
                    schema_version=get_task(task).version, num_samples=samples, count=count
                )
                for task, (samples, count) in _tasks_of(shards).items()
            },
            layers=(Layer(name="base", start=0, stop=len(infos)),),
        ),
    )


def publish(store: Store, manifest: Manifest, claim: Claim) -> None:
    """Give the staged index its name, write the card, and last the manifest: now it is visible.

    Raises:
        FileExistsError: if there is a manifest of the split.
        SplitBusyError: if another writer has taken over.
    """
    split = manifest.vrs_wds.split
    staging = Staging(split)
    claim.check_now()
    store.rename(staging.index(claim.token), index_name(split))
    staged_card = staging.card(claim.token)
    _put_card(store, staged_card, manifest)
    claim.check_now()  # one that was held up must not name the shards of the next one
    store.put_new(manifest_name(split), encode_manifest(manifest))
    # Another split may have been published at the same time, and each card lack the other.
    _put_card(store, staged_card, manifest)


def _put_card(store: Store, staged: str, manifest: Manifest) -> None:
    card = make_card(store, manifest)
    if not store.exists(CARD_NAME) or store.get(CARD_NAME) != card:
        store.put(staged, card)
        store.rename(staged, CARD_NAME)


def _extensions_of(shards: Sequence[CompleteShard]) -> tuple[str, ...]:
    return _member_order({extension for shard in shards for extension in shard.extensions})


def _tasks_of(shards: Sequence[CompleteShard]) -> dict[str, tuple[int, int]]:
    """Add up samples and things of each task, tasks by name."""
    names = sorted({task for shard in shards for task in shard.tasks})
    return {
        name: (
            sum(shard.tasks.get(name, (0, 0))[0] for shard in shards),
            sum(shard.tasks.get(name, (0, 0))[1] for shard in shards),
        )
        for name in names
    }


def _member_order(extensions: set[str]) -> tuple[str, ...]:
    """Order extensions as members are: sidecars of tasks, other members, meta, images last."""
    sidecars = {extension_of(task) for task in task_names()}

    def place(extension: str) -> tuple[int, str]:
        if extension in sidecars:
            return (0, extension)
        return (2 if extension == META_EXTENSION else 1 if "json" in extension else 3, extension)

    return tuple(sorted(extensions, key=place))


def _full_table(
    table: pa.Table,
    number: int,
    schema: pa.Schema,
    extensions: tuple[str, ...],
    tasks: tuple[str, ...],
) -> pa.Table:
    """Set the shard's number, and add the columns that other shards have and this one lacks."""
    shard = pa.array([number] * table.num_rows, pa.int32())
    numbered = {"shard", *(member_column(extension, "shard") for extension in extensions)}
    there = set(table.schema.names)
    blank = table
    if not there.issuperset(schema.names):
        blank_row = IndexRow(key="", offset=0, size=0, members={})
        blank = make_table([blank_row] * table.num_rows, number, extensions, tasks)
    columns = [
        shard if name in numbered else table[name] if name in there else blank[name]
        for name in schema.names
    ]
    return pa.table(columns, schema=schema)


class _Hashing:
    """A file that is written to a store and hashed on the way."""

    closed = False

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer
        self.hasher = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        data = bytes(data)
        self._writer.write(data)
        self.hasher.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def tell(self) -> int:
        return self.size
