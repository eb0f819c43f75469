"""The five tasks: what each counts, tells the index, and carries into another frame."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.frame import Frame
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import DetectedObject, Detection, DetectionTask
from vrs_wds.tasks.grounding import Expression, Grounding, GroundingTask
from vrs_wds.tasks.items import corners_of, large_enough, place_corners
from vrs_wds.tasks.registry import get_task, registered_tasks, task_names
from vrs_wds.tasks.task import TargetOptions
from vrs_wds.tasks.vqa import VQA, QAPair

FULL = {
    "captioning": Captioning(captions=("two ships", "ships")),
    "classification": Classification(label="ship", labels=("plane", "ship"), scene="harbor"),
    "detection": Detection(
        objects=(
            DetectedObject(object_id=4, label="ship", box=(1, 2, 5, 8)),
            DetectedObject(object_id=7, label="plane", box=(0, 0, 2, 2)),
            DetectedObject(object_id=8, label="ship", box=(9, 9, 9, 9)),
        )
    ),
    "grounding": Grounding(expressions=(Expression(text="the ship", box=(1, 2, 5, 8)),)),
    "vqa": VQA(
        qa_pairs=(
            QAPair(question="How many?", answer="2", type="quantity"),
            QAPair(question="Where?", answer="left"),
            QAPair(question="What?", answer="ships", type="category"),
        )
    ),
}
QUARTERS = st.integers(-100, 300).map(lambda value: value / 4)


def moved_boxes(boxes, frame, min_visible=0.0):
    """Return the moved boxes by their numbers."""
    objects = tuple(
        DetectedObject(object_id=number, label="", box=box) for number, box in enumerate(boxes)
    )
    moved = DetectionTask().move(Detection(objects=objects), frame, min_visible=min_visible)
    return {item.object_id: item.box for item in moved.objects}


@pytest.mark.parametrize(
    ("name", "count", "facts"),
    [
        ("captioning", 2, {"caption_length": 9}),
        ("classification", 2, {"label": "ship", "labels": ["plane", "ship"]}),
        ("detection", 3, {"num_objects": 3, "classes": ["plane", "ship"]}),
        ("grounding", 1, {"num_expressions": 1}),
        ("vqa", 3, {"num_questions": 3, "question_types": ["category", "quantity"]}),
    ],
)
def test_counts_and_facts(name, count, facts):
    """What the index is told of a sidecar."""
    task = get_task(name)
    assert task.count(FULL[name]) == count
    assert task.facts(FULL[name]) == facts


@pytest.mark.parametrize("name", task_names())
def test_facts_have_the_kinds_that_are_declared(name):
    """Each column's values are of its type, of an empty sidecar too."""
    task = get_task(name)
    kinds = {"int": int, "str": str, "strings": list}
    for sidecar in (FULL[name], task.empty()):
        facts = task.facts(sidecar)
        assert facts.keys() == task.fact_kinds.keys()
        for column, value in facts.items():
            assert type(value) is kinds[task.fact_kinds[column]]


@pytest.mark.parametrize("name", task_names())
def test_an_empty_sidecar_holds_nothing(name):
    """It counts zero, passes its own check, and its target has the type of any other."""
    task = get_task(name)
    empty = task.empty()
    assert task.count(empty) == 0
    task.check(empty)
    options = TargetOptions()
    assert type(task.target(empty, (9, 9), options)) is type(
        task.target(FULL[name], (9, 9), options)
    )
    assert type(task.plain_target(empty, (9, 9), options)) is type(
        task.plain_target(FULL[name], (9, 9), options)
    )


@pytest.mark.parametrize("task", registered_tasks(), ids=task_names())
def test_schemas_are_strict(task):
    """Sidecars cannot be changed, and unknown fields are errors, in the parts too."""
    columns = [getattr(FULL[task.name], field) for field in task.schema.__struct_fields__]
    parts = [
        type(column[0])
        for column in columns
        if isinstance(column, tuple) and isinstance(column[0], msgspec.Struct)
    ]
    assert len(parts) == (task.name in ("detection", "grounding", "vqa"))
    for part in (task.schema, *parts):
        assert part.__struct_config__.frozen
        assert part.__struct_config__.forbid_unknown_fields
    assert repr(task) == f"{type(task).__name__}()"
    assert task.version >= 1


@pytest.mark.parametrize("name", ["captioning", "classification", "vqa"])
def test_things_without_a_place_stay(name):
    """Cropping does not change what is said of the image."""
    assert get_task(name).move(FULL[name], Frame.crop(0, 0, 1, 1)) is FULL[name]


def test_moved_things_keep_everything_else():
    """Only box and corners change; the original is as it was."""
    expression = Expression(
        text="the ship",
        box=(2, 2, 6, 6),
        corners=(2, 2, 6, 2, 6, 6, 2, 6),
        label="ship",
        object_ids=(4,),
        is_unique=True,
    )
    (moved,) = (
        GroundingTask().move(Grounding(expressions=(expression,)), Frame.crop(4, 0, 20, 20))
    ).expressions
    assert moved == Expression(
        text="the ship",
        box=(0, 2, 2, 6),
        corners=(-2, 2, 2, 2, 2, 6, -2, 6),
        label="ship",
        object_ids=(4,),
        is_unique=True,
    )
    assert expression.box == (2, 2, 6, 6)


def test_moving_scales():
    """Boxes follow the picture's new size."""
    frame = Frame.resize((20, 10), (10, 20))
    assert moved_boxes([(2, 2, 6, 6)], frame) == {0: (1, 4, 3, 12)}


@given(st.lists(st.tuples(*[QUARTERS] * 4), max_size=5), *[st.integers(0, 40)] * 4)
def test_boxes_with_a_part_inside_stay(boxes, left, top, width, height):
    """A box with area stays if it shares some with the crop; one without, if it lies inside."""
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in boxes]
    right, bottom = left + width + 1, top + height + 1
    found = moved_boxes(boxes, Frame.crop(left, top, right, bottom))
    for number, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        clipped = (max(x_min, left), max(y_min, top), min(x_max, right), min(y_max, bottom))
        if x_min < x_max and y_min < y_max:
            stays = clipped[0] < clipped[2] and clipped[1] < clipped[3]
        else:
            stays = clipped == (x_min, y_min, x_max, y_max)
        expected = (clipped[0] - left, clipped[1] - top, clipped[2] - left, clipped[3] - top)
        assert found.get(number) == (expected if stays else None)


@pytest.mark.parametrize(("min_visible", "stays"), [(0, True), (0.25, True), (0.2501, False)])
def test_min_visible(min_visible, stays):
    """The share is of the box's own area."""
    found = moved_boxes([(0, 0, 4, 4)], Frame.crop(2, 2, 9, 9), min_visible)
    assert bool(found) == stays


def test_a_box_wholly_inside_passes_any_share():
    """1 keeps what is not cut at all."""
    assert moved_boxes([(2.1, 2.3, 4.7, 9)], Frame.crop(2, 2, 9, 9), 1.0).keys() == {0}


def test_moving_nothing():
    """An empty sidecar stays empty."""
    assert moved_boxes([], Frame.crop(0, 0, 1, 1)) == {}


def test_corners_are_placed_inside_the_picture():
    """The box around them, clipped."""
    assert place_corners((-1, 2, 5, 1, 30, 8, 4, 9), (20, 10)) == (0, 1, 20, 9)


def test_corners_are_those_of_the_box_where_none_are_given():
    """Row by row."""
    items = [
        DetectedObject(object_id=0, label="", box=(0, 0, 2, 1)),
        DetectedObject(object_id=1, label="", box=(0, 0, 2, 1), corners=(1, 0, 2, 1, 1, 2, 0, 1)),
    ]
    assert corners_of(items).tolist() == [[0, 0, 2, 0, 2, 1, 0, 1], [1, 0, 2, 1, 1, 2, 0, 1]]


def test_large_enough_looks_at_the_shorter_side():
    """A side as long as the limit is long enough."""
    items = FULL["detection"].objects
    assert [item.object_id for item in large_enough(items, 0)] == [4, 7, 8]
    assert [item.object_id for item in large_enough(items, 2)] == [4, 7]
    assert [item.object_id for item in large_enough(items, 3)] == [4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_format": "xx"}, "box_format: expected one of"),
        ({"coordinates": "xx"}, "coordinates: expected one of"),
        ({"min_box_size": -0.5}, "min_box_size: expected 0 or more, got -0.5"),
    ],
)
def test_target_options_are_checked(options, message):
    """Before any sample is read."""
    with pytest.raises(ConfigError, match=message):
        TargetOptions(**options)


def test_labels_become_numbers_by_their_place():
    """Without classes there are no numbers."""
    assert TargetOptions(classes=("a", "b")).label_to_number("b") == 1
    with pytest.raises(ConfigError, match="the label 'c', which is not among the 2 given"):
        TargetOptions(classes=("a", "b")).label_to_number("c")
    with pytest.raises(ConfigError, match="not among the 0 given"):
        TargetOptions().label_to_number("a")
