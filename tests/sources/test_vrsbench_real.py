"""Real pictures and real records, where they are at hand; the rest of the tests does without."""

import json
from pathlib import Path

import numpy as np
import pytest

from vrs_wds.geometry.formats import corners_to_percent_text
from vrs_wds.sources.vrsbench import (
    VRSBenchSource,
    read_eval_captions,
    read_eval_referring,
    read_eval_vqa,
)
from vrs_wds.sources.vrsbench.conversations import read_conversations, unwrap_question
from vrs_wds.sources.vrsbench.record_files import RecordFiles
from vrs_wds.tasks.registry import get_task
from vrs_wds.tasks.sidecars import encode_sidecar

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MINI, TEXT = DATA / "vrsbench_mini", DATA / "vrsbench_text"

needs_mini = pytest.mark.skipif(not MINI.is_dir(), reason=f"no real pictures in {MINI}")
needs_text = pytest.mark.skipif(not TEXT.is_dir(), reason=f"no real records in {TEXT}")


def questions(sample, *fields):
    """Return the given fields of a sample's questions, as a set."""
    pairs = sample.annotations["vqa"].qa_pairs
    return {tuple(getattr(pair, name) for name in fields) for pair in pairs}


def expressions(sample):
    """Return a sample's expressions; none if it has no such sidecar."""
    sidecar = sample.annotations.get("grounding")
    return () if sidecar is None else sidecar.expressions


def grouped(records, value):
    """Return `value(record)` of each record, as a set for each picture's stem."""
    found = {}
    for record in records:
        found.setdefault(Path(record.image_id).stem, set()).add(value(record))
    return found


@needs_mini
def test_every_sample_of_the_real_pictures_is_there_and_valid():
    """38 and 12 samples, nothing unmatched or repaired, every sidecar accepted by its task."""
    for split, count in (("train", 38), ("val", 12)):
        for annotations in ("images", "records"):
            source = VRSBenchSource(MINI, split, annotations=annotations, unmatched="error")
            assert len(source) == count
            assert not source.report.repairs
            for sample in source:
                for task, sidecar in sample.annotations.items():
                    encode_sidecar(get_task(task), sidecar, where=sample.name)


@needs_mini
def test_expressions_give_the_evaluation_ground_truth():
    """From a picture's own annotation follows every box of EVAL_referring, and no other."""
    made = {
        sample.name: {
            (one.text, corners_to_percent_text(np.array([one.corners]), (512, 512))[0])
            for one in expressions(sample)
        }
        for sample in VRSBenchSource(MINI, "val", annotations="images")
    }
    records = read_eval_referring(MINI / "VRSBench_EVAL_referring.json")
    assert {name: found for name, found in made.items() if found} == grouped(
        records, lambda record: (record.question, record.ground_truth)
    )


@needs_mini
def test_captions_and_questions_are_those_of_the_evaluation():
    """From a picture's own annotation follow EVAL_Cap and EVAL_vqa."""
    source = VRSBenchSource(MINI, "val", annotations="images")
    captions = {sample.name: set(sample.annotations["captioning"].captions) for sample in source}
    assert captions == grouped(
        read_eval_captions(MINI / "VRSBench_EVAL_Cap.json"), lambda record: record.ground_truth
    )
    asked = {sample.name: questions(sample, "question", "answer", "type") for sample in source}
    assert asked == grouped(
        read_eval_vqa(MINI / "VRSBench_EVAL_vqa.json"),
        lambda record: (record.question, record.ground_truth, record.type),
    )


@needs_mini
def test_val_records_say_what_the_annotations_say():
    """Captions, questions with their types, and expressions with everything about them."""
    files = VRSBenchSource(MINI, "val", annotations="images")
    records = VRSBenchSource(MINI, "val", annotations="records")
    for mine, other in zip(files, records, strict=True):
        assert other.name == mine.name
        assert other.annotations["captioning"] == mine.annotations["captioning"]
        fields = ("question", "answer", "type")
        assert questions(other, *fields) == questions(mine, *fields)
        assert expressions(other) == expressions(mine)


@needs_mini
def test_train_records_say_what_the_annotations_say():
    """Captions and questions are equal; boxes in whole percent are less than 1 % off."""
    files = VRSBenchSource(MINI, "train", annotations="images")
    records = VRSBenchSource(MINI, "train", annotations="records")
    assert sum(len(expressions(sample)) for sample in files) == 5
    for mine, other in zip(files, records, strict=True):
        assert other.name == mine.name
        assert other.annotations["captioning"] == mine.annotations["captioning"]
        assert questions(other, "question", "answer") == questions(mine, "question", "answer")
        by_text = {one.text: one for one in expressions(other)}
        assert len(by_text) == len(expressions(mine))
        for one in expressions(mine):
            np.testing.assert_allclose(by_text[one.text].box, one.box, atol=5.12)


@needs_text
def test_the_formatter_gives_every_real_ground_truth():
    """`ground_truth` follows from `obj_corner` in each published record."""
    records = read_eval_referring(TEXT / "VRSBench_EVAL_referring.first25.json")
    corners = np.array([record.obj_corner for record in records])
    assert len(records) == 25
    assert corners_to_percent_text(corners, (1, 1)) == [r.ground_truth for r in records]


@needs_text
def test_sidecars_of_real_records_give_the_real_ground_truth(tmp_path):
    """The same through the sidecar in pixels: nothing is lost on the way."""
    path = tmp_path / "VRSBench_EVAL_referring.json"
    path.write_bytes((TEXT / "VRSBench_EVAL_referring.first25.json").read_bytes())
    loaded = RecordFiles([path])
    made = {
        stem: {
            (one.text, corners_to_percent_text(np.array([one.corners]), (512, 512))[0])
            for one in loaded.load(stem, (512, 512)).sidecars["grounding"].expressions
        }
        for stem in loaded.stems
    }
    assert made == grouped(read_eval_referring(path), lambda r: (r.question, r.ground_truth))


@needs_text
def test_real_object_numbers_are_not_believed(tmp_path):
    """All 25 real records say `[0]`, for up to four objects of a picture: they are dropped."""
    path = tmp_path / "VRSBench_EVAL_referring.json"
    path.write_bytes((TEXT / "VRSBench_EVAL_referring.first25.json").read_bytes())
    assert RecordFiles([path]).repairs == {"object_ids_dropped": 25}


@needs_text
def test_real_captions_and_questions_are_read():
    """As many as there are, and one as it is written there."""
    captions = read_eval_captions(TEXT / "VRSBench_EVAL_Cap.first17.json")
    asked = read_eval_vqa(TEXT / "VRSBench_EVAL_vqa.first64.json")
    assert (len(captions), len(asked)) == (17, 64)
    assert captions[0].ground_truth.startswith("The aerial image from GoogleEarth features")
    assert (asked[0].ground_truth, asked[0].type) == ("Yellow", "object color")


@needs_text
def test_real_prompts_become_bare_questions():
    """Each of the ten real training prompts, in the order of the file."""
    path = TEXT / "VRSBench_train.demo10.json"
    said = [one for record in read_conversations(path) for one in record.exchanges()]
    assert {kind for kind, _, _ in said} == {"vqa"}
    assert [(unwrap_question(prompt), answer) for _, prompt, answer in said] == [
        ("How many baseball fields are depicted in this image?", "2"),
        ("What type of vehicles are visible?", "Small vehicles"),
        ("What is the main type of area in the image?", "Residential"),
        (
            "How many small vehicles are positioned at the top edge within the parking area?",
            "2",
        ),
        ("What feature divides the landscape in the image?", "Dirt road"),
        ("What type of highway is adjacent to the service area?", "Divided highway"),
        ("Are there any vehicles in the bottom-middle of the image?", "Yes"),
        ("How many small vehicles are visible in the image?", "6"),
        ("What type of area is shown in the image?", "urban"),
        ("How many storage tanks are visible?", "4"),
    ]
    assert json.loads(path.read_text())[0]["id"] == "Final_Data/v1.2"
