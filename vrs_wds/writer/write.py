"""`write_shards`: a source becomes a split of a dataset."""

import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from vrs_wds.errors import (
    ConfigError,
    DatasetExistsError,
    DuplicateKeyError,
    SampleError,
    SourceError,
)
from vrs_wds.sample import Source, SourceSample
from vrs_wds.shard.manifest import Manifest, ShardInfo, decode_manifest
from vrs_wds.shard.names import CARD_NAME, check_split, index_name, manifest_name, shard_name
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Location, Store
from vrs_wds.writer.card import check_card
from vrs_wds.writer.commit import IndexBuilder, commit_split
from vrs_wds.writer.engine import prepare_all
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.prepare import PreparedSample
from vrs_wds.writer.shard_writer import ShardWriter, packed_bytes


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What `write_shards` or `index_shards` wrote."""

    url: str
    split: str
    num_samples: int
    num_shards: int
    num_bytes: int
    """Bytes of all shards."""
    tasks: dict[str, int]
    """For each task, the number of samples that have its sidecar."""

    def __str__(self) -> str:
        tasks = ", ".join(f"{name} {count:,}" for name, count in self.tasks.items()) or "none"
        return (
            f"{self.url}: split {self.split!r}: {self.num_samples:,} samples in "
            f"{self.num_shards:,} shards, {self.num_bytes:,} bytes; tasks: {tasks}"
        )


def write_shards(
    source: Source | Iterable[SourceSample],
    out: Location,
    *,
    split: str,
    config: ShardConfig | None = None,
    num_workers: int = 0,
    progress: bool | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Pack a source into shards, with index, manifest and card.

    Equal sources and options give equal bytes, whatever `num_workers`. Nothing is visible before
    the end: shards have hidden names until all are complete, and an exception removes them.

    Args:
        source: A `Source`, or any iterable of `SourceSample` (loaded in this process).
        out: Path, URL or store of the folder for the dataset; other splits may be there.
        split: Name of the split, such as `train`.
        config: Options, as `load_config` reads them from a file; None has the defaults.
        num_workers: Processes that load and encode samples; 0 does it in this one.
        progress: Show a progress bar; None does on a terminal.
        overwrite: Replace a split that is there. The old one stays until the new one is complete.

    Raises:
        DatasetExistsError: if the split, or shards named as its, are there and `overwrite` is
            False.
        DuplicateKeyError: if two samples have one key.
        SidecarError: if an annotation does not fit its task.
        DecodeError: if an image cannot be read.
        SourceError: if the source has no sample, or as the source raises it.
    """
    if config is None:
        config = ShardConfig()
    elif not isinstance(config, ShardConfig):
        raise ConfigError(
            f"config: expected options as vrs_wds.load_config(path) gives them, got {config!r}."
        )
    if num_workers < 0:
        raise ConfigError(f"num_workers: expected 0 or more, got {num_workers}.")
    store = open_store(out)
    old = _files_in_the_way(store, check_split(split), config.shards.name, overwrite=overwrite)
    check_card(store)
    samples = prepare_all(source, config, num_workers=num_workers)
    total = len(source) if isinstance(source, Source) else None
    bar: tqdm[Any]
    with tqdm(
        total=total, unit=" samples", desc=f"write {split}", disable=_no_progress(progress)
    ) as bar:
        manifest = _Packer(store, split, config, old).pack(_counted(samples, bar))
    return report_of(store, manifest)


def _files_in_the_way(store: Store, split: str, pattern: str, *, overwrite: bool) -> list[str]:
    """Return the files that the new split replaces, the manifest first; refuse if it may not.

    They are the manifest, the index, and tars that are named as this split's: nothing else.
    """
    shards = [name for name in store.list_names(f"{split}-") if _is_shard(name, split, pattern)]
    if store.exists(manifest_name(split)):
        data = store.get(manifest_name(split))
        old = decode_manifest(data, where=store.url_of(manifest_name(split)))
        # Shards that were indexed as this split under other names are somebody else's.
        own = re.compile(rf"{re.escape(split)}-[0-9].*\.tar")
        shards += [shard.url for shard in old.shardlist if own.fullmatch(shard.url)]
        found = f"{store.url_of(manifest_name(split))}: the split {split!r} is there already"
    elif shards:
        found = (
            f"{store.url_of(shards[0])}: {len(shards)} shards of the split {split!r} are there "
            "already, without a manifest: they may be somebody else's"
        )
    else:
        return []
    if not overwrite:
        raise DatasetExistsError(
            f"{found}. Write to another place, or pass overwrite=True (--overwrite) to replace "
            f"them."
        )
    return list(dict.fromkeys([manifest_name(split), index_name(split), *shards]))


def _is_shard(name: str, split: str, pattern: str) -> bool:
    """Tell whether the pattern gives this name for some number."""
    digits = re.findall(r"[0-9]+", name.removeprefix(f"{split}-"))
    return any(name == shard_name(pattern, split, int(number)) for number in digits)


class _Packer:
    """Cuts the stream of samples into shards, and commits them at the end.

    Until then shards have hidden names. Files of an old split are replaced when all new ones are
    complete.
    """

    def __init__(self, store: Store, split: str, config: ShardConfig, old: list[str]) -> None:
        self._store = store
        self._split = split
        self._config = config
        self._old = old
        self._shards: list[ShardInfo] = []
        self._index = IndexBuilder()
        self._origins: dict[str, str] = {}
        self._token = secrets.token_hex(8)

    def pack(self, samples: Iterator[PreparedSample]) -> Manifest:
        """Write every sample, then make the split visible; on an exception remove it all."""
        card = self._store.get(CARD_NAME) if self._store.exists(CARD_NAME) else None
        written: list[str] = []
        try:
            sample: PreparedSample | None = self._first(samples)
            while sample is not None:
                sample = self._write_shard(sample, samples)
            for name in self._old:
                self._store.delete(name)
            for shard in self._shards:
                self._store.rename(self._hidden(shard.url), shard.url)
                written.append(shard.url)
            written += [index_name(self._split), CARD_NAME]
            return commit_split(self._store, self._split, self._shards, self._index)
        except BaseException:
            hidden = [self._hidden(self._next_name()), *(self._hidden(s.url) for s in self._shards)]
            for name in [*hidden, *written]:
                self._store.delete(name)
            if card is not None and CARD_NAME in written:
                self._store.put(CARD_NAME, card)
            raise

    def _hidden(self, name: str) -> str:
        return f".{name}.{self._token}.part"

    def _write_shard(
        self, first: PreparedSample, samples: Iterator[PreparedSample]
    ) -> PreparedSample | None:
        """Write one shard, beginning with `first`; return the sample that did not fit."""
        options = self._config.shards
        name = self._next_name()
        if any(name == other.url for other in self._shards):
            raise ConfigError(f"shards.name: gives {name!r} to more than one shard.")
        sample: PreparedSample | None = first
        with ExitStack() as stack:
            writer = stack.enter_context(self._store.open_writer(self._hidden(name)))
            shard = ShardWriter(writer)
            while sample is not None and shard.fits(
                packed_bytes(sample), max_samples=options.max_samples, max_bytes=options.max_bytes
            ):
                shard.add(sample)
                sample = self._next(samples)
            info = shard.close(name)
        self._shards.append(info)
        self._index.add_shard(shard.rows)
        return sample

    def _first(self, samples: Iterator[PreparedSample]) -> PreparedSample:
        sample = self._next(samples)
        if sample is None:
            raise SourceError(f"split {self._split!r}: the source has no samples.")
        return sample

    def _next(self, samples: Iterator[PreparedSample]) -> PreparedSample | None:
        """Take the next sample; name the shard in an error, and refuse a key seen before."""
        try:
            sample = next(samples, None)
        except SampleError as error:
            raise type(error)(f"{self._next_name()}: {error}") from error
        if sample is None:
            return None
        origin = f"{sample.origin} (sample {len(self._origins)})"
        if (other := self._origins.get(sample.key)) is not None:
            raise DuplicateKeyError(
                f"key {sample.key!r} is given twice: by {other} and by {origin}. Keys are unique "
                "in a split: give one of them another name."
            )
        self._origins[sample.key] = origin
        return sample

    def _next_name(self) -> str:
        return shard_name(self._config.shards.name, self._split, len(self._shards))


def _counted(samples: Iterator[PreparedSample], bar: "tqdm[Any]") -> Iterator[PreparedSample]:
    for sample in samples:
        bar.update()
        yield sample


def _no_progress(progress: bool | None) -> bool:
    return not sys.stderr.isatty() if progress is None else not progress


def report_of(store: Store, manifest: Manifest) -> WriteReport:
    """Return what a manifest says was written."""
    details = manifest.vrs_wds
    return WriteReport(
        url=store.url,
        split=details.split,
        num_samples=details.num_samples,
        num_shards=len(manifest.shardlist),
        num_bytes=manifest.num_bytes,
        tasks={name: info.num_samples for name, info in details.tasks.items()},
    )
