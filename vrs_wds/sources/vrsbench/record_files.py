"""Annotations from the files that hold a record for each task item, not a file for each picture.

`VRSBench_train.json` for train; for val the three evaluation files, or those of them that there
are. They say less than the annotation files. There are no objects, so there is no detection; and a
picture that no record of a task is about has no sidecar for it, since nobody says that it was
looked at.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from vrs_wds.sources.vrsbench.annotation_set import Annotated
from vrs_wds.sources.vrsbench.classes import classify, scene_of
from vrs_wds.sources.vrsbench.conversations import read_conversations
from vrs_wds.sources.vrsbench.evaluation import (
    read_eval_captions,
    read_eval_referring,
    read_eval_vqa,
)
from vrs_wds.sources.vrsbench.records import ImageRecords, RecordsByImage, Reference
from vrs_wds.sources.vrsbench.report import Repair
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.vqa import VQA

_READERS: Mapping[str, Callable[[Path, RecordsByImage], None]] = {
    "VRSBench_train.json": lambda path, into: into.add_conversations(read_conversations(path)),
    "VRSBench_EVAL_Cap.json": lambda path, into: into.add_captions(read_eval_captions(path)),
    "VRSBench_EVAL_referring.json": (
        lambda path, into: into.add_referring(read_eval_referring(path))
    ),
    "VRSBench_EVAL_vqa.json": lambda path, into: into.add_vqa(read_eval_vqa(path)),
}


def record_file_names(split: str) -> tuple[str, ...]:
    """Return the names of the files that have a split's records."""
    return tuple(name for name in _READERS if ("_EVAL_" in name) == (split == "val"))


def find_record_files(root: Path, split: str) -> list[Path]:
    """Return those of a split's record files that there are."""
    paths = [root / name for name in record_file_names(split)]
    return [path for path in paths if path.is_file()]


class RecordFiles:
    """The records by the stem of the picture that they are about; read once, and kept."""

    names_that_differ: tuple[str, ...] = ()
    """None: records have no file name of their own."""

    def __init__(self, paths: Collection[Path]) -> None:
        records = RecordsByImage()
        for path in paths:
            _READERS[path.name](path, records)
        records.drop_unusable_ids()
        self._images = records.images
        self._repairs = records.repairs
        self._label = ", ".join(path.name for path in paths)
        digest = hashlib.sha256()
        for path in paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        self.fingerprint = digest.hexdigest()

    @property
    def stems(self) -> Collection[str]:
        """Stems of the pictures that a record is about."""
        return self._images.keys()

    @property
    def repairs(self) -> Mapping[Repair, int]:
        """How often something was put right, over all records."""
        return self._repairs

    def load(self, stem: str, size_wh: tuple[int, int]) -> Annotated:
        """Return what the records say about a picture, in its pixels."""
        sidecars = records_to_sidecars(self._images[stem], size_wh)
        return Annotated(sidecars, {}, f"{self._label}: {stem}")


def records_to_sidecars(records: ImageRecords, size_wh: tuple[int, int]) -> dict[str, Any]:
    """Return one sidecar for each task that has a record.

    The classification has the classes that expressions mean, not all that are in the picture, and
    the answer to a question of type `scene type`; only the evaluation files give either.
    """
    sidecars: dict[str, Any] = {}
    labels = [one.label for one in records.references if one.label]
    if records.captions:
        sidecars["captioning"] = Captioning(tuple(records.captions))
    if labels or scene_of(records.qa_pairs) is not None:
        sidecars["classification"] = classify(labels, records.qa_pairs)
    if records.references:
        expressions = tuple(_expression(one, size_wh) for one in records.references)
        sidecars["grounding"] = Grounding(expressions=expressions)
    if records.qa_pairs:
        sidecars["vqa"] = VQA(qa_pairs=tuple(records.qa_pairs))
    return sidecars


def _expression(reference: Reference, size_wh: tuple[int, int]) -> Expression:
    box, corners = reference.location.to_pixels(size_wh)
    return Expression(
        text=reference.text,
        box=box,
        corners=corners,
        label=reference.label,
        object_ids=reference.object_ids,
        is_unique=reference.is_unique,
    )
