"""One annotation file to the sidecars of the five tasks."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from vrs_wds.sources.vrsbench.classes import classify, scene_of
from vrs_wds.sources.vrsbench.objects import PlacedObject, place_objects
from vrs_wds.sources.vrsbench.raw import RawAnnotation, RawQAPair, answer_text
from vrs_wds.sources.vrsbench.report import Repair
from vrs_wds.tasks.captioning import Captioning
from vrs_wds.tasks.detection import DetectedObject, Detection
from vrs_wds.tasks.grounding import Expression, Grounding
from vrs_wds.tasks.vqa import VQA, QAPair


def annotation_to_sidecars(raw: RawAnnotation, size_wh: tuple[int, int]) -> dict[str, Any]:
    """Return one sidecar for each task that the annotation speaks of.

    A key that is missing (or null) gives no sidecar; one that is there and empty gives an empty
    sidecar: somebody looked, and found nothing.

    ================================== ===================================================
    key                                sidecars
    ================================== ===================================================
    `caption`                          captioning
    `qa_pairs`                         vqa
    `objects`                          detection, grounding (objects with an expression)
    `objects` or a `scene type` answer classification
    ================================== ===================================================

    Args:
        raw: The annotation.
        size_wh: The picture's size; coordinates become pixels of it.
    """
    repairs: Counter[Repair] = Counter()
    sidecars: dict[str, Any] = {}
    pairs = questions_of(raw.qa_pairs or (), repairs)
    if raw.caption is not None:
        sidecars["captioning"] = Captioning((raw.caption,) if raw.caption.strip() else ())
    if raw.objects is not None or scene_of(pairs) is not None:
        sidecars["classification"] = classify((o.obj_cls or "" for o in raw.objects or ()), pairs)
    if raw.objects is not None:
        placed = place_objects(raw.objects, repairs)
        sidecars["detection"] = _detection(placed, size_wh)
        sidecars["grounding"] = _grounding(placed, size_wh)
    if raw.qa_pairs is not None:
        sidecars["vqa"] = VQA(qa_pairs=tuple(pairs))
    return sidecars


def count_repairs(raw: RawAnnotation, repairs: Counter[Repair]) -> None:
    """Count what `annotation_to_sidecars` puts right in an annotation."""
    questions_of(raw.qa_pairs or (), repairs)
    place_objects(raw.objects or (), repairs)


def questions_of(raw: Iterable[RawQAPair], repairs: Counter[Repair]) -> list[QAPair]:
    """Return the questions that have a text; their numbers and answers become texts."""
    pairs = []
    for item in raw:
        if item.question is None or not item.question.strip():
            repairs["questions_without_text"] += 1
            continue
        pairs.append(
            QAPair(
                question=item.question,
                answer=answer_text(item.answer),
                question_id=answer_text(item.ques_id),
                type=item.type or "",
            )
        )
    return pairs


def _detection(placed: Sequence[PlacedObject], size_wh: tuple[int, int]) -> Detection:
    objects = []
    for item in placed:
        box, corners = item.location.to_pixels(size_wh)
        objects.append(
            DetectedObject(
                object_id=item.object_id,
                label=item.label,
                box=box,
                corners=corners,
                attributes=item.attributes,
            )
        )
    return Detection(objects=tuple(objects))


def _grounding(placed: Sequence[PlacedObject], size_wh: tuple[int, int]) -> Grounding:
    expressions = []
    for item in placed:
        if not item.expression.strip():
            continue
        box, corners = item.location.to_pixels(size_wh)
        expressions.append(
            Expression(
                text=item.expression,
                box=box,
                corners=corners,
                label=item.label,
                object_ids=(item.object_id,),
                is_unique=item.is_unique,
            )
        )
    return Grounding(expressions=tuple(expressions))
