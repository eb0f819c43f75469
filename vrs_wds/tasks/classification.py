"""Classification: labels for the whole image."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from vrs_wds.errors import ConfigError
from vrs_wds.tasks.task import FactKind, TargetOptions, Task


class Classification(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True
):
    """Sidecar of the classification task."""

    label: str
    """The one label of the image; empty if it has none."""
    labels: tuple[str, ...] = ()
    """All labels, sorted: for multi-label training."""
    scene: str | None = None
    """The kind of scene, where it was annotated."""


class ClassificationTask(Task[Classification]):
    """The target is `label`, or the field that `label_key` names; with `classes`, a number."""

    name: ClassVar[str] = "classification"
    schema = Classification
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {"label": "str", "labels": "strings"}

    def empty(self) -> Classification:
        """Return a sidecar without labels."""
        return Classification(label="")

    def count(self, sidecar: Classification) -> int:
        """Return the number of labels, `label` and `labels` together."""
        return len({sidecar.label, *sidecar.labels} - {""})

    def facts(self, sidecar: Classification) -> dict[str, int | str | list[str]]:
        """Return `label` and `labels`."""
        return {"label": sidecar.label, "labels": list(sidecar.labels)}

    def target(
        self, sidecar: Classification, size_wh: tuple[int, int], options: TargetOptions
    ) -> str | int | list[str] | list[int] | None:
        """Return the label or labels, as texts or numbers."""
        value = self.plain_target(sidecar, size_wh, options)
        if options.classes is None or value is None:
            return value
        if isinstance(value, list):
            return [options.label_to_number(label) for label in value]
        return options.label_to_number(value)

    def plain_target(
        self, sidecar: Classification, size_wh: tuple[int, int], options: TargetOptions
    ) -> str | list[str] | None:
        """Return the label or labels as texts."""
        key = options.label_key or "label"
        if key not in sidecar.__struct_fields__:
            raise ConfigError(
                f"label_key: expected one of {', '.join(sidecar.__struct_fields__)}, got {key!r}."
            )
        value = getattr(sidecar, key)
        return list(value) if isinstance(value, tuple) else value
