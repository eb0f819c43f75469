"""Shuffle: a random order within a buffer."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.pipeline.shuffle import Shuffle


@given(st.integers(0, 60), st.integers(1, 70), st.integers(0, 3), st.integers(0, 3))
def test_every_item_comes_once(count, buffer_size, seed, epoch):
    """Nothing is lost or given twice."""
    shuffled = list(Shuffle(buffer_size, seed=seed, epoch=epoch)(range(count)))
    assert sorted(shuffled) == list(range(count))


@given(st.integers(0, 60), st.integers(1, 70))
def test_items_come_early_by_less_than_the_buffer(count, buffer_size):
    """An item is given at most `buffer_size - 1` places before its own."""
    for place, item in enumerate(Shuffle(buffer_size)(range(count))):
        assert item - place < buffer_size


@given(st.integers(0, 40), st.integers(1, 20), st.integers(0, 5))
def test_equal_seeds_give_equal_orders(count, buffer_size, seed):
    """The same stage twice, and its pickled copy, shuffle alike."""
    stage = Shuffle(buffer_size, seed=seed)
    first = list(stage(range(count)))
    assert list(stage(range(count))) == first
    assert list(pickle.loads(pickle.dumps(stage))(iter(range(count)))) == first


def test_seed_and_epoch_change_the_order():
    """Each of both makes an order of its own, and the order is not the one that came in."""
    orders = [
        tuple(Shuffle(100, seed=seed, epoch=epoch)(range(100)))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({*orders, tuple(range(100))}) == 5


def test_the_order_is_the_same_everywhere():
    """A seed's order is part of what a run can be repeated by; it must not drift."""
    assert list(Shuffle(4, seed=7)(range(10))) == [3, 0, 2, 4, 1, 8, 7, 6, 9, 5]


def test_every_item_can_come_first():
    """The buffer is drawn from evenly enough that each of its places is hit."""
    firsts = {next(Shuffle(8, seed=seed)(range(100))) for seed in range(200)}
    assert firsts == set(range(8))


def test_a_buffer_of_one_leaves_the_order():
    """There is nothing to choose from."""
    assert list(Shuffle(1)(range(20))) == list(range(20))


def test_no_more_is_read_than_the_buffer_holds():
    """The first item is given as soon as the buffer is full."""
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    next(Shuffle(5)(items()))
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("buffer_size", [0, -1])
def test_an_empty_buffer_is_refused(buffer_size):
    """The message names the option and its value."""
    with pytest.raises(ConfigError, match=f"buffer_size: expected at least 1, got {buffer_size}"):
        Shuffle(buffer_size)


def test_the_fields_are_the_whole_stage():
    """It compares, hashes and prints by its fields."""
    assert Shuffle(4) == Shuffle(4, seed=0, epoch=0)
    assert hash(Shuffle(4)) == hash(Shuffle(4))
    assert Shuffle(4) != Shuffle(4, seed=1)
    assert repr(Shuffle(4, seed=1)) == "Shuffle(buffer_size=4, seed=1)"
