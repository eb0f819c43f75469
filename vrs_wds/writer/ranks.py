"""Several ranks of a launcher write one split; they know of each other through the store alone.

Rank `r` of `W` packs the blocks `r`, `r + W`, `r + 2 W`, ... Rank 0 holds the claim, waits for the
others' shards and makes the split visible::

    rank 1   says that it is there ───┐         ┌─ packs its blocks ─┐         ┌─ reports
    rank 0   claims the split ── knows all ranks ─ packs its blocks ── all there: commits
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, islice

import msgspec

from vrs_wds.errors import RankError
from vrs_wds.order.world import World
from vrs_wds.sample import Source
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import manifest_name
from vrs_wds.writer import claim as claims
from vrs_wds.writer.claim import Claim, ClaimRecord, describe, read_claim, runs_here
from vrs_wds.writer.engine import prepare_all
from vrs_wds.writer.finishing import Finishing
from vrs_wds.writer.job import Job, differences
from vrs_wds.writer.journal import ShardEntry, Span, in_threads, spans
from vrs_wds.writer.keys import KeySet
from vrs_wds.writer.local import check_source, twice_error
from vrs_wds.writer.pack import Packer

_LOG = logging.getLogger(__name__)

START_SECONDS = 600.0
"""Ranks of a launcher may begin this far apart."""
_TELL_SECONDS = 10.0
_DONE = "done"


class RankRecord(msgspec.Struct, kw_only=True):
    """What a rank other than 0 says of itself."""

    token: str
    job: Job
    beat: int = 0
    error: str = ""
    """Why it stopped."""


class Patience:
    """How long ranks wait for each other at the beginning; says so now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._end = time.monotonic() + START_SECONDS
        self._told = time.monotonic() + _TELL_SECONDS

    def lasts(self) -> bool:
        """Tell whether to go on waiting."""
        now = time.monotonic()
        if now > self._told:
            _LOG.warning("%s; gives up in %.0f s", self._what, max(0, self._end - now))
            self._told = now + 6 * _TELL_SECONDS
        return now < self._end


class Ranks:
    """The other ranks, seen from rank 0. A world of one has none."""

    def __init__(self, packer: Packer, job: Job, world: World | None) -> None:
        self._packer = packer
        self._job = job
        self._others = range(1, 1 if world is None else world.world_size)
        self._seen: dict[int, tuple[RankRecord | None, float]] = {}
        self._silent: set[int] = set()

    def begin(self, claim: Claim) -> None:
        """Wait until every rank is there, with the same job; then let them begin.

        Raises:
            RankError: if one does not come, or has other work.
        """
        for rank in self._others:  # what an earlier launch left; living ranks write theirs anew
            self._packer.store.delete(self._packer.staging.rank(rank))
        tokens: dict[int, str] = {}
        patience = Patience(
            f"rank 0 of {len(self._others) + 1}, as the launcher's environment says, waits for the "
            "others to begin"
        )
        while missing := sorted(set(self._others) - tokens.keys()):
            for rank in missing:
                if (record := self._read(rank)) is not None:
                    self._check_job(rank, record)
                    tokens[rank] = record.token
            if len(tokens) == len(self._others):
                break
            if not patience.lasts():
                raise RankError(f"ranks {missing} have not begun within {START_SECONDS:.0f} s.")
            time.sleep(_pause())
        if tokens:
            claim.announce(ranks=tokens)

    def end(self, claim: Claim, error: BaseException | None) -> None:
        """Tell all ranks how it ended; wait a little until they know."""
        store, folder = self._packer.store, self._packer.staging.ranks_folder
        with suppress(OSError):
            if self._others:
                claim.announce(state=_DONE if error is None else f"{type(error).__name__}: {error}")
            end = time.monotonic() + claims.PATIENCE_SECONDS
            living = set(self._others) - self._silent
            while any(map(self._is_waiting, living)) and time.monotonic() < end:
                time.sleep(_pause())
            in_threads(store.delete, list(store.list_names(folder, hidden=True)))
            claims.sweep(store, folder)

    def _is_waiting(self, rank: int) -> bool:
        """Tell whether a rank is still to hear how it ended: one that stopped is not."""
        record = self._read(rank)
        return record is not None and not record.error

    def wait_for(self, num_blocks: int, check: Callable[[], None]) -> None:
        """Wait until each block has its last shard.

        Raises:
            RankError: if a rank that owes one stopped, or gives no sign of life.
        """
        world_size = len(self._others) + 1
        while True:
            names = self._packer.journal.complete()
            ended = {name.place.block for name in names if name.is_end}
            missing = [block for block in range(num_blocks) if block not in ended]
            if not missing:
                return
            check()
            for rank in sorted({block % world_size for block in missing}):
                self._check_alive(rank)
            time.sleep(_pause())

    def _check_alive(self, rank: int) -> None:
        record, now = self._read(rank), time.monotonic()
        if record is not None and record.error:
            raise RankError(f"rank {rank} stopped: {record.error}")
        before, since = self._seen.get(rank, (None, now))
        since = since if record == before else now
        self._seen[rank] = (record, since)
        if now - since > claims.PATIENCE_SECONDS:
            self._silent.add(rank)
            raise RankError(
                f"rank {rank} has given no sign of life for {claims.PATIENCE_SECONDS:.0f} s. "
                "Complete shards are kept: start all ranks again."
            )

    def _check_job(self, rank: int, record: RankRecord) -> None:
        if found := differences(self._job, record.job):
            raise RankError(
                f"rank {rank} would write something else than rank 0: {'; '.join(found)}. All "
                "ranks need the same source and options."
            )

    def _read(self, rank: int) -> RankRecord | None:
        name = self._packer.staging.rank(rank)
        try:
            return msgspec.json.decode(self._packer.store.get(name), type=RankRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def follow_rank_0(
    packer: Packer, source: Source, job: Job, world: World, *, num_workers: int
) -> Manifest:
    """Pack the blocks of a rank other than 0; wait until rank 0 has made the split visible.

    Raises:
        RankError: if rank 0 stopped, or does not begin.
    """
    store, split = packer.store, packer.split
    with _living(packer, job, world.rank) as follower:
        packer = replace(packer, writer=follower.wait_for_begin())
        entries = packer.journal.entries(packer.journal.complete())
        check_source(packer, source, [e for e in entries if _mine(e.block, world)])
        pack_blocks(packer, source, entries, world, num_workers=num_workers,
                    check=follower.check, count=lambda _: None)  # fmt: skip
        while not follower.is_done():
            time.sleep(_pause())
    data = store.get(manifest_name(split))
    return decode_manifest(data, where=store.url_of(manifest_name(split)))


def pack_as_rank_0(
    packer: Packer,
    source: Source,
    entries: Sequence[ShardEntry],
    world: World,
    ranks: Ranks,
    *,
    num_workers: int,
    check: Callable[[], None],
    count: Callable[[int], object],
) -> None:
    """Pack rank 0's blocks, wait for those of the others, and look for keys given twice.

    Raises:
        RankError: if a rank stopped, or gives no sign of life.
        DuplicateKeyError: if two samples have one key.
    """
    blocks = range(0, len(source), packer.config.shards.max_samples)
    if len(blocks) < world.world_size:
        _LOG.warning(
            "%d of %d ranks have nothing to do: the source makes %d blocks of shards.max_samples = "
            "%d samples. A smaller number shares the work out better.",
            world.world_size - len(blocks), world.world_size, len(blocks),
            packer.config.shards.max_samples,
        )  # fmt: skip
    pack_blocks(packer, source, entries, world, num_workers=num_workers, check=check, count=count)
    ranks.wait_for(len(blocks), check)
    refuse_twice(packer, source)


def pack_blocks(
    packer: Packer,
    source: Source,
    entries: Sequence[ShardEntry],
    world: World,
    *,
    num_workers: int,
    check: Callable[[], None],
    count: Callable[[int], object],
) -> None:
    """Pack what has no entry yet of a rank's own blocks."""
    size = packer.config.shards.max_samples
    todo = [span for span in spans(list(entries), len(source), size) if _mine(span.block, world)]
    numbers = chain.from_iterable(_numbers(span) for span in todo)
    prepared = prepare_all(source, packer.config, num_workers=num_workers, numbers=numbers)
    with Finishing() as finishing:
        for span in todo:
            samples = islice(prepared, len(_numbers(span)))
            for packed in packer.pack(
                span, samples, finishing,
                check=check, name=lambda n: f"{packer.split}, samples from {n:,}",
            ):  # fmt: skip
                count(len(packed))


def refuse_twice(packer: Packer, source: Source) -> None:
    """Look through the keys of all complete shards.

    Raises:
        DuplicateKeyError: if one is there twice.
    """
    keys = KeySet()
    try:
        for entry in packer.journal.entries(packer.journal.complete()):
            column = packer.journal.rows(entry, ["key"])["key"].to_pylist()
            rows = [(key, number, "") for number, key in enumerate(column, entry.start)]
            if (twice := keys.add(rows)) is not None:
                raise twice_error(source, twice)
    finally:
        keys.close()


class _Follower:
    """A rank other than 0: says that it lives, and knows how rank 0 is."""

    def __init__(self, packer: Packer, job: Job, rank: int) -> None:
        self._packer = packer
        self._rank = rank
        self._record = RankRecord(token=secrets.token_hex(8), job=job)
        self._claim = ""
        """Token of rank 0."""
        self._stopped = ""
        """Why rank 0 stopped."""
        self._seen: ClaimRecord | None = None
        self._seen_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="vrs_wds rank", daemon=True)
        self._write()
        self._thread.start()

    def wait_for_begin(self) -> str:
        """Wait until rank 0 knows of this rank; return the token of its claim."""
        patience = Patience(f"rank {self._rank} waits for rank 0 to begin")
        while patience.lasts():
            claim = read_claim(self._packer.store, self._packer.split)
            if claim is not None and claim.ranks.get(self._rank) == self._record.token:
                self._claim = claim.token
                return claim.token
            if claim is not None and claim.state not in ("", _DONE):
                raise RankError(f"rank 0 stopped: {claim.state}")
            time.sleep(_pause())
        raise RankError(
            f"{self._packer.store.url_of(self._packer.staging.folder)}: rank 0 has not begun to "
            f"write this split within {START_SECONDS:.0f} s. Look at what rank 0 says."
        )

    def is_done(self) -> bool:
        """Tell whether rank 0 has made the split visible.

        Raises:
            RankError: if it stopped.
        """
        self.check()
        claim = read_claim(self._packer.store, self._packer.split)
        if claim is None or claim.token != self._claim:
            raise RankError("rank 0 is gone. Complete shards are kept: start all ranks again.")
        if claim.state not in ("", _DONE):
            raise RankError(f"rank 0 stopped: {claim.state}")
        if claim != self._seen:
            self._seen, self._seen_at = claim, time.monotonic()
        silent = time.monotonic() - self._seen_at
        if runs_here(claim) is False or silent > claims.PATIENCE_SECONDS:
            raise RankError(
                f"rank 0 ({describe(claim)}) has given no sign of life for {silent:.0f} s. "
                "Complete shards are kept: start all ranks again."
            )
        return claim.state == _DONE

    def check(self) -> None:
        """Raise if rank 0 stopped."""
        if self._stopped:
            raise RankError(self._stopped)

    def close(self, error: BaseException | None) -> None:
        """Say why this rank stops; or, if all went well, nothing more."""
        self._stop.set()
        self._thread.join()
        name = self._packer.staging.rank(self._rank)
        if error is None or isinstance(error, RankError):
            self._packer.store.delete(name)
        else:
            self._record.error = f"{type(error).__name__}: {error}"
            self._write()

    def _beat(self) -> None:
        while not self._stop.wait(_pause() if not self._claim else claims.BEAT_SECONDS):
            try:
                self._record.beat += 1
                self._write()
                if self._claim:
                    self.is_done()
            except RankError as error:
                self._stopped = str(error)
                return
            except OSError as error:
                _LOG.warning("rank %d could not say that it lives: %s", self._rank, error)

    def _write(self) -> None:
        name = self._packer.staging.rank(self._rank)
        self._packer.store.put(name, msgspec.json.encode(self._record))


@contextmanager
def _living(packer: Packer, job: Job, rank: int) -> Iterator[_Follower]:
    follower = _Follower(packer, job, rank)
    try:
        yield follower
    except BaseException as error:
        follower.close(error)
        raise
    follower.close(None)


def _pause() -> float:
    return claims.BEAT_SECONDS / 10


def _mine(block: int, world: World) -> bool:
    return block % world.world_size == world.rank


def _numbers(span: Span) -> range:
    return range(span.start, span.start if span.stop is None else span.stop)
