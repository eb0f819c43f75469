"""Locks after a fork: a child begins with fresh ones."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vrs_wds import forks
from vrs_wds.forks import no_fork_meanwhile
from vrs_wds.reader.open import open_dataset


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_lock_that_is_held_at_the_fork_is_free_in_the_child(small_root: Path) -> None:
    """As when another thread reads at that moment: the child reads, and does not wait for ever."""
    dataset = open_dataset(small_root)
    expected = dataset[3]["png"]
    with dataset._index._lock, dataset.store._lock:  # type: ignore[attr-defined]
        child = os.fork()
        if child == 0:  # alarm: a child that hangs is ended, and the test fails
            signal.alarm(60)
            os._exit(dataset[3]["png"] != expected)
    assert os.waitpid(child, 0)[1] == 0


STRESS = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")  # Python's own, of forks with threads
from vrs_wds.reader.open import open_dataset
root, delay = sys.argv[1], float(sys.argv[2])
shared = open_dataset(root)

def use(dataset):
    for number in range(0, len(dataset), 7):
        assert dataset[number]["png"]
    assert dataset[dataset.key_at(5)]["png"]
    assert len(dataset.select(where='width > 0 and num_objects > 0', tasks=["captioning"]))
    assert len(dataset.column("key")) == len(dataset)

def read_for_ever():
    while True:
        use(open_dataset(root))
        shared._index.reset_after_fork()
        use(shared)

for _ in range(4):
    threading.Thread(target=read_for_ever, daemon=True).start()
time.sleep(delay)
for number in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that hangs
        try:
            use(open_dataset(root))
            use(shared)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        print(f"child {number}: status {status}", flush=True)
        os._exit(1)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK")
@pytest.mark.parametrize("delay_seconds", [0, 0.01, 0.05, 0.2, 0.5])
def test_no_child_hangs_that_is_forked_while_threads_read(
    small_root: Path, delay_seconds: float
) -> None:
    """Also while they read for the first time, which imports modules: 50 forks in all."""
    command = [sys.executable, "-c", STRESS, str(small_root), str(delay_seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_waits_for_other_threads_but_not_for_its_own() -> None:
    """Until they are out, and nobody goes in meanwhile; not for ever if one never comes out."""
    inside, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def stay() -> None:
        with no_fork_meanwhile():
            inside.set()
            go_on.wait(30)
            seen.append("out")

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait(30)
    threading.Timer(0.2, go_on.set).start()
    with no_fork_meanwhile(), no_fork_meanwhile():
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            with no_fork_meanwhile():  # free in the child, too
                os._exit(0)
    seen.append("forked")
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert seen == ["out", "forked"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that never comes out holds it up for some time only."""
    monkeypatch.setattr(forks, "_MAX_WAIT_SECONDS", 0.1)
    inside, go_on = threading.Event(), threading.Event()

    def stay() -> None:
        with no_fork_meanwhile():
            inside.set()
            go_on.wait(30)

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0)
    go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_reading_by_number_imports_nothing(small_root: Path) -> None:
    """A module that one thread is importing at a fork can never be imported in the child."""
    script = """
import sys
from vrs_wds.reader.open import open_dataset
dataset = open_dataset(sys.argv[1])
before = set(sys.modules)
assert len(list(dataset)) == 23
assert set(sys.modules) == before, set(sys.modules) - before
"""
    command = [sys.executable, "-c", script, str(small_root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
