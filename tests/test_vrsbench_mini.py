"""The main job on real input: 50 aerial tiles laid out as VRSBench is."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vrs_wds.geometry.formats import corners_to_percent_text
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.reader.open import open_dataset
from vrs_wds.reader.verify import verify
from vrs_wds.tasks.targets import get_task_targets


def records(path: Path) -> dict[str, list[Any]]:
    """Return the records of an evaluation file by picture."""
    found = defaultdict(list)
    for record in json.loads(path.read_text(encoding="utf-8")):
        found[record["image_id"]].append(record)
    return found


def validation(mini_root: Path) -> dict[str, dict[str, Any]]:
    """Return the metadata of the val samples by picture."""
    dataset = open_dataset(mini_root, "val")
    metas = dataset.metadata_many(range(len(dataset)))
    return {meta["meta"].extra["file_name"]: meta for meta in metas}


@pytest.mark.parametrize(("split", "count"), [("train", 38), ("val", 12)])
def test_every_tile_is_written_and_sound(mini_root: Path, split: str, count: int) -> None:
    """38 and 12, and every picture decodes."""
    report = verify(mini_root, split, decode=True)

    assert report.ok, report.problems
    assert report.num_samples == count


def test_pictures_keep_their_bytes(mini_root: Path, shared_data: Path) -> None:
    """The members are the files."""
    for split in ("train", "val"):
        for sample in open_dataset(mini_root, split):
            path = shared_data / "vrsbench_mini" / f"Images_{split}" / f"{sample.key}.png"
            assert sample["png"] == path.read_bytes()


def test_grounding_in_the_official_form(mini_root: Path, shared_data: Path) -> None:
    """Expressions and boxes equal every record of VRSBench_EVAL_referring.json."""
    expected = records(shared_data / "vrsbench_mini" / "VRSBench_EVAL_referring.json")
    for name, meta in validation(mini_root).items():
        expressions = meta["grounding"].expressions
        corners = np.array([item.corners for item in expressions]).reshape(-1, 8)
        texts = corners_to_percent_text(corners, meta["meta"].size_wh)
        found = list(zip([item.text for item in expressions], texts, strict=True))

        assert found == [(r["question"], r["ground_truth"]) for r in expected.pop(name, [])]
    assert not expected


def test_captions_and_answers(mini_root: Path, shared_data: Path) -> None:
    """Captions equal EVAL_Cap, question and answer pairs EVAL_vqa, as sets a picture."""
    folder = shared_data / "vrsbench_mini"
    captions = records(folder / "VRSBench_EVAL_Cap.json")
    answers = records(folder / "VRSBench_EVAL_vqa.json")
    metas = validation(mini_root)

    assert metas.keys() == captions.keys() >= answers.keys()
    for name, meta in metas.items():
        assert get_task_targets([meta], "captioning") == [captions[name][0]["ground_truth"]]
        pairs = get_task_targets([meta], "vqa")[0]
        assert set(pairs) == {(r["question"], r["ground_truth"]) for r in answers[name]}
        assert len(pairs) == len(answers[name])


def test_the_formatter_reproduces_the_published_records(shared_data: Path) -> None:
    """All real records of EVAL_referring at hand."""
    path = shared_data / "vrsbench_text" / "VRSBench_EVAL_referring.first25.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    corners = np.array([record["obj_corner"] for record in found])

    assert corners_to_percent_text(corners, (1, 1)) == [r["ground_truth"] for r in found]
    assert corners_to_percent_text(corners * 512, (512, 512)) == [r["ground_truth"] for r in found]


@pytest.mark.parametrize(
    "task", ["captioning", "classification", "detection", "grounding", "vqa", "all"]
)
def test_batches_of_real_tiles(mini_root: Path, task: str) -> None:
    """Every task streams, resized, with boxes in the resized frame."""
    loader = StreamingLoader(mini_root, "val", task=task, batch_size=5, size=(128, 256))
    batches = list(loader)

    assert [batch["image"].shape for batch in batches] == [
        (5, 3, 256, 128),
        (5, 3, 256, 128),
        (2, 3, 256, 128),
    ]
    for batch in batches:
        if task in ("detection", "grounding"):
            boxes = batch["target"]["boxes"].values
            assert (boxes >= 0).all()
            assert (boxes[:, [0, 2]] <= 128).all()
            assert (boxes[:, [1, 3]] <= 256).all()
