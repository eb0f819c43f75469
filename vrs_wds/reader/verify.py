"""`verify`: reads every byte of a split and compares it with manifest, index and schemas."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tqdm import tqdm

from vrs_wds.errors import (
    ChecksumMismatch,
    ManifestError,
    SampleError,
    ShardError,
    ShardFormatError,
    ShardNotFound,
    ShardTruncated,
)
from vrs_wds.images.decode import decode_rgb
from vrs_wds.images.header import is_image_extension
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify_manifest import verify_manifest
from vrs_wds.sample import Sample, split_member_name
from vrs_wds.shard.checksums import ShardHasher
from vrs_wds.shard.manifest import ShardInfo
from vrs_wds.shard.members import Member, iter_members
from vrs_wds.storage.store import Location
from vrs_wds.tasks.registry import get_task, task_names
from vrs_wds.tasks.sidecars import SidecarParser, check_sidecar

_CHUNK = 32


@dataclass(frozen=True)
class VerifyReport:
    """What was read, and what is wrong with it."""

    url: str
    split: str
    num_samples: int
    num_shards: int
    num_bytes: int
    unchecked: tuple[str, ...] = ()
    """Tasks whose sidecars were read, and not compared with a schema: they are not registered."""
    problems: list[SampleError | ManifestError] = field(default_factory=list)
    """One error for each thing that is wrong: those of the manifest, then in the shards' order."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __str__(self) -> str:
        state = "all right" if self.ok else f"{len(self.problems)} problems"
        return (
            f"{self.url}: split {self.split!r}: {state}; read {self.num_samples:,} samples in "
            f"{self.num_shards:,} shards, {self.num_bytes:,} bytes"
            + (f"; schemas not known: {', '.join(self.unchecked)}" if self.unchecked else "")
        )


def verify(
    url: Location,
    split: str | None = None,
    *,
    decode: bool = False,
    progress: bool | None = None,
) -> VerifyReport:
    """Read a split in full and report everything that is wrong.

    Compared are: the manifest's fingerprint and counts with its shards and the index; each shard's
    size, SHA-256 and MD5 with the manifest; the tar's headers with themselves; each member's CRC32C
    with the index; each sidecar with its task's schema; and, if asked for, that each image decodes.

    Args:
        url: Folder of the dataset, or its store.
        split: Name of the split; may be left out if there is just one.
        decode: Decode every image too.
        progress: Show a progress bar; None does on a terminal.

    Raises:
        DatasetNotFound: if there is no such dataset.
        ManifestError: if manifest or index cannot be read.
    """
    dataset = open_dataset(url, split)
    problems: list[SampleError | ManifestError] = [*verify_manifest(dataset)]
    manifest = dataset.manifest
    hidden = not sys.stderr.isatty() if progress is None else not progress
    starts = dataset.shard_starts
    with tqdm(total=len(dataset), unit=" samples", desc="verify", disable=hidden) as bar:
        for number, info in enumerate(manifest.shardlist):
            problems += _verify_shard(dataset, number, info)
            for start in range(starts[number], starts[number + 1], _CHUNK):
                stop = min(start + _CHUNK, starts[number + 1])
                problems += _verify_samples(dataset, range(start, stop), decode=decode)
                bar.update(stop - start)
    return VerifyReport(
        url=dataset.url,
        split=dataset.split,
        num_samples=len(dataset),
        num_shards=len(manifest.shardlist),
        num_bytes=manifest.num_bytes,
        unchecked=tuple(task for task in dataset.tasks if task not in task_names()),
        problems=problems,
    )


def _verify_shard(dataset: ShardedDataset, number: int, info: ShardInfo) -> Iterator[SampleError]:
    """Compare a shard's bytes with the manifest, and its headers with themselves."""
    store, where = dataset.store, dataset.store.url_of(info.url)
    hasher = ShardHasher()
    try:
        with store.open_reader(info.url) as file:
            while data := file.read(1 << 20):
                hasher.update(data)
            file.seek(0)
            yield from _compare_index(dataset, number, iter_members(file, url=where), where)
    except FileNotFoundError:
        yield ShardNotFound(f"{where}: the manifest names this shard, but it is not there.")
        return
    except ShardError as error:
        yield error
    if hasher.size != info.filesize:
        kind = ShardTruncated if hasher.size < info.filesize else ShardFormatError
        yield kind(
            f"{where}: expected {info.filesize:,} bytes, as the manifest says, found "
            f"{hasher.size:,}. Fetch the shard again."
        )
    elif info.sha256 and hasher.sha256 != info.sha256:
        yield ChecksumMismatch(
            f"{where}: expected SHA-256 {info.sha256[:16]}..., found {hasher.sha256[:16]}...: its "
            "bytes were changed. Fetch the shard again."
        )
    elif info.md5sum and hasher.md5 != info.md5sum:
        # With the SHA-256 right, it is the manifest that is wrong; wids goes by it.
        yield ChecksumMismatch(
            f"{where}: expected MD5 {info.md5sum}, as the manifest says, found {hasher.md5}. Fetch "
            "the manifest again, or make it anew with `vrs-wds index --overwrite`."
        )


def _compare_index(
    dataset: ShardedDataset, number: int, members: Iterable[Member], where: str
) -> Iterator[SampleError]:
    """Compare what the index says of a shard with what is in it."""
    start, stop = dataset.shard_starts[number : number + 2]
    rows = dataset[start:stop]
    keys = rows.column("key")
    expected = {}
    for extension in dataset.extensions:
        columns = (rows.numbers_in(f"{extension}:{name}") for name in ("offset", "size"))
        for key, offset, size in zip(keys, *columns, strict=True):
            if size >= 0:
                expected[key, extension] = (int(offset), int(size))
    for member in members:
        split = split_member_name(member.name)
        if split is None:
            continue
        if expected.pop(split, None) != (member.offset, len(member.data)):
            yield ChecksumMismatch(
                f"{where}: sample {split[0]!r}: member {member.name!r} is not where the index "
                "says, or not of its size: the index or the shard was changed."
            )
    for key, extension in expected:
        yield ShardTruncated(
            f"{where}: sample {key!r}: member '{key}.{extension}' is in the index and not in the "
            "shard."
        )


def _verify_samples(
    dataset: ShardedDataset, places: range, *, decode: bool
) -> Iterator[SampleError]:
    """Compare members with the index, and sidecars with their schemas."""
    try:
        samples = dataset.get_many(places)
    except ShardNotFound:
        return  # said once for the shard
    except SampleError as error:
        if len(places) == 1:
            yield error
        else:  # one by one, to find them all
            for place in places:
                yield from _verify_samples(dataset, range(place, place + 1), decode=decode)
        return
    for sample in samples:
        yield from _verify_contents(dataset, sample, decode=decode)


def _verify_contents(
    dataset: ShardedDataset, sample: Sample, *, decode: bool
) -> Iterator[SampleError]:
    where = f"{sample.url}: sample {sample.key!r}"
    for task in set(dataset.tasks) & set(task_names()):
        try:
            parsed = SidecarParser([get_task(task)]).parse(sample.members, sample.key, sample.url)
            if parsed[task] is not None:
                size_wh = None if parsed["meta"] is None else parsed["meta"].size_wh
                check_sidecar(get_task(task), parsed[task], where=where, size_wh=size_wh)
        except SampleError as error:
            yield error
    for extension, data in sample.members.items():
        if decode and is_image_extension(extension):
            try:
                decode_rgb(data, where=f"{where}: member {extension!r}")
            except SampleError as error:
                yield error
