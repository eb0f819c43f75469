"""get_task_targets: targets of a batch of metadata as plain lists."""

import pytest

from vrs_wds.errors import ConfigError, UnknownTaskError
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.meta import Meta
from vrs_wds.tasks.registry import task_names
from vrs_wds.tasks.targets import get_task_targets
from vrs_wds.tasks.vqa import VQA, QAPair

CORNERS = (1, 2, 5, 2, 5, 8, 1, 8)
FULL = {
    "__key__": "a",
    "meta": Meta(name="a", width=20, height=10, extra={"sensor": "S2", "label": "other"}),
    "captioning": Captioning(captions=("two ships", "ships")),
    "classification": Classification(label="ship", labels=("plane", "ship"), scene="harbor"),
    "detection": Detection(
        objects=(
            DetectedObject(object_id=4, label="ship", box=(1, 2, 5, 8), corners=CORNERS),
            DetectedObject(object_id=7, label="plane", box=(9, 9, 9, 9)),
        )
    ),
    "grounding": Grounding(expressions=(Expression(text="the ship", box=(1, 2, 5, 8)),)),
    "vqa": VQA(qa_pairs=(QAPair(question="How many?", answer="2", type="quantity"),)),
}
BARE = {
    "__key__": "b",
    "meta": Meta(name="b", width=8, height=8),
    **dict.fromkeys(task_names()),
}
METAS = [FULL, BARE]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("captioning", ["two ships", ""]),
        ("classification", ["ship", ""]),
        ("detection", [[[1, 2, 4, 6], [9, 9, 0, 0]], []]),
        ("grounding", [[[1, 2, 4, 6]], []]),
        ("vqa", [[("How many?", "2")], []]),
    ],
)
def test_targets_of_each_task(task, expected):
    """One an image, in order; an image without a sidecar gives what an empty one gives."""
    assert get_task_targets(METAS, task) == expected


@pytest.mark.parametrize("word", ["all", "complete"])
def test_all_tasks(word):
    """A dict from task to its targets."""
    targets = get_task_targets(METAS, word)
    assert list(targets) == task_names()
    for task, found in targets.items():
        assert found == get_task_targets(METAS, task)


def test_all_means_all_that_were_read():
    """A task that no dict holds is left out."""
    metas = [{name: row[name] for name in ("meta", "vqa", "captioning")} for row in METAS]
    assert list(get_task_targets(metas, "all")) == ["captioning", "vqa"]


def test_no_images_have_no_targets():
    """An empty batch is no error."""
    assert get_task_targets([], "vqa") == []
    assert get_task_targets([], "all") == {}
    assert get_task_targets(iter(METAS), "captioning") == ["two ships", ""]


@pytest.mark.parametrize(
    ("box_format", "coordinates", "expected"),
    [
        ("xyxy", "pixels", [1, 2, 5, 8]),
        ("xywh", "0-1", [0.05, 0.2, 0.2, 0.6]),
        ("cxcywh", "0-100", [15, 50, 20, 60]),
        ("corners", "pixels", list(CORNERS)),
        ("rotated", "pixels", [3, 5, 4, 6, 0]),
    ],
)
def test_formats_and_units(box_format, coordinates, expected):
    """Boxes are lists of floats in the layout and unit asked for."""
    targets = get_task_targets([FULL], "detection", box_format=box_format, coordinates=coordinates)
    assert targets[0][0] == pytest.approx(expected)
    assert all(isinstance(value, float) for value in targets[0][0])


@pytest.mark.parametrize(
    ("label_key", "expected"),
    [
        (None, ["ship", ""]),
        ("label", ["ship", ""]),  # the field, although `extra` has one of the same name
        ("labels", [["plane", "ship"], []]),
        ("scene", ["harbor", None]),
    ],
)
def test_label_key_chooses_the_field(label_key, expected):
    """A field of the classification sidecar."""
    assert get_task_targets(METAS, "classification", label_key) == expected


def test_label_key_may_name_a_key_of_extra():
    """What the source says of the image can be the label."""
    assert get_task_targets([FULL], "classification", "sensor") == ["S2"]


def test_label_key_is_for_classification_only():
    """Other tasks keep their targets when all are asked for."""
    targets = get_task_targets([FULL], "all", "sensor")
    assert targets["classification"] == ["S2"]
    assert targets["vqa"] == [[("How many?", "2")]]
    assert targets["captioning"] == ["two ships"]


def test_an_unknown_label_key_is_an_error():
    """Neither a field nor a key of `extra`."""
    with pytest.raises(ConfigError, match="label_key: expected one of label, labels, scene, got"):
        get_task_targets([FULL], "classification", "kind")


def test_a_task_that_was_not_read_is_an_error():
    """The message says how to read it."""
    metas = [{"__key__": "a", "meta": FULL["meta"], "vqa": None}]
    message = (
        r"sample 'a': the metadata hold no 'detection'; they were read for vqa\. "
        r"Read them with tasks=\['detection'\]"
    )
    with pytest.raises(UnknownTaskError, match=message):
        get_task_targets(metas, "detection")


def test_an_unknown_task_is_an_error():
    """The message lists the tasks."""
    with pytest.raises(UnknownTaskError, match="unknown task 'boxes'; registered are captioning"):
        get_task_targets(METAS, "boxes")


def test_a_sample_without_meta_gives_pixels():
    """Foreign samples have no `meta.json`; only shares of the picture's side need its size."""
    foreign = {**FULL, "meta": None}
    assert get_task_targets([foreign], "detection") == [[[1, 2, 4, 6], [9, 9, 0, 0]]]
    assert get_task_targets([foreign], "captioning") == ["two ships"]
    with pytest.raises(ConfigError, match=r"sample 'a': coordinates '0-1' .* no meta\.json"):
        get_task_targets([foreign], "detection", coordinates="0-1")
