"""An annotation file to sidecars: the mapping, the rule for what is missing, every quirk."""

import json
from collections import Counter

import pytest

from vrs_wds.errors import SourceError
from vrs_wds.sources.vrsbench.annotation import annotation_to_sidecars, count_repairs
from vrs_wds.sources.vrsbench.objects import number_objects
from vrs_wds.sources.vrsbench.raw import RawObject, parse_annotation
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.detection import Detection
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.registry import get_task
from vrs_wds.tasks.sidecars import encode_sidecar
from vrs_wds.tasks.vqa import VQA, QAPair

CORNERS = [0.25, 0.25, 0.5, 0.25, 0.5, 0.5, 0.25, 0.5]
OBJECT = {
    "obj_id": 3,
    "referring_sentence": "The ship at the left.",
    "obj_cls": "ship",
    "obj_corner": CORNERS,
    "obj_coord": [0.25, 0.25, 0.5, 0.5],
    "is_unique": True,
    "obj_position": "left",
    "obj_rel_position": "",
    "obj_size": "small",
    "obj_rel_size": "largeest",
    "flag": False,
}


def parse(**fields):
    """Parse an annotation with these keys."""
    return parse_annotation(json.dumps(fields).encode(), where="a.json")


def sidecars(**fields):
    """Map an annotation, and let every sidecar pass its task's own checks."""
    made = annotation_to_sidecars(parse(**fields), (512, 512))
    for task, sidecar in made.items():
        encode_sidecar(get_task(task), sidecar, where="a")
    return made


def repairs_of(**fields):
    """Count what is put right in an annotation with these keys."""
    repairs = Counter()
    count_repairs(parse(**fields), repairs)
    return dict(repairs)


def test_an_object_keeps_number_class_corners_box_and_attributes():
    """Fields go where they belong; the rest stays as attributes, under VRSBench's own names."""
    (found,) = sidecars(objects=[OBJECT])["detection"].objects
    assert (found.object_id, found.label) == (3, "ship")
    assert found.corners == (128, 128, 256, 128, 256, 256, 128, 256)
    assert found.box == (128, 128, 256, 256)
    assert found.attributes == {
        "is_unique": True,
        "obj_position": "left",
        "obj_rel_position": "",
        "obj_size": "small",
        "obj_rel_size": "largeest",
        "flag": False,
    }


def test_unknown_scalars_of_an_object_are_kept_and_what_is_no_scalar_is_not():
    """A field that a later version adds is not lost; null, lists and objects are no attributes."""
    item = OBJECT | {"score": 0.5, "note": "x", "nothing": None, "many": [1], "deep": {"a": 1}}
    attributes = sidecars(objects=[item])["detection"].objects[0].attributes
    assert attributes["score"] == 0.5
    assert attributes["note"] == "x"
    assert not {"nothing", "many", "deep", "obj_id", "obj_corner"} & set(attributes)


def test_each_object_with_an_expression_gives_one():
    """The expression has the object's place, class and number; blank ones give none."""
    silent = OBJECT | {"obj_id": 4, "referring_sentence": ""}
    blank = OBJECT | {"obj_id": 5, "referring_sentence": "  "}
    made = sidecars(objects=[silent, OBJECT, blank])
    assert len(made["detection"].objects) == 3
    assert made["grounding"].expressions == (
        Expression(
            text="The ship at the left.",
            box=(128, 128, 256, 256),
            corners=(128, 128, 256, 128, 256, 256, 128, 256),
            label="ship",
            object_ids=(3,),
            is_unique=True,
        ),
    )


def test_unique_is_another_name_of_is_unique():
    """The evaluation files say `unique`; an annotation that does is understood."""
    item = {k: v for k, v in OBJECT.items() if k != "is_unique"} | {"unique": False}
    assert sidecars(objects=[item])["grounding"].expressions[0].is_unique is False
    del item["unique"]
    assert sidecars(objects=[item])["grounding"].expressions[0].is_unique is None


def test_a_key_that_is_missing_or_null_gives_no_sidecar():
    """Nothing is claimed about what was not annotated."""
    assert sidecars(image="a.png") == {}
    assert sidecars(caption=None, objects=None, qa_pairs=None) == {}


def test_a_key_that_is_empty_gives_an_empty_sidecar():
    """Somebody looked and found nothing: that is said."""
    assert sidecars(caption="", objects=[], qa_pairs=[]) == {
        "captioning": Captioning(()),
        "classification": Classification(label=""),
        "detection": Detection(()),
        "grounding": Grounding(()),
        "vqa": VQA(()),
    }


def test_the_caption_is_kept_as_it_is():
    """Escapes of other characters than ASCII are read; blanks stay."""
    data = b'{"caption": "Ships \\u2014 seen from above. "}'
    made = annotation_to_sidecars(parse_annotation(data, where="a"), (512, 512))
    assert made == {"captioning": Captioning(("Ships \u2014 seen from above. ",))}


def test_question_numbers_and_answers_become_texts():
    """`ques_id` is a number or a text such as `Q6`, answers may be numbers: all become texts."""
    pairs = [
        {"ques_id": 1, "question": "How many?", "type": "object quantity", "answer": 2},
        {"ques_id": "Q6", "question": "Is it?", "type": "object existence", "answer": "yes"},
        {"question": "What?", "answer": None},
    ]
    assert sidecars(qa_pairs=pairs)["vqa"].qa_pairs == (
        QAPair(question="How many?", answer="2", question_id="1", type="object quantity"),
        QAPair(question="Is it?", answer="yes", question_id="Q6", type="object existence"),
        QAPair(question="What?", answer=""),
    )


def test_a_question_without_text_is_left_out_and_counted():
    """There is nothing to ask."""
    pairs = [{"question": " ", "answer": "x"}, {"answer": "y"}, {"question": "q", "answer": "z"}]
    assert len(sidecars(qa_pairs=pairs)["vqa"].qa_pairs) == 1
    assert repairs_of(qa_pairs=pairs) == {"questions_without_text": 2}


@pytest.mark.parametrize("kind", ["scene type", "Scene Type "])
def test_the_scene_is_the_label(kind):
    """The answer to the first `scene type` question is scene and, in lower case, label."""
    pairs = [
        {"question": "What?", "type": "image", "answer": "no"},
        {"question": "What?", "type": kind, "answer": " Harbor "},
        {"question": "What?", "type": "scene type", "answer": "Airport"},
    ]
    assert sidecars(objects=[OBJECT], qa_pairs=pairs)["classification"] == Classification(
        label="harbor", labels=("ship",), scene="Harbor"
    )
    assert sidecars(qa_pairs=pairs)["classification"] == Classification(
        label="harbor", scene="Harbor"
    )


def test_without_a_scene_the_most_frequent_class_is_the_label():
    """Equally frequent classes: the first in the alphabet; `labels` has each once, sorted."""
    objects = [OBJECT | {"obj_id": i, "obj_cls": name} for i, name in enumerate("bcacb")]
    assert sidecars(objects=objects)["classification"] == Classification(
        label="b", labels=("a", "b", "c")
    )


def test_without_corners_the_place_is_obj_coord():
    """It is rounded and clipped, so there are no corners; an odd one is put right and counted."""
    objects = [
        OBJECT | {"obj_id": 0, "obj_corner": None, "obj_coord": [0.25, 0.5, 1.5, 0.75]},
        OBJECT | {"obj_id": 1, "obj_corner": [0.1, 0.2], "obj_coord": [0.5, 0.5, 0.25, 0.25]},
    ]
    found = sidecars(objects=objects)["detection"].objects
    assert [(item.box, item.corners) for item in found] == [
        ((128, 256, 512, 384), None),
        ((128, 128, 256, 256), None),
    ]
    assert repairs_of(objects=objects) == {"boxes_from_obj_coord": 2, "boxes_repaired": 2}


def test_an_object_without_a_place_is_left_out_and_counted():
    """Neither corners nor box: the class still counts for the labels."""
    item = {k: v for k, v in OBJECT.items() if k not in ("obj_corner", "obj_coord")}
    made = sidecars(objects=[item])
    assert made["detection"] == Detection(())
    assert made["classification"].labels == ("ship",)
    assert repairs_of(objects=[item]) == {"objects_without_place": 1}


def test_a_box_without_area_is_kept_and_counted():
    """Evaluation counts it, so it must not vanish."""
    item = OBJECT | {"obj_corner": [0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.25, 0.5]}
    made = sidecars(objects=[item])
    assert made["detection"].objects[0].box == (128, 128, 128, 256)
    assert made["grounding"].expressions[0].box == (128, 128, 128, 256)
    assert repairs_of(objects=[item]) == {"boxes_of_zero_area": 1}


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ([3, 3, None, 0], [3, 4, 2, 0]),
        ([0, 0, 0], [0, 3, 4]),
        ([None, None], [0, 1]),
        ([1, None, None], [1, 3, 2]),
        (["7", 7.0, "x", 1.5], [7, 8, 2, 3]),
        ([-5, -5], [-5, 2]),
        ([], []),
    ],
)
def test_object_numbers_become_unique(given, numbers):
    """The first keeps its number; others get one that nobody has."""
    repairs = Counter()
    made = number_objects([RawObject(obj_id=value) for value in given], repairs)
    assert made == numbers
    assert len(set(made)) == len(made)


def test_objects_that_share_a_number_are_told_apart_and_counted():
    """Detection and grounding agree on the new number."""
    made = sidecars(objects=[OBJECT, OBJECT])
    assert [item.object_id for item in made["detection"].objects] == [3, 4]
    assert [item.object_ids for item in made["grounding"].expressions] == [(3,), (4,)]
    assert repairs_of(objects=[OBJECT, OBJECT]) == {"object_ids_given": 1}


def test_other_scalars_of_the_annotation_are_kept():
    """`source` and whatever else the file says; not lists, not null."""
    raw = parse(source="DOTA", gsd=0.3, image="a.png", tags=["x"], none=None, caption="c")
    assert raw.extra == {"source": "DOTA", "gsd": 0.3}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", r"a\.json: not readable as JSON: Input data was truncated"),
        (b"", r"a\.json: not readable as JSON: "),
        (b'{"caption": "\xff"}', r"a\.json: not readable as JSON: .*utf-8"),
        (b'{"objects": [{"obj_corner": [NaN]}]}', r"a\.json: not readable as JSON: "),
        (b"[" * 100_000, r"a\.json: not readable as JSON: .*recursion"),
        (b"[]", r"a\.json: Expected `object`, got `array`"),
        (b'{"caption": 3}', r"a\.json: caption: Expected `str \| null`, got `int`"),
        (b'{"objects": {}}', r"a\.json: objects: Expected `array \| null`, got `object`"),
        (b'{"objects": [3]}', r"a\.json: objects\[0\]: Expected `object`, got `int`"),
        (
            b'{"objects": [{"obj_cls": 3}]}',
            r"a\.json: objects\[0\]\.obj_cls: Expected `str \| null`, got `int`",
        ),
        (
            b'{"qa_pairs": [{"answer": ["a"]}]}',
            r"a\.json: qa_pairs\[0\]\.answer: Expected .*, got `array`",
        ),
    ],
)
def test_a_malformed_file_is_named_with_the_field(data, message):
    """The message says which file, which field, what was expected and what was found."""
    with pytest.raises(SourceError, match=message):
        parse_annotation(data, where="a.json")
