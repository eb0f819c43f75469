"""`StoreTests`: what every store has to do. Subclass it to hold a store of yours to it."""

import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrs_wds.errors import FileChanged
from vrs_wds.storage.store import Store


def _noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


_ODD_NAMES = ["a b.bin", "ü.bin", "x+y=1,2;@&.bin", "100%.bin", "%2F.bin", "q?r#s.bin", "d.e/f.bin"]
_CONTENT = _noise(10_000)
_PLACES = st.integers(0, 11_000)
_FEW = settings(
    max_examples=15,
    deadline=None,
    # The files stay from one example to the next; and every subclass runs the same test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


class StoreTests:
    """The contract of `Store`, as tests for pytest.

    Subclass it in a test module, and give it a fixture `store`: an empty store, another one for
    each test::

        class TestMyStore(StoreTests):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path)

    A fixture `other`, the same place as another process sees it, may be given too; by default it is
    what pickling gives.
    """

    has_atomic_put_new = True
    """Whether of several that call `put_new` at once, one wins."""
    num_bytes = 11 * 1024 * 1024
    """Size of the large file that is written; more than two parts of an upload show most."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store."""
        raise NotImplementedError("give the class a fixture `store`")

    @pytest.fixture
    def other(self, store: Store) -> Store:
        """The same place, as another process sees it."""
        copied: Store = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own bytes
        return copied

    def test_is_a_store(self, store: Store) -> None:
        """It has all the methods, and an address that its files' addresses begin with."""
        assert isinstance(store, Store)
        assert store.url_of("a/b").startswith(store.url.rstrip("/"))
        assert store.url_of("a/b").endswith("a/b")

    def test_what_is_put_is_there(self, store: Store) -> None:
        """Whole, by ranges, by size, in the list."""
        store.put("a.bin", b"0123456789")

        assert store.get("a.bin") == b"0123456789"
        assert isinstance(store.get("a.bin"), bytes)
        assert store.get_range("a.bin", 2, 3) == b"234"
        assert store.get_ranges("a.bin", [(8, 1), (0, 2)]) == [b"8", b"01"]
        assert store.size_of("a.bin") == store.stat("a.bin").size == 10
        assert store.exists("a.bin")
        assert list(store.list_names()) == ["a.bin"]
        with store.open_reader("a.bin") as file:
            assert file.read() == b"0123456789"

    def test_an_empty_file(self, store: Store) -> None:
        """It is there, and holds nothing."""
        store.put("empty", b"")

        assert store.get("empty") == b""
        assert store.get_range("empty", 0, 10) == b""
        assert store.size_of("empty") == 0
        with store.open_reader("empty") as file:
            assert file.read() == b""

    def test_what_is_not_there(self, store: Store) -> None:
        """FileNotFoundError that names it; deleting it is no error; listing gives nothing."""
        for call in (store.get, store.stat, store.size_of):
            with pytest.raises(FileNotFoundError, match="not-there"):
                call("not-there")
        for size in (0, 1):
            with pytest.raises(FileNotFoundError, match="not-there"):
                store.get_range("not-there", 0, size)
        with (
            pytest.raises(FileNotFoundError, match="not-there"),
            store.open_reader("not-there") as file,
        ):
            file.read()
        with pytest.raises(FileNotFoundError, match="not-there"):
            store.rename("not-there", "b")
        assert not store.exists("not-there")
        store.delete("not-there")
        assert list(store.list_names()) == []

    def test_a_range_ends_where_the_file_does(self, store: Store) -> None:
        """Beyond it there is nothing, which is no error."""
        store.put("a", b"0123456789")

        assert store.get_range("a", 50, 5) == b""
        assert store.get_range("a", 10, 1) == b""
        assert store.get_range("a", 8, 5) == b"89"
        assert store.get_range("a", 3, 0) == b""

    @_FEW
    @given(ranges=st.lists(st.tuples(_PLACES, _PLACES), max_size=6))
    def test_ranges_are_slices(self, store: Store, ranges: list[tuple[int, int]]) -> None:
        """In any order, overlapping, empty, beyond the end."""
        if not store.exists("ranges"):
            store.put("ranges", _CONTENT)

        expected = [_CONTENT[offset : offset + size] for offset, size in ranges]
        assert store.get_ranges("ranges", ranges) == expected
        assert [store.get_range("ranges", *place) for place in ranges] == expected

    @_FEW
    @given(moves=st.lists(st.tuples(_PLACES, st.integers(-1, 6_000)), max_size=6))
    def test_a_reader_reads_anywhere(self, store: Store, moves: list[tuple[int, int]]) -> None:
        """As a file on a disk does."""
        if not store.exists("reader"):
            store.put("reader", _CONTENT)

        with store.open_reader("reader") as file, io.BytesIO(_CONTENT) as model:
            for place, size in moves:
                assert file.seek(place) == model.seek(place)
                assert file.read(size) == model.read(size)
                assert file.tell() == model.tell()

    def test_names_of_all_kinds(self, store: Store) -> None:
        """Blanks, umlauts, what means something in a URL."""
        for name in _ODD_NAMES:
            store.put(name, name.encode())

        assert list(store.list_names()) == sorted(_ODD_NAMES)
        assert [store.get(name) for name in _ODD_NAMES] == [name.encode() for name in _ODD_NAMES]

    def test_lists_by_prefix(self, store: Store) -> None:
        """A prefix may end within a component; hidden components are left out unless asked for."""
        names = [".x.writing/y", "sub/.hidden", "sub/train-1.tar", "train-0.tar", "train.json"]
        for name in names:
            store.put(name, b"")

        assert list(store.list_names()) == ["sub/train-1.tar", "train-0.tar", "train.json"]
        assert list(store.list_names(hidden=True)) == names
        assert list(store.list_names("train")) == ["train-0.tar", "train.json"]
        assert list(store.list_names("sub/")) == ["sub/train-1.tar"]
        assert list(store.list_names("sub/t")) == ["sub/train-1.tar"]
        assert list(store.list_names(".x.writing/", hidden=True)) == [".x.writing/y"]
        assert list(store.list_names("none/")) == []

    def test_putting_again_replaces(self, store: Store) -> None:
        """And the store that did it reads what it wrote."""
        store.put("a", b"first")
        assert store.get_range("a", 0, 9) == b"first"
        store.put("a", b"second one")

        assert store.get("a") == b"second one"
        assert store.get_range("a", 0, 99) == b"second one"

    def test_a_file_appears_when_it_is_complete(self, store: Store) -> None:
        """Not before, and not in lists."""
        with store.open_writer("a") as writer:
            writer.write(b"half")
            assert not store.exists("a")
            assert list(store.list_names()) == []
            writer.write(b" and half")

        assert store.get("a") == b"half and half"
        assert list(store.list_names(hidden=True)) == ["a"]

    def test_a_large_file(self, store: Store) -> None:
        """Written in odd pieces, read whole, by ranges and as a file."""
        data = _noise(self.num_bytes)
        with store.open_writer("large.tar") as writer:
            for start in range(0, len(data), 3_000_001):
                writer.write(data[start : start + 3_000_001])

        assert store.size_of("large.tar") == len(data)
        assert store.get("large.tar") == data
        middle = len(data) // 2
        assert store.get_range("large.tar", middle, 1000) == data[middle : middle + 1000]
        assert store.get_range("large.tar", 5, len(data)) == data[5:]
        with store.open_reader("large.tar") as file:
            assert file.read(100) == data[:100]
            assert file.read() == data[100:]

    @pytest.mark.parametrize("size", [4, 6 * 1024 * 1024])
    def test_an_exception_leaves_nothing_and_changes_nothing(self, store: Store, size: int) -> None:
        """Neither a new file nor a temporary one; an old one stays as it was."""
        store.put("old", b"old")
        for name in ("new", "old"):
            with pytest.raises(KeyError), store.open_writer(name) as writer:
                writer.write(bytes(size))
                raise KeyError

        assert list(store.list_names(hidden=True)) == ["old"]
        assert store.get("old") == b"old"

    def test_put_new_refuses_a_name_that_is_taken(self, store: Store) -> None:
        """And leaves what is there."""
        store.put_new("a", b"mine")
        assert store.get("a") == b"mine"
        if self.has_atomic_put_new:
            with pytest.raises(FileExistsError):
                store.put_new("a", b"yours")
            assert store.get("a") == b"mine"

    def test_of_several_one_wins(self, store: Store) -> None:
        """However close they come."""
        if not self.has_atomic_put_new:
            return

        def try_to_put(number: int) -> bool:
            try:
                store.put_new("lock", b"%d" % number)
            except FileExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(try_to_put, range(8)))

        assert won.count(True) == 1
        assert store.get("lock") == b"%d" % won.index(True)

    def test_renaming(self, store: Store) -> None:
        """Moves the bytes; a file of the new name is replaced."""
        store.put("a", b"a")
        store.put("b", b"b")
        store.rename("a", "b")
        store.put("dir/x", b"x")
        store.rename("dir/x", "dir/y")

        assert list(store.list_names()) == ["b", "dir/y"]
        assert store.get("b") == b"a"
        assert store.get("dir/y") == b"x"

    def test_deleting(self, store: Store) -> None:
        """Once is enough, twice no error."""
        store.put("a", b"")
        store.delete("a")
        store.delete("a")

        assert not store.exists("a")

    def test_two_versions_are_never_mixed(self, store: Store, other: Store) -> None:
        """A range of a file that somebody has replaced is refused, or of the old one."""
        store.put("a", b"old" * 1000)
        assert store.get_range("a", 0, 3) == b"old"
        other.put("a", b"new" * 1000)

        for read in (_read_range, _read_file):
            try:
                assert read(store) == b"old"
            except FileChanged as error:
                assert store.url_of("a") in str(error)
        assert other.get("a") == b"new" * 1000
        assert other.get_range("a", 0, 3) == b"new"

    def test_a_version_has_an_etag_of_its_own(self, store: Store, other: Store) -> None:
        """As far as the store can tell versions apart; the same one for every reader."""
        store.put("a", b"1")
        first = store.stat("a")
        assert other.stat("a") == first
        store.put("a", b"22")

        assert store.stat("a") != first

    def test_pickles(self, store: Store, other: Store) -> None:
        """The copy is of the same place."""
        store.put("a", b"x")

        assert other.get("a") == b"x"
        assert other.url == store.url
        assert repr(other) == repr(store)

    def test_threads_share_it(self, store: Store) -> None:
        """Each reads its own."""
        for i in range(6):
            store.put(f"f{i}", b"%d" % i * 100)
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda i: store.get_range(f"f{i % 6}", 50, 3), range(60)))

        assert found == [b"%d" % (i % 6) * 3 for i in range(60)]

    def test_there_is_nothing_to_sweep(self, store: Store) -> None:
        """After files that were completed."""
        with store.open_writer("a") as writer:
            writer.write(b"x")

        assert store.sweep("") == 0
        assert store.get("a") == b"x"


def _read_range(store: Store) -> bytes:
    return store.get_range("a", 3, 3)


def _read_file(store: Store) -> bytes:
    with store.open_reader("a") as file:
        file.seek(3)
        return file.read(3)
