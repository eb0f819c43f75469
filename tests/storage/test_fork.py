"""A network client in a forked child: an error at once, never a hang."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.fake_gcs import GoogleBucket
from tests.servers.moto import Bucket
from vrs_wds.errors import StorageError
from vrs_wds.storage.open import open_store

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="THIS SYSTEM CANNOT FORK"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def says_what_to_do_in_a_child(use: Callable[[], object]) -> bool:
    """Tell whether a forked child is refused, with the way out in the message."""
    child = os.fork()
    if child == 0:  # alarm: a child that hangs is ended, and the test fails
        signal.alarm(30)
        try:
            use()
        except StorageError as error:
            os._exit(0 if "forkserver" in str(error) else 2)
        except BaseException:  # noqa: BLE001 - a child must not run pytest's own end
            os._exit(3)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def test_a_used_store_in_a_forked_child(moto_server: Bucket) -> None:
    """Whatever it is asked; also a new store, and one of another bucket."""
    store = open_store(moto_server.url, **moto_server.storage_options)
    store.put("a", b"x")
    store.get_ranges("a", [(0, 1), (0, 1)])

    assert says_what_to_do_in_a_child(lambda: store.get("a"))
    assert says_what_to_do_in_a_child(lambda: store.get_ranges("a", [(0, 1), (0, 1)]))
    assert says_what_to_do_in_a_child(lambda: list(store.list_names()))
    assert says_what_to_do_in_a_child(lambda: store.put("b", b"x"))
    assert says_what_to_do_in_a_child(lambda: store.open_writer("b").__enter__())
    assert says_what_to_do_in_a_child(
        lambda: open_store("s3://another/x", **moto_server.storage_options).get("a")
    )
    assert store.get("a") == b"x"


def test_an_asynchronous_filesystem_in_a_forked_child(fake_gcs_server: GoogleBucket) -> None:
    """Its threads are not there either."""
    filesystem = fake_gcs_server.filesystem()
    store = open_store(f"{fake_gcs_server.name}/x", filesystem=filesystem)
    store.put("a", b"x")

    assert says_what_to_do_in_a_child(lambda: store.get("a"))
    assert store.get("a") == b"x"


# What follows runs in a process of its own, which has not used the network before.

PREPARE = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")  # Python's own, of forks with threads
from vrs_wds.errors import StorageError
from vrs_wds.loader.map_dataset import MapDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.storage.open import open_store
url, endpoint = sys.argv[1:]
keys = {"access_key_id": "any", "secret_access_key": "any", "region": "us-east-1"}
store = open_store(url, endpoint=endpoint, **keys)

def in_child(do):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            os._exit(do())
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(99)
    return os.waitpid(child, 0)[1]
"""


def run_script(script: str, bucket: Bucket, small_root: Path) -> str:
    """Run a script, which has to end well and soon, over the small dataset in a bucket."""
    for path in small_root.iterdir():
        key = f"folder/{path.name}"
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=path.read_bytes())
    command = [sys.executable, "-c", PREPARE + script, bucket.url, bucket.endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_store_that_was_not_used_works_in_forked_children(
    moto_server: Bucket, small_root: Path
) -> None:
    """Opening a store sends nothing; each child makes connections of its own, again and again."""
    read = "lambda: len(open_dataset(store)[3]['png']) == 0"
    run_script(f"for _ in range(5): assert in_child({read}) == 0", moto_server, small_root)


def test_a_dataset_that_was_opened_is_refused_in_fork_workers(
    moto_server: Bucket, small_root: Path
) -> None:
    """A `DataLoader` tells at once what to do, and again; its other ways of starting work."""
    script = """
from torch.utils.data import DataLoader

if __name__ == "__main__":
    mapped = MapDataset(open_dataset(store))
    for _ in range(3):
        loader = DataLoader(
            mapped, num_workers=2, multiprocessing_context="fork", collate_fn=len, timeout=60
        )
        try:
            list(loader)
        except StorageError as error:
            print("REFUSED" if "forkserver" in str(error) else error)
    print("READ", sum(DataLoader(mapped, num_workers=0, collate_fn=len)))
"""
    output = run_script(script, moto_server, small_root)
    assert output.count("REFUSED") == 3
    assert "READ 23" in output


def test_a_fork_in_the_middle_of_requests(moto_server: Bucket, small_root: Path) -> None:
    """Other threads are reading at that moment: children are refused, the parent reads on."""
    script = """
import threading
dataset, stop, errors = open_dataset(store), threading.Event(), []

def read():
    try:
        while not stop.is_set():
            assert len(list(open_dataset(store))) == 23
    except BaseException as error:
        errors.append(error)

def is_refused():
    for use in (lambda: dataset[3], lambda: open_dataset(store), lambda: store.put("x", b"")):
        try:
            use()
        except StorageError as error:
            if "forkserver" in str(error):
                continue
        return 1
    return 0

threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(20):
    assert in_child(is_refused) == 0
stop.set()
for thread in threads:
    thread.join()
assert not errors, errors
assert len(list(dataset)) == 23
"""
    run_script(script, moto_server, small_root)
