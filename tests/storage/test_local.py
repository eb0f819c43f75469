"""A folder as a store."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.storage import local
from vrs_wds.storage.local import _MAX_OPEN_FILES, LocalStore
from vrs_wds.storage.open import open_store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty folder that does not exist yet."""
    return LocalStore(tmp_path / "new")


def test_what_is_put_is_there(store: LocalStore) -> None:
    """Whole, by ranges, by size, in the list."""
    store.put("a.bin", b"0123456789")

    assert store.get("a.bin") == b"0123456789"
    assert store.get_range("a.bin", 2, 3) == b"234"
    assert store.get_range("a.bin", 8, 5) == b"89"
    assert store.get_range("a.bin", 50, 5) == b""
    assert store.size_of("a.bin") == 10
    assert store.exists("a.bin")
    assert list(store.list_names()) == ["a.bin"]
    with store.open_reader("a.bin") as file:
        assert file.read() == b"0123456789"


def test_what_is_not_there(store: LocalStore) -> None:
    """FileNotFoundError; deleting it is no error; listing gives nothing."""
    for call in (store.get, store.size_of):
        with pytest.raises(FileNotFoundError):
            call("a")
    with pytest.raises(FileNotFoundError):
        store.get_range("a", 0, 1)
    assert not store.exists("a")
    store.delete("a")
    assert list(store.list_names()) == []


def test_a_file_appears_when_it_is_complete(store: LocalStore) -> None:
    """Not before, and not in lists."""
    with store.open_writer("a") as writer:
        writer.write(b"half")
        assert not store.exists("a")
        assert list(store.list_names()) == []

    assert store.get("a") == b"half"


def test_an_exception_leaves_nothing_and_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    """Neither a new file nor a temporary one; an old one stays as it was."""
    store.put("old", b"old")
    for name in ("new", "old"):
        with pytest.raises(KeyError), store.open_writer(name) as writer:
            writer.write(b"half")
            raise KeyError

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["old"]
    assert store.get("old") == b"old"


def test_a_killed_writer_leaves_nothing_visible(store: LocalStore) -> None:
    """`kill -9` in the middle of a file."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from vrs_wds.storage.local import LocalStore\n"
        "with LocalStore(Path(sys.argv[1])).open_writer('a.tar') as writer:\n"
        "    writer.write(bytes(3_000_000)); os.kill(os.getpid(), signal.SIGKILL)"
    )
    result = subprocess.run([sys.executable, "-c", code, store.url], check=False)

    assert result.returncode == -signal.SIGKILL
    assert not store.exists("a.tar")
    assert list(store.list_names()) == []


def test_more_files_than_are_kept_open(store: LocalStore) -> None:
    """Files beyond the limit are closed and opened again; threads may share the store."""
    count = _MAX_OPEN_FILES + 40
    for i in range(count):
        store.put(f"f{i}", b"%d" % i)
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: store.get_range(f"f{i % count}", 0, 9), range(3 * count)))

    assert found == [b"%d" % (i % count) for i in range(3 * count)]
    assert len(os.listdir("/proc/self/fd")) - before <= _MAX_OPEN_FILES


def test_what_is_read_after_a_stat_is_that_file(store: LocalStore) -> None:
    """Also if it was read before, and replaced since."""
    store.put("a", b"old")
    assert store.get_range("a", 0, 9) == b"old"
    store.put("a", b"newer")

    assert store.stat("a").size == 5
    assert store.get_range("a", 0, 9) == b"newer"


def test_a_store_pickles_without_its_open_files(store: LocalStore) -> None:
    """The copy opens files of its own."""
    store.put("a", b"x")
    store.get_range("a", 0, 1)

    assert pickle.loads(pickle.dumps(store)).get_range("a", 0, 1) == b"x"


def test_urls_of_local_folders(tmp_path: Path) -> None:
    """A path, a text and a file:// URL mean the same."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "f").write_bytes(b"x")
    for url in (tmp_path / "a b", f"{tmp_path}/a b", f"file://{tmp_path}/a%20b"):
        assert open_store(url).get("f") == b"x"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Path("s3://bucket/x"), "s3:/bucket/x: is no URL.*two slashes"),
        ("s3:/bucket/x", "s3:/bucket/x: is no URL.*two slashes"),
        ("", "got an empty text"),
        (object(), "expected a path, a URL or a store, got a object"),
    ],
)
def test_what_is_no_place(place: Any, message: str) -> None:
    """Not a folder here that is named `s3:`, nor this folder."""
    with pytest.raises(ConfigError, match=message):
        open_store(place)


def test_a_full_disk_says_where(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the system does not, of a file that is open."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*new/a\.bin'"):
        store.put("a.bin", b"0123456789")
    assert not list(store.root.iterdir())


def test_a_hidden_folder_comes_and_goes(tmp_path: Path) -> None:
    """Ranks write into a folder while rank 0 removes what it finds there: no error for anybody."""
    end = time.monotonic() + 2
    calls = (
        lambda store: store.put(".x.ranks/a", b"1"),
        lambda store: store.put(".x.ranks/b", b"1"),
        lambda store: list(store.list_names()),
        lambda store: store.sweep("x"),
        lambda store: [store.delete(name) for name in store.list_names(".x.ranks/", hidden=True)],
    )

    def repeat(call: Any) -> int:
        store = LocalStore(tmp_path)
        rounds = 0
        while time.monotonic() < end:
            call(store)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(len(calls)) as pool:
        assert all(rounds > 10 for rounds in pool.map(repeat, calls))


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, not an empty folder; one below it, such as `lost+found`, is passed over."""
    store = LocalStore(tmp_path)
    store.put("a", b"1")
    (tmp_path / "lost+found").mkdir()
    forbidden = tmp_path / "lost+found"
    list_folder = os.scandir

    def scandir(path: Any) -> Any:  # root may list any folder, so modes do not do it
        if Path(path) == forbidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(store.list_names()) == ["a"]
    forbidden = tmp_path
    with pytest.raises(PermissionError):
        list(store.list_names())


def test_a_disk_that_fails_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that is gone would else look like a dataset that is not there."""
    store = LocalStore(tmp_path)
    store.put("a/b", b"1")

    def fail(path: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as failing:
        failing.setattr(os, "scandir", fail)
        with pytest.raises(OSError, match="Input/output"):
            list(store.list_names())
    monkeypatch.setattr(Path, "is_file", fail)
    with pytest.raises(OSError, match="Input/output"):
        list(store.list_names())


def test_no_empty_hidden_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process removes a new file before its writer has removed the temporary name."""
    store, sync = LocalStore(tmp_path), local._sync_folder

    def remove_first(path: Path) -> None:
        LocalStore(tmp_path).delete(".x/a")
        sync(path)

    monkeypatch.setattr(local, "_sync_folder", remove_first)
    store.put_new(".x/a", b"1")
    assert list(tmp_path.iterdir()) == []
