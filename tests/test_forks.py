"""Locks after a fork: a child begins with fresh ones."""

import os
from pathlib import Path

import pytest

from vrs_wds.reader.dataset import open_dataset


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_lock_that_is_held_at_the_fork_is_free_in_the_child(small_root: Path) -> None:
    """As when another thread reads at that moment: the child reads, and does not wait for ever."""
    dataset = open_dataset(small_root)
    expected = dataset[3]["png"]
    with dataset._index._lock, dataset.store._lock:  # type: ignore[attr-defined]
        child = os.fork()
        if child == 0:  # alarm: a child that hangs is ended, and the test fails
            import signal

            signal.alarm(60)
            os._exit(dataset[3]["png"] != expected)
    assert os.waitpid(child, 0)[1] == 0
