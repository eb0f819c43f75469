"""An annotation file as VRSBench has it: every field may be missing, none is yet put right."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vrs_wds.sources.vrsbench.json_text import convert_json, parse_json

Scalar = str | bool | int | float
"""A JSON value that is neither null, list nor object."""


class RawObject(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of `objects`."""

    obj_id: int | float | str | None = None
    referring_sentence: str | None = None
    obj_cls: str | None = None
    obj_corner: Any = None
    """Eight fractions of the picture's sides, when it is as it should be."""
    obj_coord: Any = None
    """Four fractions, rounded to two decimals, when it is as it should be."""
    is_unique: bool | None = None
    """Also read from `unique`, as the evaluation files call it."""
    attributes: dict[str, Scalar] = {}
    """Every other scalar field, `is_unique` too, under its own name."""


class RawQAPair(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of `qa_pairs`."""

    ques_id: int | float | str | None = None
    """A number in some records, a text such as `Q6` in others."""
    question: str | None = None
    type: str | None = None
    answer: Scalar | None = None


class RawAnnotation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A whole file. None stands for a key that is missing or null."""

    image: str | None = None
    caption: str | None = None
    objects: list[RawObject] | None = None
    qa_pairs: list[RawQAPair] | None = None
    extra: dict[str, Scalar] = {}
    """Every other scalar field, such as `source`."""


def parse_annotation(data: bytes, *, where: str) -> RawAnnotation:
    """Parse the bytes of an annotation file.

    Raises:
        SourceError: if they are not JSON, or if a field has the wrong type.

    >>> parse_annotation(b'{"caption": "A dam.", "source": "DIOR"}', where="a.json").extra
    {'source': 'DIOR'}
    """
    value = parse_json(data, where=where)
    if isinstance(value, dict):
        value = _gather_annotation(value)
    return convert_json(value, RawAnnotation, where=where)


def answer_text(answer: Scalar | None) -> str:
    """Return an answer as text; VRSBench's are texts, others' may be numbers.

    >>> answer_text(2), answer_text("Yes"), answer_text(None)
    ('2', 'Yes', '')
    """
    return "" if answer is None else str(answer)


def _gather_annotation(fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: fields[name] for name in ("image", "caption", "qa_pairs") if name in fields}
    extra = {
        name: value
        for name, value in fields.items()
        if isinstance(value, Scalar) and name not in {*known, "objects"}
    }
    return known | {"objects": _each(fields.get("objects"), _gather_object), "extra": extra}


def _gather_object(fields: Mapping[str, Any]) -> dict[str, Any]:
    placed = ("obj_id", "referring_sentence", "obj_cls", "obj_corner", "obj_coord")
    known = {name: fields[name] for name in placed if name in fields}
    attributes = {
        name: value
        for name, value in fields.items()
        if isinstance(value, Scalar) and name not in placed
    }
    is_unique = fields.get("is_unique", fields.get("unique"))
    return known | {"is_unique": is_unique, "attributes": attributes}


def _each(items: object, gather: Callable[[Mapping[str, Any]], dict[str, Any]]) -> object:
    # What is not as expected stays as it is: the conversion then names it.
    if not isinstance(items, list):
        return items
    return [gather(item) if isinstance(item, dict) else item for item in items]
