"""What is fetched ahead from a far store: which ranges, how often, how many bytes at once."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ChecksumMismatch, FileChanged, ShardNotFound, StorageError
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.members import MemberRequest
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.range_plan import plan_ranges
from vrs_wds.reader.read_ahead import ReadAhead
from vrs_wds.storage.cached import CachedStore
from vrs_wds.storage.local import LocalStore
from vrs_wds.storage.reading import FAR, Reading, reading_of


class FarStore(LocalStore):
    """A folder that is read as a distant server is, and remembers what was asked for."""

    def __init__(self, root: Path, reading: Reading = FAR) -> None:
        super().__init__(root)
        self.reading = reading
        self.asked: list[tuple[str, int, int]] = []
        self.at_once = self.most_at_once = 0
        self.error: Exception | None = None
        self._counting = threading.Lock()

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Read a range of a shard, note it, or fail as told to."""
        if not name.endswith(".tar"):
            return super().get_range(name, offset, size)
        with self._counting:
            self.asked.append((name, offset, size))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.error is not None:
                raise self.error
            return super().get_range(name, offset, size)
        finally:
            with self._counting:
                self.at_once -= 1

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read ranges as `get_range` does."""
        return [self.get_range(name, offset, size) for offset, size in ranges]

    @property
    def bytes_asked(self) -> int:
        """Bytes of shards that were asked for."""
        return sum(size for _, _, size in self.asked)


@dataclass
class Far:
    """A dataset read from a `FarStore`, and the same read from the disk."""

    store: FarStore
    dataset: ShardedDataset
    near: ShardedDataset

    @property
    def num_bytes(self) -> int:
        """Bytes of all members."""
        return sum(r.size for r in self.near.members_of(range(len(self.near)), None, item=0))

    @property
    def padding(self) -> int:
        """The most bytes of headers and padding between members."""
        return 1023 * len(self.near.members_of(range(len(self.near)), None, item=0))


@pytest.fixture
def far(small_root: Path, tmp_path: Path) -> Far:
    """A copy of the small dataset, near and far."""
    root = shutil.copytree(small_root, tmp_path / "far")
    store = FarStore(root)
    return Far(store, open_dataset(store, "train"), open_dataset(root, "train"))


def items_of(dataset: ShardedDataset, size: int, *, backwards: bool = False) -> list[list[int]]:
    """Cut a dataset into items of so many places, each place once."""
    places = list(range(len(dataset)))
    if backwards:
        places = places[::2] + places[1::2]
    return [places[start : start + size] for start in range(0, len(places), size)]


def read_all(
    far: Far, items: list[list[int]], *, max_bytes: int = 10**9
) -> tuple[list[object], ReadAhead[list[int]]]:
    """Read items through a read-ahead."""
    samples: list[object] = []
    with ReadAhead[list[int]](far.dataset, max_bytes=max_bytes) as ahead:
        for places in ahead.follow(items, list):
            samples += ahead.dataset.get_many(places)
            ahead.done()
    return samples, ahead


def own_threads() -> list[str]:
    """Return the names of the threads that a read-ahead has."""
    return [t.name for t in threading.enumerate() if t.name.startswith("vrs_wds")]


@st.composite
def requests(draw: st.DrawFn) -> list[MemberRequest]:
    """Members of three shards that do not overlap, needed by items in any order."""
    found = []
    for shard in range(3):
        offset = 0
        for _ in range(draw(st.integers(0, 8))):
            offset += draw(st.sampled_from([0, 300, 1023, 1024, 5000, 100_000]))
            size = draw(st.integers(1, 3000))
            item = draw(st.integers(0, 5))
            found.append(MemberRequest(shard, offset, size, 0, item, "png"))
            offset += size
    return draw(st.permutations(found))


@given(requests(), st.integers(1, 200_000), st.integers(1, 20_000))
def test_ranges_cover_exactly_what_is_asked_for(
    asked: list[MemberRequest], gap: int, size: int
) -> None:
    """Each member lies in one range; ranges begin and end with one, and come in order of need."""
    names = ["a", "b", "c"]
    reading = Reading(requests=8, gap_bytes=gap, range_bytes=size, max_unasked=1.0)
    ranges = plan_ranges(asked, names, reading)

    assert [r.first for r in ranges] == sorted(r.first for r in ranges)
    homes = Counter((r.shard, offset) for r in ranges for offset in r.offsets)
    assert homes == Counter((names[a.shard], a.offset) for a in asked)
    for planned in ranges:
        inside = [
            a for a in asked if names[a.shard] == planned.shard and a.offset in planned.offsets
        ]
        assert planned.start == min(a.offset for a in inside)
        assert planned.stop == max(a.offset + a.size for a in inside)
        assert planned.first == min(a.sample for a in inside)
        assert planned.last == max(a.sample for a in inside)
        assert len(inside) == 1 or planned.size <= size
        wanted = sum(a.size for a in inside)
        padding = 1023 * (len(inside) - 1)
        assert planned.size - wanted <= max(wanted, padding) + padding


def test_large_pictures_between_sidecars_are_not_read() -> None:
    """Sidecars of 3 KB with 20 KB between them are ranges of their own; with 2 KB they are one."""
    for between, count in ((20_000, 10), (2_000, 1)):
        step = 3_000 + between
        asked = [MemberRequest(0, i * step, 3_000, 0, i, "vqa.json") for i in range(10)]
        assert len(plan_ranges(asked, ["a"], FAR)) == count


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("backwards", [False, True])
def test_samples_are_those_of_the_disk(far: Far, size: int, backwards: bool) -> None:
    """Equal samples; each byte is asked for once; and no thread is left."""
    items = items_of(far.near, size, backwards=backwards)
    samples, _ = read_all(far, items)

    assert samples == far.near.get_many([place for item in items for place in item])
    bytes_of = Counter(
        (name, byte) for name, offset, n in far.store.asked for byte in (offset, offset + n - 1)
    )
    assert max(bytes_of.values()) == 1
    assert far.store.bytes_asked <= far.num_bytes + far.padding
    assert not own_threads()


def test_in_order_there_are_few_requests(far: Far) -> None:
    """The first item's own, and then those of rounds that double."""
    items = items_of(far.near, 1)
    read_all(far, items)

    assert len(far.store.asked) <= 2 + 2 * len(items).bit_length() + len(far.dataset.shard_names)


@pytest.mark.parametrize("max_bytes", [1, 30_000, 200_000])
def test_memory_is_bounded(far: Far, max_bytes: int) -> None:
    """What is held is within the bound, or what was asked for; all is read all the same."""
    items = items_of(far.near, 2, backwards=True)
    largest = max(
        sum(request.size + 1023 for request in far.near.members_of(item, None, item=0))
        for item in items
    )
    samples, ahead = read_all(far, items, max_bytes=max_bytes)

    assert samples == far.near.get_many([place for item in items for place in item])
    assert 0 < ahead.max_held_bytes <= max_bytes + largest


def test_requests_at_once_are_bounded(small_root: Path) -> None:
    """As many as the store likes, and those that are waited for."""
    store = FarStore(small_root, Reading(requests=3, gap_bytes=-1))
    dataset = open_dataset(store, "train")
    read_all(Far(store, dataset, dataset), items_of(dataset, 3, backwards=True))

    assert 1 <= store.most_at_once <= 4


def test_what_is_needed_again_is_kept(far: Far) -> None:
    """A sample of two items near each other is fetched once."""
    read_all(far, [[0, 1], [1, 2], [2, 0]])

    assert len(far.store.asked) == len(set(far.store.asked))
    assert far.store.bytes_asked < 1.2 * sum(
        request.size + 1023 for request in far.near.members_of([0, 1, 2], None, item=0)
    )


def test_what_was_not_foreseen_is_fetched(far: Far) -> None:
    """Places that no item named."""
    with ReadAhead[list[int]](far.dataset) as ahead:
        for _ in ahead.follow([[0], [1]], list):
            assert ahead.dataset[5] == far.near[5]
            ahead.done()


def test_leaving_early_leaves_nothing(far: Far) -> None:
    """By a break or an exception: no thread, no future."""
    for error in (None, RuntimeError("stop")):
        try:
            with ReadAhead[list[int]](far.dataset) as ahead:
                for _ in ahead.follow(items_of(far.near, 2), list):
                    if error is None:
                        break
                    raise error
        except RuntimeError as found:
            assert found is error
        assert not own_threads()


def test_errors_of_the_items_are_raised(far: Far) -> None:
    """In the order of the items: those before are given."""

    def items() -> Iterator[list[int]]:
        yield [0]
        yield [1]
        raise RuntimeError("no more")

    given = []
    with (
        pytest.raises(RuntimeError, match="no more"),
        ReadAhead[list[int]](far.dataset) as ahead,
    ):
        for places in ahead.follow(items(), list):
            given.append(places)
            ahead.done()
    assert given == [[0]] or given == [[0], [1]]
    assert not own_threads()


@pytest.mark.parametrize("error", [FileChanged("replaced"), StorageError("no answer")])
def test_errors_of_the_store_pass_through(far: Far, error: Exception) -> None:
    """As they are."""
    far.store.error = error
    with pytest.raises(type(error), match=str(error)):
        read_all(far, [[0], [1]])
    assert not own_threads()


def test_a_missing_shard_is_named(far: Far) -> None:
    """As without reading ahead."""
    far.store.error = FileNotFoundError("gone")
    with pytest.raises(ShardNotFound, match=r"train-000000\.tar: the manifest names this shard"):
        read_all(far, [[0]])


def test_changed_bytes_are_found(far: Far) -> None:
    """Every member is compared with its CRC32C; the message names shard and key."""
    [request, *_] = far.near.members_of([2], ["meta.json"], item=0)
    path = far.store.root / far.dataset.shard_names[request.shard]
    data = bytearray(path.read_bytes())
    data[request.offset] ^= 1
    path.write_bytes(data)

    with pytest.raises(ChecksumMismatch, match=f"sample '{far.near.key_at(2)}'"):
        read_all(far, [[0, 1], [2]])


def test_many_samples_are_read_side_by_side(far: Far) -> None:
    """`get_many` and `metadata_many`, without any reading ahead, have several requests too."""
    places = list(range(0, len(far.near), 2))

    assert far.dataset.get_many(places) == far.near.get_many(places)
    assert far.dataset.metadata_many(places) == far.near.metadata_many(places)
    assert not own_threads()


def test_through_a_cache_each_block_is_fetched_once(far: Far, tmp_path: Path) -> None:
    """In the first epoch; the second one asks the store for nothing."""
    store = CachedStore(far.store, tmp_path / "cache", 10**8, block_bytes=4096)
    assert reading_of(store).is_far
    dataset = open_dataset(store, "train")
    items = items_of(far.near, 3, backwards=True)
    expected = far.near.get_many([place for item in items for place in item])

    for _ in range(2):
        samples, _ = read_all(Far(far.store, dataset, far.near), items)
        assert samples == expected
        blocks = [(name, offset // 4096) for name, offset, _ in far.store.asked]
        assert len(blocks) == len(set(blocks))


def test_stores_say_how_they_are_read(tmp_path: Path) -> None:
    """A folder is near; so is a store that does not say."""
    assert not reading_of(LocalStore(tmp_path)).is_far
    assert not reading_of(object()).is_far
    assert reading_of(FarStore(tmp_path)).is_far
