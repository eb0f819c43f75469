"""Whatever a network or a server does: the right bytes or a clear error, soon, and never a hang."""

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.servers.fault_proxy import FaultProxy
from tests.servers.faults import (
    Fault,
    FlipByte,
    Latency,
    LostReply,
    Meanwhile,
    ResetBeforeReply,
    ResetReply,
    ResetUpload,
    ShortBody,
    StallReply,
    StallUpload,
    Status,
)
from tests.servers.moto import Bucket
from vrs_wds.errors import (
    ChecksumMismatch,
    FileChanged,
    ManifestError,
    ShardTruncated,
    StorageError,
)
from vrs_wds.reader.open import open_dataset
from vrs_wds.storage import attempts
from vrs_wds.storage.open import open_store
from vrs_wds.storage.store import Store

T = TypeVar("T")

PATIENCE_SECONDS = 40
"""Far more than anything here takes: who needs longer hangs."""
DATA = bytes(range(256)) * 800 + b"the end"
OTHER = DATA[::-1]
LONG = DATA * 60  # 12 MB: three parts of 5 MiB
QUICK: dict[str, Any] = {
    "range_bytes": 100_000,
    "max_inflight_bytes": 10 << 20,
    "stall_seconds": 0.4,
    "retries": 3,
    "retry_seconds": 20,
}


@dataclass(frozen=True)
class Link:
    """A bucket behind a proxy."""

    bucket: Bucket
    proxy: FaultProxy

    def store(self, **options: Any) -> Store:
        """Open the bucket's folder through the proxy."""
        settings = self.bucket.storage_options | {"endpoint": self.proxy.url} | QUICK | options
        return open_store(self.bucket.url, **settings)

    def put(self, name: str, data: bytes) -> None:
        """Write a file past the proxy."""
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=f"folder/{name}", Body=data)

    def get(self, name: str) -> bytes | None:
        """Read a file past the proxy; None if there is none."""
        try:
            found = self.bucket.client.get_object(Bucket=self.bucket.name, Key=f"folder/{name}")
        except self.bucket.client.exceptions.NoSuchKey:
            return None
        data: bytes = found["Body"].read()
        return data


@pytest.fixture
def link(moto_server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """A bucket behind a proxy."""
    with linked(moto_server, monkeypatch) as link:
        yield link


@pytest.fixture(params=["moto_server", "radosgw_server"])
def any_link(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """A bucket behind a proxy; also one of a real S3 server."""
    with linked(request.getfixturevalue(request.param), monkeypatch) as link:
        yield link


@contextmanager
def linked(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """Put a proxy before a bucket, and make the waits short enough for tests."""
    monkeypatch.setattr(attempts, "_FIRST_SECONDS", {})
    monkeypatch.setattr(attempts, "_OTHER_FIRST_SECONDS", 0.05)
    port = int(bucket.endpoint.rpartition(":")[2])
    with FaultProxy(("127.0.0.1", port)) as proxy:
        yield Link(bucket, proxy)


def soon(do: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Return what `do` returns, or raise what it raises; fail if it does neither in time."""
    box: list[Callable[[], T]] = []

    def run() -> None:
        try:
            result = do()
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            box.append(_raiser(error))
        else:
            box.append(lambda: result)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert box, f"hangs: not done after {seconds} seconds"
    return box[0]()


def _raiser(error: BaseException) -> Callable[[], Any]:
    def give() -> None:
        raise error

    return give


def read_to_end(store: Store, name: str) -> bytes:
    """Read a file by a reader."""
    with store.open_reader(name) as file:
        return file.read()


def read_ranges(store: Store, name: str) -> bytes:
    """Read a file by ranges, some longer than one request, one beyond the end."""
    cuts = [0, 7, 50_000, 50_001, len(DATA) - 3, len(DATA) + 10]
    ranges = [(start, stop - start) for start, stop in itertools.pairwise(cuts)]
    return b"".join(store.get_ranges(name, ranges))


READS: dict[str, Callable[[Store, str], bytes]] = {
    "get": lambda store, name: store.get(name),
    "get_range": lambda store, name: store.get_range(name, 0, len(DATA)),
    "get_short_range": lambda store, name: store.get_range(name, 0, 90_000) + DATA[90_000:],
    "get_ranges": read_ranges,
    "open_reader": read_to_end,
}

READ_FAULTS: dict[str, tuple[Fault, int]] = {
    "latency": (Latency(0.2), 1),
    "503": (Status(503), 2),
    "429": (Status(429, retry_after=1), 2),
    "500": (Status(500), 1),
    "reset-before-reply": (ResetBeforeReply(), 2),
    "lost-reply": (LostReply(), 2),
    "reset-at-first-byte": (ResetReply(0), 1),
    "reset-in-body": (ResetReply(70_000), 3),
    "stall-at-first-byte": (StallReply(0), 1),
    "stall-in-body": (StallReply(70_000), 1),
    "short-body": (ShortBody(7), 1),
    "short-body-of-a-range-that-claims-more": (ShortBody(7, adjust_range=False), 1),
    "empty-body": (ShortBody(1 << 30), 1),
}


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("fault", READ_FAULTS)
def test_a_passing_fault_is_survived_by_reads(link: Link, how: str, fault: str) -> None:
    """A few times, then all is well: the right bytes."""
    link.put("a.bin", DATA)
    what, times = READ_FAULTS[fault]
    rule = link.proxy.add(what, method="GET", path=r"a\.bin", times=times)
    assert soon(lambda: READS[how](link.store(), "a.bin")) == DATA
    assert rule.hits >= 1


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("fault", READ_FAULTS)
def test_a_lasting_fault_is_an_error_that_names_the_file(link: Link, how: str, fault: str) -> None:
    """Or the right bytes, where each try brings some."""
    link.put("a.bin", DATA)
    what, _ = READ_FAULTS[fault]
    rule = link.proxy.add(what, method="GET", path=r"a\.bin")
    try:
        data = soon(lambda: READS[how](link.store(), "a.bin"))
    except StorageError as error:
        assert f"{link.bucket.url}/a.bin: cannot be read" in str(error)
        assert "Tried 4 times" in str(error)
        assert not isinstance(what, Latency)
    else:
        assert data == DATA
        assert isinstance(what, Latency | ResetReply | StallReply | ShortBody)
    assert 1 <= rule.hits <= 40  # no more than tries and pieces account for


@pytest.mark.parametrize("fault", ["503", "reset-before-reply", "lost-reply"])
def test_the_other_requests_survive_it_too(link: Link, fault: str) -> None:
    """Looking at a file, and listing."""
    link.put("a.bin", DATA)
    what, times = READ_FAULTS[fault]
    for ask, method in (
        (lambda store: store.size_of("a.bin") == len(DATA), "HEAD"),
        (lambda store: store.exists("a.bin"), "HEAD"),
        (lambda store: list(store.list_names()) == ["a.bin"], "GET"),
    ):
        store = link.store()
        store.get("a.bin")
        rule = link.proxy.add(what, method=method, times=times)
        assert soon(lambda ask=ask, store=store: ask(store))  # type: ignore[misc]
        assert rule.hits == times
        link.proxy.clear()


def test_a_listing_that_breaks_off_is_not_a_short_listing(any_link: Link) -> None:
    """Every name is there, or it is an error."""
    names = [f"{i:03d}.bin" for i in range(120)]
    for name in names:
        any_link.put(name, b"")
    store = any_link.store()
    for fault in (ResetReply(5000), ShortBody(100), StallReply(5000)):
        rule = any_link.proxy.add(fault, method="GET", path="list-type", times=1)
        assert soon(lambda: list(store.list_names())) == names
        assert rule.hits == 1
        any_link.proxy.clear()


def test_a_stall_is_named_and_counted(link: Link) -> None:
    """The message says what came to a stop, and what to do."""
    link.put("a.bin", DATA)
    store = link.store(retries=1)
    store.stat("a.bin")
    link.proxy.add(StallReply(0), method="GET", path=r"a\.bin")
    with pytest.raises(StorageError, match=r"a\.bin: cannot be read.*2 times.*stall_seconds"):
        soon(lambda: store.get("a.bin"))
    assert store.counters.stalls == 2  # type: ignore[attr-defined]


def test_503_for_ever_ends_within_the_budget(link: Link) -> None:
    """Of time, too, not of tries alone."""
    link.put("a.bin", DATA)
    store = link.store(retries=1000, retry_seconds=1)
    store.stat("a.bin")
    link.proxy.add(Status(503), path=r"a\.bin")
    with pytest.raises(StorageError, match=r"a\.bin: cannot be read.*503.*SlowDown.*fewer"):
        soon(lambda: store.get("a.bin"), 10)


def test_a_slow_reader_of_a_long_file_finishes(link: Link) -> None:
    """However slowly it reads: no request waits for it."""
    link.put("a.bin", DATA)
    store = link.store(stall_seconds=0.3, retries=0, client_options={"timeout": "600ms"})
    pieces = []
    began = time.monotonic()
    with store.open_reader("a.bin") as file:
        while piece := file.read(10_000):
            pieces.append(piece)
            time.sleep(0.1)
    assert b"".join(pieces) == DATA
    assert time.monotonic() - began > 1.8  # several times what a request may take


def test_a_distant_server_and_a_narrow_link_give_the_right_bytes(link: Link) -> None:
    """They take their time, without a stall."""
    link.put("a.bin", DATA)
    link.proxy.latency_seconds, link.proxy.bytes_per_second = 0.05, 400_000
    store = link.store(retries=0)
    assert soon(lambda: store.get("a.bin")) == DATA
    assert soon(lambda: read_to_end(store, "a.bin")) == DATA
    assert store.counters.stalls == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("breaks", [False, True], ids=["whole", "broken off"])
def test_bytes_of_two_versions_are_never_mixed(
    link: Link, how: str, skip: int, breaks: bool
) -> None:
    """A file that is replaced between two requests: the old, the new, or an error."""
    link.put("a.bin", DATA)
    replace = Meanwhile(lambda: link.put("a.bin", OTHER))
    if breaks:
        link.proxy.add(ResetReply(50_000), method="GET", path=r"a\.bin", times=1)
    link.proxy.add(replace, method="GET", path=r"a\.bin", skip=skip, times=1)
    whole = {DATA, OTHER, OTHER[:90_000] + DATA[90_000:]}
    try:
        data = soon(lambda: READS[how](link.store(), "a.bin"))
    except FileChanged as error:
        assert "a.bin" in str(error)
    else:
        assert data in whole


def test_a_store_goes_on_refusing_a_replaced_file(link: Link) -> None:
    """Ranges of a file are of one version, for as long as the store is open."""
    link.put("a.bin", DATA)
    store = link.store()
    assert store.get_range("a.bin", 0, 10) == DATA[:10]
    link.put("a.bin", OTHER)
    for _ in range(2):
        with pytest.raises(FileChanged, match=r"a\.bin"):
            store.get_range("a.bin", 10, 10)
    assert link.store().get_range("a.bin", 10, 10) == OTHER[10:20]


# Datasets


@pytest.fixture
def dataset_link(link: Link, small_root: Path) -> Link:
    """The small dataset in a bucket behind a proxy."""
    for path in small_root.iterdir():
        link.put(path.name, path.read_bytes())
    return link


def read_dataset(store: Store) -> list[dict[str, object]]:
    """Open and read a whole dataset."""
    return [dict(sample) for sample in open_dataset(store, "train")]


DATASET_FAULTS: dict[str, Fault] = {
    "503": Status(503),
    "reset-before-reply": ResetBeforeReply(),
    "reset-in-body": ResetReply(500),
    "stall-in-body": StallReply(500),
    "short-body": ShortBody(7),
    "short-body-of-a-range-that-claims-more": ShortBody(7, adjust_range=False),
    "flipped-byte": FlipByte(5),
    "flipped-later-byte": FlipByte(1030),
}


@pytest.mark.parametrize("times", [1, None], ids=["once", "for ever"])
@pytest.mark.parametrize("path", [r"\.json", r"\.parquet", r"000001\.tar"])
@pytest.mark.parametrize("fault", DATASET_FAULTS)
def test_a_dataset_gives_what_was_written_or_a_clear_error(
    dataset_link: Link, small_root: Path, fault: str, path: str, times: int | None
) -> None:
    """Bytes that were changed on their way are found, wherever they belong."""
    expected = read_dataset(open_store(small_root))
    what = DATASET_FAULTS[fault]
    rule = dataset_link.proxy.add(what, method="GET", path=path, times=times)
    named = {r"\.json": "train.json", r"\.parquet": "train.index.parquet"}.get(path, "000001.tar")
    try:
        found = soon(lambda: read_dataset(dataset_link.store()))
    except (StorageError, ManifestError, ShardTruncated, ChecksumMismatch) as error:
        assert named in str(error)
        assert times is None or isinstance(what, FlipByte)
        assert isinstance(error, StorageError) != isinstance(what, FlipByte)
    else:
        assert found == expected
        assert path == r"\.json" or not isinstance(what, FlipByte) or times == 1
    assert rule.hits


def test_a_dataset_that_is_replaced_while_it_is_read(
    dataset_link: Link, small_root: Path, tmp_path: Path
) -> None:
    """A shard of another version is refused, not mixed in."""
    dataset = open_dataset(dataset_link.store(), "train")
    first = dataset[8]
    shard = small_root / "train-000001.tar"
    shutil.copy(shard, tmp_path)
    dataset_link.put(shard.name, bytes(reversed(shard.read_bytes())))
    with pytest.raises((FileChanged, ChecksumMismatch), match=r"000001\.tar"):
        soon(lambda: dataset[9])
    assert first["png"]


# Writes


def write_by_writer(store: Store, name: str, data: bytes) -> None:
    """Write a file piece by piece."""
    with store.open_writer(name) as writer:
        for start in range(0, len(data), 1_000_000):
            writer.write(data[start : start + 1_000_000])


WRITES: dict[str, tuple[Callable[[Store, str, bytes], None], bytes]] = {
    "put": (lambda store, name, data: store.put(name, data), DATA),
    "put_new": (lambda store, name, data: store.put_new(name, data), DATA),
    "open_writer": (write_by_writer, DATA),
    "open_writer-in-parts": (write_by_writer, LONG),
}
WRITE_FAULTS: dict[str, tuple[Fault, int]] = {
    "latency": (Latency(0.2), 1),
    "503": (Status(503), 2),
    "429": (Status(429, retry_after=1), 2),
    "500": (Status(500), 1),
    "reset-before-reply": (ResetBeforeReply(), 2),
    "lost-reply": (LostReply(), 1),
    "reset-in-upload": (ResetUpload(100_000), 1),
    "stall-in-upload": (StallUpload(100_000), 1),
}
# So that a request that is never answered is given up soon.
QUICK_WRITES = {"client_options": {"timeout": "2s"}, "retries": 2}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_a_passing_fault_is_survived_by_writes(any_link: Link, how: str, fault: str) -> None:
    """The file is there, with all its bytes."""
    write, data = WRITES[how]
    what, times = WRITE_FAULTS[fault]
    rule = any_link.proxy.add(what, method="PUT", path=r"a\.bin", times=times)
    soon(lambda: write(any_link.store(**QUICK_WRITES), "a.bin", data))
    assert any_link.get("a.bin") == data
    assert rule.hits == times


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_a_lasting_fault_of_writes_leaves_the_old_file(link: Link, how: str, fault: str) -> None:
    """It is an error that names the file; what is there is complete. Or the write succeeds."""
    write, data = WRITES[how]
    old = None if how == "put_new" else b"old"
    if old is not None:
        link.put("a.bin", old)
    what, _ = WRITE_FAULTS[fault]
    rule = link.proxy.add(what, method="PUT", path=r"a\.bin")
    try:
        soon(lambda: write(link.store(**QUICK_WRITES), "a.bin", data))
    except StorageError as error:
        assert f"{link.bucket.url}/a.bin: cannot be written" in str(error)
        assert link.get("a.bin") in (old, data)
        assert not isinstance(what, Latency)
    else:
        assert link.get("a.bin") == data
        assert isinstance(what, Latency | LostReply)
    assert rule.hits


@pytest.mark.parametrize("times", [1, None], ids=["once", "for ever"])
@pytest.mark.parametrize("how", ["put", "put_new", "delete"])
def test_a_stalled_request_of_few_bytes_is_noticed_as_a_stall(
    link: Link, how: str, times: int | None
) -> None:
    """Not only when the time is over that a part might take: locks and manifests are short."""
    few = b"few bytes" * 100
    write = {
        "put": lambda store: store.put("a.bin", few),
        "put_new": lambda store: store.put_new("a.bin", few),
        "delete": lambda store: store.delete("b.bin"),
    }[how]
    store = link.store()
    store.put("b.bin", few)
    # A deletion has no body that could stall.
    fault = Latency(5) if how == "delete" else StallUpload(100)
    link.proxy.add(fault, method="PUT|DELETE|POST", times=times)
    if times is None:
        with pytest.raises(StorageError, match=r"[ab]\.bin: cannot be .*4 times"):
            soon(lambda: write(store), 20)
    else:
        soon(lambda: write(store), 20)
    assert store.counters.stalls == (4 if times is None else 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", [r"[?&]uploads", r"[?&]uploadId="], ids=["begin", "complete"])
@pytest.mark.parametrize("fault", ["503", "500", "reset-before-reply", "lost-reply", "latency"])
def test_an_upload_in_parts_survives_faults_at_its_ends(
    any_link: Link, query: str, fault: str
) -> None:
    """Where it begins, and where its parts are put together."""
    what, times = WRITE_FAULTS[fault]
    rule = any_link.proxy.add(what, method="POST", path=query, times=times)
    soon(lambda: write_by_writer(any_link.store(**QUICK_WRITES), "a.bin", LONG))
    assert any_link.get("a.bin") == LONG
    assert rule.hits == times


@pytest.mark.parametrize("query", [r"[?&]uploads", r"[?&]uploadId="], ids=["begin", "complete"])
@pytest.mark.parametrize("fault", ["503", "500", "reset-before-reply", "lost-reply"])
def test_an_upload_in_parts_that_fails_at_its_ends(link: Link, query: str, fault: str) -> None:
    """The old file stays, or the new one is there as a whole."""
    link.put("a.bin", b"old")
    link.proxy.add(WRITE_FAULTS[fault][0], method="POST", path=query)
    try:
        soon(lambda: write_by_writer(link.store(**QUICK_WRITES), "a.bin", LONG))
    except StorageError as error:
        assert f"{link.bucket.url}/a.bin: cannot be written" in str(error)
        assert link.get("a.bin") == b"old"
    else:
        assert fault == "lost-reply"
        assert link.get("a.bin") == LONG


def test_an_exception_while_writing_leaves_no_file_and_no_parts(any_link: Link) -> None:
    """Whatever the network does to the clearing up."""
    any_link.proxy.add(Status(503), method="DELETE", times=1)
    with pytest.raises(ZeroDivisionError), any_link.store().open_writer("a.bin") as writer:
        writer.write(LONG)
        raise ZeroDivisionError
    assert any_link.get("a.bin") is None
    assert any_link.bucket.uploads() == []


@pytest.mark.parametrize("num_lost", [1, 3])
def test_lost_replies_to_put_new_still_give_one_winner(any_link: Link, num_lost: int) -> None:
    """Of eight at once, and nobody is told what is not so."""
    rule = any_link.proxy.add(LostReply(), method="PUT", path=r"lock", times=num_lost)
    stores = [any_link.store() for _ in range(8)]

    def claim(number: int) -> bool:
        try:
            stores[number].put_new("lock", b"writer %d" % number)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = soon(lambda: list(pool.map(claim, range(8))))
    assert won.count(True) == 1
    assert any_link.get("lock") == b"writer %d" % won.index(True)
    assert rule.hits == num_lost


def test_put_new_is_told_the_truth_when_every_reply_is_lost(any_link: Link) -> None:
    """The file is compared: it is this writer's own, or another's."""
    any_link.proxy.add(LostReply(), method="PUT", path="lock")
    soon(lambda: any_link.store().put_new("lock", b"mine"))
    with pytest.raises((FileExistsError, StorageError)):
        soon(lambda: any_link.store().put_new("lock", b"not mine"))
    assert any_link.get("lock") == b"mine"


MOVE_FAULTS = ["latency", "503", "429", "500", "reset-before-reply", "lost-reply"]


@pytest.mark.parametrize("method", ["PUT", "DELETE|POST"], ids=["copy", "delete"])
@pytest.mark.parametrize("fault", MOVE_FAULTS)
def test_a_passing_fault_is_survived_by_rename(any_link: Link, fault: str, method: str) -> None:
    """The file has its new name only."""
    any_link.put("a.bin", DATA)
    what, times = WRITE_FAULTS[fault]
    rule = any_link.proxy.add(what, method=method, times=times)
    soon(lambda: any_link.store(**QUICK_WRITES).rename("a.bin", "b.bin"))
    assert (any_link.get("a.bin"), any_link.get("b.bin")) == (None, DATA)
    assert rule.hits == times


@pytest.mark.parametrize("fault", MOVE_FAULTS)
def test_a_lasting_fault_loses_no_file(link: Link, fault: str) -> None:
    """Neither rename nor delete: an error, and the file is under one of its names."""
    link.put("a.bin", DATA)
    what, _ = WRITE_FAULTS[fault]
    link.proxy.add(what, method="PUT|DELETE|POST")
    try:
        soon(lambda: link.store(**QUICK_WRITES).rename("a.bin", "b.bin"))
    except StorageError as error:
        assert "a.bin" in str(error)
        assert DATA in (link.get("a.bin"), link.get("b.bin"))
    else:
        assert link.get("b.bin") == DATA


@pytest.mark.parametrize("fault", MOVE_FAULTS)
def test_delete(link: Link, fault: str) -> None:
    """A passing fault is survived; a lasting one is an error that names the file."""
    what, times = WRITE_FAULTS[fault]
    link.put("a.bin", DATA)
    rule = link.proxy.add(what, method="DELETE|POST", times=times)
    soon(lambda: link.store(**QUICK_WRITES).delete("a.bin"))
    assert link.get("a.bin") is None
    assert rule.hits == times
    if isinstance(what, Latency):
        return
    link.put("b.bin", DATA)
    link.proxy.add(what, method="DELETE|POST")
    with pytest.raises(StorageError, match=r"b\.bin: cannot be removed"):
        soon(lambda: link.store(**QUICK_WRITES).delete("b.bin"))


def test_a_written_dataset_survives_a_bad_network(any_link: Link, small_root: Path) -> None:
    """Every tenth request meets some fault; what is written is what was to be written."""
    faults = [Status(503), LostReply(), ResetBeforeReply(), ResetUpload(300), ResetReply(300)]
    for i, fault in enumerate(faults):
        for k in range(4):
            any_link.proxy.add(fault, skip=10 * k + 2 * i, times=1)
    store = any_link.store(**QUICK_WRITES)

    def copy() -> None:
        for path in sorted(small_root.iterdir()):
            write_by_writer(store, path.name, path.read_bytes())

    soon(copy)
    assert read_dataset(any_link.store()) == read_dataset(open_store(small_root))
