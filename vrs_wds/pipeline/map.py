"""Applies a function of the user's to each sample."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from vrs_wds.pipeline.stage import SampleDict, SampleStage, check_callable, place_of


@dataclass(frozen=True, repr=False)
class Map(SampleStage):
    """Replace each sample by what a function makes of it.

    The function must be importable (not a lambda) where worker processes are used. It raises
    `SampleError` for a sample that a fault policy may skip.
    """

    one_to_one: ClassVar[bool] = True

    function: Callable[[SampleDict], SampleDict]

    def __post_init__(self) -> None:
        check_callable(self, self.function)

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Call the function."""
        result = self.function(sample)
        if result is None:
            raise TypeError(
                f"Map({self.function!r}): expected a sample, got None for {place_of(sample)}. To "
                "drop samples, use Select."
            )
        return (result,)
