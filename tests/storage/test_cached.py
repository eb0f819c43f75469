"""A store with a cache on a disk that processes share."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import resource
import signal
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vrs_wds as vw
from vrs_wds.errors import ConfigError, FileChanged, StorageError
from vrs_wds.storage import cache_folder
from vrs_wds.storage.block_file import charge, file_bytes
from vrs_wds.storage.blocks import CutFile, Piece, plan_pieces
from vrs_wds.storage.cache_counts import CacheCounts
from vrs_wds.storage.cache_folder import Claim, Waiting
from vrs_wds.storage.cache_ledger import CacheLedger
from vrs_wds.storage.cached import CachedStore
from vrs_wds.storage.held_files import HeldFiles, try_lock
from vrs_wds.storage.local import LocalStore
from vrs_wds.storage.store import Stat, Store
from vrs_wds.testing.synthetic import make_vrsbench

BLOCK = 10_000
FILE_BYTES = 95_000  # nine blocks and a half
ROOMY = 10_000_000

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks


class Spy:
    """A store that notes every range that is asked of it, of any process, in a file."""

    def __init__(self, store, log):
        self.store = store
        self.log = log
        self.before = None  # called before each answer
        self.alter = None  # changes each answer

    def get_ranges(self, name, ranges):
        """Note the ranges, and pass them on."""
        with self.log.open("a") as log:
            log.write("".join(f"{json.dumps([name, *each])}\n" for each in ranges))
        if self.before is not None:
            self.before()
        found = self.store.get_ranges(name, ranges)
        return found if self.alter is None else [self.alter(data) for data in found]

    def get_range(self, name, offset, size):
        """Note the range, and pass it on."""
        return self.get_ranges(name, [(offset, size)])[0]

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.store, name)

    def requests(self):
        """Return what was asked for, in order: name, offset, size."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [tuple(json.loads(line)) for line in lines]


@pytest.fixture
def data():
    """The bytes of the file `a`."""
    return random.Random(0).randbytes(FILE_BYTES)


@pytest.fixture
def spy(tmp_path, data):
    """A store with the file `a`."""
    inner = LocalStore(tmp_path / "store")
    inner.put("a", data)
    return Spy(inner, tmp_path / "log")


@pytest.fixture
def make(tmp_path, spy):
    """Opens the store anew, with a cache in the folder `cache`."""

    def make_(max_bytes=ROOMY, **options):
        return CachedStore(spy, tmp_path / "cache", max_bytes, **{"block_bytes": BLOCK, **options})

    return make_


def own_folder(tmp_path):
    """Return the folder in `cache` that is this user's."""
    return tmp_path / "cache" / f"vrs-wds-cache.{os.getuid()}"


def files_in(folder, ending=""):
    """Return the files of a folder that end so."""
    return sorted(path for path in folder.iterdir() if path.name.endswith(ending))


def ledger_of(tmp_path):
    """Return the number of bytes in the ledger."""
    ledger = CacheLedger(own_folder(tmp_path), HeldFiles())
    with ledger.locked() as descriptor:
        return ledger.read(descriptor)


def bytes_in(folder):
    """Return the bytes of all files below a folder, each counted once."""
    sizes = {}
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            sizes[entry.path] = bytes_in(entry.path)
        else:
            found = entry.stat(follow_symlinks=False)
            sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


def in_child(action):
    """Fork a process that does something; return it. It exits with 0 if the action gives truth."""

    def run():
        os._exit(0 if action() else 1)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    return child


def join(*children):
    """Wait for processes; return their exit codes. One that hangs ends as a failure."""
    for child in children:
        child.join(120)
        if child.is_alive():
            child.kill()
            child.join()
    return [child.exitcode for child in children]


# Planning


def test_docstring_table():
    """The drawing of `plan_pieces` is what it does."""
    assert plan_pieces([(6, 8), (16, 14)], file_bytes=25, block_bytes=10) == {
        0: [Piece(0, 6, 10)],
        1: [Piece(0, 0, 4), Piece(1, 6, 10)],
        2: [Piece(1, 0, 5)],
    }


def test_keys_of_blocks_differ():
    """By address, etag, size, cut and number: each alone makes another key."""
    first = CutFile("s3://b/a", Stat(100, "e"), 10)
    others = [
        CutFile("s3://b/b", Stat(100, "e"), 10),
        CutFile("s3://b/a", Stat(100, "f"), 10),
        CutFile("s3://b/a", Stat(101, "e"), 10),
        CutFile("s3://b/a", Stat(100, "e"), 20),
    ]
    keys = {file.block(0).key for file in [first, *others]} | {first.block(1).key}

    assert len(keys) == 6
    assert CutFile("s3://b/a", Stat(100, "e"), 10).block(1) == first.block(1)


# Reading


def test_what_was_read_is_not_asked_for_again(make, spy, data):
    """Not by this store, and not by another one; every way of reading gives the same."""
    assert make().get("a") == data
    asked = len(spy.requests())
    assert asked == 10

    store = make()
    assert store.get("a") == data
    assert store.get_range("a", 9_990, 20) == data[9_990:10_010]
    assert store.get_range("a", 94_990, 20) == data[94_990:]
    assert store.get_range("a", 95_000, 20) == store.get_range("a", 10**12, 20) == b""
    assert store.get_ranges("a", [(5, 5), (50_000, 7), (0, 0)]) == [
        data[5:10],
        data[50_000:50_007],
        b"",
    ]
    with store.open_reader("a") as file:
        assert file.read(7) == data[:7]
        assert file.seek(-5, os.SEEK_END) == FILE_BYTES - 5
        assert file.read() == data[-5:]
        assert file.seek(20_000) == 20_000
        assert file.read(3) == data[20_000:20_003]
    assert store.size_of("a") == FILE_BYTES
    assert len(spy.requests()) == asked
    assert store.counts.misses == store.counts.passed == 0
    assert store.counts.hits >= 10 + 2 + 1 + 2 + 10
    assert store.counts.cache_bytes >= 2 * FILE_BYTES


def test_only_the_blocks_that_are_needed_are_fetched(make, spy, data):
    """Two small ranges: two blocks."""
    store = make()

    assert store.get_ranges("a", [(15_000, 3), (72_000, 3)]) == [
        data[15_000:15_003],
        data[72_000:72_003],
    ]
    assert spy.requests() == [("a", 10_000, 10_000), ("a", 70_000, 10_000)]
    assert store.counts == CacheCounts(misses=2)


def test_a_file_that_is_not_there(make):
    """FileNotFoundError from every way of reading, and from the store itself for odd ranges."""
    store = make()
    for call in (store.get, store.size_of, store.stat, lambda n: store.get_range(n, 0, 1)):
        with pytest.raises(FileNotFoundError):
            call("b")
    with pytest.raises(FileNotFoundError), store.open_reader("b"):
        pass
    assert not store.exists("b")


def test_an_empty_file(make, spy):
    """Has no blocks."""
    spy.store.put("empty", b"")

    assert make().get("empty") == b""
    assert spy.requests() == []


@settings(max_examples=60)
@given(
    file_bytes=st.integers(1, 3000),
    block_bytes=st.integers(1, 1500),
    max_bytes=st.integers(1, 60_000),
    calls=st.lists(
        st.lists(st.tuples(st.integers(0, 3200), st.integers(0, 3200)), max_size=4), max_size=12
    ),
)
def test_any_ranges_under_any_limit(file_bytes, block_bytes, max_bytes, calls):
    """Are the store's bytes; and the limit holds after each call."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inner = LocalStore(folder / "store")
        inner.put("a", random.Random(1).randbytes(file_bytes))
        cache = folder / "cache"
        store = CachedStore(inner, cache, max_bytes, block_bytes=block_bytes)
        for ranges in calls:
            assert store.get_ranges("a", ranges) == inner.get_ranges("a", ranges)
            # A limit of less than the ledger holds nothing else.
            assert not cache.exists() or bytes_in(cache) <= max(max_bytes, 20)


# Versions


def write_anew(spy, data):
    """Replace the file `a` by another one of the same size."""
    other = bytes(255 - byte for byte in data)
    spy.store.put("a", other)
    return other


def test_a_file_that_was_replaced_is_found(make, spy, data):
    """What was read stays what it was; what was not is an error, never bytes of the other one."""
    store = make()
    assert store.get_range("a", 0, 100) == data[:100]
    other = write_anew(spy, data)

    assert store.get_range("a", 50, 100) == data[50:150]
    for call in (
        lambda: store.get_range("a", 0, 20_000),
        lambda: store.get("a"),
        lambda: store.open_reader("a"),
    ):
        with pytest.raises(FileChanged, match=r"a: the file was replaced.*95,000 bytes, found"):
            call()
    assert make().get("a") == other
    assert store.stat("a") == spy.store.stat("a")


def test_a_file_that_is_replaced_while_it_is_fetched_is_not_kept(make, spy, data, tmp_path):
    """The bytes may be of either: nobody gets them."""
    store = make()
    store.size_of("a")
    spy.before = lambda: write_anew(spy, data)

    with pytest.raises(FileChanged):
        store.get("a")
    assert [path.name for path in files_in(own_folder(tmp_path))] == ["usage"]


def test_writing_goes_to_the_store_and_is_seen(make, spy, data):
    """By the same store, too, in spite of what it has read before."""
    store = make()
    store.get("a")
    store.put("a", b"new")
    assert store.get("a") == store.get_range("a", 0, 9) == spy.store.get("a") == b"new"
    with store.open_writer("a") as writer:
        writer.write(b"newer")
    assert store.get("a") == store.get_range("a", 0, 9) == b"newer"
    store.put("b", b"bb")
    store.get("b")
    store.rename("b", "a")
    assert store.get("a") == b"bb"
    assert list(store.list_names()) == ["a"]
    store.delete("a")
    assert not store.exists("a")
    with pytest.raises(FileNotFoundError):
        store.get("a")
    store.put_new("a", b"first")
    with pytest.raises(FileExistsError):
        store.put_new("a", b"second")
    assert store.get_range("a", 0, 9) == b"first"
    assert store.sweep("") == 0
    assert (store.url, store.url_of("a")) == (spy.store.url, spy.store.url_of("a"))


def test_files_without_etag_are_not_cached(make, spy, data, tmp_path, caplog):
    """And one line says so; hidden files are not cached either, and nothing is said."""
    spy.store.put(".hidden/a", data)
    store = make()
    spy.stat = lambda name: Stat(spy.store.size_of(name), "")
    for name in ("a", "a", ".hidden/a"):
        assert store.get(name) == store.get_range(name, 0, FILE_BYTES) == data
        with store.open_reader(name) as file:
            assert file.read() == data
        assert store.size_of(name) == FILE_BYTES

    assert not (tmp_path / "cache").exists()
    assert [record.message for record in caplog.records] == [
        f"{spy.store.url_of('a')}: a file without an etag is not cached"
    ]


def test_a_short_answer_is_not_kept(make, spy, tmp_path):
    """It is an error that says what is missing."""
    store = make()
    spy.alter = lambda data: data[:-1]

    with pytest.raises(StorageError, match=r"expected 10,000 bytes from byte 20,000 on, .* 9,999"):
        store.get_range("a", 20_000, 5)
    assert [path.name for path in files_in(own_folder(tmp_path))] == ["usage"]
    assert ledger_of(tmp_path) == 4096


# The limit


def test_eight_processes_under_a_limit_of_three_shards(tmp_path):
    """Every sample is right, and at no moment the folder holds more than it may."""
    make_vrsbench(tmp_path / "VRSBench", num_train=40, num_val=2, size=64)
    config = vw.ShardConfig(shards=vw.ShardOptions(max_samples=2))
    source = vw.VRSBenchSource(tmp_path / "VRSBench", "train")
    vw.write_shards(source, tmp_path / "shards", split="train", config=config)
    plain = vw.open_dataset(tmp_path / "shards")
    digests = [hashlib.sha256(pickle.dumps(s.members)).digest() for s in plain]
    assert len(plain.manifest.shardlist) == 20
    limit = 3 * max(shard.filesize for shard in plain.manifest.shardlist)
    folder = own_folder(tmp_path)

    def read(process):
        store = CachedStore(plain.store, tmp_path / "cache", limit, block_bytes=8192)
        dataset = vw.open_dataset(store)
        order = list(range(40)) * 3
        random.Random(process).shuffle(order)
        right = [
            hashlib.sha256(pickle.dumps(dataset[i].members)).digest() == digests[i] for i in order
        ]
        (tmp_path / f"counts{process}").write_bytes(pickle.dumps(store.counts))
        return all(right)

    # There before the first is measured.
    CachedStore(plain.store, tmp_path / "cache", limit).get("train.json")
    children = [in_child(lambda process=process: read(process)) for process in range(8)]
    seen = []
    with (folder / "usage").open() as usage:
        while any(child.is_alive() for child in children):
            fcntl.flock(usage, fcntl.LOCK_SH)  # so that nothing is moved during the look
            seen.append(bytes_in(tmp_path / "cache"))
            fcntl.flock(usage, fcntl.LOCK_UN)

    assert join(*children) == [0] * 8
    assert max(seen) <= limit
    counts = [pickle.loads((tmp_path / f"counts{i}").read_bytes()) for i in range(8)]
    assert sum(count.evictions for count in counts) > 10
    assert sum(count.hits for count in counts) > 0
    assert sum(count.rejected + count.faults for count in counts) == 0
    assert len(seen) > 10
    assert max(seen) > limit / 2  # it was full


def test_the_oldest_is_evicted(make, spy, data, tmp_path):
    """Oldest by its last use, not by its birth."""
    need = charge(file_bytes(CutFile("u", Stat(FILE_BYTES, "e"), BLOCK).block(0)))
    store = make(4096 + 3 * need)
    for number in range(3):
        store.get_range("a", number * BLOCK, 1)
        (new,) = [p for p in files_in(own_folder(tmp_path), ".block") if p.stat().st_mtime > 1e9]
        os.utime(new, (100 + number, 100 + number))
    store.get_range("a", 0, 1)
    store.get_range("a", 3 * BLOCK, 1)
    asked = len(spy.requests())
    assert store.counts.evictions == 1

    assert store.get_range("a", 0, 5) == data[:5]
    assert store.get_range("a", 2 * BLOCK, 5) == data[2 * BLOCK : 2 * BLOCK + 5]
    assert len(spy.requests()) == asked
    store.get_range("a", BLOCK, 1)
    assert len(spy.requests()) == asked + 1


def test_what_is_being_read_is_not_evicted(make, spy, data, tmp_path):
    """Then there is no room, and the store is read past the cache."""
    need = charge(file_bytes(CutFile("u", Stat(FILE_BYTES, "e"), BLOCK).block(0)))
    store = make(4096 + need)
    store.get_range("a", 0, 1)
    (block,) = files_in(own_folder(tmp_path), ".block")
    with block.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert store.get_range("a", 50_000, 7) == data[50_000:50_007]
        assert spy.requests()[1:] == [("a", 50_000, 7)]
        assert block.exists()
    assert store.get_range("a", 50_000, 7) == data[50_000:50_007]
    assert not block.exists()
    assert store.counts == CacheCounts(misses=2, passed=1, evictions=1)


def test_readers_hold_a_lock(make, data, tmp_path, monkeypatch):
    """So that others see that a block is being read; and release it."""
    store = make()
    store.get_range("a", 0, 1)
    (path,) = files_in(own_folder(tmp_path), ".block")
    real, seen = cache_folder.read_pieces, []

    def look():
        with path.open() as file:
            seen.append(try_lock(file.fileno()))

    def read_and_look(*arguments, **options):
        look()
        return real(*arguments, **options)

    monkeypatch.setattr(cache_folder, "read_pieces", read_and_look)
    assert store.get_range("a", 0, 9) == data[:9]
    look()
    assert seen == [False, True]


def test_a_limit_below_one_block(make, spy, data):
    """Exactly the ranges that are asked for are read."""
    store = make(BLOCK)

    assert store.get_range("a", 9_000, 2_000) == data[9_000:11_000]
    assert spy.requests() == [("a", 9_000, 1_000), ("a", 10_000, 1_000)]
    assert store.counts == CacheCounts(passed=2)


def test_a_lower_limit_holds_at_once(make, tmp_path):
    """The first read of a store evicts down to it, even if that read is a hit."""
    make().get("a")
    assert bytes_in(tmp_path / "cache") > 90_000
    make(50_000).get_range("a", 0, 1)

    assert bytes_in(tmp_path / "cache") <= 50_000


@pytest.mark.parametrize("ledger", [None, b"", b"nonsense", bytes(20), "flipped", "low"])
def test_a_lost_or_wrong_ledger_is_made_anew(make, data, tmp_path, ledger):
    """From what the folder holds; a low one, which looks right, by the next store."""
    store = make()
    store.get_range("a", 0, 1)
    path = own_folder(tmp_path) / "usage"
    kept = path.read_bytes()
    match ledger:
        case None:
            path.unlink()
        case "flipped":
            path.write_bytes(kept[:9] + bytes([kept[9] ^ 1]) + kept[10:])
        case "low":
            own = CacheLedger(own_folder(tmp_path), HeldFiles())
            with own.locked() as descriptor:
                own.write(descriptor, 0)
            store = make()
        case _:
            path.write_bytes(ledger)
    assert store.get("a") == data

    sizes = [charge(path.stat().st_size) for path in files_in(own_folder(tmp_path))]
    assert len(sizes) == 11
    assert ledger_of(tmp_path) == sum(sizes)


def test_a_folder_that_is_removed_is_made_again(make, data, tmp_path):
    """In the middle of it all."""
    store = make()
    store.get("a")
    for path in files_in(own_folder(tmp_path)):
        path.unlink()
    own_folder(tmp_path).rmdir()

    assert store.get("a") == data
    assert len(files_in(own_folder(tmp_path), ".block")) == 10
    assert store.counts.faults == 0


# Processes


def test_processes_and_threads_fetch_each_block_once(make, spy, data):
    """All at once: one fetches, the others wait."""
    gate = multiprocessing.get_context("fork").Barrier(6)

    def read():
        store = make()
        gate.wait()
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(store.get, ["a"] * 3)) == [data] * 3

    children = [in_child(read) for _ in range(6)]

    assert join(*children) == [0] * 6
    assert sorted(spy.requests()) == [
        ("a", start, min(BLOCK, FILE_BYTES - start)) for start in range(0, FILE_BYTES, BLOCK)
    ]


def test_who_waits_does_not_look_again_and_again(make, spy, data):
    """He sleeps until the other one is done."""
    store, other = make(), make()
    block = CutFile(spy.store.url_of("a"), spy.store.stat("a"), BLOCK).block(0)
    held = other._cache.claim(block)
    asked, again = threading.Event(), threading.Event()
    real = store._cache.claim

    def claim(block):
        (again if asked.is_set() else asked).set()
        return real(block)

    store._cache.claim = claim
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(store.get_range, "a", 0, 9)
        assert asked.wait(60)
        looked_again = again.wait(0.3)
        held.give_up()
        assert reading.result() == data[:9]
    assert not looked_again


def hang_in_fetch(make, pipe):
    """Begin to fetch, say so, and stay there."""
    store = make()

    def hang():
        os.write(pipe, b"x")
        signal.pause()

    store._store.before = hang
    store.get_range("a", 0, 1)


def test_others_go_on_when_the_one_who_fetches_is_killed(make, spy, data, tmp_path):
    """With `kill -9`, while they wait for him; what he had reserved is free again."""
    at, pipe = os.pipe()
    fetching = in_child(lambda: hang_in_fetch(make, pipe))
    os.close(pipe)
    assert os.read(at, 1) == b"x"
    store = make()
    block = CutFile(spy.store.url_of("a"), spy.store.stat("a"), BLOCK).block(0)
    waiting = store._cache.claim(block)
    assert isinstance(waiting, Waiting)  # he is alive
    assert waiting.descriptor is not None
    waiting.close()
    ready, told = os.pipe()

    def read():
        os.write(told, b"x")
        return make().get("a") == data

    children = [in_child(read) for _ in range(4)]
    os.close(told)
    for _ in children:
        assert os.read(ready, 1) == b"x"
    assert spy.requests()[0] == ("a", 0, BLOCK)
    fetching.kill()

    assert join(fetching, *children) == [-signal.SIGKILL, 0, 0, 0, 0]
    assert Counter(spy.requests())[("a", 0, BLOCK)] == 2
    folder = own_folder(tmp_path)
    assert files_in(folder, ".part") == []
    assert ledger_of(tmp_path) == sum(charge(p.stat().st_size) for p in files_in(folder))
    os.close(at)
    os.close(ready)


def test_what_a_killed_process_reserved_is_found(make, data, tmp_path):
    """By the next store, also if it never asks for the same block."""
    at, pipe = os.pipe()
    fetching = in_child(lambda: hang_in_fetch(make, pipe))
    os.close(pipe)
    assert os.read(at, 1) == b"x"
    (part,) = files_in(own_folder(tmp_path), ".part")
    assert part.stat().st_size > BLOCK  # reserved in full
    assert make().get_range("a", 50_000, 1) == data[50_000:50_001]
    assert part.exists()  # alive
    fetching.kill()
    join(fetching)
    make().get_range("a", 50_000, 1)

    folder = own_folder(tmp_path)
    assert len(files_in(folder)) == 2
    assert ledger_of(tmp_path) == sum(charge(p.stat().st_size) for p in files_in(folder))
    os.close(at)


def test_an_error_of_the_store_lets_others_try(make, spy, data, tmp_path):
    """The error is raised, and nothing stays behind."""
    store = make()

    def fail():
        raise StorageError("no")

    spy.before = fail
    with pytest.raises(StorageError, match="no"):
        store.get("a")
    assert [path.name for path in files_in(own_folder(tmp_path))] == ["usage"]
    assert ledger_of(tmp_path) == 4096
    spy.before = None
    assert store.get("a") == data


def test_a_pickled_store_reads_the_same_version(make, spy, data):
    """Workers read what the main process has begun to read."""
    store = make()
    store.get_range("a", 0, 1)
    copy = pickle.loads(pickle.dumps(store))
    write_anew(spy, data)

    assert copy.get_range("a", 0, 9) == data[:9]
    assert copy.counts == CacheCounts(hits=1, cache_bytes=9)
    with pytest.raises(FileChanged):
        copy.get_range("a", 50_000, 1)


def test_a_fork_shares_no_locks_and_no_files(make, spy, data, tmp_path):
    """A child begins with fresh ones, and keeps nobody from what its parent held."""
    store = make()
    store.get_range("a", 0, 1)
    block = CutFile(spy.store.url_of("a"), spy.store.stat("a"), BLOCK).block(5)
    claim = store._cache.claim(block)
    assert isinstance(claim, Claim)

    def check():
        links = []
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                links.append(os.readlink(f"/proc/self/fd/{name}"))
        fresh = store.counts == CacheCounts() and store.get_range("a", 0, 9) == data[:9]
        return fresh and not any(str(tmp_path / "cache") in link for link in links)

    with store._lock, store._cache.counter._lock:
        child = in_child(check)
    assert join(child) == [0]
    assert isinstance(store._cache.claim(block), Waiting)  # the claim is still the parent's
    claim.give_up()
    assert store.get_range("a", 50_000, 9) == data[50_000:50_009]


def test_the_loader_reads_through_a_cache(small_root, tmp_path):
    """With worker processes, too; the second epoch asks the store for nothing."""
    spy = Spy(LocalStore(small_root), tmp_path / "log")
    store = vw.open_store(spy, cache_dir=tmp_path / "cache", cache_bytes="10 MiB")
    options = {"task": "captioning", "batch_size": 4, "shuffle": True, "size": (16, 16)}

    def epochs(url, **more):
        loader = vw.StreamingLoader(url, "train", **options, **more)
        return [
            [(batch["__key__"], np.asarray(batch["image"]).tolist()) for batch in loader]
            for _ in range(2)
        ]

    expected = epochs(small_root)
    assert epochs(store) == expected
    asked = len(spy.requests())
    assert asked > 0
    with_workers = vw.open_store(small_root, cache_dir=tmp_path / "cache", cache_bytes="10 MiB")
    assert epochs(with_workers, num_workers=2) == expected
    assert epochs(pickle.loads(pickle.dumps(store))) == expected
    assert len(spy.requests()) == asked


# Damage


def damage(kind):
    """Return a function that damages bytes in one way."""
    how, place = kind
    return {
        "flip": lambda b: b[:place] + bytes([b[place] ^ 4]) + b[place + 1 :],
        "cut": lambda b: b[:place],
        "zero": lambda b: bytes(len(b)),
        "more": lambda b: b + b"x",
    }[how]


KINDS = [("flip", place) for place in (8, 20, 39, 40, 43, 44, 48, 51, 52, 55, 56, 57, 5_000, -1)]
KINDS += [("cut", place) for place in (0, 1, 7, 8, 30, 52, 56, 57, 5_000, -1)]
KINDS += [("zero", 0), ("more", 0)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_damaged_blocks_are_fetched_again(make, spy, data, tmp_path, kind, caplog):
    """Whichever byte it is, in every block, by the store that has read it and by others."""
    kind = (kind[0], kind[1] if kind[1] >= 0 else 5_055)
    first = make()
    assert first.get("a") == data
    for store in (first, make()):
        before = store.counts
        asked = len(spy.requests())
        for path in files_in(own_folder(tmp_path), ".block"):
            path.write_bytes(damage(kind)(path.read_bytes()))
        assert store.get("a") == data
        assert store.counts.rejected - before.rejected == 10
        assert len(spy.requests()) == asked + 10
        assert store.get("a") == data
        assert len(spy.requests()) == asked + 10
    folder = own_folder(tmp_path)
    assert ledger_of(tmp_path) == sum(charge(p.stat().st_size) for p in files_in(folder))
    assert sum("a damaged block" in record.message for record in caplog.records) == 2


def test_only_what_is_read_need_be_right(make, spy, data, tmp_path):
    """Of a large block, parts that are not read are not checked; the others are, each time."""
    store = make(block_bytes=ROOMY // 2)
    spy.store.put("big", data * 5)
    assert store.get("big") == data * 5
    (path,) = files_in(own_folder(tmp_path), ".block")
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)

    assert store.get_range("big", 0, 1000) == data[:1000]
    assert store.counts.rejected == 0
    assert store.get_range("big", 5 * FILE_BYTES - 1, 1) == data[-1:]
    assert store.counts.rejected == 1


def test_blocks_under_each_others_names_are_found(make, data, tmp_path):
    """The key in the file must be that of the name."""
    make().get("a")
    paths = files_in(own_folder(tmp_path), ".block")
    paths = [path for path in paths if path.stat().st_size > BLOCK]
    held = [path.read_bytes() for path in paths]
    for path, other in zip(paths, held[1:] + held[:1], strict=True):
        path.write_bytes(other)
    store = make()

    assert store.get("a") == data
    assert store.counts.rejected == 9


def test_files_of_others_stay(make, spy, data, tmp_path, caplog):
    """Beside the folder, and in it, even under our names, and however old they are."""
    make().get("a")
    folder = own_folder(tmp_path)
    taken = files_in(folder, ".block")[:2]
    names = [folder / "notes.txt", folder / f"{'0' * 64}.block", folder / f"{'0' * 64}.part"]
    names += [tmp_path / "cache" / "mine.block", folder / f"{'0' * 63}.block", *taken]
    for path in names:
        path.write_bytes(b"something of mine")
        os.utime(path, (1, 1))
    (folder / "deeper").mkdir()
    (folder / "link").symlink_to("/nowhere")
    store = make(60_000)
    assert store.get("a") == store.get("a") == data
    spy.store.put("b", data)
    assert store.get("b") == data

    assert {path.read_bytes() for path in names} == {b"something of mine"}
    assert (folder / "deeper").is_dir()
    assert (folder / "link").is_symlink()
    assert store.counts.evictions > 0
    assert store.counts.rejected == store.counts.faults == 0
    assert sum("not written by this cache" in record.message for record in caplog.records) == 1
    assert sum(charge(p.stat().st_size) for p in folder.iterdir() if p.is_file()) <= 60_000


# A disk that fails


def test_a_full_disk_does_not_stop_reading(make, spy, data, tmp_path, caplog):
    """Files cannot grow beyond 5,000 bytes here: blocks fail, and one warning says so."""

    def read():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
        store = make()
        right = store.get("a") == store.get("a") == data
        told = sum("reading goes on without it" in record.message for record in caplog.records)
        return right and (told, store.counts.faults > 0) == (1, True)

    assert join(in_child(read)) == [0]
    assert [path.name for path in files_in(own_folder(tmp_path))] == ["usage"]
    assert ledger_of(tmp_path) == 4096


def test_a_disk_that_fills_up_while_a_block_is_written(make, spy, data, tmp_path, monkeypatch):
    """The bytes are handed on, what was written goes away, and it is not tried each time."""
    store = make()
    store.get_range("a", 0, 1)
    real = cache_folder._write

    def fail(descriptor, parts):
        real(descriptor, [parts[0]])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_folder, "_write", fail)
    assert store.get_range("a", 20_005, 5) == data[20_005:20_010]
    assert store.get_range("a", 30_005, 5) == data[30_005:30_010]
    assert spy.requests()[1:] == [("a", 20_000, BLOCK), ("a", 30_005, 5)]
    assert store.get_range("a", 5, 5) == data[5:10]
    assert store.counts == CacheCounts(hits=1, misses=2, cache_bytes=5, passed=1, faults=1)
    assert len(files_in(own_folder(tmp_path))) == 2
    assert ledger_of(tmp_path) == 4096 + charge(files_in(own_folder(tmp_path))[0].stat().st_size)
    monkeypatch.undo()
    for _ in range(cache_folder._PAUSE):
        store.get_range("a", 30_005, 5)
    assert store.get_range("a", 30_005, 5) == data[30_005:30_010]
    assert store.counts.misses == 3  # it is tried again


def test_a_folder_that_cannot_be_made(spy, data, tmp_path, caplog):
    """Reading goes on without it."""
    (tmp_path / "file").write_bytes(b"")
    store = CachedStore(spy, tmp_path / "file" / "cache", ROOMY, block_bytes=BLOCK)

    assert store.get("a") == data
    assert store.counts.faults > 0
    assert len(caplog.records) == 1


def test_a_folder_of_another_user_is_not_trusted(make, data, tmp_path, monkeypatch, caplog):
    """Nothing is read from it, and nothing is written to it."""
    make().get("a")
    store = make()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert store.get("a") == data
    assert store.counts.hits == store.counts.misses == 0
    assert store.counts.faults > 0
    assert "expected a folder made by this user" in caplog.text


def test_a_folder_that_is_a_link_is_not_trusted(make, data, tmp_path):
    """It would lead to anybody's."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    own_folder(tmp_path).symlink_to(tmp_path / "elsewhere")
    store = make()

    assert store.get("a") == data
    assert store.counts.faults > 0
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_folder_is_readable_by_its_owner_only(make, tmp_path):
    """Data may be private; so are names, of which only a hash is kept."""
    make().get("a")

    assert own_folder(tmp_path).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files_in(own_folder(tmp_path))} == {0o600}


# The way in


def test_opening_makes_and_reads_nothing(tmp_path):
    """Also with a size in words; a relative folder stays where it was."""
    for size in ("1.5 GiB", 1_610_612_736):
        store = vw.open_store(tmp_path / "s", cache_dir=str(tmp_path / "c"), cache_bytes=size)
        assert isinstance(store, CachedStore)
        assert isinstance(store, Store)
        assert repr(store) == (
            f"CachedStore(LocalStore('{tmp_path}/s'), '{tmp_path}/c', max_bytes=1,610,612,736)"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_dir": "c"}, 'cache_bytes: expected the size .* such as "100 GiB", got None'),
        ({"cache_bytes": "1 GiB"}, "cache_dir: expected a folder on a local disk, got None"),
        ({"cache_dir": "s3://b/c", "cache_bytes": 1}, "cache_dir: expected a folder .* 's3://b/c'"),
        ({"cache_dir": "c", "cache_bytes": "1 gig"}, "cache_bytes: expected a size .* '1 gig'"),
        ({"cache_dir": "c", "cache_bytes": 0}, "cache_bytes: expected at least 1, got 0"),
        ({"cache_dir": "c", "cache_bytes": True}, "cache_bytes: expected the size"),
        ({"cache_dir": "file", "cache_bytes": 1}, r"cache_dir: expected a folder, but .*/file is"),
    ],
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, options, message):
    """The message names the option."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=message):
        vw.open_store(tmp_path, **options)
