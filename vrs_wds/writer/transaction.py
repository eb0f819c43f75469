"""One write of a split: claimed, begun or gone on with, filled, and made visible at once."""

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast

import msgspec

from vrs_wds.errors import (
    ConfigError,
    DatasetExistsError,
    ManifestError,
    ResumeError,
    SourceError,
    StorageError,
)
from vrs_wds.sample import Source, SourceSample
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import index_name, manifest_name, shard_name
from vrs_wds.storage.store import Store
from vrs_wds.structs import decoder_of
from vrs_wds.writer.card import make_card
from vrs_wds.writer.claim import Claim, claim_split, sweep
from vrs_wds.writer.commit import CompleteShard, make_manifest, publish, write_index
from vrs_wds.writer.interrupts import InterruptsHeldBack
from vrs_wds.writer.job import Job, check_same
from vrs_wds.writer.journal import ShardEntry, in_threads
from vrs_wds.writer.local import check_source
from vrs_wds.writer.pack import Packer

_LOG = logging.getLogger(__name__)


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Written when all shards are there, and before the first gets its name."""

    job: Job
    fingerprint: str
    old: tuple[str, ...]
    """Files of the split that is replaced, the manifest first."""
    old_manifest: str
    """SHA-256 of the manifest that is replaced; empty if there was none."""
    new: tuple[tuple[str, str], ...]
    """Staged name and name of each shard."""


@dataclass(frozen=True)
class Begun:
    """A write that may go on."""

    packer: Packer
    """Writes under this claim."""
    entries: list[ShardEntry]
    """Shards that are complete."""
    claim: Claim
    """Its `check` raises if another writer has taken over."""


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
    last_step: contextlib.ExitStack,
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
        last_step: From the step that makes the split visible until it is closed, a first Ctrl-C
            waits: who is told "stopped" finds no split.
        resume: Go on with an unfinished write.
        overwrite: Replace a split that is there.
    """
    with claim_split(packer.store, packer.split) as claim:
        try:
            manifest = _write_claimed(
                packer, source, job, fill, team, claim, last_step,
                resume=resume, overwrite=overwrite,
            )  # fmt: skip
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
    last_step: contextlib.ExitStack,
    *,
    resume: bool,
    overwrite: bool,
) -> Manifest:
    store, split = packer.store, packer.split
    packer = replace(packer, writer=claim.token)
    commit = _commit_record(packer, resume=resume)
    if commit is not None and (published := _published(store, split, commit)) is not None:
        is_done = resume and commit.job == job
        if is_done:
            last_step.enter_context(InterruptsHeldBack(insist=True))
        packer.journal.throw_away()  # its writer was killed after the last step but this
        if is_done:
            team.begin(claim)
            return published
        commit = None
    if resume and commit is not None and commit.job == job:
        old, old_manifest = commit.old, commit.old_manifest
    else:
        old = _files_in_the_way(packer, commit, overwrite=overwrite)
        old_manifest = _digest(store, manifest_name(split))
    # Only names that nobody else gives: an upload of `train.zip` is somebody's.
    for prefix in (packer.staging.folder, index_name(split), manifest_name(split)):
        sweep(store, prefix)
    entries, writers = _begin(packer, source, job, commit, resume=resume)
    try:
        team.begin(claim)
        fill(Begun(packer, entries, claim))
        entries = packer.journal.entries(packer.journal.names(writers))
        return _commit(packer, claim, job, entries, (old, old_manifest), last_step)
    except BaseException as error:
        _leave(packer, claim, writers, error)
        raise


def _begin(
    packer: Packer,
    source: Source | Iterable[SourceSample],
    job: Job,
    commit: CommitRecord | None,
    *,
    resume: bool,
) -> tuple[list[ShardEntry], tuple[str, ...]]:
    """Return the entries of an unfinished write of this job, or none; and whose shards count."""
    store, journal = packer.store, packer.journal
    before = journal.record() if resume else None
    names = [] if before is None else journal.names(before.writers)
    if before is None or not names:
        journal.throw_away(names=_moved(store, packer.split, commit))
        journal.begin(job, [packer.writer])
        return [], (packer.writer,)
    where = store.url_of(packer.staging.folder)
    check_same(before.job, job, where, f"{len(names)} shards are complete")
    entries = journal.entries(names)
    if isinstance(source, Source):
        check_source(packer, source, entries)
    _LOG.info("%s: going on after %d complete shards", where, len(entries))
    writers = (*before.writers, packer.writer)
    journal.begin(job, writers)
    return entries, writers


def _leave(packer: Packer, claim: Claim, writers: Sequence[str], error: BaseException) -> None:
    """Remove what is of no use to a later run; say what is kept.

    Raises:
        SplitBusyError: if another writer has taken over: that explains whatever went wrong.
    """
    with contextlib.suppress(StorageError):  # what went wrong first counts
        claim.check_now()
        if not (names := packer.journal.names(writers)):
            packer.journal.throw_away()
        elif not isinstance(error, ResumeError | ManifestError):
            error.add_note(
                f"{len(names)} complete shards are kept in "
                f"{packer.store.url_of(packer.staging.folder)}: the same call goes on from there; "
                "resume=False (--no-resume) begins anew."
            )


def _commit(
    packer: Packer,
    claim: Claim,
    job: Job,
    entries: Sequence[ShardEntry],
    replaced: tuple[tuple[str, ...], str],
    last_step: contextlib.ExitStack,
) -> Manifest:
    """Make index and manifest of all entries, give the shards their names, and publish."""
    store, split = packer.store, packer.split
    if not entries:
        raise SourceError(f"split {split!r}: the source has no samples.")
    names = [shard_name(packer.config.shards.name, split, i) for i in range(len(entries))]
    if len(set(names)) < len(names):
        raise ConfigError(f"shards.name: gives one name to several of {len(names)} shards.")
    moves = tuple((entry.info.url, name) for entry, name in zip(entries, names, strict=True))
    in_threads(partial(_check_staged, store), list(zip(entries, names, strict=True)))
    shards = [
        CompleteShard(
            info=msgspec.structs.replace(entry.info, url=name),
            extensions=entry.extensions,
            tasks=entry.tasks,
            rows=partial(packer.journal.rows, entry),
        )
        for entry, name in zip(entries, names, strict=True)
    ]
    manifest = make_manifest(split, shards, write_index(store, split, shards, claim.token))
    record = CommitRecord(
        job=job,
        fingerprint=manifest.vrs_wds.fingerprint,
        old=replaced[0],
        old_manifest=replaced[1],
        new=moves,
    )
    make_card(store, manifest)  # what stops it is found before anything is removed
    store.put(packer.staging.commit, msgspec.json.encode(record))
    _move(store, record, split, claim)
    last_step.enter_context(InterruptsHeldBack(insist=True))
    try:
        publish(store, manifest, claim)
    except FileExistsError as error:
        raise _made_meanwhile(store, split) from error
    return manifest


def _check_staged(store: Store, pair: tuple[ShardEntry, str]) -> None:
    """See that a shard is there as it was written: staged, or under its name already.

    Raises:
        ResumeError: if it is not.
    """
    entry, name = pair
    info = entry.info
    try:
        stat = store.stat(info.url)
        if stat.size == info.filesize and entry.etag and stat.etag == entry.etag:
            return
        found = info.url  # in a folder that was copied, etags are others
    except FileNotFoundError:
        found = name  # it was moved before the one who did it was stopped
    if _digest(store, found) != info.sha256:
        raise ResumeError(
            f"{store.url_of(info.url)}: a complete shard of this write is no longer there, or was "
            "changed. Begin anew: resume=False (--no-resume)."
        )


def _move(store: Store, record: CommitRecord, split: str, claim: Claim) -> None:
    """Remove the old split, its manifest first, and give the shards their names."""
    claim.check_now()
    if _digest(store, manifest_name(split)) not in ("", record.old_manifest):
        raise _made_meanwhile(store, split)
    final = {name for _, name in record.new}
    for name in record.old[:2]:  # manifest and index
        store.delete(name)

    def delete(name: str) -> None:
        claim.check()
        store.delete(name)

    def move(pair: tuple[str, str]) -> None:
        claim.check()
        with contextlib.suppress(FileNotFoundError):  # moved before; `_check_staged` has looked
            store.rename(*pair)

    in_threads(delete, [name for name in record.old[2:] if name not in final])
    in_threads(move, record.new)


def _made_meanwhile(store: Store, split: str) -> DatasetExistsError:
    return DatasetExistsError(
        f"{store.url_of(manifest_name(split))}: the split {split!r} was made by another writer "
        "meanwhile. Nothing of it was changed."
    )


def _digest(store: Store, name: str) -> str:
    """Return a file's SHA-256; empty if there is none."""
    try:
        with store.open_reader(name) as file:
            return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _commit_record(packer: Packer, *, resume: bool) -> CommitRecord | None:
    name = packer.staging.commit
    try:
        return decoder_of(CommitRecord).decode(packer.store.get(name))
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        if not resume:
            return None
        raise ManifestError(
            f"{packer.store.url_of(name)}: expected a writer's record of a commit, found {error}. "
            "Throw the unfinished write away: resume=False (--no-resume)."
        ) from error


def _published(store: Store, split: str, commit: CommitRecord) -> Manifest | None:
    """Return the manifest if it is that of the commit."""
    try:
        manifest = _read_manifest(store, split)
    except FileNotFoundError:
        return None
    return manifest if manifest.vrs_wds.fingerprint == commit.fingerprint else None


def _read_manifest(store: Store, split: str) -> Manifest:
    where = store.url_of(manifest_name(split))
    try:
        return decode_manifest(store.get(manifest_name(split)), where=where)
    except ManifestError as error:
        raise ManifestError(
            f"{error} It is not replaced: move it away, or write to another folder."
        ) from error


def _moved(store: Store, split: str, commit: CommitRecord | None) -> list[str]:
    """Return the shards of an unfinished write that had got their names already.

    A bucket moves by copy and delete: between the two a shard has both names. Before any is moved,
    the manifest of the old split goes.
    """
    if commit is None:
        return []
    has_begun = not store.exists(manifest_name(split))

    def is_moved(pair: tuple[str, str]) -> bool:
        staged, name = pair
        if not store.exists(staged):
            return True
        return has_begun and store.exists(name) and _digest(store, staged) == _digest(store, name)

    found = in_threads(is_moved, commit.new)
    return [name for (_, name), moved in zip(commit.new, found, strict=True) if moved]


def _files_in_the_way(
    packer: Packer, commit: CommitRecord | None, *, overwrite: bool
) -> tuple[str, ...]:
    """Return the files that the new split replaces, the manifest first; refuse if it may not.

    They are the manifest, the index, and tars that are named as this split's: nothing else.
    """
    store, split = packer.store, packer.split
    pattern = packer.config.shards.name
    ours = set(_moved(store, split, commit))
    shards = [
        name
        for name in store.list_names(f"{split}-")
        if name not in ours and _is_shard(name, split, pattern)
    ]
    if store.exists(manifest_name(split)):
        old = _read_manifest(store, split)
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
