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

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any, ClassVar, cast

from vrs_wds.errors import ConfigError

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
            yield from results_of(self, sample)


def results_of(stage: SampleStage, sample: SampleDict) -> Iterator[SampleDict]:
    """Yield what a stage makes of a sample, as it comes. Stages are the user's: it is checked.

    Raises:
        TypeError: if that is no list or the like, or not one sample where the stage promises it.
    """
    try:
        given: object = stage.apply(sample)
    except StopIteration as error:  # a generator around it would seem to be at its end
        raise RuntimeError(f"{stage!r} raised StopIteration for {place_of(sample)}.") from error
    # A dict is one sample, and would be taken for its names.
    if not isinstance(given, Iterable) or isinstance(given, dict | str):
        found = "None" if given is None else f"a {type(given).__name__}"
        raise TypeError(
            f"{stage!r}: expected a list or a tuple of samples, got {found} for {place_of(sample)}."
        )
    if stage.one_to_one:
        given = list(given)
        if len(given) != 1:
            raise TypeError(
                f"{stage!r}: expected one sample, as one_to_one promises; got {len(given)} for "
                f"{place_of(sample)}. Without that promise, a stage may give none or several."
            )
    yield from given


def check_callable(stage: SampleStage, function: object) -> None:
    """Refuse what cannot be called.

    Raises:
        ConfigError: if it cannot.
    """
    if not callable(function):
        raise ConfigError(f"{stage!r}: expected a function, got {function!r}.")


def place_of(sample: Any) -> str:  # noqa: ANN401 - mostly a sample
    """Return `shard: sample 'key'`, for messages."""
    if not isinstance(sample, dict):
        return f"{type(sample).__name__} {reprlib.repr(sample)}"  # in somebody's own pipeline
    url = sample.get("__url__")
    return f"{url + ': ' if url else ''}sample {sample.get('__key__', '?')!r}"
