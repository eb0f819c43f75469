"""`index_shards`: an index, a manifest and a card for shards that somebody else wrote."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
from tqdm import tqdm

from vrs_wds.errors import (
    DatasetExistsError,
    DatasetNotFound,
    DecodeError,
    DuplicateKeyError,
    ShardFormatError,
    SidecarError,
)
from vrs_wds.images.header import is_image_extension, read_header
from vrs_wds.sample import split_member_name
from vrs_wds.shard.checksums import ShardHasher, crc32c
from vrs_wds.shard.index_table import IndexRow, MemberPlace
from vrs_wds.shard.manifest import ShardInfo
from vrs_wds.shard.members import Member, iter_members
from vrs_wds.shard.names import check_split, manifest_name
from vrs_wds.shard.tar_header import padding
from vrs_wds.storage.store import Location, Store
from vrs_wds.tasks.describe import describe
from vrs_wds.tasks.registry import registered_tasks
from vrs_wds.tasks.sidecars import check_sidecar, decode_sidecar
from vrs_wds.tasks.task import extension_of
from vrs_wds.writer.card import check_card, make_card
from vrs_wds.writer.claim import claim_split
from vrs_wds.writer.commit import (
    CompleteShard,
    describe_rows,
    make_manifest,
    publish,
    remove_staged,
    write_index,
)
from vrs_wds.writer.folder import open_folder
from vrs_wds.writer.interrupts import InterruptsHeldBack
from vrs_wds.writer.write import WriteReport, report_of

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")


def index_shards(
    url: Location,
    *,
    split: str,
    prefix: str | None = None,
    progress: bool | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Give tars made by anybody an index, a manifest and a card; the tars stay as they are.

    Afterwards `open_dataset` reads them in any order. The members of a sample need not be adjacent.
    Sidecars named as ours (`KEY.vqa.json`) that fit their task are counted in the index; others
    are plain members.

    Args:
        url: Folder with the tars, or its store.
        split: Name of the split that they make.
        prefix: Beginning of the tars' names; None takes `{split}-` and a digit, or all tars if none
            begins so.
        progress: Show a progress bar; None does on a terminal.
        overwrite: Replace a manifest and an index that are there.

    Raises:
        ConfigError: if `url` is a file, such as a single tar, or a registered task gives facts that
            the index cannot hold.
        DatasetExistsError: if the split has a manifest and `overwrite` is False.
        DatasetNotFound: if there are no tars.
        ShardFormatError: if a tar is malformed, or compressed.
        ShardTruncated: if a tar's end is missing.
        DuplicateKeyError: if two shards have a sample of one key.
        SplitBusyError: if another process is writing this split.
    """
    with ExitStack() as last_step:
        return index_until(
            last_step, url, split=split, prefix=prefix, progress=progress, overwrite=overwrite
        )


def index_until(
    last_step: ExitStack,
    url: Location,
    *,
    split: str,
    prefix: str | None,
    progress: bool | None,
    overwrite: bool,
) -> WriteReport:
    """Index as `index_shards` does; Ctrl-C waits from the last step until `last_step` is closed."""
    store = open_folder(url)
    check_card(store, check_split(split))
    hidden = not sys.stderr.isatty() if progress is None else not progress
    with claim_split(store, check_split(split)) as claim:
        _refuse_manifest(store, split, overwrite=overwrite)
        names = _find_tars(store, split, prefix)
        shards = list[CompleteShard]()
        seen: dict[str, str] = {}
        for name in tqdm(names, unit=" shards", desc=f"index {split}", disable=hidden):
            rows, info = _scan_shard(store, name)
            _refuse_twice(rows, name, seen)
            table, extensions, tasks = describe_rows(rows)
            shards.append(CompleteShard(info, extensions, tasks, partial(_same, table)))
            claim.check()
        remove_staged(store, split)
        manifest = make_manifest(split, shards, write_index(store, split, shards, claim.token))
        make_card(store, manifest)  # what stops it is found before anything is removed
        claim.check_now()
        last_step.enter_context(InterruptsHeldBack(insist=True))
        if overwrite:
            store.delete(manifest_name(split))
        publish(store, manifest, claim)
    return report_of(store, manifest)


def _same(table: pa.Table) -> pa.Table:
    return table


def _refuse_manifest(store: Store, split: str, *, overwrite: bool) -> None:
    if store.exists(manifest_name(split)) and not overwrite:
        raise DatasetExistsError(
            f"{store.url_of(manifest_name(split))}: the split {split!r} has a manifest already. "
            "Pass overwrite=True (--overwrite) to make it anew."
        )


def _refuse_twice(rows: list[IndexRow], name: str, seen: dict[str, str]) -> None:
    for row in rows:
        if (other := seen.setdefault(row.key, name)) != name:
            raise DuplicateKeyError(
                f"key {row.key!r} is given twice: in {other} and in {name}. Keys are unique in a "
                "split: index the shards as two splits, or write them anew."
            )


def _find_tars(store: Store, split: str, prefix: str | None) -> list[str]:
    tars = [name for name in store.list_names() if name.endswith(".tar") and "/" not in name]
    if prefix is None:
        # `train-000000.tar`, but not `train-b-000000.tar`: that is the split `train-b`.
        named = [name for name in tars if re.match(rf"{re.escape(split)}-[0-9]", name)]
    else:
        named = [name for name in tars if name.startswith(prefix)]
    found = named or (tars if prefix is None else [])
    if not found:
        raise DatasetNotFound(
            f"{store.url}: expected tars{f' named {prefix}*' if prefix else ''} in this folder, "
            f"found {len(tars)} tars in all. Compressed tars (.tar.gz) must be unpacked first."
        )
    return found


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO, url: str) -> None:
        self.hasher = ShardHasher()
        self._file = file
        if file.read(6).startswith(_COMPRESSED):
            raise ShardFormatError(
                f"{url}: expected a plain tar, found a compressed one: it has no places to index. "
                "Decompress it first (gunzip), or stream it without an index."
            )
        file.seek(0)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.hasher.update(data)
        return data


def _scan_shard(store: Store, name: str) -> tuple[list[IndexRow], ShardInfo]:
    url = store.url_of(name)
    rows: dict[str, _Row] = {}
    with store.open_reader(name) as file:
        stream = _Hashing(file, url)
        for key, extension, member in _sample_members(stream, url):
            rows.setdefault(key, _Row(key)).add(extension, member, url)
        while data := stream.read(1 << 20):  # padding after the end counts for the file's size
            if data.strip(b"\x00"):
                raise ShardFormatError(
                    f"{url}: there are data after the end of the tar: tars were joined. Split them."
                )
    info = ShardInfo(
        url=name,
        nsamples=len(rows),
        filesize=stream.hasher.size,
        md5sum=stream.hasher.md5,
        sha256=stream.hasher.sha256,
    )
    return [row.finish() for row in rows.values()], info


def _sample_members(stream: _Hashing, url: str) -> Iterator[tuple[str, str, Member]]:
    for member in iter_members(stream, url=url):
        if (split := split_member_name(member.name)) is None:
            continue
        try:
            member.name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ShardFormatError(
                f"{url}: member {member.name!r}: its name is not UTF-8, and an index cannot hold "
                "it. Write the shard anew with vrs_wds.name_to_key."
            ) from error
        yield split[0], split[1], member


class _Row:
    """Collects what the index will know of one sample."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._places: dict[str, MemberPlace] = {}
        self._start, self._stop = -1, 0
        self._header: tuple[int, int, str] = (0, 0, "")
        self._counts: dict[str, int] = {}
        self._facts: dict[str, Any] = {}

    def add(self, extension: str, member: Member, url: str) -> None:
        where = f"{url}: sample {self._key!r}: member {member.name!r}"
        if extension in self._places:
            raise ShardFormatError(
                f"{where} is there twice. Write the shard anew with unique keys."
            )
        data = member.data
        self._places[extension] = MemberPlace(member.offset, len(data), crc32c(data))
        self._start = member.start if self._start < 0 else min(self._start, member.start)
        self._stop = max(self._stop, member.offset + len(data) + padding(len(data)))
        if is_image_extension(extension) and not self._header[2]:
            self._add_image(data, where)
        self._add_facts(extension, data, where)

    def _add_image(self, data: bytes, where: str) -> None:
        try:
            header = read_header(data, where=where)
        except DecodeError:
            return  # the size stays unknown; reading the picture tells what is wrong
        self._header = (header.width, header.height, header.format)

    def _add_facts(self, extension: str, data: bytes, where: str) -> None:
        for task in registered_tasks():
            if extension != extension_of(task.name):
                continue
            try:
                sidecar = decode_sidecar(task, data, where=where)
                check_sidecar(task, sidecar, where=where)
            except SidecarError:
                return  # somebody else's JSON under the same name
            self._counts[task.name], facts = describe(task, sidecar, where=where)
            self._facts.update(facts)

    def finish(self) -> IndexRow:
        return IndexRow(
            key=self._key,
            offset=self._start,
            size=self._stop - self._start,
            members=self._places,
            width=self._header[0],
            height=self._header[1],
            format=self._header[2],
            counts=self._counts,
            facts=self._facts,
        )
