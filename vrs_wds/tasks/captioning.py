"""Captioning: texts that describe the image."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from vrs_wds.tasks.task import FactKind, TargetOptions, Task


class Captioning(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Sidecar of the captioning task."""

    captions: tuple[str, ...]
    """Captions, the main one first."""


class CaptioningTask(Task[Captioning]):
    """The target is the first caption; a picture without one has an empty text."""

    name: ClassVar[str] = "captioning"
    schema = Captioning
    unit: ClassVar[str] = "caption"
    fact_kinds: ClassVar[Mapping[str, FactKind]] = {"caption_length": "int"}

    def empty(self) -> Captioning:
        """Return a sidecar without captions."""
        return Captioning(captions=())

    def count(self, sidecar: Captioning) -> int:
        """Return the number of captions."""
        return len(sidecar.captions)

    def facts(self, sidecar: Captioning) -> dict[str, int | str | list[str]]:
        """Return `caption_length`, in characters, of the first caption."""
        return {"caption_length": len(sidecar.captions[0]) if sidecar.captions else 0}

    def target(self, sidecar: Captioning, size_wh: tuple[int, int], options: TargetOptions) -> str:
        """Return the first caption."""
        return sidecar.captions[0] if sidecar.captions else ""

    def plain_target(
        self, sidecar: Captioning, size_wh: tuple[int, int], options: TargetOptions
    ) -> str:
        """Return the first caption."""
        return self.target(sidecar, size_wh, options)

    def pick(self, sidecar: Captioning, number: int) -> Captioning:
        """Return a sidecar with one caption."""
        return Captioning(captions=(sidecar.captions[number],))
