"""Keeps the samples that a predicate accepts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vrs_wds.pipeline.stage import SampleDict, SampleStage, check_callable


@dataclass(frozen=True, repr=False)
class Select(SampleStage):
    """Keep the samples for which a predicate holds.

    Samples are read before they are dropped; `dataset.select(...)` decides on the index alone.
    """

    predicate: Callable[[SampleDict], bool]

    def __post_init__(self) -> None:
        check_callable(self, self.predicate)

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Return the sample, or nothing."""
        return (sample,) if self.predicate(sample) else ()
