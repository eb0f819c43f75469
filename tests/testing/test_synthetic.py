"""The made-up VRSBench: its quirks, its layouts, that it says one thing throughout."""

import io
import json
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from vrs_wds.geometry.formats import corners_to_percent_text
from vrs_wds.sources.vrsbench import VRSBenchSource
from vrs_wds.testing.synthetic import make_annotations, make_vrsbench

EIGHT = make_annotations("train", 8)
OBJECTS = [item for annotation in EIGHT for item in annotation.get("objects", ())]
PAIRS = [pair for annotation in EIGHT for pair in annotation["qa_pairs"]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A small dataset in archives."""
    root = tmp_path_factory.mktemp("vrsbench")
    return make_vrsbench(root, num_train=16, num_val=8, size=64)


def files_of(root):
    """Return the bytes of every file below a folder, by relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_annotations_have_the_fields_of_vrsbench():
    """Keys and their order are the real ones."""
    assert list(EIGHT[0]) == ["source", "image", "caption", "objects", "qa_pairs"]
    assert list(OBJECTS[0]) == [
        *("obj_id", "referring_sentence", "obj_cls", "obj_corner", "obj_coord", "is_unique"),
        *("obj_position", "obj_rel_position", "obj_size", "obj_rel_size", "flag"),
    ]
    assert list(PAIRS[0]) == ["ques_id", "question", "type", "answer"]


def test_eight_pictures_in_a_row_show_every_quirk():
    """What the real data do to a loader, these do too."""
    corners = np.array([item["obj_corner"] for item in OBJECTS])
    spans = corners.reshape(-1, 4, 2).max(axis=1) - corners.reshape(-1, 4, 2).min(axis=1)
    assert corners.min() < 0
    assert corners.max() > 1
    assert (spans == 0).any()
    assert any("objects" not in annotation for annotation in EIGHT)
    assert any(annotation.get("objects") == [] for annotation in EIGHT)
    assert any(not item["referring_sentence"] for item in OBJECTS)
    assert {type(pair["ques_id"]) for pair in PAIRS} == {int, str}
    assert any("\u2014" in annotation["caption"] for annotation in EIGHT)
    assert {pair["answer"] for pair in PAIRS} >= {"Rural", "rural", "Yes", "no", "White", "gray"}
    assert any(pair["type"] == "scene type" for pair in PAIRS)
    assert {annotation["source"] for annotation in EIGHT} == {"DOTA", "DIOR"}
    assert {item["is_unique"] for item in OBJECTS} == {True, False}


def test_some_objects_are_rotated_and_some_are_not():
    """DOTA's are, DIOR's lie along the axes."""
    corners = np.array([item["obj_corner"] for item in OBJECTS])
    along = (corners[:, 1] == corners[:, 3]) & (corners[:, 0] == corners[:, 6])
    assert along.any()
    assert (~along).any()


def test_coordinates_are_whole_512ths_and_obj_coord_is_rounded_and_clamped():
    """As in the real data: exact corners, coarse boxes."""
    for item in OBJECTS:
        assert all((value * 512).is_integer() for value in item["obj_corner"])
        assert all(0 <= value <= 1 and value == round(value, 2) for value in item["obj_coord"])


def test_equal_arguments_give_equal_bytes(tmp_path, root):
    """The whole folder, archives included; another seed gives other pictures and annotations."""
    again = make_vrsbench(tmp_path / "again", num_train=16, num_val=8, size=64)
    other = make_vrsbench(tmp_path / "other", num_train=16, num_val=8, size=64, seed=1)
    expected, changed = files_of(root), files_of(other)
    assert files_of(again) == expected
    assert [name for name in expected if expected[name] == changed[name]] == []


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path):
    """A smaller dataset is the beginning of a larger one."""
    few = make_vrsbench(tmp_path / "a", num_train=1, num_val=1, size=64, layout="extracted")
    more = make_vrsbench(tmp_path / "b", num_train=3, num_val=2, size=64, layout="extracted")
    names = [name for name in files_of(few) if name.startswith(("Images", "Annotations"))]
    assert len(names) == 4
    assert {files_of(few)[name] == files_of(more)[name] for name in names} == {True}


def test_a_picture_has_the_size_on_disk_of_a_real_one(tmp_path):
    """512 x 512 RGB PNG of 350 to 420 KB, with enough grey levels to be a photograph."""
    make_vrsbench(tmp_path, num_train=2, num_val=0, layout="extracted")
    for path in (tmp_path / "Images_train").iterdir():
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (512, 512))
            assert np.asarray(image).std() > 10
        assert 350_000 < path.stat().st_size < 420_000


def test_objects_are_drawn_where_the_annotation_says(tmp_path):
    """Inside a swimming pool the picture is bluer than the picture as a whole."""
    found = [
        (annotation, item)
        for annotation in make_annotations("train", 40)
        for item in annotation.get("objects", ())[-1:]
        if item["obj_cls"] == "swimming-pool"
    ]
    assert found
    make_vrsbench(tmp_path, num_train=40, num_val=0, size=128, layout="extracted")
    for annotation, item in found:
        with Image.open(tmp_path / "Images_train" / annotation["image"]) as image:
            pixels = np.asarray(image).astype(float)
        x, y = np.array(item["obj_corner"]).reshape(4, 2).mean(axis=0) * 128
        middle = pixels[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        blueness = middle[..., 2].mean() - middle[..., 0].mean()
        assert blueness > 60 + (pixels[..., 2] - pixels[..., 0]).mean()


def test_archives_have_one_top_folder_and_junk(root):
    """As macOS packs them: `__MACOSX/._x` for each file, and a `.DS_Store`."""
    with zipfile.ZipFile(root / "Images_val.zip") as archive:
        names = archive.namelist()
        # Not the clock's: equal arguments give equal bytes on another day.
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert Image.open(io.BytesIO(archive.read("Images_val/P5000_0000.png"))).size == (64, 64)
    assert {name.split("/")[0] for name in names} == {"Images_val", "__MACOSX"}
    assert "Images_val/.DS_Store" in names
    assert "__MACOSX/Images_val/._P5000_0000.png" in names


@pytest.mark.parametrize(
    ("layout", "picture"),
    [
        ("extracted", "Images_val/P5000_0000.png"),
        ("nested", "Images_val/Images_val/P5000_0000.png"),
    ],
)
def test_extracted_layouts_hold_plain_files(tmp_path, layout, picture):
    """One folder, or one inside another of its name."""
    make_vrsbench(tmp_path, num_train=0, num_val=1, size=64, layout=layout)
    assert (tmp_path / picture).is_file()


def test_annotation_files_are_ascii_json(root):
    """Other characters are escaped, as in the real files."""
    with zipfile.ZipFile(root / "Annotations_train.zip") as archive:
        data = archive.read("Annotations_train/P0000_0000.json")
    assert b"\\u2014" in data
    assert json.loads(data)["image"] == "P0000_0000.png"


def test_no_two_pictures_share_a_name():
    """Nor do those of train and val; the names have the two real forms."""
    names = [a["image"] for split in ("train", "val") for a in make_annotations(split, 250)]
    assert len(set(names)) == 500
    assert {len(name) for name in names} == {len("P0003_0002.png")}


def test_evaluation_files_follow_from_the_annotations(root):
    """One record for each caption, expression and question; `ground_truth` is as it is computed."""
    made = make_annotations("val", 8)

    def read(name):
        return json.loads((root / f"VRSBench_EVAL_{name}.json").read_bytes())

    assert [r["ground_truth"] for r in read("Cap")] == [a["caption"] for a in made]
    assert len(read("vqa")) == sum(len(a["qa_pairs"]) for a in made)
    referring = read("referring")
    said = [o for a in made for o in a.get("objects", ()) if o["referring_sentence"]]
    assert [r["question"] for r in referring] == [o["referring_sentence"] for o in said]
    corners = np.array([r["obj_corner"] for r in referring])
    assert [r["ground_truth"] for r in referring] == corners_to_percent_text(corners, (1, 1))
    assert "unique" in referring[0]


def test_training_records_have_the_quirks_of_the_real_ones(root):
    """Shuffled; wrapped questions; boxes beyond 0 to 100; an expression without text."""
    records = json.loads((root / "VRSBench_train.json").read_bytes())
    prompts = [record["conversations"][0]["value"] for record in records]
    answers = [record["conversations"][1]["value"] for record in records]
    images = [record["image"] for record in records]
    neighbours = sum(a == b for a, b in pairwise(images))
    assert neighbours < len(images) / 2
    assert any("<p></p>" in prompt for prompt in prompts)
    assert any("?." in prompt for prompt in prompts)
    assert any(prompt.endswith(" Short answer:") for prompt in prompts)
    boxes = [answer for answer in answers if answer.startswith("{")]
    numbers = [int(number) for box in boxes for number in box.strip("{<>}").split("><")]
    assert min(numbers) < 0
    assert max(numbers) > 100


@pytest.mark.parametrize("split", ["train", "val"])
def test_records_and_annotation_files_say_the_same(root, split):
    """Read by the source: equal captions, questions and texts of expressions."""

    def said(annotations):
        return [
            (
                sample.name,
                sample.annotations["captioning"],
                sorted((p.question, p.answer) for p in sample.annotations["vqa"].qa_pairs),
                sorted(
                    one.text
                    for task, sidecar in sample.annotations.items()
                    if task == "grounding"
                    for one in sidecar.expressions
                ),
            )
            for sample in VRSBenchSource(root, split, annotations=annotations, unmatched="error")
        ]

    assert said("images") == said("records")
