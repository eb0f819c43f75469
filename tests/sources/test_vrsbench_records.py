"""Records, one a task item: grouped by picture, with every quirk of the training and EVAL files."""

import json
from collections import Counter

import pytest

from vrs_wds.errors import SourceError
from vrs_wds.sources.vrsbench import (
    EvalCaption,
    EvalReferring,
    EvalVQA,
    read_eval_captions,
    read_eval_referring,
    read_eval_vqa,
)
from vrs_wds.sources.vrsbench.conversations import Conversation, Turn
from vrs_wds.sources.vrsbench.record_files import (
    RecordFiles,
    find_record_files,
    record_file_names,
    records_to_sidecars,
)
from vrs_wds.sources.vrsbench.records import RecordsByImage
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.classification import Classification
from vrs_wds.tasks.grounding import Expression
from vrs_wds.tasks.vqa import VQA, QAPair

CORNERS = [0.25, 0.25, 0.5, 0.25, 0.5, 0.5, 0.25, 0.5]
OTHER_CORNERS = [0.5, 0.5, 0.75, 0.5, 0.75, 0.75, 0.5, 0.75]


def conversation(prompt, answer, image="a.png"):
    """Return a training record."""
    turns = [Turn("human", f"<image>\n{prompt}"), Turn("gpt", answer)]
    return Conversation(image=image, conversations=turns)


def train_sidecars(*records):
    """Group training records; return picture a's sidecars at 100 x 200, and what was repaired."""
    grouped = RecordsByImage()
    grouped.add_conversations(records)
    return records_to_sidecars(grouped.images["a"], (100, 200)), dict(grouped.repairs)


def referring(**fields):
    """Return a record of EVAL_referring."""
    known = {"image_id": "a.png", "question": "The ship.", "ground_truth": "{<25><25><50><50>}"}
    return EvalReferring(**known | fields)


def val_expressions(*records):
    """Group referring records; return picture a's expressions at 512 x 512."""
    grouped = RecordsByImage()
    grouped.add_referring(records)
    grouped.drop_unusable_ids()
    made = records_to_sidecars(grouped.images["a"], (512, 512))
    return made["grounding"].expressions if made else (), dict(grouped.repairs)


def test_training_records_give_captions_expressions_and_questions():
    """Each kind of record goes into its task; there is no detection, and no class is known."""
    made, repairs = train_sidecars(
        conversation("[vqa] Question: How many? Short answer:", "2"),
        conversation("[caption] Could you describe the contents of this image for me?", "Ships."),
        conversation(
            "[refer] could you tell me the location for <p>A ship.</p>?", "{<1><2><3><4>}"
        ),
    )
    assert made == {
        "captioning": Captioning(("Ships.",)),
        "grounding": type(made["grounding"])(
            (Expression(text="A ship.", box=(1, 4, 3, 8), corners=(1, 4, 3, 4, 3, 8, 1, 8)),)
        ),
        "vqa": VQA((QAPair(question="How many?", answer="2"),)),
    }
    assert repairs == {}


def test_a_training_box_beyond_the_picture_keeps_its_corners():
    """8,238 of the real boxes leave 0 to 100: the box is clipped, the corners are not."""
    made, _ = train_sidecars(conversation("[refer] <p>it</p>", "{<-73><50><196><106>|<90>}"))
    (expression,) = made["grounding"].expressions
    assert expression.box == (0, 100, 100, 200)
    assert expression.corners == (-73, 100, 196, 100, 196, 212, -73, 212)


def test_what_a_training_record_lacks_is_counted():
    """Six real records have an empty `<p></p>`; other gaps are counted by their own names."""
    made, repairs = train_sidecars(
        conversation("[refer] could you tell me the location for <p></p>?", "{<1><2><3><4>}"),
        conversation("[refer] <p>it</p>", "I do not know."),
        conversation("[vqa] ", "2"),
        conversation("[identify] {<1><2><3><4>}", "ship"),
        conversation("Hello", "Hi"),
        Conversation(image="a.png", conversations=[]),
    )
    assert made == {}
    assert repairs == {
        "expressions_without_text": 1,
        "expressions_without_place": 1,
        "questions_without_text": 1,
        "records_of_unknown_kind": 3,
    }


def test_records_of_a_picture_may_lie_anywhere_in_the_file():
    """The real file is shuffled: pictures are told apart by name, with or without extension."""
    grouped = RecordsByImage()
    grouped.add_conversations(
        conversation(f"[vqa] {name}{i}?", "x", image)
        for i in range(2)
        for name, image in (("a", "a.png"), ("b", "b"), ("a", "a"))
    )
    questions = {
        stem: [pair.question for pair in one.qa_pairs] for stem, one in grouped.images.items()
    }
    assert questions == {"a": ["a0?", "a0?", "a1?", "a1?"], "b": ["b0?", "b1?"]}


@pytest.mark.parametrize("name", ["unique", "is_unique"])
def test_a_referring_record_gives_an_expression(name):
    """Corners come from `obj_corner`; `unique` and `is_unique` mean the same."""
    (one,), _ = val_expressions(
        referring(obj_corner=CORNERS, obj_cls="ship", obj_ids=[7], **{name: True})
    )
    assert one == Expression(
        text="The ship.",
        box=(128, 128, 256, 256),
        corners=(128, 128, 256, 128, 256, 256, 128, 256),
        label="ship",
        object_ids=(7,),
        is_unique=True,
    )


def test_a_referring_record_without_corners_has_its_ground_truth():
    """Percent are coarse, and better than nothing."""
    (one,), _ = val_expressions(referring())
    assert one.box == (128, 128, 256, 256)


def test_a_referring_box_without_area_is_kept_and_counted():
    """EVAL has 13 of them, and its evaluation counts them."""
    (one,), repairs = val_expressions(referring(ground_truth="{<25><25><25><50>}"))
    assert one.box == (128, 128, 128, 256)
    assert repairs == {"boxes_of_zero_area": 1}


def test_object_numbers_that_tell_no_objects_apart_are_dropped():
    """The published `obj_ids` are `[0]` for every object: then none of the file is believed."""
    first = referring(obj_ids=[0], obj_corner=CORNERS)
    second = referring(obj_ids=[0], obj_corner=OTHER_CORNERS)
    elsewhere = referring(obj_ids=[0], obj_corner=CORNERS, image_id="b.png")
    found, repairs = val_expressions(first, second, elsewhere)
    assert [one.object_ids for one in found] == [(), ()]
    assert repairs == {"object_ids_dropped": 3}


def test_object_numbers_that_tell_objects_apart_are_kept():
    """Two expressions may mean one object; another object has another number."""
    found, repairs = val_expressions(
        referring(obj_ids=[0], obj_corner=CORNERS),
        referring(obj_ids=[0], obj_corner=CORNERS, question="The same."),
        referring(obj_ids=[1], obj_corner=OTHER_CORNERS),
    )
    assert [one.object_ids for one in found] == [(0,), (0,), (1,)]
    assert repairs == {}


def test_evaluation_records_give_classes_where_they_can():
    """Labels are what expressions mean, the scene is answered; numbers become texts."""
    grouped = RecordsByImage()
    grouped.add_captions([EvalCaption(image_id="a.png", ground_truth="Ships.", question_id=2)])
    grouped.add_referring([referring(obj_cls="ship"), referring(obj_cls="harbor")])
    grouped.add_vqa(
        [
            EvalVQA(
                image_id="a.png",
                question="What?",
                ground_truth="Harbor",
                question_id=5,
                type="scene type",
            ),
            EvalVQA(image_id="a.png", question="How many?", ground_truth=2, question_id="Q6"),
        ]
    )
    made = records_to_sidecars(grouped.images["a"], (512, 512))
    assert made["captioning"] == Captioning(("Ships.",))
    assert made["classification"] == Classification(
        label="harbor", labels=("harbor", "ship"), scene="Harbor"
    )
    assert made["vqa"].qa_pairs == (
        QAPair(question="What?", answer="Harbor", question_id="5", type="scene type"),
        QAPair(question="How many?", answer="2", question_id="Q6"),
    )
    assert "detection" not in made


def test_each_split_has_its_files(tmp_path):
    """Train has the conversations, val those of the three evaluation files that there are."""
    assert record_file_names("train") == ("VRSBench_train.json",)
    for name in (*record_file_names("val")[1:], "VRSBench_train.json"):
        (tmp_path / name).write_text("[]")
    assert [path.name for path in find_record_files(tmp_path, "val")] == [
        "VRSBench_EVAL_referring.json",
        "VRSBench_EVAL_vqa.json",
    ]


def test_a_picture_has_only_the_tasks_that_records_speak_of(tmp_path):
    """Without a record of a task nobody looked: no sidecar, not an empty one."""
    path = tmp_path / "VRSBench_EVAL_Cap.json"
    path.write_text(json.dumps([{"image_id": "a.png", "ground_truth": "c", "question_id": 0}]))
    found = RecordFiles([path]).load("a", (512, 512))
    assert set(found.sidecars) == {"captioning"}
    assert found.origin == "VRSBench_EVAL_Cap.json: a"


@pytest.mark.parametrize(
    ("read", "record"),
    [
        (
            read_eval_captions,
            EvalCaption(
                image_id="P0007_0001.png",
                ground_truth="An image \u2014 of ships.",
                question="Describe the image in detail",
                dataset="RSBench",
                question_id=2,
                type="caption",
            ),
        ),
        (
            read_eval_referring,
            EvalReferring(
                image_id="P0003_0002.png",
                question="The vehicle.",
                ground_truth="{<25><40><33><60>}",
                unique=False,
                obj_corner=CORNERS,
                obj_cls="vehicle",
                obj_ids=[0],
                size_group="",
            ),
        ),
        (
            read_eval_vqa,
            EvalVQA(image_id="a.png", question="q", ground_truth="Yellow", question_id="Q6"),
        ),
    ],
)
def test_evaluation_files_are_read_as_they_are(tmp_path, read, record):
    """Nothing is put right in them: what is written comes back."""
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    path = tmp_path / "eval.json"
    path.write_text(json.dumps([fields | {"another": 1}]))
    assert read(path) == [record]
    assert read(str(path)) == [record]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "not readable as JSON"),
        ("{}", "Expected `array`, got `object`"),
        ('[{"image_id": 3}]', r"\[0\]\.image_id: Expected `str`, got `int`"),
        ('[{"question": ""}]', "missing required field"),
    ],
)
@pytest.mark.parametrize("read", [read_eval_captions, read_eval_referring, read_eval_vqa])
def test_an_evaluation_file_of_another_shape_is_named(tmp_path, read, text, message):
    """The message names the file and the field."""
    path = tmp_path / "eval.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=rf"eval\.json: .*{message}"):
        read(path)


def test_repairs_start_at_nothing():
    """A fresh group has neither pictures nor repairs."""
    assert (RecordsByImage().images, RecordsByImage().repairs) == ({}, Counter())
