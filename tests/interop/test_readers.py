"""Anybody's reader reads our shards back: every member, every byte."""

import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import pytest
import webdataset as wds
import wids

from vrs_wds.reader.open import open_dataset

ROOTS = ["small_root", "mini_root"]


def expected_members(root: Path) -> dict[str, dict[str, bytes]]:
    """Return key to extension to bytes, as our own reader gives them."""
    return {sample.key: dict(sample.members) for sample in open_dataset(root, "train")}


def shards_of(root: Path) -> list[str]:
    """Return the paths of the train shards."""
    return sorted(str(path) for path in root.glob("train-*.tar"))


@pytest.fixture(params=ROOTS)
def root(request: pytest.FixtureRequest) -> Path:
    """A small dataset with sparse sidecars, then the real tiles."""
    path: Path = request.getfixturevalue(request.param)
    return path


def test_tarfile_reads_every_byte(root: Path) -> None:
    """Python's tarfile gives the same members; nothing else is in the tars."""
    found: dict[str, dict[str, bytes]] = {}
    for shard in shards_of(root):
        with tarfile.open(shard) as tar:
            for member in tar:
                assert member.isreg()
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                key, _, extension = member.name.partition(".")
                found.setdefault(key, {})[extension] = tar.extractfile(member).read()

    assert found == expected_members(root)


def test_webdataset_reads_every_byte(root: Path) -> None:
    """Plain webdataset gives the same keys and bytes, in the same order."""
    expected = expected_members(root)
    samples = list(wds.WebDataset(shards_of(root), shardshuffle=False, empty_check=False))

    assert [sample["__key__"] for sample in samples] == list(expected)
    for sample in samples:
        members = {name: data for name, data in sample.items() if not name.startswith("__")}
        assert members == expected[sample["__key__"]]


def test_webdataset_decodes(root: Path) -> None:
    """The decoder of webdataset understands every member."""
    expected = expected_members(root)
    for sample in wds.WebDataset(shards_of(root), shardshuffle=False).decode("rgb8"):
        assert sample["png"].dtype == "uint8"
        assert sample["png"].shape[2] == 3
        for name, value in sample.items():
            if name.endswith(".json"):
                assert value == json.loads(expected[sample["__key__"]][name])


def check_hf_rows(rows: Any, expected: dict[str, dict[str, bytes]]) -> None:
    """Compare the rows that HF datasets gives with what was written."""
    names = {name for members in expected.values() for name in members}
    count = 0
    for row in rows:
        members = expected[row["__key__"]]
        count += 1
        for name in names:
            if name not in members:
                assert row[name] is None, (row["__key__"], name)
            elif name.endswith(".json"):
                assert row[name] == json.loads(members[name]), (row["__key__"], name)
            else:
                assert row[name]["bytes"] == members[name]
    assert count == len(expected)


@pytest.mark.parametrize("streaming", [True, False])
def test_hf_datasets_reads_the_folder(root: Path, tmp_path: Path, streaming: bool) -> None:
    """`load_dataset(folder)` reads all, sparse sidecars too, thanks to the card's features."""
    loaded = datasets.load_dataset(
        str(root), split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    rows = loaded.cast_column("png", datasets.Image(decode=False))

    check_hf_rows(rows, expected_members(root))


@pytest.mark.parametrize("streaming", [True, False])
def test_hf_datasets_webdataset_builder(root: Path, tmp_path: Path, streaming: bool) -> None:
    """`load_dataset("webdataset", ...)` reads all with the features that the card states."""
    card = datasets.load_dataset_builder(str(root), cache_dir=str(tmp_path))
    loaded = datasets.load_dataset(
        "webdataset",
        data_files={"train": shards_of(root)},
        features=card.info.features,
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path),
    )
    rows = loaded.cast_column("png", datasets.Image(decode=False))

    check_hf_rows(rows, expected_members(root))


def test_wids_reads_from_the_manifest(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The wids package opens the manifest and gives every member by number."""
    expected = expected_members(root)
    dataset = wids.ShardListDataset(
        str(root / "train.json"), transformations=[], cache_dir=str(tmp_path / "cache")
    )

    assert len(dataset) == len(expected)
    for number, (key, members) in enumerate(expected.items()):
        sample = dataset[number]
        assert sample["__key__"] == key
        for name, data in members.items():
            assert sample[f".{name}"].read() == data
