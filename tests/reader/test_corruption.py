"""Truncated shards and flipped bytes are found on every read, and named."""

import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrs_wds.errors import ChecksumMismatch, ManifestError, ShardNotFound, ShardTruncated
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.index import rows_outside
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.sample import SourceSample
from vrs_wds.shard.index_table import footer_size
from vrs_wds.writer.write import write_shards

SHARD = 1


@pytest.fixture
def root(small_root: Path, tmp_path: Path) -> Path:
    """A copy of the small dataset, to be damaged."""
    return Path(shutil.copytree(small_root, tmp_path / "copy"))


def places(dataset: ShardedDataset) -> list[tuple[int, str, int, int]]:
    """Return sample number, extension, offset and size of every member of one shard."""
    found = []
    for extension in dataset.extensions:
        columns = [dataset.column(f"{extension}:{name}") for name in ("shard", "offset", "size")]
        for number, (shard, offset, size) in enumerate(zip(*columns, strict=True)):
            if shard == SHARD and size >= 0:
                found.append((number, extension, offset, size))
    return sorted(found, key=lambda place: place[2])


def shard_path(root: Path) -> Path:
    """Return the path of the shard that is damaged."""
    return root / f"train-{SHARD:06d}.tar"


def test_a_shard_cut_at_any_member_border_is_an_error(root: Path) -> None:
    """Whole samples before the cut are read; the first one after it is named, with its member."""
    dataset = open_dataset(root)
    data = shard_path(root).read_bytes()
    members = places(dataset)
    for number, extension, offset, _ in members:
        border = offset - 512
        shard_path(root).write_bytes(data[:border])
        key = dataset.key_at(number)
        with pytest.raises(ShardTruncated) as caught:
            open_dataset(root)[number]

        message = str(caught.value)
        assert f"train-{SHARD:06d}.tar: sample {key!r}: member '{key}.{extension}'" in message
        whole = [n for n in {n for n, *_ in members} if n < number]
        assert len(open_dataset(root).get_many(whole)) == len(whole)
        problems = verify(root, "train").problems
        assert any(f"{key}.{extension}" in str(problem) for problem in problems)


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_flipped_byte_in_a_member_is_an_error(root: Path, data: Any) -> None:
    """The member is named; other samples of the shard are still read."""
    dataset = open_dataset(root)
    members = places(dataset)
    number, extension, offset, size = data.draw(st.sampled_from(members))
    place = offset + data.draw(st.integers(0, size - 1))
    flip = data.draw(st.integers(1, 255))
    original = shard_path(root).read_bytes()
    damaged = bytearray(original)
    damaged[place] ^= flip
    shard_path(root).write_bytes(damaged)
    try:
        key = dataset.key_at(number)
        with pytest.raises(ChecksumMismatch) as caught:
            open_dataset(root)[number]
        others = [n for n in {n for n, *_ in members} if n != number]
        assert len(open_dataset(root).get_many(others)) == len(others)
    finally:
        shard_path(root).write_bytes(original)

    assert f"train-{SHARD:06d}.tar: sample {key!r}: member '{key}.{extension}'" in str(caught.value)


def test_reading_other_members_does_not_hide_or_mind_the_damage(root: Path) -> None:
    """A flipped byte of the image does not disturb who reads sidecars only."""
    dataset = open_dataset(root)
    number, _, offset, _ = next(place for place in places(dataset) if place[1] == "png")
    data = bytearray(shard_path(root).read_bytes())
    data[offset] ^= 1
    shard_path(root).write_bytes(data)

    assert dataset.metadata(number)["meta"].width == 24
    with pytest.raises(ChecksumMismatch):
        dataset[number]


def test_verify_finds_damage_outside_of_members_too(root: Path) -> None:
    """A flipped byte in a header, in padding or in the end of the tar changes the SHA-256."""
    dataset = open_dataset(root)
    data = shard_path(root).read_bytes()
    _, _, offset, size = places(dataset)[0]
    for place in (offset - 512, offset - 300, offset + size, len(data) - 1):
        damaged = bytearray(data)
        damaged[place] ^= 1
        shard_path(root).write_bytes(damaged)
        report = verify(root, "train")

        assert not report.ok
        assert any("SHA-256" in str(problem) for problem in report.problems)
    shard_path(root).write_bytes(data)
    assert verify(root, "train").ok


def test_verify_names_every_problem_once(root: Path) -> None:
    """Two damaged members and a missing shard: all are said."""
    dataset = open_dataset(root)
    data = bytearray(shard_path(root).read_bytes())
    damaged = [place for place in places(dataset) if place[1] == "png"][:2]
    for _, _, offset, _ in damaged:
        data[offset + 5] ^= 8
    shard_path(root).write_bytes(data)
    (root / "train-000003.tar").unlink()
    report = verify(root, "train", decode=True)
    messages = [str(problem) for problem in report.problems]

    for number, *_ in damaged:
        assert sum(f"{dataset.key_at(number)}.png" in message for message in messages) == 1
    assert sum("train-000003.tar" in message for message in messages) == 1
    assert "4 problems" in str(report)  # two members, their shard's SHA-256, the missing shard


def test_a_missing_shard_is_named(root: Path) -> None:
    """It says what to do."""
    shard_path(root).unlink()
    with pytest.raises(ShardNotFound, match=rf"train-{SHARD:06d}\.tar: the manifest names this"):
        open_dataset(root)[8]


def test_verify_decodes_images_when_asked(tmp_path: Path) -> None:
    """A picture whose header is fine and whose pixels are not is found by `decode` only."""
    import io

    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    cut = buffer.getvalue()[:5000]
    write_shards([SourceSample("a", cut, "png")], tmp_path, split="train")

    assert verify(tmp_path).ok
    report = verify(tmp_path, decode=True)
    assert "sample 'a': member 'png'" in str(report.problems[0])


@given(data=st.data())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_flipped_byte_in_the_index_is_never_believed(root: Path, data: Any) -> None:
    """Anywhere: one clear error, or everything is as it was."""
    path = root / "train.index.parquet"
    original = path.read_bytes()
    expected = contents(open_dataset(root))
    place = data.draw(st.integers(0, len(original) - 1))
    damaged = bytearray(original)
    damaged[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        assert contents(open_dataset(root)) == expected
    except ManifestError as error:
        assert "train.index.parquet" in str(error)
    finally:
        path.write_bytes(original)


def contents(dataset: ShardedDataset) -> list[Any]:
    """Return all that a dataset says of its samples."""
    columns = [dataset.column(name) for name in dataset.columns()]
    return [*columns, [(sample.key, dict(sample.members)) for sample in dataset]]


def test_an_index_that_lies_is_found_by_verify(root: Path) -> None:
    """Consistent with its checksums, and still not what the shards hold."""
    path = root / "train.index.parquet"
    table = pq.read_table(path)
    keys = table["key"].to_pylist()
    swapped = table.set_column(0, "key", pa.array([keys[1], keys[0], *keys[2:]]))
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema) as writer:
        starts = open_dataset(root).shard_starts
        for start, stop in pairwise(starts):
            writer.write_table(swapped.slice(start, stop - start))
    data = sink.getvalue()
    path.write_bytes(data)
    manifest = json.loads((root / "train.json").read_text())
    footer = data[-footer_size(data[-8:]) :]
    manifest["vrs_wds"]["index"] |= {
        "filesize": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "footer_sha256": hashlib.sha256(footer).hexdigest(),
    }
    (root / "train.json").write_text(json.dumps(manifest))

    assert open_dataset(root)[0].key == keys[1]
    problems = [str(problem) for problem in verify(root).problems]
    assert any("is not where the index" in problem for problem in problems)


def test_an_open_dataset_does_not_mix_with_one_written_over_it(root: Path) -> None:
    """What it has not read yet is refused."""
    dataset = open_dataset(root)
    dataset[0]
    samples = [SourceSample(s.key, s["png"], "png") for s in reversed(list(dataset))]
    opened = open_dataset(root)
    write_shards(samples, root, split="train", overwrite=True)

    with pytest.raises(ManifestError, match="Open the dataset again"):
        opened.column("key")
    assert dataset[20].key == "tile_0020"  # all of it was read: the old one, whole


def test_places_outside_of_a_shard_are_refused(root: Path) -> None:
    """Whatever an index says: no negative places, no huge reads, no shard that is not there."""
    dataset = open_dataset(root)
    group = dataset._index.group(0)
    sizes = np.array([shard.filesize for shard in dataset.manifest.shardlist])
    for place in ((9, 0, 1), (-1, 0, 1), (0, -5, 1), (0, 0, 2**62), (0, 2**62, 2**62), (0, 0, -2)):
        group.places[0, 0, :3] = place
        outside = rows_outside(group.places, sizes)
        assert outside == {0}
        dataset._index._groups[0] = replace(group, outside=outside)
        with pytest.raises(ManifestError, match="lies outside of its shard"):
            dataset[0]


def set_fingerprint(manifest: dict[str, Any]) -> None:
    """Name another fingerprint."""
    manifest["vrs_wds"]["fingerprint"] = "0" * 64


def count_more_things(manifest: dict[str, Any]) -> None:
    """Add a caption that is not there."""
    manifest["vrs_wds"]["tasks"]["captioning"]["count"] += 1


def count_fewer_samples(manifest: dict[str, Any]) -> None:
    """Leave out a sample with a vqa sidecar."""
    manifest["vrs_wds"]["tasks"]["vqa"]["num_samples"] -= 1


def forget_a_task(manifest: dict[str, Any]) -> None:
    """Leave out a task that the index counts."""
    del manifest["vrs_wds"]["tasks"]["vqa"]


def set_md5(manifest: dict[str, Any]) -> None:
    """Name another MD5 of one shard."""
    manifest["shardlist"][SHARD]["md5sum"] = "0" * 32


def forget_checksums(manifest: dict[str, Any]) -> None:
    """Leave out all that may be missing; the fingerprint is that of such shards."""
    manifest["shardlist"] = [
        {name: value for name, value in shard.items() if name not in ("md5sum", "sha256")}
        for shard in manifest["shardlist"]
    ]
    lines = "".join(f" {shard['nsamples']}\n" for shard in manifest["shardlist"])
    manifest["vrs_wds"]["fingerprint"] = hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_fingerprint,
            r"train\.json: fingerprint: expected [0-9a-f]{16}\.\.\., .*begins with '0000",
        ),
        (
            count_more_things,
            r"train\.json: tasks: 'captioning': expected 23 samples and a count of 23, as the "
            r"index says, found 23 and 24\. Fetch the manifest again",
        ),
        (count_fewer_samples, "'vqa': expected 15 samples and a count of .*, found 14 and"),
        (forget_a_task, "'vqa': expected 15 samples and a count of .*, found no such task"),
        (set_md5, rf"train-{SHARD:06d}\.tar: expected MD5 0000.*, as the manifest says, found"),
        (forget_checksums, None),
    ],
)
def test_a_manifest_that_lies_is_found_by_verify(root: Path, change: Any, message: Any) -> None:
    """It opens, and its samples are right: no one else looks. What may be missing may."""
    manifest = json.loads((root / "train.json").read_text())
    change(manifest)
    (root / "train.json").write_text(json.dumps(manifest))
    problems = [str(problem) for problem in verify(root).problems]

    assert len(problems) == (message is not None)
    for problem in problems:
        assert re.search(message, problem)
