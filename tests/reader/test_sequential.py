"""Shards without an index, made by anybody."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vrs_wds.errors import (
    DatasetNotFound,
    ShardFormatError,
    ShardNotFound,
    ShardTruncated,
    StorageError,
)
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.sequential import list_shards, read_shard
from vrs_wds.sample import Sample
from vrs_wds.storage.local import LocalStore

SUFFIXES = {"tar": lambda data: data, "tar.gz": gzip.compress, "tgz": gzip.compress}
SUFFIXES |= {"tar.bz2": bz2.compress, "tar.xz": lzma.compress}


def odd_tar() -> bytes:
    """Return a tar with directories, pax headers, junk, long names, image before sidecar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in ("d/z.jpg", "d/z.vqa.json", "._z.jpg", "a" * 150 + ".png", "ü.x.JSON"):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.pax_headers = 4, 1.5, {"comment": "x" * 600}
            tar.addfile(info, io.BytesIO(name[-4:].encode()[-4:].rjust(4)))
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_and_compressed_tars_are_read(tmp_path: Path, suffix: str) -> None:
    """All samples, with their members, whatever made the tar."""
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(SUFFIXES[suffix](odd_tar()))

    found = [(sample.key, list(sample)) for sample in read_shard(str(path))]

    assert found == [("d/z", ["jpg", "vqa.json"]), ("a" * 150, ["png"]), ("ü", ["x.json"])]


def test_a_changed_byte_of_a_compressed_tar_is_found(tmp_path: Path) -> None:
    """By the checksum at the end of the compressed data, which is read as well."""
    data = bytearray(gzip.compress(odd_tar(), compresslevel=0))  # as it is, with a checksum
    data[data.rindex(b"JSON")] ^= 1  # what the last member holds
    path = tmp_path / "x.tar.gz"
    path.write_bytes(data)

    with pytest.raises(ShardTruncated, match="is damaged"):
        list(read_shard(str(path)))


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != "tar"])
def test_a_compressed_tar_cut_short_is_truncated(tmp_path: Path, suffix: str) -> None:
    """Whatever the compression says about it."""
    data = SUFFIXES[suffix](odd_tar())
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(data[: len(data) // 2])

    with pytest.raises(ShardTruncated, match=rf"x\.{suffix}"):
        list(read_shard(str(path)))


def test_our_own_shards_read_the_same_without_the_index(small_root: Path) -> None:
    """Sequentially and by index: equal samples."""
    found = [
        s
        for path in list_shards(small_root / "train-{000000..000003}.tar")
        for s in read_shard(path)
    ]

    assert [(s.key, dict(s.members)) for s in found] == [
        (s.key, dict(s.members)) for s in open_dataset(small_root)
    ]
    assert isinstance(found[0], Sample)


def test_names_of_shards(small_root: Path, tmp_path: Path) -> None:
    """Patterns, folders, lists of both."""
    names = [str(small_root / f"train-{i:06d}.tar") for i in range(4)]

    assert list_shards(f"{small_root}/train-{{000000..000003}}.tar") == names
    assert list_shards(small_root) == names
    assert list_shards([names[2], small_root]) == [names[2], *names]
    with pytest.raises(DatasetNotFound, match="expected a shard"):
        list_shards(tmp_path)
    with pytest.raises(DatasetNotFound, match="empty list"):
        list_shards([])


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, not a tar: each one clear error."""
    (tmp_path / "junk.tar").write_bytes(b"junk" * 500)
    (tmp_path / "folder.tar").mkdir()
    for name, error in (
        ("none.tar", ShardNotFound),
        ("folder.tar", ShardNotFound),
        ("junk.tar", ShardFormatError),
    ):
        with pytest.raises(error, match=name):
            list(read_shard(str(tmp_path / name)))


def test_tars_that_webdataset_tests_itself_with(shared_data: Path) -> None:
    """The same keys, extensions and bytes as webdataset gives."""
    import webdataset as wds

    for name in ("testgz.tar", "sample.tgz", "compressed.tar"):
        path = shared_data / "webdataset_testdata" / name
        with path.open("rb") as stream:
            files = wds.tariterators.tar_file_expander([{"url": name, "stream": stream}])
            expected = [
                {k: v for k, v in sample.items() if k != "__url__"}
                for sample in wds.tariterators.group_by_keys(files)
            ]
        found = [{**s.to_dict()} for s in read_shard(str(path))]
        for sample in found:
            del sample["__url__"]

        assert found == expected, name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_network_that_fails_is_not_a_damaged_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """What the store says is what the reader says."""

    class Failing(io.BytesIO):
        num_reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.num_reads += 1
            if self.num_reads > 1:  # the first is for the first bytes only
                raise StorageError("s3://bucket/x.tar: cannot be read")
            return super().read(size)

    @contextmanager
    def open_reader(store: LocalStore, name: str) -> Iterator[io.BytesIO]:
        yield Failing((store.root / name).read_bytes())

    path = tmp_path / f"a.{suffix}"
    path.write_bytes(SUFFIXES[suffix](odd_tar() * 3))
    monkeypatch.setattr(LocalStore, "open_reader", open_reader)
    with pytest.raises(StorageError, match="s3://bucket"):
        list(read_shard(str(path)))
