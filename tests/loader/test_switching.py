"""The switch interval while threads decode, and after them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from vrs_wds import ConfigError, Decode, Map, ShardedDataset, StreamingLoader
from vrs_wds.loader.switching import _INTERVAL, DEFAULT_SWITCH_INTERVAL, at_most

USUAL = 0.004


@pytest.fixture(autouse=True)
def usual_interval() -> Iterator[None]:
    """Begin with an interval that is nobody's default."""
    before = sys.getswitchinterval()
    _INTERVAL._asked.clear()  # of iterators that other tests have left between two batches
    sys.setswitchinterval(USUAL)
    yield
    sys.setswitchinterval(before)


def test_short_while_the_loader_is_iterated(small_dataset: ShardedDataset) -> None:
    """And restored at the end, at a break, and after an exception."""
    loader = StreamingLoader(small_dataset, batch_size=2)
    batches = iter(loader)
    assert sys.getswitchinterval() == pytest.approx(USUAL)  # no thread yet
    next(batches)
    assert sys.getswitchinterval() == pytest.approx(DEFAULT_SWITCH_INTERVAL)
    for _ in batches:
        assert sys.getswitchinterval() == pytest.approx(DEFAULT_SWITCH_INTERVAL)
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    for _ in loader:
        break
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            raise ZeroDivisionError
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def interval_of(sample: dict[str, Any]) -> dict[str, Any]:
    """Note the interval that a stage sees."""
    return {**sample, "interval": sys.getswitchinterval()}


def test_not_while_the_consumer_waits(small_dataset: ShardedDataset) -> None:
    """The threads among themselves win nothing by it."""
    loader = StreamingLoader(
        small_dataset, batch_size=4, num_threads=1, stages=[Decode(), Map(interval_of)]
    )
    first = next(iter(loader))
    assert first["interval"].tolist() == pytest.approx([USUAL] * 4)


def test_none_leaves_it(small_dataset: ShardedDataset) -> None:
    """As do worker processes, beside which this one has no thread that decodes."""
    for options in ({"switch_interval": None}, {"num_workers": 1}):
        for _ in StreamingLoader(small_dataset, batch_size=2, **options):  # type: ignore[arg-type]
            assert sys.getswitchinterval() == pytest.approx(USUAL)


@pytest.mark.parametrize("value", [0, -1.0, 1e-7, 1.5, float("nan"), True, "x", [1]])
def test_out_of_range(small_dataset: ShardedDataset, value: Any) -> None:
    """Python would take 0 for no interval at all, or refuse it in the middle of an epoch."""
    with pytest.raises(ConfigError, match="switch_interval: expected 1e-06 to 1 second, or None"):
        StreamingLoader(small_dataset, switch_interval=value)


def test_the_shortest_of_several_counts() -> None:
    """In whatever order they end."""
    first, second = at_most(0.002), at_most(0.001)
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(0.001)
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.001)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_longer_than_it_is() -> None:
    """An interval that is shorter already stays."""
    with at_most(0.5):
        assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_what_somebody_sets_meanwhile_stays() -> None:
    """Until another block begins, and after all."""
    with at_most(0.001):
        sys.setswitchinterval(0.02)
    assert sys.getswitchinterval() == pytest.approx(0.02)
    with at_most(0.001):
        sys.setswitchinterval(0.03)
        with at_most(0.0001):
            assert sys.getswitchinterval() == pytest.approx(0.0001)
    assert sys.getswitchinterval() == pytest.approx(0.03)


@pytest.mark.parametrize("micros", [15, 19, 55, 57, 5000])
def test_restored_to_the_microsecond(micros: int) -> None:
    """Python cuts fractions off."""
    sys.setswitchinterval((micros + 0.5) / 1e6)
    before = sys.getswitchinterval()
    for _ in range(3):
        with at_most(1e-5):
            assert sys.getswitchinterval() == pytest.approx(1e-5)
    assert sys.getswitchinterval() == before


def test_a_block_that_the_collector_ends() -> None:
    """In whatever moment of another block's beginning: it holds the lock then."""
    ended = subprocess.run(
        [sys.executable, "-c", COLLECTED], capture_output=True, text=True, timeout=100
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


COLLECTED = """
import gc, sys
from vrs_wds.loader.switching import at_most

def block():
    with at_most(5e-5):
        yield

before = sys.getswitchinterval()
for number in range(1, 60):
    gc.disable()
    for _ in range(2):
        left = block()
        next(left)
        cycle = [left]
        cycle.append(cycle)
        del left, cycle
    other = block()
    gc.set_threshold(number + gc.get_count()[0])
    gc.enable()
    next(other)
    assert sys.getswitchinterval() < 6e-5
    other.close()
    gc.disable()
    gc.collect()
    assert sys.getswitchinterval() == before
print("done")
"""


def test_many_threads_at_once() -> None:
    """Each block sees an interval that is short enough; the last one restores it."""
    errors = []

    def use(number: int) -> None:
        mine = (number % 7 + 1) / 10_000
        for _ in range(200):
            with at_most(mine):
                if sys.getswitchinterval() > mine + 1e-6:
                    errors.append(number)

    threads = [threading.Thread(target=use, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sys.getswitchinterval() == pytest.approx(USUAL)


def test_a_forked_child_begins_anew() -> None:
    """It has none of the threads."""
    block = at_most(0.001)
    block.__enter__()
    if (child := os.fork()) == 0:
        restored = abs(sys.getswitchinterval() - USUAL) < 1e-6
        with at_most(0.002):
            block.__exit__(None, None, None)  # a copy of a block, which ends at some time
            short = abs(sys.getswitchinterval() - 0.002) < 1e-6
        os._exit(0 if restored and short else 1)
    _, status = os.waitpid(child, 0)
    block.__exit__(None, None, None)
    assert os.waitstatus_to_exitcode(status) == 0
