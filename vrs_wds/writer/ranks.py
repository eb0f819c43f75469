"""Several ranks of a launcher write one split; they know of each other through the store alone.

Rank `r` of `W` packs the blocks `r`, `r + W`, `r + 2 W`, ... Rank 0 holds the claim, waits for the
others' shards and makes the split visible::

    rank 1   says that it is there ───┐         ┌─ packs its blocks ─┐         ┌─ reports
    rank 0   claims the split ── knows all ranks ─ packs its blocks ── all there: commits
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import chain, islice

import msgspec

from vrs_wds.errors import RankError
from vrs_wds.order.world import World
from vrs_wds.sample import Source
from vrs_wds.structs import decoder_of
from vrs_wds.writer import claim as claims
from vrs_wds.writer.claim import Claim
from vrs_wds.writer.engine import prepare_all
from vrs_wds.writer.finishing import Finishing
from vrs_wds.writer.job import Job, differences
from vrs_wds.writer.journal import ShardEntry, Span, in_threads, spans
from vrs_wds.writer.keys import KeySet
from vrs_wds.writer.local import twice_error
from vrs_wds.writer.pack import Packer

_LOG = logging.getLogger(__name__)

START_SECONDS = 600.0
"""Ranks of a launcher may begin this far apart."""
_TELL_SECONDS = 10.0
DONE = "done"
"""State of a claim whose split is visible."""


class RankRecord(msgspec.Struct, kw_only=True):
    """What a rank other than 0 says of itself."""

    token: str
    job: Job
    launch: str
    """See `World.launch`."""
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
    """The other ranks, seen from rank 0. A world of one has none.

    The same job may be launched twice. Only one rank 0 gets the claim; its ranks are those of its
    launch, where the launcher tells, and else any that would write the same.
    """

    def __init__(self, packer: Packer, job: Job, world: World | None) -> None:
        self._packer = packer
        self._job = job
        self._others = range(1, 1 if world is None else world.world_size)
        self._launch = "" if world is None else world.launch
        self._tokens: dict[int, str] = {}
        """Of the ranks that work, as they were announced."""
        self._seen: dict[int, tuple[RankRecord | None, float]] = {}
        self._silent: set[int] = set()

    def begin(self, claim: Claim) -> None:
        """Wait until every rank is there, with the same job; then let them begin.

        Raises:
            RankError: if one does not come, or has other work.
        """
        if self._others:  # what an earlier launch left; living ranks write theirs anew
            in_threads(self._packer.store.delete, self._names())
        patience = Patience(
            f"rank 0 of {len(self._others) + 1}, as the launcher's environment says, waits for the "
            "others to begin"
        )
        while missing := sorted(set(self._others) - self._tokens.keys()):
            for rank, records in self._records(missing).items():
                self._tokens[rank] = self._of_this_job(rank, records).token
            if len(self._tokens) == len(self._others):
                break
            if not patience.lasts():
                raise RankError(f"ranks {missing} have not begun within {START_SECONDS:.0f} s.")
            time.sleep(pause())
        if self._tokens:
            claim.announce(ranks=dict(self._tokens))

    def end(self, claim: Claim, error: BaseException | None) -> None:
        """Tell all ranks how it ended; wait a little until they know."""
        store, folder = self._packer.store, self._packer.staging.ranks_folder
        with suppress(OSError):
            if self._others:
                claim.announce(state=DONE if error is None else f"{type(error).__name__}: {error}")
            end = time.monotonic() + claims.PATIENCE_SECONDS
            living = set(self._others) - self._silent
            while self._are_waiting(living) and time.monotonic() < end:
                time.sleep(pause())
            in_threads(store.delete, self._names())
            claims.sweep(store, folder)

    def _are_waiting(self, ranks: set[int]) -> bool:
        """Tell whether a rank is still to hear how it ended: one that stopped is not."""
        return any(
            not record.error and self._tokens.get(rank, record.token) == record.token
            for rank, records in (self._records(ranks) if ranks else {}).items()
            for record in records
        )

    def wait_for(self, num_blocks: int, claim: Claim) -> None:
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
            claim.check()
            for rank in sorted({block % world_size for block in missing}):
                self._check_alive(rank, claim)
            time.sleep(pause())

    def _check_alive(self, rank: int, claim: Claim) -> None:
        now = time.monotonic()
        record = self._read(self._packer.staging.rank(rank, self._tokens[rank]))
        before, since = self._seen.get(rank, (None, now))
        since = since if record == before else now
        self._seen[rank] = (record, since)
        has_stopped = record is not None and record.error
        if not has_stopped and now - since <= claims.PATIENCE_SECONDS:
            return
        if self._replaced(rank, claim):
            return
        if record is not None and record.error:
            raise RankError(f"rank {rank} stopped: {record.error}")
        self._silent.add(rank)
        raise RankError(
            f"rank {rank} has given no sign of life for {claims.PATIENCE_SECONDS:.0f} s. "
            "Complete shards are kept: start all ranks again."
        )

    def _replaced(self, rank: int, claim: Claim) -> bool:
        """Let another process of this number, which waits, go on in the place of one that is gone.

        It was of another launch, whose rank 0 did not get the claim.
        """
        waiting = self._records([rank]).get(rank, [])
        others = [r for r in waiting if r.token != self._tokens[rank] and not r.error]
        alike = [record for record in others if not differences(self._job, record.job)]
        if not alike:
            return False
        _LOG.warning("rank %d is gone; another process of this number takes its place", rank)
        self._tokens[rank] = alike[0].token
        self._seen.pop(rank)
        claim.announce(ranks=dict(self._tokens))
        return True

    def _of_this_job(self, rank: int, records: Sequence[RankRecord]) -> RankRecord:
        found = [differences(self._job, record.job) for record in records]
        if all(found):
            raise RankError(
                f"rank {rank} would write something else than rank 0: {'; '.join(found[0])}. All "
                "ranks need the same source and options."
            )
        return records[found.index([])]

    def _names(self) -> list[str]:
        staging = self._packer.staging
        return list(self._packer.store.list_names(staging.ranks_folder, hidden=True))

    def _records(self, ranks: Collection[int]) -> dict[int, list[RankRecord]]:
        """Return what the processes of these numbers say, where there are any of this launch."""
        found = defaultdict(list)
        for name in self._names():
            known = self._packer.staging.read_rank(name)
            if known is None or known[0] not in ranks or (record := self._read(name)) is None:
                continue
            if self._launch in ("", record.launch) or not record.launch:
                found[known[0]].append(record)
        return found

    def _read(self, name: str) -> RankRecord | None:
        try:
            return decoder_of(RankRecord).decode(self._packer.store.get(name))
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def pack_as_rank_0(
    packer: Packer,
    source: Source,
    entries: Sequence[ShardEntry],
    world: World,
    ranks: Ranks,
    *,
    num_workers: int,
    claim: Claim,
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
    pack_blocks(packer, source, entries, world,
                num_workers=num_workers, check=claim.check, count=count)  # fmt: skip
    ranks.wait_for(len(blocks), claim)
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
    todo = [span for span in spans(list(entries), len(source), size) if is_mine(span.block, world)]
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


def pause() -> float:
    """Return the seconds to wait before the next look at the store."""
    return claims.BEAT_SECONDS / 10


def is_mine(block: int, world: World) -> bool:
    """Tell whether a rank packs a block."""
    return block % world.world_size == world.rank


def _numbers(span: Span) -> range:
    return range(span.start, span.start if span.stop is None else span.stop)
