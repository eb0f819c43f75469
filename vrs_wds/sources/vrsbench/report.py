"""What a source found wrong with a dataset and what it did about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Repair = Literal[
    "boxes_from_obj_coord",
    "boxes_repaired",
    "boxes_of_zero_area",
    "objects_without_place",
    "object_ids_given",
    "object_ids_dropped",
    "expressions_without_text",
    "expressions_without_place",
    "questions_without_text",
    "records_of_unknown_kind",
]
"""What may be counted."""

_MEANING: Mapping[Repair, str] = {
    "boxes_from_obj_coord": "boxes taken from obj_coord, for lack of a usable obj_corner",
    "boxes_repaired": "boxes turned around or beyond the picture, put right",
    "boxes_of_zero_area": "boxes without area, kept",
    "objects_without_place": "objects without a usable place, left out",
    "object_ids_given": "objects whose obj_id was missing or taken, given another",
    "object_ids_dropped": "expressions whose obj_ids name no one object, kept without",
    "expressions_without_text": "referring records without a text, left out",
    "expressions_without_place": "referring records without a usable box, left out",
    "questions_without_text": "questions without a text, left out",
    "records_of_unknown_kind": "training records of no known kind, left out",
}
_MAX_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class VRSBenchReport:
    """What was found when a source was opened; `str()` is for people."""

    split: str
    num_samples: int
    """Pictures that have an annotation."""
    images_without_annotation: tuple[str, ...] = ()
    """Pictures that are left out, by stem, sorted."""
    annotations_without_image: tuple[str, ...] = ()
    """Annotations that are left out, by the picture's stem, sorted."""
    names_that_differ: tuple[str, ...] = ()
    """Annotation files whose `image` names another picture; that one is meant. `a.json -> b.png`"""
    repairs: Mapping[Repair, int] = field(default_factory=dict)
    """How often something was put right, over all annotations of the split."""

    @property
    def num_unmatched(self) -> int:
        """Pictures and annotations that are left out."""
        return len(self.images_without_annotation) + len(self.annotations_without_image)

    def __str__(self) -> str:
        lines = [f"VRSBench {self.split}: {self.num_samples:,} samples"]
        for what, names in (
            ("pictures without an annotation, left out", self.images_without_annotation),
            ("annotations without a picture, left out", self.annotations_without_image),
            ("annotation files that name another picture, followed", self.names_that_differ),
        ):
            if names:
                lines.append(f"{len(names):,} {what}: {_first(names)}")
        lines += [f"{count:,} {_MEANING[repair]}" for repair, count in self.repairs.items()]
        return "\n  ".join(lines)


def _first(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MAX_NAMES_SHOWN])
    return f"{shown}, ..." if len(names) > _MAX_NAMES_SHOWN else shown
