"""The two kinds of stages.

A *sample stage* is a pure function of one sample that gives none, one or several. A *stream
stage* sees the iterator: it may hold samples back, reorder or group them. Both are frozen
dataclasses whose fields are their whole configuration, and both are called with an iterator and
return one::

    samples -> Decode -> CropRegions -> Targets -> Select -> Shuffle -> Batch -> batches
               '------------- sample stages -----------'    '- stream stages -'

Before `Decode` a sample is a dict as webdataset has it: `__key__`, `__url__`, and bytes by
extension. After it: `__key__`, `__url__`, `image`, one parsed sidecar a task, `meta`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any, ClassVar, cast

SampleDict = dict[str, Any]
"""A sample on its way through a pipeline."""

StreamStage = Callable[[Iterator[Any]], Iterator[Any]]
"""Any callable from iterator to iterator; webdataset's filters are, too."""


class BriefRepr:
    """Shows a dataclass by the fields that are not at their defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        parts: Any = fields(cast(Any, self))  # a mixin for dataclasses
        shown = [
            f"{part.name}={getattr(self, part.name)!r}"
            for part in parts
            if getattr(self, part.name) != part.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class SampleStage(BriefRepr, ABC):
    """A pure function of one sample.

    The loader runs chains of these in threads, a chunk of samples at a time; anything else runs in
    the consumer's thread.
    """

    __slots__ = ()

    one_to_one: ClassVar[bool] = False
    """Whether every sample gives exactly one: then lengths are known beforehand."""
    needs_pixels: ClassVar[bool] = False
    """Whether it looks at the picture: then `Decode` must not leave that to a device."""

    @abstractmethod
    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Return the samples that become of this one; the sample itself is not changed."""

    def __call__(self, samples: Iterable[SampleDict], /) -> Iterator[SampleDict]:
        """Apply the stage to each sample in turn."""
        for sample in samples:
            yield from self.apply(sample)


def place_of(sample: SampleDict) -> str:
    """Return `shard: sample 'key'`, for messages."""
    url = sample.get("__url__")
    return f"{url + ': ' if url else ''}sample {sample.get('__key__', '?')!r}"
