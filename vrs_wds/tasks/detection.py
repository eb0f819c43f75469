"""Detection: the objects in the image, each with a class, a box and corners."""

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


class DetectedObject(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True
):
    """One object."""

    object_id: int
    """Unique within the image."""
    label: str
    """The object's class."""
    box: Box
    """`xyxy` in pixels, clipped to the picture."""
    corners: Quadrilateral | None = None
    """Corners in pixels as annotated: not clipped. None where only a box was annotated."""
    attributes: dict[str, str | bool | int | float] = {}
    """What else the source says of the object, under the source's names."""


class Detection(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Sidecar of the detection task."""

    objects: tuple[DetectedObject, ...]


class DetectionTask(Task[Detection]):
    """The target has the columns `boxes` (float64, N x 4, 5 or 8), `labels` and `object_ids`."""

    name: ClassVar[str] = "detection"
    schema = Detection
    unit: ClassVar[str] = "object"
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {"num_objects": "int", "classes": "strings"}

    def empty(self) -> Detection:
        """Return a sidecar without objects."""
        return Detection(objects=())

    def count(self, sidecar: Detection) -> int:
        """Return the number of objects."""
        return len(sidecar.objects)

    def facts(self, sidecar: Detection) -> dict[str, int | str | list[str]]:
        """Return `num_objects` and `classes`, sorted and without repetition."""
        classes = sorted({item.label for item in sidecar.objects})
        return {"num_objects": len(sidecar.objects), "classes": classes}

    def check(self, sidecar: Detection, size_wh: tuple[int, int] | None = None) -> None:
        """Check coordinates and that object numbers are unique."""
        check_items(sidecar.objects, "objects", size_wh)
        seen: set[int] = set()
        for i, item in enumerate(sidecar.objects):
            if item.object_id in seen:
                raise ValueError(
                    f"objects[{i}].object_id: {item.object_id} is given twice in this image"
                )
            seen.add(item.object_id)

    def move(self, sidecar: Detection, frame: Frame, *, min_visible: float = 0.0) -> Detection:
        """Carry the objects into another picture's frame."""
        return Detection(objects=move_items(sidecar.objects, frame, min_visible))

    def target(
        self, sidecar: Detection, size_wh: tuple[int, int], options: TargetOptions
    ) -> dict[str, Any]:
        """Return columns: boxes, labels, object_ids."""
        items = large_enough(sidecar.objects, options.min_box_size)
        return {
            "boxes": formatted_boxes(items, size_wh, options),
            "labels": labels_of(items, options),
            "object_ids": [item.object_id for item in items],
        }

    def plain_target(
        self, sidecar: Detection, size_wh: tuple[int, int], options: TargetOptions
    ) -> list[list[float]]:
        """Return a list of boxes."""
        items = large_enough(sidecar.objects, options.min_box_size)
        boxes: list[list[float]] = formatted_boxes(items, size_wh, options).tolist()
        return boxes

    def pick(self, sidecar: Detection, number: int) -> Detection:
        """Return a sidecar with one object."""
        return Detection(objects=(sidecar.objects[number],))
