"""What annotates the pictures of a split, wherever it is written down."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vrs_wds.sources.vrsbench.report import Repair


@dataclass(frozen=True, slots=True)
class Annotated:
    """What is known of one picture."""

    sidecars: dict[str, Any]
    """Task name to its Struct."""
    extra: dict[str, Any]
    """More JSON values about the picture."""
    origin: str
    """Where it is written, for messages."""


class AnnotationSet(Protocol):
    """The annotations of a split, by the picture's stem."""

    @property
    def stems(self) -> Collection[str]:
        """Stems of the pictures that are annotated."""
        ...

    @property
    def repairs(self) -> Mapping[Repair, int]:
        """How often something was put right, over all annotations."""
        ...

    @property
    def names_that_differ(self) -> tuple[str, ...]:
        """Files whose content names another picture than their own name does."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files' contents."""
        ...

    def load(self, stem: str, size_wh: tuple[int, int]) -> Annotated:
        """Return a picture's annotation, in its pixels."""
        ...
