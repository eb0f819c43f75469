"""What a task is: the schema of its sidecar, and what it makes of one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar

import msgspec

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.formats import BoxFormat, Coordinates, check_format
from vrs_wds.geometry.frame import Frame

SidecarT = TypeVar("SidecarT", bound=msgspec.Struct)

FactKind = Literal["int", "str", "strings"]
"""Type of an index column: a number, a text, or a list of texts."""


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How targets are shaped; the same for every task, each uses what concerns it."""

    box_format: BoxFormat = "xyxy"
    """Layout of boxes: `xyxy`, `xywh`, `cxcywh`, `corners` or `rotated`."""
    coordinates: Coordinates = "pixels"
    """Unit of boxes: `pixels`, or shares of the picture's side `0-1`, `0-100`, `0-1000`."""
    label_key: str | None = None
    """Field of the classification sidecar that holds the label."""
    classes: tuple[str, ...] | None = None
    """Class names; labels become their numbers (int64) instead of texts."""
    min_box_size: float = 0.0
    """Boxes with a side shorter than this (pixels) are left out; 0 keeps all, degenerate too."""

    def __post_init__(self) -> None:
        check_format(self.box_format, self.coordinates)
        if self.min_box_size < 0:
            raise ConfigError(f"min_box_size: expected 0 or more, got {self.min_box_size}.")

    def label_to_number(self, label: str) -> int:
        """Return a label's place in `classes`.

        Raises:
            ConfigError: if `classes` lacks it.
        """
        if self.classes is None or label not in self.classes:
            hint = (
                "Leave out pictures without a label: dataset.select(tasks='classification')."
                if label == ""
                else "Add it, or select samples without it."
            )
            raise ConfigError(
                f"classes: the data hold the label {label!r}, which is not among the "
                f"{len(self.classes or ())} given. {hint}"
            )
        return self.classes.index(label)


def extension_of(task: str) -> str:
    """Return the extension of a task's sidecar.

    >>> extension_of("vqa")
    'vqa.json'
    """
    return f"{task}.json"


class Task(ABC, Generic[SidecarT]):
    """One thing that is asked of an image, with its sidecar `KEY.<name>.json`.

    To add a task: subclass in a file of your own, then `register_task(YourTask())`. A task has no
    state; everything it says depends on its arguments alone.
    """

    name: ClassVar[str]
    """Lower case letters, digits and underscores; part of the members' names."""
    schema: ClassVar[type[msgspec.Struct]]
    """The sidecar's type; make it `frozen=True, gc=False, forbid_unknown_fields=True`."""
    version: ClassVar[int] = 1
    """Version of the schema, kept in the manifest."""
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {}
    """Columns that the task adds to the index, with their types."""
    unit: ClassVar[str] = ""
    """What the sidecar holds several of, such as `question`; empty if it cannot be taken apart."""

    @cached_property
    def extension(self) -> str:
        """Extension of the sidecar, such as `vqa.json`."""
        return extension_of(self.name)

    @abstractmethod
    def empty(self) -> SidecarT:
        """Return the sidecar that says: nothing of this kind in the image."""

    @abstractmethod
    def count(self, sidecar: SidecarT) -> int:
        """Return how many things the sidecar holds (captions, objects, questions, ...)."""

    @abstractmethod
    def target(self, sidecar: SidecarT, size_wh: tuple[int, int], options: TargetOptions) -> Any:  # noqa: ANN401 - each task has its own target
        """Return what the task gives the loss: a text, a number, or a dict of columns.

        Columns are arrays or lists with one row for each thing in the image. A task's target does
        not change its type from sample to sample.
        """

    @abstractmethod
    def plain_target(
        self, sidecar: SidecarT, size_wh: tuple[int, int], options: TargetOptions
    ) -> Any:  # noqa: ANN401 - see target
        """Return the target as `get_task_targets` gives it: plain lists, tuples and texts."""

    def facts(self, sidecar: SidecarT) -> Mapping[str, int | str | list[str]]:
        """Return the values for the index columns in `fact_kinds`."""
        return {}

    def check(self, sidecar: SidecarT, size_wh: tuple[int, int] | None = None) -> None:
        """Raise `ValueError` if a value is wrong that the schema's types allow.

        The message begins with the field: `objects[3].box: expected ...`.

        Args:
            sidecar: What was given to be written, or found.
            size_wh: Size of the picture, where it is known.
        """
        return

    def move(self, sidecar: SidecarT, frame: Frame, *, min_visible: float = 0.0) -> SidecarT:
        """Carry coordinates into another picture's frame; things outside of it are left out.

        This one changes nothing. A task with coordinates must have its own: it is called whenever a
        picture is resized, cropped or cut into tiles.

        Args:
            sidecar: In the old picture's pixels.
            frame: Where the new picture lies.
            min_visible: Least share (0 to 1) of a box's area inside the new picture to keep it.
        """
        return sidecar

    def pick(self, sidecar: SidecarT, number: int) -> SidecarT:
        """Return a sidecar with just one of its things: a training example of its own.

        Args:
            sidecar: With more than `number` things, as `count` counts them.
            number: Which one, from 0.
        """
        raise ConfigError(f"task {self.name!r} cannot be taken apart: it has no unit.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
