"""Map and Select: functions of the user's, one sample at a time."""

import operator
import pickle

import pytest

from vrs_wds.errors import SampleError
from vrs_wds.loader.executor import run_stages
from vrs_wds.pipeline.map import Map
from vrs_wds.pipeline.select import Select


def double(sample):
    """Return the sample with its number doubled."""
    return {**sample, "number": 2 * sample["number"]}


def is_even(sample):
    """Tell whether a sample's number is even."""
    return sample["number"] % 2 == 0


def refuse(sample):
    """Find every sample bad."""
    raise SampleError(f"sample {sample['number']} is bad")


def numbered(count):
    """Make samples with a number."""
    return [{"number": number} for number in range(count)]


def numbers(samples):
    """Return the samples' numbers."""
    return [sample["number"] for sample in samples]


def test_map_replaces_each_sample():
    """The function's results come in order; one sample gives one."""
    assert numbers(Map(double)(iter(numbered(4)))) == [0, 2, 4, 6]
    assert Map(double).one_to_one


def test_select_keeps_what_the_predicate_accepts():
    """Kept samples are the very same objects."""
    samples = numbered(5)
    kept = list(Select(is_even)(samples))
    assert numbers(kept) == [0, 2, 4]
    assert all(sample is samples[sample["number"]] for sample in kept)
    assert not Select(is_even).one_to_one


def test_a_predicate_may_give_anything_true_or_false():
    """A count or a list decides as `if` would."""
    assert numbers(Select(operator.itemgetter("number"))(numbered(3))) == [1, 2]


def test_a_chain_gives_what_its_stages_give_one_after_the_other():
    """Sample by sample or stage by stage: the same samples in the same order."""
    stages = (Select(is_even), Map(double), Map(double))
    streamed = numbered(7)
    for stage in stages:
        streamed = stage(streamed)
    chained = [result for sample in numbered(7) for result in run_stages(stages, sample)]
    assert list(streamed) == chained == [{"number": number} for number in (0, 8, 16, 24)]


@pytest.mark.parametrize("stage", [Map(refuse), Select(refuse)])
def test_an_error_of_the_function_is_raised_as_it_is(stage):
    """Nothing is wrapped or lost, and samples before it have come through."""
    with pytest.raises(SampleError, match="sample 0 is bad"):
        list(stage(numbered(2)))


def test_the_fields_are_the_whole_stage():
    """They pickle, compare, hash and print by their function."""
    for stage in (Map(double), Select(is_even)):
        copy = pickle.loads(pickle.dumps(stage))
        assert copy == stage
        assert hash(copy) == hash(stage)
        assert numbers(copy(numbered(3))) == numbers(stage(numbered(3)))
    assert Map(double) != Map(is_even)
    assert "double" in repr(Map(double))
