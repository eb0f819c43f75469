"""The index comes beside the manifest, and is what it would be alone."""

import shutil
from pathlib import Path

import pytest

from tests.reader.test_read_ahead import FarStore
from vrs_wds.errors import DatasetNotFound, ManifestError
from vrs_wds.reader import open as opening
from vrs_wds.reader.open import open_dataset, open_with_index

INDEX = "train.index.parquet"


class QuickStore(FarStore):
    """A distant server that gives the beginning of a file by one request: what a test says."""

    beginning: bytes | Exception | None = None
    """None: what the file has."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun: list[tuple[str, int]] = []
        self.ranges: list[tuple[str, int, int]] = []

    def get_beginning(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file."""
        self.begun.append((name, size))
        if isinstance(self.beginning, Exception):
            raise self.beginning
        data = (self.root / name).read_bytes() if self.beginning is None else self.beginning
        return data[:size]

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Note a range, and read it."""
        self.ranges.append((name, offset, size))
        return super().get_range(name, offset, size)

    @property
    def ranges_of_index(self) -> list[tuple[int, int]]:
        """Offset and size of each read of the index."""
        return [(offset, size) for name, offset, size in self.ranges if name == INDEX]


@pytest.fixture
def store(small_root: Path, tmp_path: Path) -> QuickStore:
    """A copy of the small dataset."""
    return QuickStore(shutil.copytree(small_root, tmp_path / "quick"))


@pytest.mark.parametrize("early", [100, 1 << 21])
def test_the_index_is_read_once(
    store: QuickStore, monkeypatch: pytest.MonkeyPatch, early: int
) -> None:
    """Of one that is longer than what came early, the rest follows."""
    monkeypatch.setattr(opening, "_EARLY_BYTES", early)
    size = (store.root / INDEX).stat().st_size
    plain, dataset = open_dataset(store.root, "train"), open_with_index(store, "train")

    assert dataset.column("key") == plain.column("key")
    assert [dict(sample) for sample in dataset] == [dict(sample) for sample in plain]
    assert store.begun == [(INDEX, early)]
    assert store.ranges_of_index == ([(early, size - early)] if early < size else [])


@pytest.mark.parametrize(
    "beginning", [b"", b"of an index before", b"x" * 10_000_000, OSError("no")]
)
def test_what_came_early_and_does_not_fit_is_read_again(
    store: QuickStore, beginning: bytes | Exception
) -> None:
    """Another writer may have replaced both between the two; or the request failed."""
    store.beginning = beginning
    dataset = open_with_index(store, "train")

    assert dataset.column("key") == open_dataset(store.root, "train").column("key")
    assert store.ranges_of_index[-1] == (0, (store.root / INDEX).stat().st_size)


def test_errors_are_those_of_open_dataset(store: QuickStore) -> None:
    """A missing split at once, a damaged index when it is needed."""
    for name in ("nope", "train"):
        if name == "train":
            (store.root / "train.json").unlink()
        messages = []
        for call in (open_dataset, open_with_index):
            with pytest.raises(DatasetNotFound) as caught:
                call(store, name)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_a_damaged_index_is_found_when_it_is_needed(store: QuickStore) -> None:
    """And named."""
    data = bytearray((store.root / INDEX).read_bytes())
    data[50] ^= 1
    (store.root / INDEX).write_bytes(data)
    dataset = open_with_index(store, "train")
    with pytest.raises(ManifestError, match=rf"{INDEX}.*checksum"):
        dataset.key_at(0)
