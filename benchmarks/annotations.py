"""Annotations as VRSBench has them, as plain values of our tasks: four of a sample's sidecars."""

from typing import Any


def sidecars(annotation: dict[str, Any], side: int) -> dict[str, Any]:
    """Return an annotation, as VRSBench has it, as plain values of our tasks."""
    places = []
    for item in annotation.get("objects", []):
        corners = [value * side for value in item["obj_corner"]]
        xs, ys = ([min(max(v, 0.0), side) for v in corners[i::2]] for i in (0, 1))
        box = [min(xs), min(ys), max(xs), max(ys)]
        places.append((item, {"label": item["obj_cls"], "box": box, "corners": corners}))
    return {
        "captioning": {"captions": [annotation["caption"]]},
        "detection": {
            "objects": [
                {**place, "object_id": item["obj_id"], "attributes": {"size": item["obj_size"]}}
                for item, place in places
            ]
        },
        "grounding": {
            "expressions": [
                {
                    **place,
                    "text": item["referring_sentence"],
                    "object_ids": [item["obj_id"]],
                    "is_unique": item["is_unique"],
                }
                for item, place in places
                if item["referring_sentence"]
            ]
        },
        "vqa": {
            "qa_pairs": [
                {
                    "question": pair["question"],
                    "answer": pair["answer"],
                    "question_id": str(pair["ques_id"]),
                    "type": pair["type"],
                }
                for pair in annotation["qa_pairs"]
            ]
        },
    }
