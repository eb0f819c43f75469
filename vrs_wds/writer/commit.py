"""Index, manifest and card: what makes written shards a dataset."""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence

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
from vrs_wds.shard.names import index_name, manifest_name
from vrs_wds.storage.store import Store
from vrs_wds.tasks.registry import get_task, task_names
from vrs_wds.tasks.sidecars import META_EXTENSION, extension_of
from vrs_wds.writer.card import write_card


class IndexBuilder:
    """Takes the rows of one shard after another; gives the index file.

    A shard's rows are kept as an Arrow table: about 100 bytes a sample.
    """

    def __init__(self) -> None:
        self._tables: list[tuple[pa.Table, frozenset[str], frozenset[str]]] = []
        self._extensions: Counter[str] = Counter()
        self._tasks: set[str] = set()

    def add_shard(self, rows: Sequence[IndexRow]) -> None:
        """Take the rows of the next shard."""
        extensions = Counter(extension for row in rows for extension in row.members)
        tasks = {task for row in rows for task in row.counts}
        ordered = _member_order(extensions)
        table = make_table(rows, len(self._tables), ordered, sorted(tasks))
        self._tables.append((table, frozenset(ordered), frozenset(tasks)))
        self._extensions += extensions
        self._tasks |= tasks

    @property
    def extensions(self) -> tuple[str, ...]:
        """All extensions, in member order."""
        return _member_order(self._extensions)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks with a sidecar somewhere."""
        return tuple(sorted(self._tasks))

    def task_info(self) -> dict[str, TaskInfo]:
        """Return what the manifest says of each task."""
        info = {}
        for task in self.tasks:
            columns = [
                table[count_column(task)].to_numpy()
                for table, _, tasks in self._tables
                if task in tasks
            ]
            info[task] = TaskInfo(
                schema_version=get_task(task).version,
                num_samples=sum(int((column != ABSENT).sum()) for column in columns),
                count=sum(int(column[column != ABSENT].sum()) for column in columns),
            )
        return info

    def to_parquet(self) -> bytes:
        """Return the index file: one row group a shard."""
        schema = make_schema(self.extensions, self.tasks)
        sink = io.BytesIO()
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for number, (table, _, _) in enumerate(self._tables):
                full = _with_columns(table, number, schema, self.extensions, self.tasks)
                writer.write_table(full, row_group_size=max(1, full.num_rows))
        return sink.getvalue()


def commit_split(
    store: Store, split: str, shards: Sequence[ShardInfo], index: IndexBuilder
) -> Manifest:
    """Write index, card and manifest, in this order: the manifest makes the split visible."""
    data = index.to_parquet()
    footer = data[-footer_size(data[-FOOTER_TAIL:]) :]
    store.put(index_name(split), data)
    manifest = Manifest(
        name=split,
        shardlist=tuple(shards),
        vrs_wds=Details(
            format_version=FORMAT_VERSION,
            split=split,
            num_samples=sum(shard.nsamples for shard in shards),
            fingerprint=make_fingerprint(tuple(shards)),
            index=FileInfo(
                url=index_name(split),
                filesize=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                footer_sha256=hashlib.sha256(footer).hexdigest(),
            ),
            extensions=index.extensions,
            tasks=index.task_info(),
            layers=(Layer(name="base", start=0, stop=len(shards)),),
        ),
    )
    write_card(store, manifest)
    store.put(manifest_name(split), encode_manifest(manifest))
    return manifest


def _member_order(extensions: Counter[str]) -> tuple[str, ...]:
    """Order extensions as members are: sidecars of tasks, other members, meta, images last."""
    sidecars = {extension_of(task) for task in task_names()}

    def place(extension: str) -> tuple[int, str]:
        if extension in sidecars:
            return (0, extension)
        return (2 if extension == META_EXTENSION else 1 if "json" in extension else 3, extension)

    return tuple(sorted(extensions, key=place))


def _with_columns(
    table: pa.Table,
    number: int,
    schema: pa.Schema,
    extensions: tuple[str, ...],
    tasks: tuple[str, ...],
) -> pa.Table:
    """Add the columns that other shards have and this one lacks."""
    if table.schema.names == schema.names:
        return table
    blank = make_table(
        [IndexRow(key="", offset=0, size=0, members={})] * table.num_rows,
        number,
        extensions,
        tasks,
    )
    columns = [table[name] if name in table.schema.names else blank[name] for name in schema.names]
    return pa.table(columns, schema=schema)
