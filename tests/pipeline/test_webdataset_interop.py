"""Our stages in webdataset's pipelines, and webdataset's filters in ours."""

from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset as wds

from vrs_wds.loader.stream import stream
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.crop_regions import CropRegions
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.map import Map
from vrs_wds.pipeline.select import Select
from vrs_wds.pipeline.shuffle import Shuffle
from vrs_wds.pipeline.targets import Targets
from vrs_wds.pipeline.tile import Tile

# webdataset leaves the shards it has opened to be closed by the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

STAGES = (Decode(), Targets("detection", classes=("ship", "plane")))
THEIRS_ONLY = {"__local_path__"}  # webdataset keeps the path of a cached shard


@pytest.fixture
def shard(tmp_path, raw_sample, detection) -> str:
    """Write six samples with 0 to 3 objects as a tar that has no index."""
    path = tmp_path / "data-000000.tar"
    with wds.TarWriter(str(path), mtime=0) as writer:
        for number in range(6):
            boxes = [(i, i, i + 5, i + 4) for i in range(number % 4)]
            raw = raw_sample(
                f"{number:06d}",
                (20 + number, 10),
                detection=detection(*boxes),
                vqa={"qa_pairs": [{"question": f"{number}?", "answer": "!"}]},
            )
            del raw["__url__"]
            writer.write(raw)
    return str(path)


def their_pipeline(shard, *stages):
    """Return webdataset's own pipeline with these stages."""
    return wds.DataPipeline(wds.SimpleShardList([shard]), wds.tarfile_to_samples(), *stages)


def assert_same(found, expected):
    """Compare samples field by field, arrays by their values."""
    found, expected = list(found), list(expected)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert set(one) - THEIRS_ONLY == set(other) - THEIRS_ONLY
        for name in set(one) - THEIRS_ONLY:
            assert_equal(one[name], other[name])


def assert_equal(one, other):
    """Compare values with arrays somewhere inside."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    else:
        assert one == other


def key_of(sample):
    """Return a sample's key."""
    return sample["__key__"]


def with_number(sample):
    """Add the key as a number."""
    return {**sample, "number": int(sample["__key__"])}


def has_objects(sample):
    """Tell whether a decoded sample has an object."""
    return bool(sample["detection"].objects)


def test_raw_samples_are_the_same(shard):
    """Our reader and webdataset's give the same dicts of bytes."""
    assert_same(stream([shard]), their_pipeline(shard))


@pytest.mark.parametrize(
    "stages",
    [
        STAGES,
        (Decode(size=(16, 16)), Targets("all")),
        (Decode(), CropRegions(padding=2, size=(8, 8)), Targets("detection")),
        (Decode(), Tile((10, 10), overlap=2, keep_empty=False), Map(with_number)),
        (Decode(), Select(has_objects), Shuffle(3, seed=1)),
    ],
    ids=["targets", "resize", "crop", "tile", "shuffle"],
)
def test_our_stages_work_in_a_data_pipeline(shard, stages):
    """`wds.DataPipeline` with our stages gives what `stream` gives."""
    assert_same(their_pipeline(shard, *stages), stream([shard]).compose(*stages))


def test_our_stages_work_in_a_web_dataset(shard):
    """`wds.WebDataset(...).compose(...)` takes them."""
    dataset = wds.WebDataset(shard, shardshuffle=False).compose(*STAGES)
    assert_same(dataset, stream([shard]).compose(*STAGES))


def test_our_batches_work_in_a_data_pipeline(shard):
    """Batches made in webdataset's pipeline are those made in ours."""
    stages = (Decode(size=(16, 16)), Targets("detection", classes=("ship", "plane")), Batch(4))
    theirs = list(their_pipeline(shard, *stages))
    ours = list(stream([shard]).compose(*stages))
    assert [batch["__key__"] for batch in theirs] == [batch["__key__"] for batch in ours]
    assert [len(batch["__key__"]) for batch in ours] == [4, 2]
    for one, other in zip(theirs, ours, strict=True):
        assert torch.equal(one["image"], other["image"])
        for name in ("boxes", "labels"):
            assert torch.equal(one["target"][name].values, other["target"][name].values)
            assert torch.equal(one["target"][name].offsets, other["target"][name].offsets)


def test_webdatasets_filters_work_in_ours(shard):
    """`wds.map`, `wds.select` and the like may stand among our stages."""
    theirs = stream([shard]).compose(
        Decode(), wds.select(has_objects), wds.map(with_number), Targets("detection")
    )
    ours = stream([shard]).compose(
        Decode(), Select(has_objects), Map(with_number), Targets("detection")
    )
    assert_same(theirs, ours)
    assert [sample["number"] for sample in ours] == [1, 2, 3, 5]


def test_fluid_methods_work_on_a_stream(shard):
    """`.select`, `.map`, `.to_tuple`, `.slice` and `.batched` are webdataset's own."""
    samples = (
        stream([shard])
        .compose(Decode(size=(16, 16)))
        .select(has_objects)
        .map(with_number)
        .to_tuple("image", "number")
    )
    assert [number for _, number in samples] == [1, 2, 3, 5]

    images, numbers = next(iter(samples.batched(3)))
    assert images.shape == (3, 16, 16, 3)
    assert numbers.tolist() == [1, 2, 3]


def test_webdatasets_shuffle_works_in_ours(shard):
    """Nothing is lost, and the order is webdataset's."""
    keys = list(stream([shard]).shuffle(4, initial=4, seed=3).map(key_of))
    same = list(their_pipeline(shard, wds.shuffle(4, initial=4, seed=3), wds.map(key_of)))
    assert keys == same
    assert sorted(keys) == [f"{number:06d}" for number in range(6)] != keys


def test_webdatasets_decoder_can_stand_beside_ours(shard):
    """Members that `Decode` does not know may be decoded by webdataset before it."""
    decoder = wds.decode(wds.handle_extension("cls", int), only=["cls"])
    samples = stream([shard]).map(with_cls).compose(decoder, Decode())
    assert [sample["cls"] for sample in samples] == list(range(6))


def test_what_webdataset_has_decoded_is_refused(shard):
    """Arrays and dicts in place of bytes are named, instead of failing somewhere inside."""
    message = r"sample '000000': Decode needs the bytes of member 'png', got ndarray: .* `only=`"
    with pytest.raises(TypeError, match=message):
        list(stream([shard]).decode("rgb").compose(Decode()))


@pytest.mark.parametrize("name", ["vqa.json", "meta.json"])
def test_a_sidecar_that_was_parsed_is_refused(shard, name):
    """A parsed `meta.json` is not taken for a missing one."""
    decoder = wds.decode(wds.handle_extension("json", len), only=[name])
    with pytest.raises(TypeError, match=f"Decode needs the bytes of member '{name}', got"):
        list(stream([shard]).compose(decoder, Decode()))


def with_cls(sample):
    """Add a member as foreign shards have it."""
    return {**sample, "cls": sample["__key__"].encode()}


def test_a_shard_of_ours_goes_through_webdatasets_loader(shard):
    """`wds.WebLoader` and `torch.utils.data.DataLoader` iterate a stream with our batches."""
    stages = (Decode(size=(16, 16)), Targets("detection"), Batch(2))
    loader = wds.WebLoader(stream([shard]).compose(*stages), batch_size=None, num_workers=0)
    found = [batch["__key__"] for batch in loader]
    assert found == [batch["__key__"] for batch in stream([shard]).compose(*stages)]


def test_several_shards_keep_their_order(shard, tmp_path):
    """Brace patterns mean the same to both."""
    Path(shard).with_name("data-000001.tar").write_bytes(Path(shard).read_bytes())
    pattern = str(tmp_path / "data-{000000..000001}.tar")
    theirs = wds.WebDataset(pattern, shardshuffle=False).compose(Decode())
    assert_same(theirs, stream(pattern).compose(Decode()))
    assert len(list(stream(pattern))) == 12
