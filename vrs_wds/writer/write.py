"""`write_shards`: a source becomes a split of a dataset."""

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tqdm import tqdm

from vrs_wds.errors import ConfigError
from vrs_wds.order.world import World
from vrs_wds.sample import Source, SourceSample
from vrs_wds.shard.manifest import Manifest
from vrs_wds.shard.names import check_split
from vrs_wds.storage.store import Location, Store
from vrs_wds.writer.card import check_card
from vrs_wds.writer.folder import open_folder
from vrs_wds.writer.follower import follow_rank_0
from vrs_wds.writer.job import make_job
from vrs_wds.writer.local import pack_locally
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.pack import Packer
from vrs_wds.writer.ranks import Ranks, pack_as_rank_0
from vrs_wds.writer.transaction import Begun, write_split

Engine = Literal["local", "ray"]
Count = Callable[[int], object]


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
    engine: Engine = "local",
    world: World | None = None,
    resume: bool = True,
    progress: bool | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Pack a source into shards, with index, manifest and card.

    Equal sources and options give equal bytes, whatever the engine, the number of workers or ranks,
    and however often the work was stopped. Nothing is visible before the end: complete shards wait
    in a hidden folder until all are there. Whatever ends the work before, an exception, Ctrl-C or a
    kill, the next call goes on after the last complete shard. A Ctrl-C in the moment in which the
    split becomes visible comes when all is done.

    Args:
        source: A `Source`, or any iterable of `SourceSample` (loaded in this process, and, to go
            on, passed over from its beginning).
        out: Path, URL or store of the folder for the dataset; other splits may be there.
        split: Name of the split, such as `train`.
        config: Options, as `load_config` reads them from a file; None has the defaults.
        num_workers: Processes that load and encode samples; 0 does it in this one. With ray, the
            number of tasks at a time; 0 leaves it to ray.
        engine: `local` packs in this process; `ray` in tasks of a Ray cluster (extra `ray`), which
            needs a `Source`.
        world: This process's rank among several that call this at the same time with the same
            arguments, such as `detect_world()` gives it; they share the work (a `Source` only), and
            rank 0 makes it visible. None is one process alone.
        resume: Go on where an unfinished write stopped; False throws away what it left.
        progress: Show a progress bar; None does on a terminal.
        overwrite: Replace a split that is there. The old one stays until the new one is complete.

    Raises:
        ConfigError: if options do not fit, or a file is where the folder should be.
        DatasetExistsError: if the split, or shards named as its, are there and `overwrite` is
            False.
        SplitBusyError: if another process is writing this split.
        ResumeError: if an unfinished write is there, of another source or other options.
        DuplicateKeyError: if two samples have one key.
        SidecarError: if an annotation does not fit its task.
        DecodeError: if an image cannot be read.
        SourceError: if the source has no sample, or as the source raises it.
        StorageError: if the store fails, and goes on failing.
        RankError: if another rank stopped.
    """
    with ExitStack() as last_step:
        return write_until(
            last_step, source, out,
            split=split, config=config, num_workers=num_workers, engine=engine, world=world,
            resume=resume, progress=progress, overwrite=overwrite,
        )  # fmt: skip


def write_until(
    last_step: ExitStack,
    source: Source | Iterable[SourceSample],
    out: Location,
    *,
    split: str,
    config: ShardConfig | None,
    num_workers: int,
    engine: Engine,
    world: World | None,
    resume: bool,
    progress: bool | None,
    overwrite: bool,
) -> WriteReport:
    """Write as `write_shards` does; Ctrl-C waits from the last step until `last_step` is closed.

    A program that ends with this call never closes it: it ends as stopped, or with a split.
    """
    config = _checked(source, config, num_workers, engine, world)
    _keep_freed_memory()
    store = open_folder(out)
    packer = Packer(store, check_split(split), config)
    check_card(store, split)
    job = make_job(source, split, config)
    if world is not None and world.world_size > 1 and world.rank > 0:
        assert isinstance(source, Source)  # noqa: S101 - _checked says so
        return report_of(store, follow_rank_0(packer, source, job, world, num_workers=num_workers))

    ranks = Ranks(packer, job, world)

    def fill(begun: Begun) -> None:
        hidden = not sys.stderr.isatty() if progress is None else not progress
        done = sum(entry.stop - entry.start for entry in begun.entries)
        bar: tqdm[Any]
        with tqdm(
            total=job.num_samples,
            initial=done,
            unit=" samples",
            desc=f"write {split}",
            disable=hidden,
        ) as bar:
            engines[engine](begun, bar.update)

    def locally(begun: Begun, count: Count) -> None:
        if world is None or world.world_size == 1:
            pack_locally(
                begun.packer, source, begun.entries,
                num_workers=num_workers, check=begun.claim.check, count=count,
            )  # fmt: skip
        else:
            assert isinstance(source, Source)  # noqa: S101 - _checked says so
            pack_as_rank_0(
                begun.packer, source, begun.entries, world, ranks,
                num_workers=num_workers, claim=begun.claim, count=count,
            )  # fmt: skip

    def with_ray(begun: Begun, count: Count) -> None:
        from vrs_wds.writer.ray_engine import pack_with_ray

        assert isinstance(source, Source)  # noqa: S101 - _checked says so
        pack_with_ray(
            begun.packer, source, begun.entries,
            num_tasks=num_workers, check=begun.claim.check, count=count,
        )  # fmt: skip

    engines = {"local": locally, "ray": with_ray}
    manifest = write_split(
        packer, source, job, fill, ranks, last_step, resume=resume, overwrite=overwrite
    )
    return report_of(store, manifest)


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to some 60 MB, as packing soon asks for it again.

    glibc gives it back, and pays with a fault for each page of the next block, until a large block
    was freed once (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(31 << 20)  # pages that nobody touches take no memory


def _checked(
    source: object,
    config: ShardConfig | None,
    num_workers: int,
    engine: str,
    world: World | None,
) -> ShardConfig:
    """Return the options; refuse those that do not fit."""
    if num_workers < 0:
        raise ConfigError(f"num_workers: expected 0 or more, got {num_workers}.")
    if engine not in get_args(Engine):
        raise ConfigError(f"engine: expected one of {', '.join(get_args(Engine))}, got {engine!r}.")
    several = world is not None and world.world_size > 1
    if several and engine != "local":
        raise ConfigError(f"engine: expected 'local' for one of several ranks, got {engine!r}.")
    if (several or engine != "local") and not isinstance(source, Source):
        raise ConfigError(
            f"source: to share the work out, expected one with a length and numbers, got a "
            f"{type(source).__name__}. Give it __len__ and __getitem__, or write in one process."
        )
    if config is None:
        return ShardConfig()
    if not isinstance(config, ShardConfig):
        raise ConfigError(
            f"config: expected options as vrs_wds.load_config(path) gives them, got {config!r}."
        )
    return config


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
