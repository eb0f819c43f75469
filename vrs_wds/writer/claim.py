"""One writer on a split at a time: a claim in the store, kept alive by a thread.

The claim with the highest number counts. A writer makes number 1 if there is none; of several that
try, the store lets one win. A claim whose writer is dead is followed by one with the next number.
Whether a writer is dead is known at once on its own machine; elsewhere its claim is watched: the
thread of a living one writes it anew all the time.
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from vrs_wds.errors import SplitBusyError, StorageError
from vrs_wds.storage.store import Store
from vrs_wds.structs import decoder_of
from vrs_wds.writer.staging import Staging

_LOG = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
"""A living writer writes its claim anew this often."""
PATIENCE_SECONDS = 30.0
"""A claim that nobody has written anew for so long is that of a dead writer."""
_MAX_FAILURES = 20
_HELD: set[str] = set()
"""Tokens of the claims that this process holds."""


class ClaimRecord(msgspec.Struct, kw_only=True):
    """What a claim says."""

    token: str
    """Tells one writer from all others."""
    host: str
    machine: str
    """Equal for processes that see each other's numbers; empty where that is not known."""
    pid: int
    started: str
    """When the process began: a number is given again to another one."""
    ranks: dict[int, str] = {}
    """Ranks that share the work, by the tokens that they gave themselves."""
    state: str = ""
    """`done`, or `failed` and why; empty while the work goes on."""
    beat: int = 0


class Claim:
    """This process's claim to a split. Made by `claim_split`."""

    def __init__(self, store: Store, staging: Staging, number: int, record: ClaimRecord) -> None:
        self._store = store
        self._staging = staging
        self._number = number
        self._record = record
        self._lost = ""
        self._looked_at = time.monotonic()
        _HELD.add(record.token)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="vrs_wds claim", daemon=True)
        self._thread.start()

    def announce(self, *, ranks: dict[int, str] | None = None, state: str = "") -> None:
        """Tell other ranks that they may begin, or how it ended."""
        with self._lock:
            self._record.ranks = self._record.ranks if ranks is None else ranks
            self._record.state = state
            self._write()

    @property
    def token(self) -> str:
        """Tells this writer from all others."""
        return self._record.token

    def check(self) -> None:
        """Raise if another writer has taken over. Asks the store if the last answer is old.

        Raises:
            SplitBusyError: then nothing may be written any more.
        """
        if not self._lost and time.monotonic() - self._looked_at > 2 * BEAT_SECONDS:
            self._look()
        if self._lost:
            raise SplitBusyError(self._lost)

    def check_now(self) -> None:
        """Look into the store, and raise if another writer has taken over."""
        self._look()
        self.check()

    def release(self) -> None:
        """Give the split free; if the store does not answer, the next writer finds out."""
        self._stop.set()
        self._thread.join()
        _HELD.discard(self._record.token)
        if self._lost:
            return
        try:
            self._store.delete(self._staging.claim(self._number))
        except OSError as error:
            _LOG.warning("the claim could not be removed: %s", error)
        sweep(self._store, self._staging.claims_folder)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._look()
                if self._lost:
                    return
                with self._lock:
                    self._record.beat += 1
                    self._write()
            except OSError as error:  # the store does not answer now; the next beat may pass
                _LOG.warning("the claim could not be written anew: %s", error)

    def _look(self) -> None:
        asked_at = time.monotonic()
        last, record = _last_claim(self._store, self._staging)
        self._looked_at = asked_at
        if last == self._number and record is not None and record.token == self._record.token:
            return
        by = f"by {describe(record)} " if record is not None and last > self._number else ""
        self._lost = (
            f"{self._store.url_of(self._staging.folder)}: this writer was thought dead, and the "
            f"split was taken over {by}(claim {max(last, 0)}). Nothing of it was destroyed; what "
            "this one had completed is kept for the other."
        )

    def _write(self) -> None:
        self._store.put(self._staging.claim(self._number), msgspec.json.encode(self._record))


@contextmanager
def claim_split(store: Store, split: str) -> Iterator[Claim]:
    """Hold the claim to a split.

    Raises:
        SplitBusyError: if another writer is at work on it.
    """
    claim = _take(store, Staging(split), split)
    try:
        yield claim
    finally:
        claim.release()


def sweep(store: Store, prefix: str) -> None:
    """Remove what killed writers left; a store that does not allow it is no reason to stop."""
    try:
        store.sweep(prefix)
    except OSError as error:
        _LOG.warning("what killed writers may have left stays: %s", error)


def _take(store: Store, staging: Staging, split: str) -> Claim:
    why: OSError | None = None
    record = ClaimRecord(
        token=secrets.token_hex(8),
        host=os.uname().nodename,
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()),
    )
    for _ in range(_MAX_FAILURES):
        last, other = _last_claim(store, staging)
        if last and other is not None:
            if not _is_dead(store, staging, last, other):
                continue  # it is another one's now, or gone
            _LOG.warning(
                "%s: taking over from %s, which is dead",
                store.url_of(staging.folder),
                describe(other),
            )
        try:
            store.put_new(staging.claim(last + 1), msgspec.json.encode(record))
        except (FileExistsError, FileNotFoundError) as error:
            # Somebody was faster; or, at its end, took this for what a killed writer left.
            why = error
            time.sleep(0.02 + os.getpid() % 7 / 100)  # not all at the same moment
            continue
        highest, now = _last_claim(store, staging)
        if highest != last + 1 or now is None or now.token != record.token:
            # Since the first look, a taker-over has removed the claim that it followed.
            store.delete(staging.claim(last + 1))
            continue
        for number in range(1, last + 1):
            store.delete(staging.claim(number))
        return Claim(store, staging, last + 1, record)
    raise StorageError(
        f"{store.url_of(staging.claims_folder)}: cannot be claimed, tried {_MAX_FAILURES} times: "
        f"{why}. Look whether something else has this name."
    ) from why


def _is_dead(store: Store, staging: Staging, number: int, other: ClaimRecord) -> bool:
    """Tell whether a claim's writer is dead; False if the claim is gone.

    Raises:
        SplitBusyError: if it lives.
    """
    if (is_running := runs_here(other)) is not None:
        if is_running:
            raise _busy(store, staging, other)
        return True
    _LOG.warning(
        "%s: claimed by %s; watching for up to %.0f s whether it lives",
        store.url_of(staging.folder), describe(other), PATIENCE_SECONDS,
    )  # fmt: skip
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        time.sleep(min(1.0, BEAT_SECONDS / 4))
        last, now = _last_claim(store, staging)
        if last != number or now is None:
            return False
        if now != other:
            raise _busy(store, staging, now)
    return True


def _busy(store: Store, staging: Staging, other: ClaimRecord) -> SplitBusyError:
    return SplitBusyError(
        f"{store.url_of(staging.folder)}: {describe(other)} is writing this split now. Wait for "
        "it, or end it; then run this again. Several processes of one launcher share the work if "
        "each is told its rank: `vrs-wds write` finds it out, write_shards takes world=..."
    )


def runs_here(record: ClaimRecord) -> bool | None:
    """Tell whether a claim's writer runs; None if it is not of this machine."""
    if not record.machine or record.machine != _machine():
        return None
    if record.pid == os.getpid() and record.token not in _HELD:
        return False  # its end was not to be written down
    return _started(record.pid) == record.started


def read_claim(store: Store, split: str) -> ClaimRecord | None:
    """Return what the writer of a split says of itself; None if there is none."""
    return _last_claim(store, Staging(split))[1]


def _last_claim(store: Store, staging: Staging) -> tuple[int, ClaimRecord | None]:
    """Return the highest claim's number and what it says; 0 if there is none."""
    names = store.list_names(staging.claims_folder, hidden=True)
    numbers = [staging.claim_number(name) for name in names]
    last = max((number for number in numbers if number is not None), default=0)
    if not last:
        return 0, None
    try:
        return last, decoder_of(ClaimRecord).decode(store.get(staging.claim(last)))
    except FileNotFoundError:
        return 0, None
    except msgspec.DecodeError as error:
        raise StorageError(
            f"{store.url_of(staging.claim(last))}: expected a writer's claim, found {error}. If "
            "nobody is writing this split, delete the file."
        ) from error


def describe(record: ClaimRecord) -> str:
    """Name a writer."""
    return f"process {record.pid} on {record.host}"


def _machine() -> str:
    """Name the set of processes whose numbers this one sees; empty if the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process began, in the system's ticks; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name in parentheses may hold anything. Field 3 is the state, field 22 the start.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
