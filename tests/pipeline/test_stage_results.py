"""What a user's stage gives is checked, and an error names the stage and the sample."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.loader.map_dataset import MapDataset
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
    (Giving({"image": 1}), TypeError, "Giving.*: expected a list .*got a dict for"),
    (Giving(3), TypeError, "Giving.*: expected a list .*got a int for"),
    (Giving("ab"), TypeError, "Giving.*: expected a list .*got a str for"),
    (Giving(None), TypeError, "Giving.*: expected a list .*got None for"),
    (Giving(StopIteration), RuntimeError, "Giving.* raised StopIteration for"),
    (Promising(()), TypeError, "Promising.*: expected one sample, .*; got 0 for"),
    (Promising(({}, {})), TypeError, "Promising.*: expected one sample, .*; got 2 for"),
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
    with pytest.raises(error, match=f"{message} sample {key!r}"):
        list(stage(samples))


@pytest.mark.parametrize("results", [[3], [[{}, {}]], ["ab"]])
def test_a_batch_is_made_of_dicts(small_dataset: ShardedDataset, results: Any) -> None:
    """Stages may pass anything on; what comes to the batch is checked."""
    with pytest.raises(
        TypeError, match=r"expected samples, which are dicts.*; got a (int|list|str)"
    ):
        next(iter(StreamingLoader(small_dataset, stages=[Decode(), Giving(results)])))
    assert list(Giving(results)(iter([{}]))) == results


def test_samples_of_another_form(small_dataset: ShardedDataset) -> None:
    """A map may make pairs of samples, and stages go over what is no sample."""
    pairs = Map(lambda sample: (sample["__key__"], 1))  # type: ignore[arg-type, return-value]

    assert MapDataset(small_dataset, Decode(), pairs)[0] == (small_dataset.key_at(0), 1)
    assert list(Select(lambda pair: pair[0])(iter([(1, 2), (0, 3)]))) == [(1, 2)]  # type: ignore[arg-type, index, comparison-overlap]
    with pytest.raises(TypeError, match=r"got None for tuple \(1, 2\)"):
        list(Map(lambda pair: None)(iter([(1, 2)])))  # type: ignore[arg-type, return-value]


def test_results_come_one_after_another() -> None:
    """In a stream: a thousand tiles of a picture are not held at once."""
    made: list[int] = []

    def make() -> Iterator[SampleDict]:
        for number in range(3):
            made.append(number)
            yield {"number": number}

    results = Giving(make())(iter([{}]))

    assert (next(results), made) == ({"number": 0}, [0])
    assert (len(list(results)), made) == (2, [0, 1, 2])


class Doubling:
    """A stream stage that takes the iterator when it is made."""

    def __init__(self, samples: Iterator[Any]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[Any]:
        for sample in self.samples:
            yield from (sample, sample)


def test_a_class_may_be_a_stream_stage(small_dataset: ShardedDataset) -> None:
    """If it is not one of this package, which takes options instead."""
    loader = StreamingLoader(small_dataset, stages=[Decode(), Doubling], batch_size=1)

    assert len(list(loader)) == 2 * len(small_dataset)


@pytest.mark.parametrize("kind", [Map, Select])
def test_what_cannot_be_called(kind: Any) -> None:
    """Is refused when the stage is made."""
    with pytest.raises(ConfigError, match=f"{kind.__name__}.*: expected a function, got 'x'"):
        kind("x")
