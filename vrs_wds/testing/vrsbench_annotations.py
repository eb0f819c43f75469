"""Made-up annotations with VRSBench's fields, and with its quirks.

Which quirk a picture has follows from its number, so that eight pictures in a row show all of them.
Coordinates are whole 512ths of the picture's side.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

GRID = 512
"""Coordinates are multiples of 1 / GRID."""

NO_OBJECTS_KEY, NO_OBJECTS, NO_AREA, NO_EXPRESSION, BEYOND = 2, 3, 4, 5, 1
"""Remainders of a picture's number by 8: what is odd about its annotation."""

CLASSES: dict[str, tuple[tuple[int, int], tuple[int, int, int]]] = {
    "vehicle": ((26, 14), (222, 214, 92)),
    "ship": ((58, 20), (214, 216, 222)),
    "airplane": ((64, 56), (236, 236, 238)),
    "storage-tank": ((40, 40), (198, 198, 204)),
    "tennis-court": ((60, 32), (82, 128, 84)),
    "harbor": ((130, 34), (168, 160, 148)),
    "bridge": ((150, 26), (148, 146, 144)),
    "swimming-pool": ((34, 22), (76, 164, 196)),
    "baseball-diamond": ((76, 76), (176, 132, 88)),
    "expressway-toll-station": ((110, 44), (188, 186, 190)),
}
"""Class to its length and width in 512ths, and its colour."""

_SCENES = ("Harbor", "residential area", "Airport", "Expressway", "industrial area")
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


def annotation_name(split: str, number: int) -> str:
    """Return the stem of a picture: DOTA's form for even numbers, DIOR's for odd ones.

    >>> annotation_name("train", 2), annotation_name("val", 1)
    ('P0000_0002', '50001_0000')
    """
    if number % 2:
        return f"{number + (50_000 if split == 'val' else 0):05d}_0000"
    return f"P{number // 100 + (5_000 if split == 'val' else 0):04d}_{number % 100:04d}"


def make_annotation(rng: np.random.Generator, name: str, number: int) -> dict[str, Any]:
    """Make what VRSBench has for the picture `name`.png."""
    quirk, is_rotated = number % 8, number % 2 == 0 or number % 8 == BEYOND
    count = 0 if quirk in (NO_OBJECTS_KEY, NO_OBJECTS) else int(rng.integers(2, 7))
    objects = [_make_object(rng, i, quirk, is_rotated=is_rotated) for i in range(count)]
    _describe(objects, quirk)
    annotation: dict[str, Any] = {
        "source": "DIOR" if number % 2 else "DOTA",
        "image": f"{name}.png",
        "caption": _caption(objects, number),
        "objects": objects,
        "qa_pairs": _questions(rng, objects, number),
    }
    if quirk == NO_OBJECTS_KEY:
        del annotation["objects"]
    return annotation


def _make_object(
    rng: np.random.Generator, number: int, quirk: int, *, is_rotated: bool
) -> dict[str, Any]:
    label = list(CLASSES)[int(rng.integers(len(CLASSES)))]
    (length, width), _ = CLASSES[label]
    x, y = (int(v) for v in rng.integers(60, GRID - 60, 2))
    if quirk == BEYOND and number < 2:
        x, label, (length, width) = (GRID - 8, 8)[number], "harbor", (130, 34)
    if quirk == NO_AREA and number == 0:
        length, is_rotated = 0, False
    angle = rng.uniform(0, math.pi) if is_rotated else 0.0
    corners = _rectangle(x, y, length, width, angle)
    xs, ys = corners[::2], corners[1::2]
    box = [min(xs), min(ys), max(xs), max(ys)]
    return {
        "obj_id": number,
        "referring_sentence": "",
        "obj_cls": label,
        "obj_corner": [value / GRID for value in corners],
        "obj_coord": [round(min(max(value / GRID, 0), 1), 2) for value in box],
        "is_unique": False,
        "obj_position": _position(x, y),
        "obj_rel_position": "",
        "obj_size": "small" if length * width < 900 else "large" if length > 100 else "",
        "obj_rel_size": "",
        "flag": False,
    }


def _rectangle(x: int, y: int, length: int, width: int, angle: float) -> list[int]:
    across = (length / 2 * math.cos(angle), length / 2 * math.sin(angle))
    down = (-width / 2 * math.sin(angle), width / 2 * math.cos(angle))
    corners = []
    for a, d in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        corners.append(round(x + a * across[0] + d * down[0]))
        corners.append(round(y + a * across[1] + d * down[1]))
    return corners


def _position(x: int, y: int) -> str:
    words = (_ROWS[min(3 * y // GRID, 2)], _COLUMNS[min(3 * x // GRID, 2)])
    return "-".join(word for word in words if word) or "center"


def _describe(objects: Sequence[dict[str, Any]], quirk: int) -> None:
    """Give the objects their expressions and say which are the only ones of their class."""
    counts = Counter(item["obj_cls"] for item in objects)
    for item in objects:
        item["is_unique"] = counts[item["obj_cls"]] == 1
        if quirk == NO_EXPRESSION and item["obj_id"] % 2 == 0:
            continue
        words = " ".join(word for word in (item["obj_size"], item["obj_cls"]) if word)
        item["referring_sentence"] = (
            f"The {words} number {item['obj_id'] + 1} at the {item['obj_position']} of the image."
        )


def _caption(objects: Sequence[dict[str, Any]], number: int) -> str:
    counts = Counter(item["obj_cls"] for item in objects)
    things = ", ".join(f"{count} {name}" for name, count in counts.items()) or "no marked objects"
    dash = " \u2014 seen from above \u2014" if number % 3 == 0 else ""
    return f"The high-resolution image{dash} shows a landscape with {things}."


def _questions(
    rng: np.random.Generator, objects: Sequence[dict[str, Any]], number: int
) -> list[dict[str, Any]]:
    label = objects[0]["obj_cls"] if objects else "vehicle"
    count = sum(item["obj_cls"] == label for item in objects)
    asked = [
        (f"How many {label} objects are visible in the image?", "object quantity", str(count)),
        (f"Is there a {label} in the image?", "object existence", "Yes" if objects else "no"),
        ("What color is the road?", "object color", "White" if number % 2 else "gray"),
        ("Is the area rural or urban?", "rural or urban", "Rural" if number % 4 else "rural"),
    ]
    if number % 3:
        scene = _SCENES[int(rng.integers(len(_SCENES)))]
        asked.insert(1, ("What is the main structure in the image?", "scene type", scene))
    return [
        {
            # Numbers in some records, texts in others: as it is in VRSBench.
            "ques_id": f"Q{i}" if (number + i) % 5 == 4 else i,
            "question": question,
            "type": kind,
            "answer": answer,
        }
        for i, (question, kind, answer) in enumerate(asked, start=1)
    ]
