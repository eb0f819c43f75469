"""Shards are completed beside the packing."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from vrs_wds.errors import DuplicateKeyError
from vrs_wds.sample import SourceSample
from vrs_wds.storage.local import LocalStore
from vrs_wds.writer import local
from vrs_wds.writer.finishing import Finishing
from vrs_wds.writer.options import ShardConfig, ShardOptions
from vrs_wds.writer.shard_writer import ShardWriter
from vrs_wds.writer.write import write_shards

CONFIG = ShardConfig(shards=ShardOptions(max_samples=4))


def doing(work: Callable[[], object]) -> Callable[[ExitStack], None]:
    """Return what completes a shard by some work."""

    def complete(stack: ExitStack) -> None:
        with stack:
            work()

    return complete


def failing() -> None:
    """Fail as a disk does."""
    raise OSError("No space left on device")


def test_the_caller_goes_on_meanwhile_and_waits_at_the_end() -> None:
    """`start` returns before the work is done; `with` ends after it."""
    let, events = threading.Event(), list[str]()

    def work() -> None:
        assert let.wait(60)
        events.append("complete")

    with Finishing() as finishing, ExitStack() as stack:
        stack.callback(events.append, "closed")
        finishing.start(doing(work), stack)
        stack.close()
        events.append("went on")
        let.set()
    assert events == ["went on", "complete", "closed"]


def test_what_goes_wrong_is_raised_once() -> None:
    """By the next `wait`; or at the end, also after another exception."""
    with Finishing() as finishing:
        finishing.start(doing(failing), ExitStack())
        with pytest.raises(OSError, match="No space left"):
            finishing.wait()
        finishing.wait()
    with pytest.raises(OSError, match="No space left") as caught, Finishing() as finishing:
        finishing.start(doing(failing), ExitStack())
        raise RuntimeError("stopped")
    assert isinstance(caught.value.__context__, RuntimeError)


def test_without_a_thread_the_caller_keeps_what_is_to_be_closed() -> None:
    """And closes it."""
    closed: list[bool] = []
    finishing = Finishing()
    finishing._pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"), ExitStack() as stack:
        stack.callback(closed.append, True)
        finishing.start(doing(failing), stack)
    assert closed == [True]


def test_a_shard_is_packed_while_another_waits_for_the_disk(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first shard becomes complete only after samples of the second are packed."""
    packed, is_packed, close = list[str](), threading.Event(), ShardWriter.close
    add = ShardWriter.add

    def noted(writer: ShardWriter, sample: Any) -> bool:
        packed.append(sample.key)
        if len(packed) > 6:
            is_packed.set()
        return add(writer, sample)

    def held(writer: ShardWriter, name: str) -> Any:
        assert is_packed.wait(60)
        return close(writer, name)

    monkeypatch.setattr(ShardWriter, "add", noted)
    monkeypatch.setattr(ShardWriter, "close", held)
    report = write_shards(small_samples, tmp_path, split="train", config=CONFIG)
    assert report.num_samples == len(small_samples)


@pytest.mark.parametrize("failing_shard", [0, 2, 5])
def test_a_shard_that_cannot_be_completed_is_an_error(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch, failing_shard: int
) -> None:
    """Of any shard, the last too; those before it are kept, and the same call goes on from them."""
    put = LocalStore.put

    def refuse(store: LocalStore, name: str, data: bytes) -> None:
        if f"shard-{failing_shard:06d}-" in name:
            failing()
        put(store, name, data)

    monkeypatch.setattr(LocalStore, "put", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_shards(small_samples, tmp_path, split="train", config=CONFIG)
    entries = list((tmp_path / ".train.writing").glob("shard-*.json"))
    assert len(entries) == failing_shard
    monkeypatch.undo()
    write_shards(small_samples, tmp_path, split="train", config=CONFIG)
    assert not (tmp_path / ".train.writing").exists()


def test_of_two_mistakes_the_first_is_named(tmp_path: Path, small_samples: Any) -> None:
    """Keys are looked at many at once; what comes after a key given twice does not hide it."""

    def samples() -> Any:
        yield from small_samples[:3]
        yield small_samples[1]
        raise RuntimeError("stopped")

    with pytest.raises(DuplicateKeyError, match=r"\(sample 1\) and by .* \(sample 3\)"):
        write_shards(samples(), tmp_path, split="train", config=ShardConfig())


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_a_shard_with_a_key_given_twice_is_not_complete(
    tmp_path: Path, small_samples: Any, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Neither in the same shard nor in a later one; the shards before it are complete."""
    monkeypatch.setattr(local, "_KEYS_AT_ONCE", at_once)
    samples: list[SourceSample] = [*small_samples[:10], small_samples[2], *small_samples[10:]]
    with pytest.raises(DuplicateKeyError, match=r"\(sample 2\) and by .* \(sample 10\)"):
        write_shards(samples, tmp_path, split="train", config=CONFIG)
    names = sorted(path.name for path in (tmp_path / ".train.writing").glob("shard-*.json"))
    assert [name[:17] for name in names] == ["shard-000000-0000", "shard-000001-0000"]
