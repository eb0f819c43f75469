"""One writer on a split at a time."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vrs_wds.errors import SplitBusyError
from vrs_wds.storage.local import LocalStore
from vrs_wds.writer import claim as claims
from vrs_wds.writer.claim import ClaimRecord, claim_split
from vrs_wds.writer.staging import Staging


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let claims beat fast, so that watching one takes no minute."""
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 1.0)


def leave_claim(store: LocalStore, number: int = 1, **changes: Any) -> None:
    """Leave a claim as a writer on another machine would."""
    values = {"token": "t", "host": "far", "machine": "other", "pid": 1, "started": "2"} | changes
    store.put(Staging("train").claim(number), msgspec.json.encode(ClaimRecord(**values)))


def test_twelve_writers_at_once(
    tmp_path: Path, start: Any, contents: Any, undisturbed: dict[str, bytes]
) -> None:
    """Exactly one writes; the others say who does, and destroy nothing."""
    writers = [start(tmp_path) for _ in range(12)]
    ended = [writer.communicate(timeout=120) for writer in writers]

    assert [writer.returncode for writer in writers].count(0) == 1
    for writer, (_, error) in zip(writers, ended, strict=True):
        if writer.returncode:
            assert error.startswith(("SplitBusyError: ", "DatasetExistsError: ")), error
    assert contents(tmp_path) == undisturbed


def test_a_second_writer_is_refused_at_once(tmp_path: Path) -> None:
    """On the same machine nobody has to wait; the first is not disturbed."""
    store = LocalStore(tmp_path)
    with claim_split(store, "train") as first:
        busy = pytest.raises(SplitBusyError, match=r"process .* is writing this split now")
        with busy, claim_split(store, "train"):
            pass
        with claim_split(store, "val"):  # another split is another matter
            first.check_now()
    assert not list(tmp_path.iterdir())


def test_a_living_writer_elsewhere_is_left_alone(tmp_path: Path) -> None:
    """Its claim changes while it is watched."""
    store = LocalStore(tmp_path)
    with claim_split(store, "train"):
        path = tmp_path / Staging("train").claim(1)
        # From another machine its process cannot be seen.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(claims, "_machine", lambda: "elsewhere")
            busy = pytest.raises(SplitBusyError, match="is writing this split now")
            with busy, claim_split(store, "train"):
                pass
        assert path.exists()


def test_a_dead_writer_elsewhere_is_followed(tmp_path: Path) -> None:
    """After nothing has changed for a while."""
    store = LocalStore(tmp_path)
    leave_claim(store, 3)
    began = time.monotonic()
    with claim_split(store, "train") as claim:
        claim.check_now()
        names = [path.name for path in (tmp_path / ".train.claims").iterdir()]
        assert names == ["claim-000004.json"]
    assert time.monotonic() - began >= 1.0  # it did watch
    assert not list(tmp_path.iterdir())


def test_a_dead_writer_here_is_followed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone, or its number is another process's now."""
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 1e9)
    store = LocalStore(tmp_path)
    leave_claim(store, machine=claims._machine(), pid=1, started="not then")
    with claim_split(store, "train") as claim:
        claim.check_now()


def test_a_writer_that_was_thought_dead_learns_it(tmp_path: Path) -> None:
    """It may not go on, and it leaves the other's claim alone."""
    store = LocalStore(tmp_path)
    with claim_split(store, "train") as claim:
        leave_claim(store, 2)
        with pytest.raises(SplitBusyError, match=r"thought dead.*taken over by process 1 on far"):
            claim.check_now()
        for _ in range(100):
            try:
                claim.check()
            except SplitBusyError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("its own thread did not find out")
    assert (tmp_path / Staging("train").claim(2)).exists()


def test_a_claim_that_is_no_claim_is_an_error(tmp_path: Path) -> None:
    """And not taken for a dead writer's."""
    store = LocalStore(tmp_path)
    store.put(Staging("train").claim(1), b"?")
    with pytest.raises(OSError, match="expected a writer's claim"), claim_split(store, "train"):
        pass
