"""One write of a split: claimed, begun or gone on with, filled, and made visible at once."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import msgspec

from vrs_wds.errors import ConfigError, DatasetExistsError, SourceError, StorageError
from vrs_wds.sample import Source, SourceSample
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import index_name, manifest_name, shard_name
from vrs_wds.storage.store import Store
from vrs_wds.writer.claim import Claim, claim_split, sweep
from vrs_wds.writer.commit import CompleteShard, make_manifest, publish, write_index
from vrs_wds.writer.job import Job, check_same
from vrs_wds.writer.journal import ShardEntry, delete_all
from vrs_wds.writer.local import check_source
from vrs_wds.writer.pack import Packer
from vrs_wds.writer.staging import Staging

_LOG = logging.getLogger(__name__)

_THREADS = 16
"""Shards that get their names at once."""


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Written when all shards are there, and before the first gets its name."""

    job: Job
    fingerprint: str
    old: tuple[str, ...]
    """Files of the split that is replaced."""
    new: tuple[tuple[str, str], ...]
    """Staged name and name of each shard."""


@dataclass(frozen=True)
class Begun:
    """A write that may go on."""

    entries: list[ShardEntry]
    """Shards that are complete."""
    old: tuple[str, ...]
    """Files that the new split replaces, the manifest first."""
    check: Callable[[], None]
    """Raises if another writer has taken over."""


class Team(Protocol):
    """The other processes of one write, seen from the one that holds the claim."""

    def begin(self, claim: Claim) -> None:
        """Wait until all are there, and let them begin."""

    def end(self, claim: Claim, error: BaseException | None) -> None:
        """Tell them how it ended, and wait until they know."""


def write_split(
    packer: Packer,
    source: Source | Iterable[SourceSample],
    job: Job,
    fill: Callable[[Begun], None],
    team: Team,
    *,
    resume: bool,
    overwrite: bool,
) -> Manifest:
    """Claim a split, let `fill` complete its shards, and make it visible.

    Args:
        packer: What is written, and where.
        source: To find out whether it is still the same.
        job: What is written.
        fill: Packs what has no entry yet.
        team: Other processes that take part.
        resume: Go on with an unfinished write.
        overwrite: Replace a split that is there.
    """
    with claim_split(packer.store, packer.split) as claim:
        try:
            manifest = _write_claimed(
                packer, source, job, fill, team, claim, resume=resume, overwrite=overwrite
            )
        except BaseException as error:
            team.end(claim, error)
            raise
        team.end(claim, None)
        packer.journal.throw_away()
        sweep(packer.store, packer.staging.folder)  # what killed tasks and ranks left
        return manifest


def _write_claimed(
    packer: Packer,
    source: Source | Iterable[SourceSample],
    job: Job,
    fill: Callable[[Begun], None],
    team: Team,
    claim: Claim,
    *,
    resume: bool,
    overwrite: bool,
) -> Manifest:
    store, split = packer.store, packer.split
    for prefix in (packer.staging.folder, f"{split}."):
        sweep(store, prefix)
    commit = _commit_record(store, packer.staging)
    if commit is not None and (published := _published(store, split, commit)) is not None:
        packer.journal.throw_away()  # its writer was killed after the last step but this
        if resume and commit.job == job:
            team.begin(claim)
            return published
        commit = None
    if resume and commit is not None and commit.job == job:
        old = commit.old
    else:
        old = _files_in_the_way(packer, commit, overwrite=overwrite)
    begun = Begun(_begin(packer, source, job, commit, resume=resume), old, claim.check)
    try:
        team.begin(claim)
        fill(begun)
        return _commit(packer, claim, job, old)
    except BaseException as error:
        _leave(packer, claim, error)
        raise


def _begin(
    packer: Packer,
    source: Source | Iterable[SourceSample],
    job: Job,
    commit: CommitRecord | None,
    *,
    resume: bool,
) -> list[ShardEntry]:
    """Return the entries of an unfinished write of this job; else begin anew."""
    store, journal = packer.store, packer.journal
    before, places = journal.job(), journal.places()
    if not resume or before is None or not places:
        journal.throw_away(names=_moved(store, commit))
        journal.begin(job)
        return []
    where = store.url_of(packer.staging.folder)
    check_same(before, job, where, f"{len(places)} shards are complete")
    entries = journal.entries(places)
    if isinstance(source, Source):
        check_source(packer, source, entries)
    _LOG.info("%s: going on after %d complete shards", where, len(entries))
    return entries


def _leave(packer: Packer, claim: Claim, error: BaseException) -> None:
    """Remove what is of no use to a later run; say what is kept."""
    with contextlib.suppress(OSError):  # what went wrong first counts
        claim.check_now()
        if not (places := packer.journal.places()):
            packer.journal.throw_away()
            return
        error.add_note(
            f"{len(places)} complete shards are kept in "
            f"{packer.store.url_of(packer.staging.folder)}: the same call goes on from there; "
            "resume=False (--no-resume) begins anew."
        )


def _commit(packer: Packer, claim: Claim, job: Job, old: tuple[str, ...]) -> Manifest:
    """Make index and manifest of all entries, give the shards their names, and publish."""
    store, split = packer.store, packer.split
    entries = packer.journal.entries(packer.journal.places())
    if not entries:
        raise SourceError(f"split {split!r}: the source has no samples.")
    names = [shard_name(packer.config.shards.name, split, i) for i in range(len(entries))]
    if len(set(names)) < len(names):
        raise ConfigError(f"shards.name: gives one name to several of {len(names)} shards.")
    shards = [
        CompleteShard(
            info=msgspec.structs.replace(entry.info, url=name),
            extensions=entry.extensions,
            tasks=entry.tasks,
            rows=lambda place=entry.place: packer.journal.rows(place),  # type: ignore[misc]
        )
        for entry, name in zip(entries, names, strict=True)
    ]
    manifest = make_manifest(split, shards, write_index(store, split, shards))
    moves = tuple((entry.info.url, name) for entry, name in zip(entries, names, strict=True))
    record = CommitRecord(job=job, fingerprint=manifest.vrs_wds.fingerprint, old=old, new=moves)
    claim.check_now()
    store.put(packer.staging.commit, msgspec.json.encode(record))
    _move(store, record, {entry.info.url: entry.info.filesize for entry in entries})
    claim.check_now()
    try:
        publish(store, manifest)
    except FileExistsError as error:
        raise DatasetExistsError(
            f"{store.url_of(manifest_name(split))}: the split {split!r} was made by another writer "
            "meanwhile."
        ) from error
    return manifest


def _move(store: Store, record: CommitRecord, sizes: dict[str, int]) -> None:
    """Remove the old split, its manifest first, and give the shards their names."""
    final = {name for _, name in record.new}
    for name in record.old[:2]:  # manifest and index
        store.delete(name)
    delete_all(store, [name for name in record.old[2:] if name not in final])

    def move(pair: tuple[str, str]) -> None:
        staged, name = pair
        try:
            store.rename(staged, name)
        except FileNotFoundError as error:
            # Moved before this writer, or the one before it, was stopped.
            if not store.exists(name) or store.size_of(name) != sizes[staged]:
                raise StorageError(
                    f"{store.url_of(staged)}: a complete shard of this write is no longer there. "
                    "Begin anew: resume=False (--no-resume)."
                ) from error

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(move, record.new))


def _commit_record(store: Store, staging: Staging) -> CommitRecord | None:
    try:
        return msgspec.json.decode(store.get(staging.commit), type=CommitRecord)
    except FileNotFoundError:
        return None


def _published(store: Store, split: str, commit: CommitRecord) -> Manifest | None:
    """Return the manifest if it is that of the commit."""
    try:
        data = store.get(manifest_name(split))
    except FileNotFoundError:
        return None
    manifest = decode_manifest(data, where=store.url_of(manifest_name(split)))
    return manifest if manifest.vrs_wds.fingerprint == commit.fingerprint else None


def _moved(store: Store, commit: CommitRecord | None) -> list[str]:
    """Return the shards of an unfinished write that had got their names already."""
    pairs = () if commit is None else commit.new
    return [name for staged, name in pairs if not store.exists(staged)]


def _files_in_the_way(
    packer: Packer, commit: CommitRecord | None, *, overwrite: bool
) -> tuple[str, ...]:
    """Return the files that the new split replaces, the manifest first; refuse if it may not.

    They are the manifest, the index, and tars that are named as this split's: nothing else.
    """
    store, split = packer.store, packer.split
    pattern = packer.config.shards.name
    ours = set(_moved(store, commit))
    shards = [
        name
        for name in store.list_names(f"{split}-")
        if name not in ours and _is_shard(name, split, pattern)
    ]
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
        return ()
    if not overwrite:
        raise DatasetExistsError(
            f"{found}. Write to another place, or pass overwrite=True (--overwrite) to replace "
            f"them."
        )
    return tuple(dict.fromkeys([manifest_name(split), index_name(split), *shards]))


def _is_shard(name: str, split: str, pattern: str) -> bool:
    """Tell whether the pattern gives this name for some number."""
    digits = re.findall(r"[0-9]+", name.removeprefix(f"{split}-"))
    return any(name == shard_name(pattern, split, int(number)) for number in digits)
