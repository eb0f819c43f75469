"""`make_vrsbench`: a small made-up VRSBench on a disk, laid out and annotated as the real one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vrs_wds.testing.pictures import Shape, draw_picture, encode_png
from vrs_wds.testing.vrsbench_annotations import CLASSES, annotation_name, make_annotation
from vrs_wds.testing.vrsbench_files import Layout, write_files
from vrs_wds.testing.vrsbench_records import (
    caption_records,
    referring_records,
    train_records,
    vqa_records,
)

_SPLIT_NUMBERS = {"train": 0, "val": 1}
_ORDER = 2


def make_vrsbench(
    root: str | Path,
    *,
    num_train: int = 24,
    num_val: int = 8,
    size: int = 512,
    seed: int = 0,
    layout: Layout = "zip",
) -> Path:
    """Write a made-up VRSBench into `root` and return it.

    It has the pictures (PNG, about 400 KB at 512 x 512), the annotation files, the training
    conversations and the three evaluation files, all saying the same. Eight pictures of a split
    in a row show every quirk of the real one: objects beyond the picture, boxes without area,
    objects without an expression, pictures without objects, question numbers that are texts.

    Equal arguments give equal bytes; a picture depends on the seed, its split and its number, and
    not on how many there are.

    Args:
        root: Folder; made if need be, and files of the same name are replaced.
        num_train: Pictures of the split train.
        num_val: Pictures of the split val.
        size: Width and height of the pictures.
        seed: Of everything made up.
        layout: `zip`, `extracted` or `nested`.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    annotations: dict[str, list[dict[str, Any]]] = {}
    for split, count in (("train", num_train), ("val", num_val)):
        made = annotations[split] = make_annotations(split, count, seed=seed)
        write_files(root, f"Images_{split}", _pictures(split, made, size, seed), layout)
        write_files(root, f"Annotations_{split}", _annotation_files(made), layout)
    _write_records(root, annotations, seed)
    return root


def make_annotations(split: str, count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Make the annotations of a split, as `make_vrsbench` writes them."""
    return [
        make_annotation(
            _rng(seed, split, number, of_picture=False), annotation_name(split, number), number
        )
        for number in range(count)
    ]


def make_picture(annotation: Mapping[str, Any], rng: np.random.Generator, size: int = 512) -> bytes:
    """Draw the picture that an annotation describes; returns a PNG file."""
    shapes = [
        Shape(
            points=list(zip(*(_pixels(item, first, size) for first in (0, 1)), strict=True)),
            color=CLASSES[item["obj_cls"]][1],
        )
        for item in annotation.get("objects", ())
    ]
    return encode_png(draw_picture(rng, (size, size), shapes))


def _pixels(item: Mapping[str, Any], first: int, size: int) -> list[float]:
    return [value * size for value in item["obj_corner"][first::2]]


def _rng(seed: int, split: str, number: int, *, of_picture: bool) -> np.random.Generator:
    return np.random.default_rng([seed, _SPLIT_NUMBERS[split], number, of_picture])


def _pictures(
    split: str, annotations: list[dict[str, Any]], size: int, seed: int
) -> Iterator[tuple[str, bytes]]:
    for number, annotation in enumerate(annotations):
        rng = _rng(seed, split, number, of_picture=True)
        yield annotation["image"], make_picture(annotation, rng, size)


def _annotation_files(annotations: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    for annotation in annotations:
        yield annotation["image"].replace(".png", ".json"), _json(annotation)


def _write_records(root: Path, annotations: Mapping[str, list[dict[str, Any]]], seed: int) -> None:
    order = np.random.default_rng([seed, _ORDER])
    for name, records in (
        ("VRSBench_train.json", train_records(annotations["train"], order)),
        ("VRSBench_EVAL_Cap.json", caption_records(annotations["val"])),
        ("VRSBench_EVAL_referring.json", referring_records(annotations["val"])),
        ("VRSBench_EVAL_vqa.json", vqa_records(annotations["val"])),
    ):
        (root / name).write_bytes(_json(records))


def _json(value: object) -> bytes:
    # As VRSBench's own: other characters than ASCII are escaped.
    return json.dumps(value).encode()
