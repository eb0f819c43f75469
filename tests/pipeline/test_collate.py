"""collate and Ragged: samples to a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.ragged import Ragged
from vrs_wds.pipeline.targets import Targets
from vrs_wds.tasks.registry import task_names
from vrs_wds.tasks.targets import get_task_targets

LENGTHS = st.lists(st.integers(0, 5), max_size=6)


def with_target(samples, *args, **options):
    """Return the samples with targets."""
    return list(Targets(*args, **options)(samples))


@pytest.fixture
def samples(decoded_sample, detection):
    """Return three samples with two, no and one object."""
    return [
        decoded_sample("a", detection=detection((1, 2, 3, 4), (5, 6, 7, 8))),
        decoded_sample("b"),
        decoded_sample("c", detection=detection((0, 0, 1.5, 1))),
    ]


def test_pictures_of_one_size_are_stacked(samples):
    """The batch is (B, 3, H, W) uint8, a channels-last view: no pixel was moved."""
    image = collate(samples)["image"]
    assert image.shape == (3, 3, 10, 20)
    assert image.dtype == torch.uint8
    assert image.is_contiguous(memory_format=torch.channels_last)
    for number, sample in enumerate(samples):
        np.testing.assert_array_equal(image[number].permute(1, 2, 0).numpy(), sample["image"])


def test_pictures_of_several_sizes_are_a_list(raw_sample):
    """Each is (3, H, W); a read-only picture gives no warning."""
    mixed = [
        *Decode(size=(8, 4)).apply(raw_sample()),
        *Decode().apply(raw_sample()),
    ]
    images = collate(mixed)["image"]
    assert [tuple(image.shape) for image in images] == [(3, 4, 8), (3, 10, 20)]
    np.testing.assert_array_equal(images[1].permute(1, 2, 0).numpy(), mixed[1]["image"])


def test_a_batch_of_one(samples):
    """One sample is stacked as well."""
    assert collate(samples[:1])["image"].shape == (1, 3, 10, 20)


def test_the_batch_is_a_copy(samples):
    """Writing to the batch leaves the samples as they are."""
    before = samples[0]["image"].copy()
    collate(samples)["image"].zero_()
    np.testing.assert_array_equal(samples[0]["image"], before)


def test_columns_are_packed(samples):
    """Boxes are values and offsets, float32; texts a list and offsets."""
    target = collate(with_target(samples, "detection"))["target"]
    boxes, labels = target["boxes"], target["labels"]

    assert boxes.values.dtype == torch.float32
    assert boxes.values.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 1.5, 1]]
    assert boxes.offsets.dtype == torch.int64
    assert boxes.offsets.tolist() == [0, 2, 2, 3]
    assert boxes.lengths.tolist() == [2, 0, 1]
    assert labels.values == ["ship", "plane", "ship"]
    assert labels.offsets.tolist() == [0, 2, 2, 3]


def test_columns_as_lists(samples):
    """`ragged="list"` gives one tensor or list a sample."""
    target = collate(with_target(samples, "detection"), "list")["target"]
    assert [boxes.tolist() for boxes in target["boxes"]] == [
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [],
        [[0, 0, 1.5, 1]],
    ]
    assert [tuple(boxes.shape) for boxes in target["boxes"]] == [(2, 4), (0, 4), (1, 4)]
    assert target["labels"] == [["ship", "plane"], [], ["ship"]]


def test_a_batch_without_boxes_keeps_the_shape(decoded_sample):
    """Zero rows of four, not an empty list."""
    target = collate(with_target([decoded_sample(), decoded_sample()], "detection"))["target"]
    assert target["boxes"].values.shape == (0, 4)
    assert target["boxes"].offsets.tolist() == [0, 0, 0]


def test_label_numbers_stay_int64(samples):
    """Numbers of classes are what a loss takes."""
    batch = collate(with_target(samples, "detection", classes=["ship", "plane"]))
    assert batch["target"]["labels"].values.dtype == torch.int64
    assert batch["target"]["labels"].values.tolist() == [0, 1, 0]


def test_texts_and_numbers(decoded_sample):
    """One text a sample is a list; one number a sample an int64 tensor."""
    samples = [decoded_sample(classification={"label": label}) for label in ("ship", "plane")]
    assert collate(with_target(samples, "classification"))["target"] == ["ship", "plane"]
    numbers = collate(with_target(samples, "classification", classes=["plane", "ship"]))["target"]
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == [1, 0]


def test_several_labels_a_sample(decoded_sample):
    """Lists of labels are packed, too."""
    samples = [
        decoded_sample(classification={"label": "", "labels": labels})
        for labels in (["a", "b"], [], ["c"])
    ]
    target = collate(with_target(samples, "classification", label_key="labels"))["target"]
    assert target.to_list() == [["a", "b"], [], ["c"]]


def test_a_missing_text_is_none(decoded_sample):
    """An optional field that one sample lacks makes a list with None."""
    samples = [decoded_sample(classification={"label": "", "scene": s}) for s in ("port", None)]
    batch = collate(with_target(samples, "classification", label_key="scene"))
    assert batch["target"] == ["port", None]


def test_all_tasks_are_nested(samples):
    """`all` gives a dict of targets, each collated as alone."""
    batch = collate(with_target(samples, "all"))
    assert sorted(batch["target"]) == task_names()
    assert batch["target"]["captioning"] == ["", "", ""]
    assert batch["target"]["detection"]["boxes"].lengths.tolist() == [2, 0, 1]


def test_keys_and_shards_are_lists(samples):
    """They come in the samples' order."""
    batch = collate(samples)
    assert batch["__key__"] == ["a", "b", "c"]
    assert batch["__url__"] == ["train-000007.tar"] * 3


def test_metas_lack_what_a_sample_lacks(samples):
    """A stage may have taken a sidecar away, or put one in, for some samples."""
    del samples[0]["vqa"]
    metas = collate(samples)["metas"]
    assert ["vqa" in meta for meta in metas] == [False, True, True]
    assert metas[1].keys() == {"__key__", "__url__", "meta", *task_names()} & samples[1].keys()


def test_metas_are_what_get_task_targets_takes(samples):
    """Sidecars stay parsed, one dict a sample, also where a sample has none."""
    batch = collate(with_target(samples, "detection"))
    assert get_task_targets(batch["metas"], "detection") == [
        [[1, 2, 2, 2], [5, 6, 2, 2]],
        [],
        [[0, 0, 1.5, 1]],
    ]
    assert [meta["__key__"] for meta in batch["metas"]] == ["a", "b", "c"]
    assert not set(batch) & {"meta", *task_names()}
    assert "target" not in batch["metas"][0]


def test_other_fields(decoded_sample):
    """Numbers and arrays of one shape become tensors; anything else a list."""
    fields = [
        {
            "number": 1,
            "score": 0.5,
            "flag": True,
            "point": np.array([1, 2]),
            "text": b"x",
            "odd": np.zeros(1),
            "count": np.int64(4),
            "sometimes": 1,
        },
        {
            "number": 2,
            "score": 1.5,
            "flag": False,
            "point": np.array([3, 4]),
            "text": b"y",
            "odd": np.zeros(2),
            "count": np.int64(5),
        },
    ]
    batch = collate([{**decoded_sample(), **more} for more in fields])
    assert batch["number"].tolist() == [1, 2]
    assert batch["number"].dtype == torch.int64
    assert batch["score"].tolist() == [0.5, 1.5]
    assert batch["flag"].tolist() == [True, False]
    assert batch["count"].tolist() == [4, 5]
    assert batch["point"].tolist() == [[1, 2], [3, 4]]
    assert batch["text"] == [b"x", b"y"]
    assert [array.shape for array in batch["odd"]] == [(1,), (2,)]
    assert batch["sometimes"] == [1, None]


@given(LENGTHS, st.data())
def test_ragged_arrays_come_back(lengths, data):
    """Unpacking undoes packing."""
    rows = [data.draw(arrays(np.int64, (length, 2))) for length in lengths]
    packed = Ragged.pack(rows)

    assert len(packed) == len(rows)
    assert packed.offsets.dtype == torch.int64
    assert packed.lengths.tolist() == lengths
    for found, row in zip(packed, rows, strict=True):
        np.testing.assert_array_equal(found.numpy(), row)


@given(st.lists(st.lists(st.text(max_size=3), max_size=4), max_size=6))
def test_ragged_lists_come_back(rows):
    """Texts are packed and unpacked likewise."""
    packed = Ragged.pack(rows)
    assert packed.to_list() == rows
    assert [packed[number] for number in range(-len(rows), 0)] == rows
    assert packed.offsets.tolist()[-1] == sum(map(len, rows))


def test_ragged_refuses_places_that_are_not_there():
    """A slice has no meaning, and an index must be in the batch."""
    packed = Ragged.pack([["a"], ["b", "c"]])
    for place in (2, -3):
        with pytest.raises(IndexError, match=rf"has 2 samples; there is no sample {place}"):
            packed[place]
    with pytest.raises(TypeError, match="expected a sample's place in the batch, got slice"):
        packed[0:1]


def test_ragged_values_are_views():
    """A sample's part shares memory with the packed tensor."""
    packed = Ragged.pack([np.zeros((2, 4)), np.zeros((1, 4))])
    packed[1].fill_(1)
    assert packed.values[2].tolist() == [1, 1, 1, 1]


def test_ragged_changes_type_but_not_offsets():
    """`.to(dtype)` is for the values; offsets stay int64, which indexing needs."""
    packed = Ragged.pack([np.ones((2, 4)), np.ones((1, 4))]).to(torch.float16)
    assert packed.values.dtype == torch.float16
    assert packed.offsets.dtype == torch.int64


def test_ragged_moves_with_its_offsets():
    """`.to(device)` moves both; texts have no device."""
    moved = Ragged.pack([np.ones((2, 4))]).to("meta", non_blocking=True)
    assert moved.values.is_meta
    assert moved.offsets.is_meta
    texts = Ragged.pack([["a"]])
    assert texts.to("meta") is texts


def test_ragged_pins_values_and_offsets(monkeypatch):
    """A DataLoader's pinning reaches into it; texts are left as they are."""
    pinned = []

    def pin_memory(tensor):
        pinned.append(tensor)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    boxes = Ragged.pack([np.ones((2, 4))])
    copy = boxes.pin_memory()
    assert [id(tensor) for tensor in pinned] == [id(boxes.values), id(boxes.offsets)]
    assert torch.equal(copy.values, boxes.values)
    assert torch.equal(copy.offsets, boxes.offsets)
    assert Ragged.pack([["a"], []]).pin_memory().to_list() == [["a"], []]


def test_ragged_prints_what_it_holds():
    """The shape and the lengths are shown, not the numbers."""
    assert repr(Ragged.pack([np.ones((2, 4)), np.ones((0, 4))])) == (
        "Ragged((2, 4) torch.float32, lengths=[2, 0])"
    )
    assert repr(Ragged.pack([["a", "b"]])) == "Ragged(list of 2, lengths=[2])"
