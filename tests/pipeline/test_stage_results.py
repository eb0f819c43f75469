"""What a user's stage gives is checked, and an error names the stage and the sample."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.map import Map
from vrs_wds.pipeline.select import Select
from vrs_wds.pipeline.stage import SampleDict, SampleStage
from vrs_wds.reader.dataset import ShardedDataset


@dataclass(frozen=True, repr=False)
class Giving(SampleStage):
    """Gives what a test says."""

    results: Any

    def apply(self, sample: SampleDict, /) -> Iterable[SampleDict]:
        """Return it."""
        if self.results is StopIteration:
            raise StopIteration
        return self.results  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False)
class Promising(Giving):
    """Promises one sample."""

    one_to_one: ClassVar[bool] = True


CASES = [
    (Giving({"image": 1}), TypeError, r"Giving.*: expected samples.*; got a dict for"),
    (Giving([3]), TypeError, r"Giving.*: expected samples.*; got a int for"),
    (Giving("ab"), TypeError, r"Giving.*: expected samples.*; got a str for"),
    (Giving(StopIteration), RuntimeError, "Giving.* raised StopIteration for"),
    (Promising(()), TypeError, r"Promising.*: expected one sample, .*; got 0 for"),
    (Promising(({}, {})), TypeError, r"Promising.*: expected one sample, .*; got 2 for"),
    (Map(lambda sample: [sample, sample]), TypeError, "Map.*: expected a sample.*got a list for"),
    (Map(lambda sample: 3), TypeError, "Map.*: expected a sample.*got a int for"),  # type: ignore[arg-type, return-value]
]


@pytest.mark.parametrize(("stage", "error", "message"), CASES)
def test_in_a_loader_and_on_its_own(
    small_dataset: ShardedDataset, stage: SampleStage, error: type[Exception], message: str
) -> None:
    """The same message: it names stage and sample."""
    key = small_dataset.key_at(0)
    with pytest.raises(error, match=f"{message} .*sample {key!r}"):
        next(iter(StreamingLoader(small_dataset, stages=[Decode(), stage])))
    samples: Iterator[SampleDict] = iter([{"__key__": key}])
    with pytest.raises(Exception, match=f"{message} sample {key!r}|generator raised"):
        list(stage(samples))


@pytest.mark.parametrize("kind", [Map, Select])
def test_what_cannot_be_called(kind: Any) -> None:
    """Is refused when the stage is made."""
    with pytest.raises(ConfigError, match=f"{kind.__name__}.*: expected a function, got 'x'"):
        kind("x")
