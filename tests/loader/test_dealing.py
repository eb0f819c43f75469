"""How batches are dealt to worker processes: pure, for any number of them."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.loader.dealing import Dealing, merge
from vrs_wds.order.plan import EpochPlan, PlanOptions, RankBatch
from vrs_wds.order.world import World


def plan_of(data: st.DataObject, world: World) -> EpochPlan:
    """Return any plan that the ranks can share."""
    shards = np.array(data.draw(st.lists(st.integers(0, 20), max_size=8)), dtype=np.int64)
    options = PlanOptions(
        world.world_size * data.draw(st.integers(1, 5)),
        shuffle=data.draw(st.booleans()),
        num_streams=data.draw(st.integers(1, 9)),
        tail=data.draw(st.sampled_from(["exact", "drop", "pad", "wrap"])),
        min_stream_samples=1,
    )
    total = int(shards.sum())
    counts = st.lists(st.integers(0, 4), min_size=total, max_size=total)
    return EpochPlan(shards, options, 0, np.array(data.draw(counts), dtype=np.int64))


@pytest.mark.parametrize("by_sample", [False, True])
@pytest.mark.parametrize("num_workers", [1, 2, 3, 4])
@given(st.integers(1, 16), st.data())
def test_every_example_is_made_by_one_worker(
    num_workers: int, by_sample: bool, world_size: int, data: st.DataObject
) -> None:
    """The batches that are put together again are those of the plan, from any batch on."""
    world = World(data.draw(st.integers(0, world_size - 1)), world_size)
    plan = plan_of(data, world)
    start = data.draw(st.integers(0, plan.num_batches))
    batches = [plan.rank_batch(k, world) for k in range(start, plan.num_batches)]
    dealing = Dealing(num_workers, by_sample=by_sample)

    def work(worker: int):  # type: ignore[no-untyped-def]
        """Yield what a worker sends, batch by batch."""
        for number, batch in enumerate(batches):
            if worker in dealing.workers_of(number):
                rows = zip(batch.numbers, batch.items, dealing.owners(number, batch), strict=True)
                yield [(n, item) for n, item, owner in rows if owner == worker]

    workers = [work(worker) for worker in range(num_workers)]
    turn = 0
    for number, batch in enumerate(batches):
        parts = {}
        for worker in dealing.workers_of(number):
            assert worker == turn % num_workers  # a DataLoader takes in turn
            turn += 1
            (parts[worker],) = islice(workers[worker], 1)
        found = merge(dealing.owners(number, batch), parts)
        assert found == list(zip(batch.numbers, batch.items, strict=True))


@given(st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=9), st.integers(1, 4))
def test_a_sample_belongs_to_one_worker(batches: list[list[int]], num_workers: int) -> None:
    """In every batch, when samples are dealt."""
    dealing = Dealing(num_workers, by_sample=True)
    owners: dict[int, int] = {}
    for number, places in enumerate(batches):
        numbers = np.array(places, dtype=np.int64)
        batch = RankBatch(numbers, np.ones(len(places), dtype=bool), np.zeros_like(numbers))
        for place, owner in zip(places, dealing.owners(number, batch).tolist(), strict=True):
            assert owners.setdefault(place, owner) == owner


def test_the_drawing() -> None:
    """The docstring's table is what comes out."""
    rows = [[3, 3, 2, 5], [5, 8, 8, 8], [9, 6]]
    batches = [RankBatch(np.array(r), np.ones(len(r), bool), np.zeros(len(r), int)) for r in rows]

    for by_sample, expected in (
        (False, [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0]]),
        (True, [[1, 1, 0, 0], [0, 1, 1, 1], [1, 1]]),
    ):
        dealing = Dealing(2, by_sample=by_sample)
        found = [dealing.owners(k, batch).tolist() for k, batch in enumerate(batches)]
        assert found == expected


@pytest.mark.parametrize("num_workers", [2, 3, 4, 7])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 64, 100, 1000])
def test_workers_have_as_much_to_do(step: int, num_workers: int) -> None:
    """Also where only every so-manieth sample has examples: within a tenth."""
    numbers = np.arange(0, 2000 * step, step)
    batch = RankBatch(numbers, np.ones(2000, dtype=bool), np.zeros(2000, dtype=np.int64))
    owners = Dealing(num_workers, by_sample=True).owners(0, batch)
    counts = np.bincount(owners, minlength=num_workers)

    assert len(counts) == num_workers
    assert np.abs(counts - 2000 / num_workers).max() < 200 / num_workers
