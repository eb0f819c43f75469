"""The index as an Arrow table: one row a sample, one row group a shard.

Columns, in this order::

    key                        string
    shard, offset, size        int32, int64, int64: where the sample lies, headers and padding in
    width, height              int32: pixels, after EXIF orientation; 0 if unknown
    format                     string: `png`, `jpeg`, ...; empty if unknown
    EXT:shard   EXT:offset     int32, int64: for each extension, where the member's data begins
    EXT:size    EXT:crc32c     int64 (-1: the sample has no such member), uint32
    TASK_count                 int32: things in the sidecar; -1: the sample has no such sidecar
    facts of the tasks         int64, string or list<string>
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from vrs_wds.tasks.registry import registered_tasks
from vrs_wds.tasks.task import FactKind

FACT_TYPES: dict[FactKind, pa.DataType] = {
    "int": pa.int64(),
    "str": pa.string(),
    "strings": pa.list_(pa.string()),
}
_FACT_DEFAULTS: dict[FactKind, Any] = {"int": 0, "str": "", "strings": []}

SAMPLE_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.string(),
    "shard": pa.int32(),
    "offset": pa.int64(),
    "size": pa.int64(),
    "width": pa.int32(),
    "height": pa.int32(),
    "format": pa.string(),
}
MEMBER_COLUMNS: dict[str, pa.DataType] = {
    "shard": pa.int32(),
    "offset": pa.int64(),
    "size": pa.int64(),
    "crc32c": pa.uint32(),
}
FOOTER_TAIL = 8
"""A Parquet file ends with its footer's length, four bytes little-endian, and `PAR1`."""

ABSENT = -1
"""Size of a member, or count of a sidecar, that a sample does not have."""


class MemberPlace(msgspec.Struct, frozen=True, gc=False):  # quicker to make than a dataclass
    """Where a member's data lie in its shard, and their CRC32C."""

    offset: int
    size: int
    crc32c: int


class IndexRow(msgspec.Struct, frozen=True, gc=False):
    """What the index knows of one sample."""

    key: str
    offset: int
    size: int
    members: Mapping[str, MemberPlace]
    """Extension to place, in member order."""
    width: int = 0
    height: int = 0
    format: str = ""
    counts: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Task to number of things in its sidecar; tasks without sidecar are left out."""
    facts: Mapping[str, int | str | list[str]] = msgspec.field(default_factory=dict)


def member_column(extension: str, column: str) -> str:
    """Return the name of a member's column: `vqa.json:offset`."""
    return f"{extension}:{column}"


def count_column(task: str) -> str:
    """Return the name of a task's count column: `vqa_count`."""
    return f"{task}_count"


def make_schema(extensions: Sequence[str], tasks: Sequence[str]) -> pa.Schema:
    """Return the schema of an index with these extensions and tasks."""
    fields = list(SAMPLE_COLUMNS.items())
    for extension in extensions:
        fields += [(member_column(extension, name), kind) for name, kind in MEMBER_COLUMNS.items()]
    fields += [(count_column(task), pa.int32()) for task in tasks]
    fields += [(name, FACT_TYPES[kind]) for name, kind in _fact_kinds(tasks).items()]
    return pa.schema(fields)


def make_table(
    rows: Sequence[IndexRow], shard: int, extensions: Sequence[str], tasks: Sequence[str]
) -> pa.Table:
    """Return one shard's rows as a table with the schema of `make_schema`."""
    columns: dict[str, Iterable[Any]] = {
        "key": [row.key for row in rows],
        "shard": [shard] * len(rows),
        "offset": [row.offset for row in rows],
        "size": [row.size for row in rows],
        "width": [row.width for row in rows],
        "height": [row.height for row in rows],
        "format": [row.format for row in rows],
    }
    nowhere = MemberPlace(offset=0, size=ABSENT, crc32c=0)
    for extension in extensions:
        places = [row.members.get(extension, nowhere) for row in rows]
        columns[member_column(extension, "shard")] = [shard] * len(rows)
        columns[member_column(extension, "offset")] = [place.offset for place in places]
        columns[member_column(extension, "size")] = [place.size for place in places]
        columns[member_column(extension, "crc32c")] = [place.crc32c for place in places]
    for task in tasks:
        columns[count_column(task)] = [row.counts.get(task, ABSENT) for row in rows]
    for name, kind in _fact_kinds(tasks).items():
        columns[name] = [row.facts.get(name, _FACT_DEFAULTS[kind]) for row in rows]
    return pa.table(columns, schema=make_schema(extensions, tasks))


def extensions_in(schema: pa.Schema) -> tuple[str, ...]:
    """Return the extensions that an index has columns for, in order."""
    return tuple(name.removesuffix(":crc32c") for name in schema.names if name.endswith(":crc32c"))


def tasks_in(names: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks that an index has columns for, in order.

    >>> tasks_in(["key", "vqa_count", "num_questions", "x_count:size"])
    ('vqa',)
    """
    return tuple(name.removesuffix("_count") for name in names if name.endswith("_count"))


def _fact_kinds(tasks: Sequence[str]) -> dict[str, FactKind]:
    kinds: dict[str, FactKind] = {}
    for task in registered_tasks():
        if task.name in tasks:
            kinds.update(task.fact_kinds)
    return kinds


def footer_size(tail: bytes) -> int:
    """Return the size of a Parquet file's footer with its tail, from the last eight bytes.

    >>> footer_size(bytes([16, 0, 0, 0]) + b"PAR1")
    24

    Raises:
        ValueError: if it is not the end of a Parquet file.
    """
    if len(tail) != FOOTER_TAIL or tail[4:] != b"PAR1":
        raise ValueError("it does not end as a Parquet file does")
    return int.from_bytes(tail[:4], "little") + FOOTER_TAIL
