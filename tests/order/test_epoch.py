"""Orders and shares: pure functions of numbers."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.order.epoch import rank_places, share_of, shuffled_order
from vrs_wds.order.seeds import rng_for
from vrs_wds.order.world import World

shard_sizes = st.lists(st.integers(0, 20), max_size=8)


def shards_of(sizes: list[int]) -> np.ndarray:
    """Return the shard number of every sample."""
    return np.repeat(np.arange(len(sizes)), sizes)


@given(shard_sizes, st.integers(0, 2**63), st.integers(0, 10**6), st.integers(0, 100))
def test_an_order_has_every_sample_once(
    sizes: list[int], seed: int, epoch: int, window: int
) -> None:
    """Whatever the shards."""
    order = shuffled_order(shards_of(sizes), seed=seed, epoch=epoch, window=window)

    assert sorted(order.tolist()) == list(range(sum(sizes)))


@given(shard_sizes, st.integers(0, 100), st.integers(0, 60))
def test_samples_move_no_further_than_the_window(sizes: list[int], seed: int, window: int) -> None:
    """From where their shard's place puts them."""
    whole = shuffled_order(shards_of(sizes), seed=seed, epoch=0, window=0)
    moved = shuffled_order(shards_of(sizes), seed=seed, epoch=0, window=window)
    places = np.argsort(whole)

    assert (np.abs(places[moved] - np.arange(len(moved))) <= window).all()


def test_shards_stay_together_without_a_window() -> None:
    """Only shards are permuted."""
    order = shuffled_order(shards_of([3, 4, 2]), seed=0, epoch=0, window=0)

    assert np.count_nonzero(np.diff(shards_of([3, 4, 2])[order])) == 2


def test_seeds_and_epochs_give_orders_of_their_own() -> None:
    """Equal numbers, equal orders; other numbers, others."""
    shards = shards_of([50] * 10)
    orders = {
        tuple(shuffled_order(shards, seed=seed, epoch=epoch, window=100))
        for seed in range(3)
        for epoch in range(3)
    }

    assert len(orders) == 9
    again = shuffled_order(shards, seed=2, epoch=1, window=100)
    assert (again == shuffled_order(shards, seed=2, epoch=1, window=100)).all()


def test_the_order_is_the_same_in_another_process() -> None:
    """No clock, no process id, no salted hash; the first places are pinned."""
    code = (
        "import numpy as np; from vrs_wds.order.epoch import shuffled_order;"
        "print(*shuffled_order(np.repeat(np.arange(5), 4), seed=7, epoch=3, window=6))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    here = shuffled_order(shards_of([4] * 5), seed=7, epoch=3, window=6)

    assert {run.stdout.split()[0] for run in runs} == {str(here[0])}
    assert {run.stdout.strip() for run in runs} == {" ".join(map(str, here))}


def test_kinds_of_chance_do_not_share_numbers() -> None:
    """One seed, several streams."""
    draws = {rng_for(0, epoch=0, stream=name).random() for name in ("shards", "window", "buffer")}

    assert len(draws) == 3


@given(st.integers(1, 9), st.integers(0, 40))
def test_shares_cover_everything_once(num_readers: int, length: int) -> None:
    """And differ by one at most."""
    shares = [share_of(reader, num_readers, length) for reader in range(num_readers)]

    assert [place for share in shares for place in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.integers(0, 50), st.integers(1, 6), st.sampled_from([1, 2, 3, 4, 8]), st.booleans())
def test_ranks_share_global_batches(
    length: int, batch_size: int, world_size: int, drop_last: bool
) -> None:
    """Equal numbers for all; a global batch has the same samples for any number of ranks."""
    places = np.random.default_rng(0).permutation(length)
    ranks = [
        rank_places(places, batch_size, World(rank, world_size), drop_last=drop_last)
        for rank in range(world_size)
    ]
    size = batch_size * world_size

    assert len({len(rank) for rank in ranks}) == 1
    for batch in range(length // size):
        part = slice(batch * batch_size, (batch + 1) * batch_size)
        together = np.concatenate([rank[part] for rank in ranks])
        assert together.tolist() == places[batch * size : (batch + 1) * size].tolist()
    seen = {int(place) for rank in ranks for place in rank}
    full = length // size * size
    assert seen == set((places[:full] if drop_last else places).tolist())
    extra = sum(map(len, ranks)) - len(seen)
    assert extra < world_size


def test_the_drawing_of_rank_places() -> None:
    """The docstring's table is what comes out."""
    places = np.arange(10)

    assert rank_places(places, 2, World(0, 2), drop_last=False).tolist() == [0, 1, 4, 5, 8]
    assert rank_places(places, 2, World(1, 2), drop_last=False).tolist() == [2, 3, 6, 7, 9]
    assert rank_places(places, 2, World(1, 2), drop_last=True).tolist() == [2, 3, 6, 7]


def test_world_is_checked() -> None:
    """A rank beyond the world is a mistake."""
    assert World(1, 2, 2, 3).reader == 5
    assert World(1, 2, 2, 3).num_readers == 6
    with pytest.raises(ValueError, match="below their numbers"):
        World(2, 2)
