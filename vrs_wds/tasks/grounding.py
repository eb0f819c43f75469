"""Grounding: expressions that refer to a place in the image."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from vrs_wds.geometry.frame import Frame
from vrs_wds.tasks.items import (
    Box,
    Quadrilateral,
    check_items,
    formatted_boxes,
    labels_of,
    large_enough,
    move_items,
)
from vrs_wds.tasks.task import FactKind, TargetOptions, Task


class Expression(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A referring expression and the place that it means."""

    text: str
    box: Box
    """`xyxy` in pixels, clipped to the picture."""
    corners: Quadrilateral | None = None
    """Corners in pixels as annotated: not clipped. None where only a box was annotated."""
    label: str = ""
    """Class of the object meant."""
    object_ids: tuple[int, ...] = ()
    """The objects meant, as numbered in the detection sidecar."""
    is_unique: bool | None = None
    """Whether the object is the only one of its class in the image, where that was annotated."""


class Grounding(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Sidecar of the grounding task."""

    expressions: tuple[Expression, ...]


class GroundingTask(Task[Grounding]):
    """The target has the columns `expressions`, `boxes` (float64, N x 4, 5 or 8) and `labels`."""

    name: ClassVar[str] = "grounding"
    schema = Grounding
    unit: ClassVar[str] = "expression"
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {"num_expressions": "int"}

    def empty(self) -> Grounding:
        """Return a sidecar without expressions."""
        return Grounding(expressions=())

    def count(self, sidecar: Grounding) -> int:
        """Return the number of expressions."""
        return len(sidecar.expressions)

    def facts(self, sidecar: Grounding) -> dict[str, int | str | list[str]]:
        """Return `num_expressions`."""
        return {"num_expressions": len(sidecar.expressions)}

    def check(self, sidecar: Grounding, size_wh: tuple[int, int] | None = None) -> None:
        """Check coordinates and that no expression is empty."""
        check_items(sidecar.expressions, "expressions", size_wh)
        for i, item in enumerate(sidecar.expressions):
            if not item.text.strip():
                raise ValueError(f"expressions[{i}].text: expected a text, got {item.text!r}")

    def move(self, sidecar: Grounding, frame: Frame, *, min_visible: float = 0.0) -> Grounding:
        """Carry the expressions into another picture's frame."""
        return Grounding(expressions=move_items(sidecar.expressions, frame, min_visible))

    def target(
        self, sidecar: Grounding, size_wh: tuple[int, int], options: TargetOptions
    ) -> dict[str, Any]:
        """Return columns: expressions, boxes, labels."""
        items = large_enough(sidecar.expressions, options.min_box_size)
        return {
            "expressions": [item.text for item in items],
            "boxes": formatted_boxes(items, size_wh, options),
            "labels": labels_of(items, options),
        }

    def plain_target(
        self, sidecar: Grounding, size_wh: tuple[int, int], options: TargetOptions
    ) -> list[list[float]]:
        """Return a list of boxes, one an expression."""
        items = large_enough(sidecar.expressions, options.min_box_size)
        boxes: list[list[float]] = formatted_boxes(items, size_wh, options).tolist()
        return boxes

    def pick(self, sidecar: Grounding, number: int) -> Grounding:
        """Return a sidecar with one expression."""
        return Grounding(expressions=(sidecar.expressions[number],))
