"""Ctrl-C that waits."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vrs_wds.reader.verify import verify
from vrs_wds.sample import SourceSample
from vrs_wds.writer.interrupts import InterruptsHeldBack
from vrs_wds.writer.journal import Journal
from vrs_wds.writer.write import write_shards


def interrupt() -> None:
    """Send a Ctrl-C to this process."""
    signal.raise_signal(signal.SIGINT)


def test_it_comes_at_the_end_of_the_block() -> None:
    """Once, however often it was sent."""
    done = []
    with pytest.raises(KeyboardInterrupt), InterruptsHeldBack():
        interrupt()
        interrupt()
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_insists_is_heard() -> None:
    """The second one comes at once."""
    done = []
    with pytest.raises(KeyboardInterrupt), InterruptsHeldBack(insist=True):
        interrupt()
        done.append(1)
        interrupt()
        done.append(2)
    assert done == [1]


@pytest.mark.parametrize("insist", [False, True])
def test_another_handler_is_asked(insist: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ignores Ctrl-C, or has its own handler, never sees a KeyboardInterrupt."""
    calls: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with InterruptsHeldBack(insist=insist):
            interrupt()
            interrupt()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        signal.signal(signal.SIGINT, lambda number, _: calls.append(number))
        with InterruptsHeldBack(insist=insist):
            interrupt()
            assert calls == []
            interrupt()
        assert calls == [signal.SIGINT] * (2 if insist else 1)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_takes_its_place() -> None:
    """What went wrong counts."""
    with pytest.raises(ValueError, match="first"), InterruptsHeldBack():
        interrupt()
        raise ValueError("first")


def test_threads_are_left_alone() -> None:
    """Only the main thread may set handlers."""
    errors: list[BaseException] = []

    def hold() -> None:
        try:
            with InterruptsHeldBack():
                pass
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert errors == []


def test_a_write_after_a_killed_one_is_stopped_as_any_other(
    small_samples: list[SourceSample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found of a split that was made visible holds nothing back in a write of its own."""
    with monkeypatch.context() as patch, pytest.raises(SystemExit):

        def killed(*_: object, **__: object) -> None:
            if (tmp_path / "train.json").exists():
                raise SystemExit  # as if it were the end of the process

        patch.setattr(Journal, "throw_away", killed)
        write_shards(small_samples, tmp_path, split="train", progress=False)
    assert (tmp_path / ".train.writing").exists()

    taken = []

    def stopped() -> Iterator[SourceSample]:
        for sample in small_samples:
            taken.append(sample.name)
            if len(taken) == 3:
                interrupt()
            yield sample

    with pytest.raises(KeyboardInterrupt):
        write_shards(stopped(), tmp_path, split="train", overwrite=True, resume=False)
    assert len(taken) == 3
    assert verify(tmp_path, "train").problems == []
