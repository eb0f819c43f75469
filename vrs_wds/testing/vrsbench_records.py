"""The files with a record for each task item, made from annotations as VRSBench made them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, cycle
from typing import Any

import numpy as np

from vrs_wds.geometry.boxes import as_rows, corners_to_xyxy
from vrs_wds.geometry.formats import corners_to_percent_text
from vrs_wds.sources.vrsbench.conversations import QUESTION_WRAPPERS

Annotation = Mapping[str, Any]
Record = dict[str, Any]


def train_records(annotations: Iterable[Annotation], rng: np.random.Generator) -> list[Record]:
    """Return the records of `VRSBench_train.json`, in an order of their own.

    Boxes are not clipped, so that some numbers are negative or above 100; an object without an
    expression gives a record with an empty `<p></p>`; questions are wrapped in turn.
    """
    wrappers = cycle([("", ""), *QUESTION_WRAPPERS])
    records = []
    for annotation in annotations:
        said = [
            (
                "[caption] Could you describe the contents of this image for me?",
                annotation["caption"],
            )
        ]
        for item in annotation.get("objects", ()):
            prompt = (
                f"[refer] could you tell me the location for <p>{item['referring_sentence']}</p>?"
            )
            said.append((prompt, _percent_text(item["obj_corner"])))
        for pair in annotation["qa_pairs"]:
            before, after = next(wrappers)
            said.append((f"[vqa] {before}{pair['question']}{after}", pair["answer"]))
        records += [_conversation(annotation["image"], *pair) for pair in said]
    return [records[i] for i in rng.permutation(len(records)).tolist()]


def caption_records(annotations: Iterable[Annotation]) -> list[Record]:
    """Return the records of `VRSBench_EVAL_Cap.json`."""
    return [
        {
            "image_id": annotation["image"],
            "ground_truth": annotation["caption"],
            "question": "Describe the image in detail",
            "dataset": "RSBench",
            "question_id": number,
            "type": "caption",
        }
        for number, annotation in enumerate(annotations)
    ]


def referring_records(annotations: Iterable[Annotation]) -> list[Record]:
    """Return the records of `VRSBench_EVAL_referring.json`: one for each expression."""
    numbers = count()
    return [
        {
            "image_id": image,
            "question": item["referring_sentence"],
            "ground_truth": corners_to_percent_text(as_rows(item["obj_corner"], 8), (1, 1))[0],
            "dataset": "RSBench",
            "question_id": next(numbers),
            "type": "ref",
            "unique": item["is_unique"],
            "obj_corner": item["obj_corner"],
            "obj_cls": item["obj_cls"],
            "obj_ids": [item["obj_id"]],
            "size_group": item["obj_size"],
        }
        for image, item in _referred(annotations)
    ]


def vqa_records(annotations: Iterable[Annotation]) -> list[Record]:
    """Return the records of `VRSBench_EVAL_vqa.json`: one for each question."""
    asked = [(a["image"], pair) for a in annotations for pair in a["qa_pairs"]]
    return [
        {
            "image_id": image,
            "question": pair["question"],
            "ground_truth": pair["answer"],
            "dataset": "RSBench",
            "question_id": number,
            "type": pair["type"],
        }
        for number, (image, pair) in enumerate(asked)
    ]


def _referred(annotations: Iterable[Annotation]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for annotation in annotations:
        for item in annotation.get("objects", ()):
            if item["referring_sentence"]:
                yield annotation["image"], item


def _percent_text(corners: list[float]) -> str:
    percent = np.trunc(100 * corners_to_xyxy(as_rows(corners, 8)))[0].astype(int).tolist()
    return "{" + "".join(f"<{number}>" for number in percent) + "}"


def _conversation(image: str, prompt: str, answer: str) -> Record:
    return {
        "id": "Final_Data/v1.2",
        "image": image,
        "conversations": [
            {"from": "human", "value": f"<image>\n{prompt}"},
            {"from": "gpt", "value": answer},
        ],
    }
