"""CropRegions: one sample for each region, with everything in the region's frame."""

import pickle

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError, DecodeError, SampleError
from vrs_wds.pipeline.collate import collate
from vrs_wds.pipeline.crop_regions import CropRegions, plan_regions
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.targets import Targets

SIDES = st.floats(-30, 60, allow_nan=False).map(lambda side: round(side, 2))
BOXES = st.lists(
    st.tuples(SIDES, SIDES, SIDES, SIDES).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
    ),
    max_size=5,
)


def crop(sample, **options):
    """Cut one sample."""
    return list(CropRegions(**options).apply(sample))


def regions_of(crops):
    """Return the edges of each crop."""
    return [tuple(cut["region"].tolist()) for cut in crops]


def whole_boxes(*boxes):
    """Return a function that gives the same boxes for each sample."""
    return lambda sample: np.array(boxes, dtype=float)


def test_each_object_gives_a_crop(decoded_sample, detection, picture):
    """Crops come in the sidecar's order with label, number, edges and the pixels there."""
    sample = decoded_sample(detection=detection((2, 3, 8, 6), (10, 0, 20, 10)))
    first, second = crop(sample)

    assert regions_of([first, second]) == [(2, 3, 8, 6), (10, 0, 20, 10)]
    assert [cut["region_text"] for cut in (first, second)] == ["ship", "plane"]
    assert [cut["__region__"] for cut in (first, second)] == [0, 1]
    np.testing.assert_array_equal(first["image"], picture((20, 10))[3:6, 2:8])
    assert first["meta"].size_wh == (6, 3)
    assert (first["__key__"], first["__url__"]) == (sample["__key__"], sample["__url__"])
    assert first["region"].dtype == np.int64


def test_each_expression_gives_a_crop(decoded_sample, detection, grounding):
    """`per="expression"` takes grounding's boxes, and the objects move along."""
    sample = decoded_sample(
        detection=detection((3, 3, 6, 6), (15, 5, 18, 9)), grounding=grounding((2, 2, 10, 8))
    )
    (cut,) = crop(sample, per="expression")

    assert cut["region_text"] == "expression 0"
    assert [item.box for item in cut["detection"].objects] == [(1, 1, 4, 4)]
    assert [item.box for item in cut["grounding"].expressions] == [(0, 0, 8, 6)]


def test_boxes_of_ones_own(decoded_sample):
    """A function of the sample says what to cut, in any array; the texts are empty."""
    crops = crop(decoded_sample(), boxes=lambda sample: [[0, 0, 5, 5], [5, 5, 9, 9]])
    assert regions_of(crops) == [(0, 0, 5, 5), (5, 5, 9, 9)]
    assert [cut["region_text"] for cut in crops] == ["", ""]


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), np.zeros((0,))])
def test_no_boxes_give_no_crops(decoded_sample, boxes):
    """Nothing is an answer, in any shape."""
    assert crop(decoded_sample(), boxes=lambda sample: boxes) == []


def test_sidecars_are_in_the_crops_frame(decoded_sample, detection):
    """Boxes are clipped and shifted, corners only shifted, things outside left out."""
    corners = [0, 0, 9, 1, 8, 7, 1, 8]
    sample = decoded_sample(
        detection=detection((0, 0, 9, 8), (15, 0, 20, 10), corners=corners),
        vqa={"qa_pairs": [{"question": "?", "answer": "!"}]},
    )
    (cut,) = crop(sample, boxes=whole_boxes((4, 4, 14, 10)))

    (item,) = cut["detection"].objects
    assert item.box == (0, 0, 5, 4)
    assert item.corners == (-4, -4, 5, -3, 4, 3, -3, 4)
    assert cut["vqa"] == sample["vqa"]
    assert cut["grounding"] is None


def test_min_visible_leaves_out_what_is_hardly_there(decoded_sample, detection):
    """A box stays if enough of its area lies inside the region."""
    sample = decoded_sample(detection=detection((0, 0, 4, 4), (3, 0, 7, 4)))

    def labels(min_visible):
        cut = crop(sample, boxes=whole_boxes((4, 0, 10, 10)), min_visible=min_visible)[0]
        return [item.label for item in cut["detection"].objects]

    assert labels(0.75) == ["plane"]
    assert labels(0.76) == []


def test_padding_grows_the_region(decoded_sample, detection):
    """Pixels and a share of the box's sides are added on each side, up to the border."""
    sample = decoded_sample(detection=detection((6, 4, 10, 6)))

    assert regions_of(crop(sample, padding=2)) == [(4, 2, 12, 8)]
    assert regions_of(crop(sample, padding_share=0.5)) == [(4, 3, 12, 7)]
    assert regions_of(crop(sample, padding=2, padding_share=0.5)) == [(2, 1, 14, 9)]
    assert regions_of(crop(sample, padding=8)) == [(0, 0, 18, 10)]


def test_beyond_the_picture_is_black(decoded_sample, detection, picture):
    """Without clipping the region keeps its size; boxes fit the pixels."""
    sample = decoded_sample(detection=detection((0, 0, 4, 4)))
    (cut,) = crop(sample, padding=3, clip=False)

    assert regions_of([cut]) == [(-3, -3, 7, 7)]
    expected = np.zeros((10, 10, 3), np.uint8)
    expected[3:, 3:] = picture((20, 10))[:7, :7]
    np.testing.assert_array_equal(cut["image"], expected)
    assert cut["detection"].objects[0].box == (3, 3, 7, 7)


@pytest.mark.parametrize("clip", [True, False])
def test_a_region_beyond_the_picture_gives_nothing(decoded_sample, clip):
    """There is nothing to be seen, so there is no sample, and numbers count it all the same."""
    boxes = whole_boxes((30, 0, 40, 5), (20, 0, 25, 5), (0, 0, 5, 5))
    crops = crop(decoded_sample(), boxes=boxes, clip=clip)
    assert [cut["__region__"] for cut in crops] == [2]


def test_a_box_without_area_needs_padding(decoded_sample, detection):
    """A point gives nothing, also between two pixels; padded it gives a region."""
    sample = decoded_sample(detection=detection((5.5, 5.5, 5.5, 5.5), (5, 2, 5, 8)))
    assert crop(sample) == []
    assert regions_of(crop(sample, padding=1)) == [(4, 4, 7, 7), (4, 1, 6, 9)]


def test_min_size_leaves_out_small_regions(decoded_sample, detection):
    """The shorter side counts, after rounding outward and clipping."""
    sample = decoded_sample(detection=detection((0, 0, 10, 3), (0.5, 0.5, 3.5, 3.5)))
    assert [cut["__region__"] for cut in crop(sample, min_size=4)] == [1]
    assert len(crop(sample, min_size=3)) == 2


def test_a_crop_is_a_copy(decoded_sample, detection):
    """It does not keep the whole picture in memory, and writing to it changes nothing else."""
    sample = decoded_sample(detection=detection((2, 2, 8, 8), (0, 0, 20, 10)))
    for cut in crop(sample):
        assert cut["image"].flags.c_contiguous
        assert cut["image"].base is None
        assert not np.shares_memory(cut["image"], sample["image"])


def test_the_sample_stays_as_it_is(decoded_sample, detection):
    """Cutting makes new dicts."""
    sample = decoded_sample(detection=detection((2, 2, 8, 8)))
    before = dict(sample)
    crop(sample, size=(4, 4))
    assert sample.keys() == before.keys()
    assert all(sample[name] is before[name] for name in before)


def test_crops_of_one_size_can_be_stacked(decoded_sample, detection):
    """A letterbox keeps the aspect; boxes stay within the picture, not the border."""
    sample = decoded_sample(detection=detection((0, 0, 20, 5), (4, 2, 6, 10)))
    crops = crop(sample, size=(10, 10))
    batch = collate(crops)

    assert batch["image"].shape == (2, 3, 10, 10)
    assert batch["region"].tolist() == [[0, 0, 20, 5], [4, 2, 6, 10]]
    assert batch["__region__"].tolist() == [0, 1]
    assert batch["region_text"] == ["ship", "plane"]
    # The first region, 20 x 5, becomes 10 x 2 with a border of 4 above and below.
    first, second = crops[0]["detection"].objects
    assert first.box == (0, 4, 10, 6)
    np.testing.assert_allclose(second.box, (2, 4.8, 3, 6))
    assert [cut["meta"].size_wh for cut in crops] == [(10, 10), (10, 10)]


def test_crops_may_be_stretched(decoded_sample, detection):
    """`fit="stretch"` fills the size."""
    (cut,) = crop(decoded_sample(detection=detection((4, 2, 6, 10))), size=(8, 8), fit="stretch")
    assert cut["detection"].objects[0].box == (0, 0, 8, 8)
    assert cut["image"].shape == (8, 8, 3)
    assert regions_of([cut]) == [(4, 2, 6, 10)]


def test_a_sample_without_a_sidecar_gives_nothing(decoded_sample):
    """None is an answer: no regions."""
    assert crop(decoded_sample()) == []
    assert crop(decoded_sample(), per="expression") == []


@pytest.mark.parametrize(("per", "task"), [("object", "detection"), ("expression", "grounding")])
def test_a_task_that_was_left_out_is_an_error(raw_sample, per, task):
    """No crops at all would look like no objects at all."""
    sample = next(Decode(tasks="vqa")(iter([raw_sample("b")])))
    message = (
        rf"CropRegions: train-000007\.tar: sample 'b' was decoded without task '{task}'; it has "
        rf"vqa\. Write Decode\(tasks=\('vqa', '{task}'\)\)\."
    )
    with pytest.raises(ConfigError, match=message):
        crop(sample, per=per)


def test_a_raw_sample_is_an_error(raw_sample):
    """The message says which stage is missing."""
    with pytest.raises(TypeError, match=r"CropRegions needs decoded samples: put Decode\(\)"):
        crop(raw_sample())


def test_targets_come_after(decoded_sample, detection):
    """A target of the whole picture would be wrong in a crop."""
    sample = next(Targets("detection")(iter([decoded_sample(detection=detection())])))
    with pytest.raises(TypeError, match="put Targets after it"):
        crop(sample)


@pytest.mark.parametrize(
    ("boxes", "found"),
    [
        ([1, 2, 3, 4], r"an array of shape \(4,\)"),
        ([[1, 2, 3, 4, 5, 6, 7, 8]], r"an array of shape \(1, 8\)"),
        ([[1, 2, 3, 4], [9, 2, 3, 4]], r"\[9\.0, 2\.0, 3\.0, 4\.0\]"),
        ([[1, 2, float("nan"), 4]], r"\[1\.0, 2\.0, nan, 4\.0\]"),
        ([[1, 2, float("inf"), 4]], r"\[1\.0, 2\.0, inf, 4\.0\]"),
    ],
)
def test_boxes_that_are_none_are_refused(decoded_sample, boxes, found):
    """Shape, order and finiteness are checked; the sample is named."""
    with pytest.raises(ConfigError, match=rf"sample 'a': boxes: expected .* got {found}\.$"):
        crop(decoded_sample(), boxes=lambda sample: boxes)


def test_a_region_that_would_fill_the_memory_is_refused(decoded_sample):
    """Without clipping, a shard could ask for any amount of black."""
    boxes = whole_boxes((0, 0, 1e12, 1e300))
    with pytest.raises(SampleError, match=r"sample 'a': expected regions of at most 268435456"):
        crop(decoded_sample(), boxes=boxes, clip=False)
    assert regions_of(crop(decoded_sample(), boxes=boxes)) == [(0, 0, 20, 10)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per": "pixel"}, "per: expected 'object' or 'expression', got 'pixel'"),
        ({"per": "expression", "boxes": len}, "per: regions come from boxes"),
        ({"padding": -1}, "padding: expected 0 or more, got -1"),
        ({"padding": float("inf")}, "padding: expected 0 or more, got inf"),
        ({"padding_share": -0.1}, "padding_share: expected 0 or more"),
        ({"min_size": 0}, "min_size: expected at least 1 pixel, got 0"),
        ({"min_visible": 1.5}, "min_visible: expected 0 to 1, got 1.5"),
        ({"size": (0, 3)}, "size: expected"),
        ({"fit": "crop"}, "fit: expected 'stretch' or 'letterbox', got 'crop'"),
    ],
)
def test_options_are_checked(options, message):
    """The message names the option and its value."""
    with pytest.raises(ConfigError, match=message):
        CropRegions(**options)


def test_the_fields_are_the_whole_stage():
    """It pickles, compares, hashes and prints by its fields."""
    stage = CropRegions(per="expression", padding=2.5, size=(8, 8))
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage
    assert hash(copy) == hash(stage)
    assert "per='expression'" in repr(stage)
    assert not stage.one_to_one


@given(BOXES, st.integers(0, 9), st.booleans(), st.integers(1, 6))
def test_regions_hold_their_boxes(boxes, padding, clip, min_size):
    """A region is the smallest one of whole pixels around the padded box, or its visible part."""
    width, height = 40, 25
    regions = plan_regions(
        np.array(boxes).reshape(-1, 4),
        (width, height),
        padding=padding,
        clip=clip,
        min_size=min_size,
    )
    for number, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        wanted = [x_min - padding, y_min - padding, x_max + padding, y_max + padding]
        visible = [
            min(max(edge, 0), side) for edge, side in zip(wanted, (width, height) * 2, strict=True)
        ]
        edges = visible if clip else wanted
        smallest = (*np.floor(edges[:2]).tolist(), *np.ceil(edges[2:]).tolist())
        has_area = visible[0] < visible[2] and visible[1] < visible[3]
        is_large = min(smallest[2] - smallest[0], smallest[3] - smallest[1]) >= min_size
        assert regions.get(number) == (smallest if has_area and is_large else None)


@given(boxes=BOXES, clip=st.booleans(), padding=st.integers(0, 5))
def test_every_pixel_is_where_the_region_says(decoded_sample, boxes, clip, padding):
    """A crop's pixel at (x, y) is the picture's at (x, y) + region, or black beyond it."""
    sample = decoded_sample(size_wh=(40, 25))
    cutter = {"boxes": lambda sample: boxes, "clip": clip, "padding": padding}
    for cut in crop(sample, **cutter):
        left, top, right, bottom = cut["region"].tolist()
        assert cut["image"].shape == (bottom - top, right - left, 3)
        y, x = np.mgrid[top:bottom, left:right]
        inside = (x >= 0) & (x < 40) & (y >= 0) & (y < 25)
        expected = np.stack([x, y, np.full_like(x, 200)], axis=-1) * inside[..., None]
        np.testing.assert_array_equal(cut["image"], expected)


def test_crops_have_one_set_of_fields(decoded_sample, detection, grounding):
    """Whatever they come from, crops can be in one batch."""
    sample = decoded_sample(detection=detection((0, 0, 5, 5)), grounding=grounding((0, 0, 5, 5)))
    fields = [
        set(cut)
        for options in ({}, {"per": "expression"}, {"boxes": whole_boxes((0, 0, 5, 5))})
        for cut in crop(sample, **options)
    ]
    assert fields[0] == fields[1] == fields[2]
    assert fields[0] - set(sample) == {"__region__", "region", "region_text"}


def test_targets_of_a_crop(decoded_sample, detection):
    """What comes after sees the crop as a picture of its own."""
    sample = decoded_sample(detection=detection((2, 2, 12, 7), (4, 2, 9, 7)))
    targets = [
        target["target"]
        for target in Targets("detection", coordinates="0-1")(CropRegions()(iter([sample])))
    ]
    assert targets[0]["boxes"].tolist() == [[0, 0, 1, 1], [0.2, 0, 0.7, 1]]
    assert targets[1]["labels"] == ["ship", "plane"]
    assert msgspec.to_builtins(sample["meta"])["width"] == 20


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [(2, 3, 8, 6)],
        [(2, 3, 8, 6), (10, 0, 30, 40)],
        [(-5, -5, 4, 4), (0, 0, 20, 10), (8, 2, 9, 3)],
    ],
)
@pytest.mark.parametrize("clip", [True, False])
def test_a_picture_left_to_it_gives_the_same(raw_sample, detection, boxes, clip):
    """`Decode(defer=True)` changes nothing but who decodes."""
    raw = raw_sample(detection=detection(*boxes))
    (whole,) = Decode().apply(raw)
    (deferred,) = Decode(defer=True).apply(raw)

    found, expected = (crop(sample, clip=clip, padding=1) for sample in (deferred, whole))

    assert len(found) == len(expected) == len(boxes)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.pop("image"), other.pop("image"))
        np.testing.assert_array_equal(one.pop("region"), other.pop("region"))
        assert one == other


def test_other_stages_refuse_a_picture_that_is_not_decoded(raw_sample):
    """And its size is `CropRegions`'s affair."""
    (deferred,) = Decode(defer=True).apply(raw_sample())

    with pytest.raises(TypeError, match=r"image: not decoded: Decode\(defer=True\)"):
        collate([deferred])
    with pytest.raises(TypeError, match=r"Targets needs decoded samples, but Decode\(defer=True\)"):
        list(Targets("captioning").apply(deferred))
    with pytest.raises(ConfigError, match="size: the picture is left to CropRegions"):
        Decode(defer=True, size=(8, 8))


def test_a_damaged_picture_is_refused_when_it_is_cut(raw_sample, detection):
    """As a `DecodeError` that names shard and member."""
    raw = raw_sample(detection=detection((2, 3, 8, 6)))
    raw["png"] = raw["png"][:-20]
    with pytest.raises(DecodeError, match=r"train-000007.tar: sample 'a': member 'png'"):
        [crop(sample) for sample in Decode(defer=True).apply(raw)]
