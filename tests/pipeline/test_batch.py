"""Batch: consecutive samples in groups."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.batch import Batch
from vrs_wds.pipeline.ragged import Ragged
from vrs_wds.pipeline.targets import Targets


def numbered(count):
    """Make samples that are told apart by their keys."""
    return [{"__key__": str(number), "number": number} for number in range(count)]


@given(st.integers(0, 20), st.integers(1, 7), st.booleans())
def test_samples_are_grouped_in_order(count, batch_size, drop_last):
    """Batches are full but for the last, and hold every sample once unless it is dropped."""
    batches = list(Batch(batch_size, drop_last=drop_last)(iter(numbered(count))))
    keys = [int(key) for batch in batches for key in batch["__key__"]]

    kept = count // batch_size * batch_size if drop_last else count
    assert keys == list(range(kept))
    assert len(batches) == (count // batch_size if drop_last else math.ceil(count / batch_size))
    assert all(len(batch["__key__"]) == batch_size for batch in batches[:-1])


def test_a_list_will_do():
    """Any iterable of samples is taken, as webdataset's stages do."""
    assert [batch["number"].tolist() for batch in Batch(2)(numbered(3))] == [[0, 1], [2]]


def test_no_more_is_read_than_a_batch_needs():
    """The first batch is given before the next sample is asked for."""
    taken = []

    def samples():
        for sample in numbered(10):
            taken.append(sample["number"])
            yield sample

    next(Batch(3)(samples()))
    assert taken == [0, 1, 2]


def test_ragged_is_passed_on(decoded_sample, detection):
    """`packed` gives `Ragged`, `list` gives lists."""
    samples = list(Targets("detection")([decoded_sample(detection=detection((0, 0, 1, 1)))]))
    (packed,) = Batch(4)(samples)
    (listed,) = Batch(4, ragged="list")(samples)
    assert isinstance(packed["target"]["boxes"], Ragged)
    assert isinstance(listed["target"]["boxes"], list)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"batch_size": 1, "ragged": "padded"}, "ragged: expected 'packed' or 'list', got 'padded"),
    ],
)
def test_options_are_checked(options, message):
    """The message names the option and its value."""
    with pytest.raises(ConfigError, match=message):
        Batch(**options)


def test_the_fields_are_the_whole_stage():
    """It pickles, compares, hashes and prints by its fields; it can be used again."""
    stage = Batch(2, drop_last=True)
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage
    assert hash(copy) == hash(stage)
    assert repr(stage) == "Batch(batch_size=2, drop_last=True)"
    assert len(list(stage(numbered(5)))) == len(list(stage(numbered(5)))) == 2
