"""What becomes of bad samples: raised, or skipped within a budget and written down.

Only a `SampleError` may be skipped: data that are damaged or do not fit. A mistake in code or
configuration is never skipped.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vrs_wds import errors
from vrs_wds.checks import whole_number
from vrs_wds.errors import ConfigError, SampleError, StorageError, TooManyBadSamples
from vrs_wds.pipeline.stage import SampleDict


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that could not be used, and why. Plain texts: it comes from worker processes."""

    key: str
    url: str
    error: str
    """Name of the error's class."""
    message: str

    def to_error(self) -> SampleError:
        """Return the error as it was raised."""
        kind = getattr(errors, self.error, SampleError)
        error: SampleError = kind(self.message)
        return error


def bad_sample(error: SampleError, key: str, url: str) -> BadSample:
    """Write down an error."""
    kind = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
    return BadSample(key=key, url=url, error=kind.__name__, message=str(error))


@dataclass
class FaultLog:
    """Counts bad samples, and stops when there are more than the budget allows."""

    max_skipped: float = 0
    """Bad samples that may be skipped, or `math.inf`; with 0 the first one is raised."""
    quarantine: Path | None = None
    """JSON-lines file that bad samples are appended to: key, url, error, message."""
    skipped: list[BadSample] = field(default_factory=list)
    """Samples skipped so far, in order."""
    _keys: set[str] = field(default_factory=set, repr=False)
    """Of those skipped in this epoch."""

    def __post_init__(self) -> None:
        if self.max_skipped != math.inf:
            self.max_skipped = whole_number("max_skipped", self.max_skipped, least=0)
        if self.quarantine is not None:
            _check_writable(self.quarantine)

    def begin_epoch(self) -> None:
        """Count samples anew that were counted before."""
        self._keys.clear()

    def handle(self, bad: BadSample) -> None:
        """Skip a bad sample, or raise; one that comes again in the same epoch counts once.

        Raises:
            SampleError: the sample's own error, if none may be skipped.
            TooManyBadSamples: if the budget is used up.
        """
        if self.max_skipped == 0:
            raise bad.to_error()
        if bad.key in self._keys:
            return
        self._keys.add(bad.key)
        self.skipped.append(bad)
        if self.quarantine is not None:
            record = {
                "key": bad.key,
                "url": bad.url,
                "error": bad.error,
                "message": bad.message,
            }
            try:
                with self.quarantine.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
            except OSError as error:
                raise StorageError(
                    f"quarantine: {self.quarantine} cannot be written ({error}); it lacks the bad "
                    f"sample {bad.key!r}: {bad.message}"
                ) from error
        if len(self.skipped) > self.max_skipped:
            keys = ", ".join(repr(other.key) for other in self.skipped[:10])
            raise TooManyBadSamples(
                f"{len(self.skipped)} bad samples, expected at most {self.max_skipped} "
                f"(max_skipped). The first are {keys}; the last: {bad.message}"
            ) from bad.to_error()

    def sift(self, results: Iterable[SampleDict | BadSample]) -> Iterator[SampleDict]:
        """Yield the good samples; handle the bad ones."""
        for result in results:
            if isinstance(result, BadSample):
                self.handle(result)
            else:
                yield result


def _check_writable(path: Path) -> None:
    """Refuse a file that could not be written, before hours of work; none is made."""
    # Not Path's methods: they raise where a name is too long, or a folder may not be searched.
    there = path if os.path.exists(path) else path.parent
    problem = (
        "is a folder"
        if os.path.isdir(path)
        else "there is no such folder"
        if not os.path.isdir(path.parent)
        else "may not be written"
        if not os.access(there, os.W_OK)
        else None
    )
    if problem is not None:
        raise ConfigError(
            f"quarantine: expected a file that can be written, got {path}: {problem}."
        )
