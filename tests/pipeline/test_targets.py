"""Targets: what the loss needs, from the parsed sidecars."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError, UnknownTaskError
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.targets import Targets
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import task_names

CAPTIONS = {"captions": ["two ships", "ships"]}
LABELS = {"label": "ship", "labels": ["plane", "ship"], "scene": "harbor"}
QA = {"qa_pairs": [{"question": "How many?", "answer": "2", "type": "quantity"}]}
FULL_SIDES = {"0-1": 1, "0-100": 100, "0-1000": 1000}


def target_of(sample, *args, **options):
    """Return the target of one sample."""
    (done,) = Targets(*args, **options).apply(sample)
    return done["target"]


@pytest.fixture
def full_sample(decoded_sample, detection, grounding):
    """Return a sample with a sidecar for every task."""
    return decoded_sample(
        captioning=CAPTIONS,
        classification=LABELS,
        vqa=QA,
        detection=detection((1, 2, 4, 8), (5, 5, 9, 6)),
        grounding=grounding((0, 0, 10, 5)),
    )


def test_captioning(full_sample):
    """The target is the first caption."""
    assert target_of(full_sample, "captioning") == "two ships"


def test_classification(full_sample):
    """The target is the label."""
    assert target_of(full_sample, "classification") == "ship"


def test_vqa(full_sample):
    """The target has columns, one row a question."""
    expected = {"questions": ["How many?"], "answers": ["2"], "types": ["quantity"]}
    assert target_of(full_sample, "vqa") == expected


def test_detection(full_sample):
    """The target has columns, one row an object; boxes are xyxy in pixels by default."""
    target = target_of(full_sample, "detection")
    assert target["boxes"].tolist() == [[1, 2, 4, 8], [5, 5, 9, 6]]
    assert target["boxes"].dtype == np.float64
    assert target["labels"] == ["ship", "plane"]
    assert target["object_ids"] == [10, 11]


def test_grounding(full_sample):
    """The target has columns, one row an expression."""
    target = target_of(full_sample, "grounding")
    assert target["expressions"] == ["expression 0"]
    assert target["boxes"].tolist() == [[0, 0, 10, 5]]
    assert target["labels"] == ["ship"]


@pytest.mark.parametrize("word", ["all", "complete"])
def test_all_tasks(full_sample, word):
    """The target is a dict with each task's own target."""
    target = target_of(full_sample, word)
    assert sorted(target) == task_names()
    assert target["captioning"] == target_of(full_sample, "captioning")
    assert target["detection"]["labels"] == ["ship", "plane"]


def test_all_means_all_that_were_decoded(raw_sample):
    """A task that was left out has no target, not an empty one."""
    (sample,) = Decode(tasks=("vqa", "captioning")).apply(raw_sample(vqa=QA))
    assert sorted(target_of(sample, "all")) == ["captioning", "vqa"]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("captioning", ""),
        ("classification", ""),
        ("vqa", {"questions": [], "answers": [], "types": []}),
    ],
)
def test_a_sample_without_a_sidecar_has_an_empty_target(decoded_sample, task, expected):
    """The target has the same type as any other."""
    assert target_of(decoded_sample(), task) == expected


@pytest.mark.parametrize("task", ["detection", "grounding"])
@pytest.mark.parametrize(
    ("box_format", "columns"),
    [("xyxy", 4), ("xywh", 4), ("cxcywh", 4), ("corners", 8), ("rotated", 5)],
)
def test_no_boxes_have_the_shape_of_boxes(decoded_sample, task, box_format, columns):
    """Without a sidecar there are zero rows, so that batches can be packed."""
    boxes = target_of(decoded_sample(), task, box_format=box_format)["boxes"]
    assert boxes.shape == (0, columns)
    assert boxes.dtype == np.float64


def test_a_task_that_was_left_out_is_an_error(raw_sample):
    """Empty targets would look like images without objects."""
    (sample,) = Decode(tasks="vqa").apply(raw_sample("b", vqa=QA))
    message = (
        r"Targets: train-000007\.tar: sample 'b' was decoded without task 'detection'; it has "
        r"vqa\. Write Decode\(tasks=\('vqa', 'detection'\)\)"
    )
    with pytest.raises(ConfigError, match=message):
        target_of(sample, "detection")


def test_a_raw_sample_is_an_error(raw_sample):
    """The message says which stage is missing."""
    with pytest.raises(TypeError, match=r"Targets needs decoded samples: put Decode\(\) before it"):
        target_of(raw_sample(), "vqa")


def test_an_unknown_task_is_refused_at_once():
    """No sample is needed to see it."""
    with pytest.raises(UnknownTaskError, match="unknown task 'boxes'"):
        Targets("boxes")


SIDES = st.integers(0, 40_000).map(lambda side: side / 100)


@given(
    edges=st.tuples(SIDES, SIDES, SIDES, SIDES),
    corners=st.tuples(*[st.integers(-10_000, 50_000).map(lambda side: side / 100)] * 8),
    size_wh=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    box_format=st.sampled_from(["xyxy", "xywh", "cxcywh", "corners"]),
    coordinates=st.sampled_from(["pixels", "0-1", "0-100", "0-1000"]),
)
def test_boxes_in_every_format_and_unit(edges, corners, size_wh, box_format, coordinates):
    """Numbers agree with the definitions of layout and unit, written out one by one."""
    a, b, c, d = edges
    x_min, x_max, y_min, y_max = min(a, c), max(a, c), min(b, d), max(b, d)
    sample = _sample_with_box((x_min, y_min, x_max, y_max), corners, size_wh)
    (found,) = target_of(sample, "detection", box_format=box_format, coordinates=coordinates)[
        "boxes"
    ].tolist()

    in_pixels = {
        "xyxy": [x_min, y_min, x_max, y_max],
        "xywh": [x_min, y_min, x_max - x_min, y_max - y_min],
        "cxcywh": [(x_min + x_max) / 2, (y_min + y_max) / 2, x_max - x_min, y_max - y_min],
        "corners": list(corners),
    }[box_format]
    expected = in_pixels
    if coordinates != "pixels":
        expected = [
            value / size_wh[i % 2] * FULL_SIDES[coordinates] for i, value in enumerate(in_pixels)
        ]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * FULL_SIDES.get(coordinates, 1000))


def _sample_with_box(box, corners, size_wh):
    """Make a decoded sample of any size, without pixels to speak of."""
    item = DetectedObject(object_id=0, label="ship", box=box, corners=corners)
    return {
        "__key__": "a",
        "image": np.zeros((1, 1, 3), np.uint8),
        "meta": Meta(name="a", width=size_wh[0], height=size_wh[1]),
        "detection": Detection(objects=(item,)),
    }


@given(
    center=st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
    sides=st.tuples(st.floats(1, 100), st.floats(1, 100)),
    degrees=st.floats(-179, 179),
)
def test_rotated_boxes(center, sides, degrees):
    """A rectangle turned counter-clockwise on the screen comes back as centre, sides, angle."""
    (x, y), (width, height), turn = center, sides, math.radians(degrees)
    corners = []
    for across, down in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        right, below = across * width / 2, down * height / 2
        corners += [
            x + right * math.cos(turn) + below * math.sin(turn),
            y - right * math.sin(turn) + below * math.cos(turn),
        ]
    sample = _sample_with_box((0, 0, 1, 1), tuple(corners), (500, 500))
    (found,) = target_of(sample, "detection", box_format="rotated")["boxes"].tolist()
    assert found == pytest.approx([x, y, width, height, degrees], abs=1e-7)


def test_boxes_without_corners_have_those_of_the_box(full_sample):
    """Clockwise from the top left."""
    boxes = target_of(full_sample, "detection", box_format="corners")["boxes"]
    assert boxes[0].tolist() == [1, 2, 4, 2, 4, 8, 1, 8]
    boxes = target_of(full_sample, "detection", box_format="rotated")["boxes"]
    assert boxes[0].tolist() == [2.5, 5, 3, 6, 0]


def test_shares_are_of_the_picture_as_it_is_now(raw_sample, detection):
    """After resizing, pixels differ and shares do not."""
    raw = raw_sample(detection=detection((5, 5, 10, 10)))
    for size in (None, (40, 80)):
        (sample,) = Decode(size=size).apply(raw)
        boxes = target_of(sample, "detection", coordinates="0-1")["boxes"]
        assert boxes.tolist() == [[0.25, 0.5, 0.5, 1]]


def test_classes_make_labels_numbers(full_sample):
    """A label's number is its place among the classes; text columns become int64."""
    classes = ["plane", "ship"]
    for task, expected in (("detection", [1, 0]), ("grounding", [1])):
        labels = target_of(full_sample, task, classes=classes)["labels"]
        assert labels.dtype == np.int64
        assert labels.tolist() == expected
    assert target_of(full_sample, "classification", classes=classes) == 1


def test_no_labels_are_numbers_too(decoded_sample):
    """An empty column has the type of the others."""
    labels = target_of(decoded_sample(), "detection", classes=["ship"])["labels"]
    assert labels.dtype == np.int64
    assert labels.shape == (0,)


@pytest.mark.parametrize(
    ("task", "label"), [("detection", "plane"), ("grounding", "ship"), ("classification", "ship")]
)
def test_a_label_that_classes_lack_is_an_error(full_sample, task, label):
    """It is a mistake in the configuration, which is never skipped."""
    classes = [other for other in ("ship", "plane") if other != label]
    with pytest.raises(ConfigError, match=rf"classes: the data hold the label '{label}', .* the 1"):
        target_of(full_sample, task, classes=classes)


def test_label_key_chooses_the_field(full_sample):
    """`labels` gives all, `scene` the scene; with classes, their numbers."""
    assert target_of(full_sample, "classification", label_key="labels") == ["plane", "ship"]
    assert target_of(full_sample, "classification", label_key="scene") == "harbor"
    numbers = target_of(
        full_sample, "classification", label_key="labels", classes=["ship", "x", "plane"]
    )
    assert numbers == [2, 0]


def test_an_unknown_label_key_is_an_error(full_sample):
    """The message lists the fields."""
    with pytest.raises(ConfigError, match="label_key: expected one of label, labels, scene, got"):
        target_of(full_sample, "classification", label_key="kind")


@pytest.mark.parametrize(("min_box_size", "ids"), [(0, [10, 11]), (1, [10, 11]), (1.5, [10])])
def test_small_boxes_may_be_left_out(full_sample, min_box_size, ids):
    """Columns keep in step."""
    target = target_of(full_sample, "detection", min_box_size=min_box_size)
    assert target["object_ids"] == ids
    assert len(target["boxes"]) == len(target["labels"]) == len(ids)


def test_boxes_without_area_stay_unless_left_out(decoded_sample, detection):
    """The default keeps every annotation."""
    sample = decoded_sample(detection=detection((3, 3, 3, 9)))
    assert len(target_of(sample, "detection")["boxes"]) == 1
    assert len(target_of(sample, "detection", min_box_size=0.1)["boxes"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_format": "xxyy"}, "box_format: expected one of xyxy, xywh, cxcywh, .* got 'xxyy'"),
        ({"coordinates": "percent"}, "coordinates: expected one of pixels, 0-1, .* got 'percent'"),
        ({"box_format": "rotated", "coordinates": "0-1"}, "'rotated' has a meaning only with"),
        ({"min_box_size": -1}, "min_box_size: expected 0 or more, got -1"),
    ],
)
def test_options_are_checked(options, message):
    """The message names the option and its value."""
    with pytest.raises(ConfigError, match=message):
        Targets("detection", **options)


def test_the_fields_are_the_whole_stage(full_sample):
    """It pickles, compares, hashes and prints by its fields; the sample is not changed."""
    stage = Targets("detection", classes=["ship", "plane"], box_format="xywh")
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage
    assert hash(copy) == hash(stage)
    assert "classes=('ship', 'plane')" in repr(stage)
    (done,) = stage.apply(full_sample)
    assert set(done) - set(full_sample) == {"target"}
