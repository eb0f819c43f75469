"""`open_dataset`: a split in any order."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrs_wds.errors import (
    ConfigError,
    DatasetNotFound,
    ManifestError,
    SampleNotFound,
    SidecarError,
    UnknownTaskError,
)
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.loader.stream import stream
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.sample import SourceSample, name_to_key
from vrs_wds.storage.local import LocalStore
from vrs_wds.tasks.registry import get_task
from vrs_wds.tasks.sidecars import SidecarParser
from vrs_wds.writer.options import ShardConfig
from vrs_wds.writer.write import write_shards


def test_places_keys_and_negative_places(small_dataset: ShardedDataset, small_samples: Any) -> None:
    """Each finds the sample that the source gave."""
    assert len(small_dataset) == len(small_samples)
    for place, source in enumerate(small_samples):
        key = name_to_key(source.name)
        for found in (
            small_dataset[place],
            small_dataset[np.int64(place)],
            small_dataset[place - len(small_samples)],
            small_dataset[key],
        ):
            assert (found.key, found["png"]) == (key, source.image)


@given(st.lists(st.integers(-23, 22), max_size=30), st.data())
@settings(max_examples=30)
def test_get_many_keeps_the_order_asked_for(
    small_root: Path, places: list[int], data: st.DataObject
) -> None:
    """Repetitions too; places and keys may be mixed."""
    dataset = open_dataset(small_root)
    keys = dataset.column("key")
    asked = [keys[place] if data.draw(st.booleans()) else place for place in places]

    found = dataset.get_many(asked)

    assert [sample.key for sample in found] == [keys[place] for place in places]
    assert [sample["png"] for sample in found] == [dataset[place]["png"] for place in places]


def test_a_text_is_not_several_keys(small_dataset: ShardedDataset) -> None:
    """Its letters are none."""
    with pytest.raises(TypeError, match="expected several places or keys"):
        small_dataset.get_many("tile_0001")


def test_iteration_gives_every_sample_in_order(small_dataset: ShardedDataset) -> None:
    """And members in their order: tasks by name, meta, the image last."""
    assert [sample.key for sample in small_dataset] == small_dataset.column("key")
    assert list(small_dataset[1]) == [
        "captioning.json",
        "detection.json",
        "vqa.json",
        "meta.json",
        "png",
    ]


@pytest.mark.parametrize("place", [23, -24, 10**12])
def test_beyond_the_end_is_an_index_error(small_dataset: ShardedDataset, place: int) -> None:
    """As for any sequence."""
    with pytest.raises(IndexError, match="has 23 samples"):
        small_dataset[place]


@pytest.mark.parametrize("key", ["no_such_key", "tile.9 ü"])
def test_an_unknown_key_is_a_key_error(small_dataset: ShardedDataset, key: str) -> None:
    """The message has no quotation marks around it."""
    with pytest.raises(KeyError) as caught:
        small_dataset[key]

    assert isinstance(caught.value, SampleNotFound)
    assert f"has no sample {key!r}. Keys are listed" in str(caught.value)
    assert key not in small_dataset
    assert 7 not in small_dataset


class CountingStore(LocalStore):
    """Counts the bytes read from shards."""

    read = 0

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """Read, and count."""
        data = super().get_range(name, offset, size)
        type(self).read += len(data)
        return data


def test_metadata_reads_no_byte_of_the_image(
    small_root: Path, small_dataset: ShardedDataset
) -> None:
    """Only the sidecars asked for and meta.json, with the headers between them."""
    store = CountingStore(small_root)
    dataset = ShardedDataset(store, small_dataset.manifest, small_dataset._index, None)
    CountingStore.read = 0
    metas = dataset.metadata_many(range(len(dataset)), tasks=["vqa"])

    sizes = [small_dataset.column(f"{name}:size") for name in ("vqa.json", "meta.json")]
    wanted = sum(max(0, size) for column in sizes for size in column)
    assert wanted <= CountingStore.read <= wanted + 1023 * len(dataset)
    assert [meta["vqa"] is None for meta in metas] == [i % 3 == 0 for i in range(23)]
    assert metas[1]["vqa"].qa_pairs[0].answer == "1"
    assert metas[1]["meta"].size_wh == (24, 16)
    assert set(metas[1]) == {"__key__", "__url__", "meta", "vqa"}


def test_metadata_of_a_task_that_is_not_there(small_dataset: ShardedDataset) -> None:
    """The message lists those that are."""
    with pytest.raises(UnknownTaskError, match=r"'grounding' is not .*captioning, detection"):
        small_dataset.metadata(0, tasks=["grounding"])


def test_select_by_task_and_expression(small_dataset: ShardedDataset) -> None:
    """Samples that have something for every task, and for which the expression holds."""
    detected = small_dataset.select(tasks="detection")
    ships = small_dataset.select(tasks=["vqa", "detection"], where='"ship" in classes')

    assert detected.numbers.tolist() == [i for i in range(23) if i % 2 and i % 5]
    assert ships.numbers.tolist() == [
        i for i in range(23) if i % 4 == 1 and i % 3 and i % 4 and i % 5
    ]
    assert ships[0].key == small_dataset[int(ships.numbers[0])].key
    assert len(ships.select(where="num_objects > 100")) == 0
    assert ships.key_at(1) == ships[1].key


def test_a_selection_is_a_dataset(small_dataset: ShardedDataset) -> None:
    """Places count within it; keys outside of it are not there; it can be selected from."""
    part = small_dataset[5:20:2]

    assert len(part) == 8
    assert part[0].key == small_dataset[5].key
    assert part[-1].key == small_dataset[19].key
    assert [sample.key for sample in part[1:3]] == [small_dataset[i].key for i in (7, 9)]
    assert small_dataset[6].key not in part
    with pytest.raises(SampleNotFound, match="this selection has not"):
        part[small_dataset[6].key]
    assert part.column("width") == [24] * 8
    assert part.fingerprint == small_dataset.fingerprint


def test_it_pickles_and_is_shared_by_threads(small_dataset: ShardedDataset) -> None:
    """Copies and threads read the same."""
    expected = [small_dataset[i]["png"] for i in range(23)]
    copy = pickle.loads(pickle.dumps(small_dataset.select(where="width > 0")))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: copy[i % 23]["png"], range(230)))

    assert found == expected * 10


def test_opening_reads_the_manifest_only(small_root: Path, tmp_path: Path) -> None:
    """A missing index is found when it is needed."""
    (tmp_path / "train.json").write_bytes((small_root / "train.json").read_bytes())
    dataset = open_dataset(tmp_path, "train")

    assert len(dataset) == 23
    with pytest.raises(ManifestError, match=r"train\.index\.parquet: .*found no file"):
        dataset[0]


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"x" * 5000])
def test_a_damaged_index_is_one_clear_error(
    small_root: Path, tmp_path: Path, damage: bytes
) -> None:
    """It names the file and the way out."""
    (tmp_path / "train.json").write_bytes((small_root / "train.json").read_bytes())
    (tmp_path / "train.index.parquet").write_bytes(damage)

    with pytest.raises(ManifestError, match=r"promises [0-9,]+ bytes.*vrs-wds index --overwrite"):
        open_dataset(tmp_path, "train")[0]


def test_an_index_of_another_dataset_is_refused(small_root: Path, tmp_path: Path) -> None:
    """Its row groups do not fit the manifest."""
    write_shards([SourceSample("a", _png(), "png")], tmp_path, split="train")
    (tmp_path / "train.json").write_bytes((small_root / "train.json").read_bytes())

    with pytest.raises(ManifestError, match=r"promises [0-9,]+ bytes; found"):
        open_dataset(tmp_path, "train")[0]


def test_a_newer_schema_of_a_task_is_refused(small_root: Path, tmp_path: Path) -> None:
    """It would be read half right."""
    text = (
        (small_root / "train.json")
        .read_text()
        .replace('"schema_version": 1', '"schema_version": 2')
    )
    (tmp_path / "train.json").write_text(text)

    with pytest.raises(ManifestError, match="task 'captioning': expected schema version 1"):
        open_dataset(tmp_path, "train")


def test_what_is_not_there(tmp_path: Path, small_root: Path) -> None:
    """The message says what there is instead."""
    with pytest.raises(DatasetNotFound, match="no dataset there"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(
        DatasetNotFound, match=r"val\.json: no such file; the splits there are train"
    ):
        open_dataset(small_root, "val")
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(
        DatasetNotFound, match=r"1 tar files without a manifest there.*vrs-wds index"
    ):
        open_dataset(tmp_path)


@pytest.mark.parametrize("split", [None, "train"])
@pytest.mark.parametrize("name", ["train.json", "train-000000.tar", "train.json/deeper"])
def test_a_file_is_no_folder(small_root: Path, name: str, split: str | None) -> None:
    """However it is read; the message says what is asked for."""
    file = small_root / name
    calls: list[Callable[[Any], object]] = [
        lambda url: open_dataset(url, split),
        lambda url: verify(url, split),
        lambda url: StreamingLoader(url, split),
    ]
    if not name.endswith(".tar"):  # that one is read, as it is
        calls.append(lambda url: stream(url, split))
    for call in calls:
        for url in (file, str(file), f"file://{file}"):
            with pytest.raises(
                DatasetNotFound, match=r"but \S*/train\S* is a file\. Give the fold"
            ):
                call(url)


def test_several_splits_need_a_name(tmp_path: Path) -> None:
    """With one, it may be left out."""
    write_shards([SourceSample("a", _png(), "png")], tmp_path, split="train")
    assert open_dataset(tmp_path).split == "train"
    write_shards([SourceSample("a", _png(), "png")], tmp_path, split="val")
    with pytest.raises(DatasetNotFound, match="expected one split, found train, val"):
        open_dataset(tmp_path)


def test_repr_and_html_say_what_it_is(small_dataset: ShardedDataset) -> None:
    """Without reading more than the manifest; HTML is escaped."""
    text, html = repr(small_dataset[:3]), small_dataset._repr_html_()

    assert "split='train': 3 of 23 samples, 4 shards" in text
    assert "detection 11" in text
    assert "<table" in html
    assert "<script" not in html


def test_a_sidecar_that_does_not_fit_names_its_place(tmp_path: Path) -> None:
    """Shard, key, task and field, also for a shard that somebody else made."""
    import tarfile

    from vrs_wds.writer.index_shards import index_shards

    with tarfile.open(tmp_path / "train-0.tar", "w") as tar:
        path = tmp_path / "x"
        path.write_text('{"qa_pairs": [{"question": 1}]}')
        tar.add(path, "a.vqa.json")
        path.write_bytes(_png())
        tar.add(path, "a.png")
    index_shards(tmp_path, split="train")
    dataset = open_dataset(tmp_path)

    assert dataset.tasks == ()  # it does not fit, so it is not the task's sidecar
    with pytest.raises(
        SidecarError, match=r"train-0\.tar: sample 'a': .*'qa_pairs\[0\]\.question'"
    ):
        SidecarParser([get_task("vqa")]).parse(dataset[0].members, "a", dataset[0].url)


def test_limits_of_where(small_dataset: ShardedDataset) -> None:
    """Nothing is executed; what is not known is refused."""
    for expression in ("__import__('os').system('x')", "open('x')", "(lambda: 1)()", "key.upper()"):
        with pytest.raises(ConfigError, match="where: "):
            small_dataset.select(where=expression)


def _png() -> bytes:
    from vrs_wds.images.encode import encode_rgb

    return encode_rgb(np.zeros((8, 8, 3), np.uint8), "png")


def test_absent_extensions_are_left_out(small_dataset: ShardedDataset) -> None:
    """Asking for a member that a sample lacks is no error."""
    (sample,) = small_dataset.get_many([0], extensions=["vqa.json", "nope"])

    assert list(sample) == []


def test_a_single_extension_is_one(small_dataset: ShardedDataset) -> None:
    """Its letters are not."""
    (sample,) = small_dataset.get_many([0], extensions="meta.json")

    assert list(sample) == ["meta.json"]


def test_default_options_are_the_documented_ones() -> None:
    """256 MiB and 10,000 samples a shard; images are kept."""
    config = ShardConfig()

    assert (config.shards.max_bytes, config.shards.max_samples) == (256 * 1024**2, 10_000)
    assert (config.image.encode, config.sidecars.missing) == ("keep", "omit")
