"""A rank other than 0: packs its blocks under the claim of rank 0."""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from vrs_wds.errors import RankError
from vrs_wds.order.world import World
from vrs_wds.sample import Source
from vrs_wds.shard.manifest import Manifest, decode_manifest
from vrs_wds.shard.names import manifest_name
from vrs_wds.writer import claim as claims
from vrs_wds.writer import ranks
from vrs_wds.writer.claim import ClaimRecord, describe, read_claim, runs_here
from vrs_wds.writer.job import Job
from vrs_wds.writer.local import check_source
from vrs_wds.writer.pack import Packer
from vrs_wds.writer.ranks import (
    DONE,
    Patience,
    RankRecord,
    is_mine,
    pack_blocks,
    pause,
)

_LOG = logging.getLogger(__name__)


def follow_rank_0(
    packer: Packer, source: Source, job: Job, world: World, *, num_workers: int
) -> Manifest:
    """Pack the blocks of a rank other than 0; wait until rank 0 has made the split visible.

    Raises:
        RankError: if rank 0 stopped, or does not begin.
    """
    store, split = packer.store, packer.split
    with _living(packer, job, world) as follower:
        packer = replace(packer, writer=follower.wait_for_begin())
        entries = packer.journal.entries(packer.journal.complete())
        check_source(packer, source, [e for e in entries if is_mine(e.block, world)])
        pack_blocks(packer, source, entries, world, num_workers=num_workers,
                    check=follower.check, count=lambda _: None)  # fmt: skip
        while not follower.is_done():
            time.sleep(pause())
    data = store.get(manifest_name(split))
    return decode_manifest(data, where=store.url_of(manifest_name(split)))


class _Follower:
    """A rank other than 0: says that it lives, and knows how rank 0 is."""

    def __init__(self, packer: Packer, job: Job, world: World) -> None:
        self._packer = packer
        self._rank = world.rank
        self._record = RankRecord(token=secrets.token_hex(8), job=job, launch=world.launch)
        self._name = packer.staging.rank(world.rank, self._record.token)
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
            if claim is not None and claim.state not in ("", DONE):
                raise RankError(f"rank 0 stopped: {claim.state}")
            time.sleep(pause())
        raise RankError(
            f"{self._packer.store.url_of(self._packer.staging.folder)}: rank 0 has not begun to "
            f"write this split within {ranks.START_SECONDS:.0f} s. Look at what rank 0 says."
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
        if claim.state not in ("", DONE):
            raise RankError(f"rank 0 stopped: {claim.state}")
        if claim != self._seen:
            self._seen, self._seen_at = claim, time.monotonic()
        silent = time.monotonic() - self._seen_at
        if runs_here(claim) is False or silent > claims.PATIENCE_SECONDS:
            raise RankError(
                f"rank 0 ({describe(claim)}) has given no sign of life for {silent:.0f} s. "
                "Complete shards are kept: start all ranks again."
            )
        return claim.state == DONE

    def check(self) -> None:
        """Raise if rank 0 stopped."""
        if self._stopped:
            raise RankError(self._stopped)

    def close(self, error: BaseException | None) -> None:
        """Say why this rank stops; or, if all went well, nothing more."""
        self._stop.set()
        self._thread.join()
        if error is None or isinstance(error, RankError):
            self._packer.store.delete(self._name)
        else:
            self._record.error = f"{type(error).__name__}: {error}"
            self._write()

    def _beat(self) -> None:
        while not self._stop.wait(pause() if not self._claim else claims.BEAT_SECONDS):
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
        self._packer.store.put(self._name, msgspec.json.encode(self._record))


@contextmanager
def _living(packer: Packer, job: Job, world: World) -> Iterator[_Follower]:
    follower = _Follower(packer, job, world)
    try:
        yield follower
    except BaseException as error:
        follower.close(error)
        raise
    follower.close(None)
