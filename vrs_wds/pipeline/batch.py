"""Groups consecutive samples into batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vrs_wds.checks import whole_number, yes_or_no
from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.collate import RaggedForm, collate
from vrs_wds.pipeline.pad import ImagesForm, check_images
from vrs_wds.pipeline.stage import BriefRepr, SampleDict


@dataclass(frozen=True, repr=False)
class Batch(BriefRepr):
    """Group consecutive samples into batches; see `collate` for what a batch holds."""

    batch_size: int
    """Samples in a batch; at least 1."""
    drop_last: bool = False
    """Drop a final batch shorter than `batch_size` instead of yielding it."""
    ragged: RaggedForm = "packed"
    """Targets of different lengths: `packed` as values + offsets, or plain `list`s."""
    images: ImagesForm = "list"
    """Pictures of different sizes: a `list`, or one tensor, `padded` with black at the right and
    below, and `sizes_wh`."""

    def __post_init__(self) -> None:
        number = whole_number("batch_size", self.batch_size, least=1)
        object.__setattr__(self, "batch_size", number)  # NumPy's would not fit a state
        yes_or_no("drop_last", self.drop_last)
        if self.ragged not in ("packed", "list"):
            raise ConfigError(f"ragged: expected 'packed' or 'list', got {self.ragged!r}.")
        check_images(self.images)

    def __call__(self, samples: Iterable[SampleDict], /) -> Iterator[dict[str, Any]]:
        """Yield batches; the last may be shorter."""
        iterator = iter(samples)
        while group := list(islice(iterator, self.batch_size)):
            if len(group) == self.batch_size or not self.drop_last:
                yield collate(group, self.ragged, self.images)
