"""Adds what the loss needs: `target`, from the parsed sidecars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from vrs_wds.errors import ConfigError
from vrs_wds.geometry.formats import BoxFormat, Coordinates
from vrs_wds.pipeline.decoded import sidecar_of
from vrs_wds.pipeline.frames import require_decoded
from vrs_wds.pipeline.stage import SampleDict, SampleStage
from vrs_wds.tasks.registry import get_task, task_names
from vrs_wds.tasks.task import TargetOptions


@dataclass(frozen=True, repr=False)
class Targets(SampleStage):
    """Add `target` for one task; for `all` (or `complete`), a dict from decoded task to target.

    A sample without a sidecar gets the target of an empty one. What each task's target is, its
    class in `vrs_wds.tasks` says; boxes come in the format and unit asked for.

    Raises:
        TypeError: if the sample is not decoded.
        ConfigError: if `Decode` left the task out, or if `classes` lacks a label.
    """

    one_to_one: ClassVar[bool] = True

    task: str
    box_format: BoxFormat = "xyxy"
    coordinates: Coordinates = "pixels"
    label_key: str | None = None
    """For classification: `label`, `labels` or `scene`."""
    classes: Sequence[str] | None = None
    """Class names: labels become their numbers."""
    min_box_size: float = 0.0
    """Leave out boxes with a shorter side, in pixels; 0 keeps all, those of no area too."""

    def __post_init__(self) -> None:
        if not isinstance(self.task, str):
            raise ConfigError(f"task: expected one name, or 'all', got {self.task!r}.")
        if isinstance(self.classes, str):
            raise ConfigError(f"classes: expected several names, got the text {self.classes!r}.")
        if self.classes is not None:  # a tuple hashes
            object.__setattr__(self, "classes", tuple(self.classes))
        if not self._is_all():
            get_task(self.task)
        self._options()

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Add the target to one sample."""
        require_decoded(sample, "Targets")
        options = self._options()
        if self._is_all():
            target: Any = {
                name: _target(sample, name, options) for name in task_names() if name in sample
            }
        else:
            target = _target(sample, self.task, options)
        return ({**sample, "target": target},)

    def _is_all(self) -> bool:
        return self.task in ("all", "complete")

    def _options(self) -> TargetOptions:
        classes = None if self.classes is None else tuple(self.classes)
        return _make_options(
            self.box_format, self.coordinates, self.label_key, classes, self.min_box_size
        )


_make_options = lru_cache(TargetOptions)
"""Checked once for a stage, and not for each sample."""


def _target(sample: SampleDict, name: str, options: TargetOptions) -> Any:  # noqa: ANN401
    task = get_task(name)
    sidecar = sidecar_of(sample, name, "Targets")
    return task.target(
        task.empty() if sidecar is None else sidecar, sample["meta"].size_wh, options
    )
