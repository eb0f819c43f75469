"""`index_shards`: random access to tars that somebody else made."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from vrs_wds.errors import (
    ConfigError,
    DatasetExistsError,
    DatasetNotFound,
    DuplicateKeyError,
    ShardFormatError,
    ShardTruncated,
)
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.writer.index_shards import index_shards


def make_tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    """Write a tar as tarfile does."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_an_index_of_our_own_shards_is_the_writers(small_root: Path, tmp_path: Path) -> None:
    """Indexing what `write_shards` wrote gives the same index, manifest and card."""
    for path in small_root.glob("*.tar"):
        shutil.copy(path, tmp_path)
    index_shards(tmp_path, split="train")

    for name in ("train.json", "README.md"):
        assert (tmp_path / name).read_bytes() == (small_root / name).read_bytes()
    assert pq.read_table(tmp_path / "train.index.parquet").equals(
        pq.read_table(small_root / "train.index.parquet")
    )
    assert verify(tmp_path).ok


def test_members_need_not_be_adjacent(tmp_path: Path) -> None:
    """Images first, then their sidecars: samples come together."""
    make_tar(
        tmp_path / "x.tar",
        [("a.txt", b"1"), ("sub/b.txt", b"2"), ("a.JSON", b"{}"), ("sub/b.json", b"[]")],
    )
    index_shards(tmp_path, split="train")
    dataset = open_dataset(tmp_path)

    assert {s.key: dict(s.members) for s in dataset} == {
        "a": {"json": b"{}", "txt": b"1"},
        "sub/b": {"json": b"[]", "txt": b"2"},
    }
    assert verify(tmp_path).ok


def test_only_tars_of_the_split_are_taken(tmp_path: Path) -> None:
    """By the split's name, by a prefix, or all if none is named so."""
    for name in ("train-0.tar", "train-1.tar", "val-0.tar"):
        make_tar(tmp_path / name, [(f"{name[:-4]}.txt", b"x")])

    assert index_shards(tmp_path, split="train").num_shards == 2
    assert index_shards(tmp_path, split="other", prefix="val").num_shards == 1
    assert index_shards(tmp_path, split="all").num_shards == 3
    with pytest.raises(DatasetNotFound, match=r"named nope\*.*found 3 tars"):
        index_shards(tmp_path, split="b", prefix="nope")


def test_what_cannot_be_indexed(tmp_path: Path, small_root: Path) -> None:
    """Compressed, truncated, malformed tars; keys given twice."""
    data = (small_root / "train-000000.tar").read_bytes()
    cases: list[tuple[bytes, Any, str]] = [
        (gzip.compress(data), ShardFormatError, "found a compressed one"),
        (data[:-1024], ShardTruncated, "without the two zero blocks"),
        (b"x" * 2000, ShardFormatError, "tar"),
    ]
    for content, error, message in cases:
        (tmp_path / "train-0.tar").write_bytes(content)
        with pytest.raises(error, match=message):
            index_shards(tmp_path, split="train")
        assert not (tmp_path / "train.json").exists()
    for name in ("train-0.tar", "train-1.tar"):
        make_tar(tmp_path / name, [("a.txt", b"x")])
    with pytest.raises(DuplicateKeyError, match=r"'a' is given twice: in train-0\.tar and in"):
        index_shards(tmp_path, split="train")


def test_a_single_tar_is_no_folder(tmp_path: Path) -> None:
    """The message says that its folder is asked for."""
    tar = tmp_path / "train-0.tar"
    make_tar(tar, [("a.txt", b"x")])
    before = tar.read_bytes()
    with pytest.raises(ConfigError, match=r"train-0\.tar is a file\. Give the folder that holds"):
        index_shards(tar, split="train")

    assert tar.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["train-0.tar"]


def test_a_member_given_twice_is_an_error(tmp_path: Path) -> None:
    """Which of the two would be read?"""
    make_tar(tmp_path / "x.tar", [("a.txt", b"1"), ("a.TXT", b"2")])
    with pytest.raises(ShardFormatError, match=r"sample 'a': member 'a\.TXT' is there twice"):
        index_shards(tmp_path, split="train")


def test_an_index_that_is_there_is_kept(small_root: Path, tmp_path: Path) -> None:
    """Unless it is to be made anew."""
    root = Path(shutil.copytree(small_root, tmp_path / "x"))
    with pytest.raises(DatasetExistsError, match="has a manifest already"):
        index_shards(root, split="train")
    index_shards(root, split="train", overwrite=True)

    assert (root / "train.json").read_bytes() == (small_root / "train.json").read_bytes()


def test_pictures_without_annotations(tmp_path: Path, shared_data: Path) -> None:
    """Real JPEGs: sizes and formats are known from the index."""
    path = shared_data / "pillow" / "hopper.jpg"
    make_tar(tmp_path / "x.tar", [("a.jpg", path.read_bytes()), ("b.jpg", b"broken")])
    index_shards(tmp_path, split="train")
    dataset = open_dataset(tmp_path)

    assert dataset.column("width") == [128, 0]
    assert dataset.column("format") == ["jpeg", ""]
