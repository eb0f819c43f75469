"""Pictures of several sizes as one tensor."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.pad import pad_images
from vrs_wds.pipeline.targets import Targets

SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6)


def noise(size_wh, seed=0, channels=3):
    """Return a picture (C, H, W) without zeros."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (size_wh[1], size_wh[0], channels), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def dirty(num_bytes):
    """Return more memory than asked for, full of something."""
    return torch.full((num_bytes + 7,), 77, dtype=torch.uint8)


@given(sizes=SIZES, channels=st.sampled_from([1, 3, 4]), allocate=st.sampled_from([None, dirty]))
def test_each_picture_is_at_the_top_left_of_black(sizes, channels, allocate):
    """Of the largest width and the largest height, whatever the memory held before."""
    images = [noise(size, seed, channels) for seed, size in enumerate(sizes)]
    padded, sizes_wh = pad_images(images, allocate)
    assert padded.shape == (
        len(sizes),
        channels,
        max(h for _, h in sizes),
        max(w for w, _ in sizes),
    )
    assert (padded.dtype, sizes_wh.dtype) == (torch.uint8, torch.int64)
    assert sizes_wh.tolist() == [list(size) for size in sizes]
    for image, place, (width, height) in zip(images, padded, sizes, strict=True):
        assert torch.equal(place[:, :height, :width], image)
        assert torch.count_nonzero(place) == image.numel()


@given(sizes=SIZES)
def test_the_memory_is_channels_last(sizes):
    """As that of pictures of one size: `Decode` gives rows of pixels."""
    padded, _ = pad_images([noise(size) for size in sizes])
    assert padded.permute(0, 2, 3, 1).is_contiguous()


def test_pictures_of_one_size_are_not_copied():
    """The tensor is the one that was made of them; their sizes are there all the same."""
    images = torch.zeros(2, 3, 4, 5)
    padded, sizes_wh = pad_images(images)
    assert padded is images
    assert sizes_wh.tolist() == [[5, 4], [5, 4]]


def test_what_a_stage_has_made_is_padded_too():
    """Tensors of any type, with zeros."""
    images = [torch.full((2, 1, 3), 0.5), torch.full((2, 2, 1), 1.5)]
    padded, sizes_wh = pad_images(images)
    assert padded.dtype == torch.float32
    assert padded[0].tolist() == [[[0.5, 0.5, 0.5], [0, 0, 0]]] * 2
    assert padded[1].tolist() == [[[1.5, 0, 0], [1.5, 0, 0]]] * 2
    assert sizes_wh.tolist() == [[3, 1], [1, 2]]


@pytest.mark.parametrize(
    "other", [torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(3, 4, 4)], ids=["grey", "float"]
)
def test_pictures_that_are_unlike_are_refused(other):
    """The message says how they differ."""
    with pytest.raises(TypeError, match=r"must be alike, got .* channels of torch\.\w+ on cpu, \d"):
        pad_images([noise((3, 3)), other])


def test_boxes_stay_as_they_are(decoded_sample, detection):
    """Nothing is added at the left or above."""
    samples = [
        decoded_sample("a", (20, 10), detection=detection((1, 2, 3, 4))),
        decoded_sample("b", (6, 30), detection=detection((0, 5, 6, 25))),
    ]
    samples = list(Targets("detection")(samples))
    (batch,) = Batch(2, images="padded")(samples)
    assert batch["image"].shape == (2, 3, 30, 20)
    assert batch["sizes_wh"].tolist() == [[20, 10], [6, 30]]
    assert [boxes.tolist() for boxes in batch["target"]["boxes"]] == [
        [[1, 2, 3, 4]],
        [[0, 5, 6, 25]],
    ]
    for place, sample in zip(batch["image"], samples, strict=True):
        height, width = sample["image"].shape[:2]
        np.testing.assert_array_equal(place[:, :height, :width].permute(1, 2, 0), sample["image"])


def test_sizes_are_there_only_where_pictures_are_padded(decoded_sample):
    """So that a batch has the same names each time."""
    assert "sizes_wh" not in collate([decoded_sample()])
    assert collate([decoded_sample()], images="padded")["sizes_wh"].tolist() == [[20, 10]]


def test_the_option_is_checked(decoded_sample):
    """In the stage and in the function."""
    with pytest.raises(ConfigError, match=r"^images: expected 'list' or 'padded', got 'pad'"):
        Batch(2, images="pad")
    with pytest.raises(ConfigError, match=r"^images: expected 'list' or 'padded', got None"):
        collate([decoded_sample()], images=None)
