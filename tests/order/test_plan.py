"""The plan of an epoch: every invariant, over ranks, epochs, shard sizes, streams, tails."""

from collections import Counter
from collections.abc import Callable
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrs_wds.errors import ConfigError
from vrs_wds.order.plan import EpochPlan, PlanOptions
from vrs_wds.order.slots import Slots
from vrs_wds.order.world import World

WORLDS = range(1, 17)

Case = tuple[Callable[[], EpochPlan], PlanOptions, list[tuple[int, int]], int]

sizes = st.lists(st.one_of(st.just(0), st.just(1), st.integers(0, 40)), max_size=9)
tails = st.sampled_from(["exact", "drop", "pad", "wrap"])


@st.composite
def plans(draw: st.DrawFn, **fixed: object) -> Case:
    """Return how to make a plan, its options, its examples, and a number of ranks that fits."""
    world_size = draw(st.sampled_from(WORLDS))
    options = {
        "global_batch_size": world_size * draw(st.integers(1, 5)),
        "shuffle": draw(st.booleans()),
        "seed": draw(st.integers(0, 5)),
        "window": draw(st.sampled_from([0, 1, 7, 1000])),
        "num_streams": draw(st.integers(1, 20)),
        "tail": draw(tails),
        "min_stream_samples": draw(st.sampled_from([1, 1, 1, 64])),
    } | fixed
    shards = np.array(draw(sizes), dtype=np.int64)
    total = int(shards.sum())
    counts = None
    if draw(st.booleans()):
        counts = np.array(
            draw(st.lists(st.integers(0, 6), min_size=total, max_size=total)),
            dtype=np.int64,
        )

    def make() -> EpochPlan:
        return EpochPlan(shards, plan_options, epoch, counts)

    plan_options, epoch = PlanOptions(**options), draw(st.integers(0, 3))
    every = np.ones(total, dtype=int) if counts is None else counts
    examples = [(n, item) for n, count in enumerate(every.tolist()) for item in range(count)]
    return make, plan_options, examples, world_size


Part = tuple[list[tuple[int, int]], list[bool]]


def batches(plan: EpochPlan, world_size: int) -> list[list[Part]]:
    """Return examples and mask, by batch and rank."""
    found = []
    for k in range(plan.num_batches):
        parts = [plan.rank_batch(k, World(rank, world_size)) for rank in range(world_size)]
        found.append(
            [
                (
                    list(zip(part.numbers.tolist(), part.items.tolist(), strict=True)),
                    part.mask.tolist(),
                )
                for part in parts
            ]
        )
    return found


def real(batch: list[Part]) -> list[tuple[int, int]]:
    """Return the examples of a global batch that are not repeated ones."""
    return [n for examples, mask in batch for n, m in zip(examples, mask, strict=True) if m]


@given(plans())
def test_every_example_once_or_by_the_stated_rule(case: Case) -> None:
    """Exact, pad and wrap give each once; drop leaves out less than a global batch."""
    make, options, examples, world_size = case
    found = Counter(example for batch in batches(make(), world_size) for example in real(batch))

    assert max(found.values(), default=1) == 1
    assert set(found) <= set(examples)
    if options.tail == "drop":
        size = options.global_batch_size
        assert sum(found.values()) == len(examples) // size * size
    else:
        assert sum(found.values()) == len(examples)


@given(plans())
def test_all_ranks_give_the_same_number_of_examples(case: Case) -> None:
    """In every batch; only the last one may be smaller, and only with `exact`."""
    make, options, _, world_size = case
    plan = make()
    per_rank = options.global_batch_size // world_size
    for k, batch in enumerate(batches(plan, world_size)):
        lengths = {len(examples) for examples, _ in batch}
        assert len(lengths) == 1
        last = k == plan.num_batches - 1
        assert lengths == {per_rank} or (last and options.tail == "exact")
        assert lengths != {0}
        if not last:
            assert all(all(mask) for _, mask in batch)
        if options.tail == "exact":
            counts = [sum(mask) for _, mask in batch]
            assert max(counts) - min(counts) <= 1
            assert max(counts) == lengths.pop()


@given(plans())
def test_a_global_batch_does_not_depend_on_the_ranks(case: Case) -> None:
    """The same examples in the same order, for every number of ranks that divides it."""
    make, options, _, _ = case
    expected = [real(batch) for batch in batches(make(), 1)]
    for world_size in WORLDS:
        if options.global_batch_size % world_size == 0:
            assert [real(batch) for batch in batches(make(), world_size)] == expected


@given(plans(shuffle=False))
def test_not_shuffled_the_order_is_that_of_the_samples(case: Case) -> None:
    """One after another."""
    make, _, examples, world_size = case
    flat = [example for batch in batches(make(), world_size) for example in real(batch)]

    assert flat == examples[: len(flat)]


@given(plans(shuffle=True), st.data())
def test_any_batch_is_found_without_those_before_it(case: Case, data: st.DataObject) -> None:
    """Seeking: a fresh plan asked for one batch gives what the whole epoch gives."""
    make, _, _, world_size = case
    whole = batches(make(), world_size)
    if not whole:
        return
    k = data.draw(st.integers(0, len(whole) - 1))
    rank = data.draw(st.integers(0, world_size - 1))
    part = make().rank_batch(k, World(rank, world_size))
    found = list(zip(part.numbers.tolist(), part.items.tolist(), strict=True))

    assert (found, part.mask.tolist()) == whole[k][rank]


def test_examples_of_a_sample_follow_each_other() -> None:
    """In their stream; with one stream, in the epoch."""
    counts = np.array([3, 0, 5, 1, 2] * 8)
    options = PlanOptions(4, shuffle=True, num_streams=1, window=1000)
    plan = EpochPlan(np.full(8, 5), options, 0, counts)
    flat = [example for batch in batches(plan, 1) for example in real(batch)]
    runs = [(number, len(list(run))) for number, run in groupby(flat, key=lambda e: e[0])]

    assert sorted(runs) == [(n, count) for n, count in enumerate(counts.tolist()) if count]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 300))
def test_slots_are_served_evenly_and_in_turn(streams: int, size: int, num_batches: int) -> None:
    """Closed forms equal counting; streams never differ by more than one."""
    slots = Slots(streams, size)
    served = np.zeros(streams, dtype=int)
    every = np.arange(size)
    for k in range(min(num_batches, 40)):
        assert slots.served(np.arange(streams), k).tolist() == served.tolist()
        chosen = slots.streams_of(k, every)
        assert (np.diff(chosen) >= 0).all()
        assert chosen.min() >= 0
        assert chosen.max() < streams
        for slot, position in zip(chosen, slots.positions_of(k, every), strict=True):
            assert position == served[slot]
            served[slot] += 1
        assert served.max() - served.min() <= 1
    later = slots.served(np.arange(streams), num_batches)
    assert later.sum() == num_batches * size
    assert later.max() - later.min() <= 1


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 6), st.integers(1, 6), st.integers(0, 50))
def test_a_ranks_slots_are_served_by_its_own_streams(
    world_size: int, per_rank: int, streams_per_rank: int, k: int
) -> None:
    """Whenever the ranks divide both."""
    slots = Slots(world_size * streams_per_rank, world_size * per_rank)
    for rank in range(world_size):
        mine = np.arange(rank * per_rank, (rank + 1) * per_rank)
        assert set(slots.streams_of(k, mine) // streams_per_rank) == {rank}


@pytest.mark.parametrize(("world_size", "streams_per_rank"), list(product([2, 4, 8], [1, 2, 4])))
@pytest.mark.parametrize("per_rank", [3, 8, 64])
def test_a_rank_opens_its_own_shards(world_size: int, streams_per_rank: int, per_rank: int) -> None:
    """At most shards / world_size + streams per rank + 1 in an epoch."""
    num_shards, in_shard = 64, 50
    options = PlanOptions(
        world_size * per_rank,
        shuffle=True,
        num_streams=world_size * streams_per_rank,
        min_stream_samples=1,
    )
    plan = EpochPlan(np.full(num_shards, in_shard), options, 0)
    for rank in range(world_size):
        world = World(rank, world_size)
        parts = [plan.rank_batch(k, world).numbers for k in range(plan.num_batches)]
        opened = np.unique(np.concatenate(parts) // in_shard)
        assert len(opened) <= num_shards / world_size + streams_per_rank + 1


def test_seeds_and_epochs_give_orders_of_their_own() -> None:
    """Equal numbers, equal orders."""
    shards = np.full(10, 50)
    orders = {
        (seed, epoch): tuple(
            EpochPlan(shards, PlanOptions(500, shuffle=True, seed=seed), epoch)
            .rank_batch(0, World())
            .numbers.tolist()
        )
        for seed in range(3)
        for epoch in range(3)
    }

    assert len(set(orders.values())) == 9


@pytest.mark.parametrize("sizes", [[30], [100], [40, 60], [23], [700]])
def test_small_datasets_are_shuffled_too(sizes: list[int]) -> None:
    """Few samples make few streams: each epoch mixes them all, in an order of its own."""
    total = sum(sizes)
    epochs = []
    for epoch in range(3):
        plan = EpochPlan(np.array(sizes), PlanOptions(10, shuffle=True), epoch)
        epochs.append([n for batch in batches(plan, 1) for n, _ in real(batch)])
    places = np.array(epochs)

    for first, second in ((0, 1), (1, 2), (0, 2)):
        # Two random orders agree in about one place.
        assert (places[first] == places[second]).sum() < max(6, total * 0.1)
    if total <= 100:  # one stream: the whole is mixed
        distance = np.abs(np.diff(places, axis=1)).mean() / (total / 3)
        assert 0.8 < distance < 1.3


def test_a_window_mixes_neighbouring_shards() -> None:
    """With none, a stream gives shard after shard; with one, a batch holds many."""
    shards = np.full(100, 100)

    def shards_in_a_batch(window: int) -> float:
        options = PlanOptions(50, shuffle=True, window=window, num_streams=1)
        plan = EpochPlan(shards, options, 0)
        parts = [plan.rank_batch(k, World()).numbers // 100 for k in range(plan.num_batches)]
        return float(np.mean([len(np.unique(part)) for part in parts]))

    assert shards_in_a_batch(0) == 1
    assert shards_in_a_batch(1000) > 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_batch_size": 0}, "batch_size: expected at least 1"),
        ({"global_batch_size": 1, "seed": -1}, "seed: expected at least 0"),
        ({"global_batch_size": 1, "num_streams": 0}, "num_streams: expected at least 1"),
        ({"global_batch_size": 1, "tail": "keep"}, "tail: expected one of exact, drop, pad, wrap"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    """Refused, with what was expected."""
    with pytest.raises(ConfigError, match=message):
        PlanOptions(**options)


def test_ranks_that_cannot_share_a_batch() -> None:
    """The message says the way out; beyond the end is an IndexError."""
    plan = EpochPlan(np.array([10]), PlanOptions(4), 0)
    with pytest.raises(ConfigError, match="4 samples cannot be shared evenly by 3 ranks"):
        plan.rank_batch(0, World(0, 3))
    with pytest.raises(IndexError, match="there is no 3"):
        plan.rank_batch(3, World())


def test_the_drawing_of_slots() -> None:
    """The docstring's table is what comes out."""
    slots = Slots(6, 4)

    assert [slots.streams_of(k, np.arange(4)).tolist() for k in range(3)] == [
        [0, 1, 3, 4],
        [1, 2, 4, 5],
        [0, 2, 3, 5],
    ]


@pytest.mark.parametrize(
    ("num_shards", "in_shard", "options"),
    [
        (32, 2000, {}),
        (64, 1000, {}),
        (16, 10_000, {"window": 500}),
        (1, 40_000, {"window": 1000}),
        (4, 10_000, {"window": 100, "num_streams": 4}),
    ],
)
def test_when_a_sample_comes_differs_from_epoch_to_epoch(
    num_shards: int, in_shard: int, options: dict[str, int]
) -> None:
    """Also where shards and streams have common borders: nothing is always late."""
    shards = np.full(num_shards, in_shard)
    times = []
    for epoch in range(8):
        plan = EpochPlan(shards, PlanOptions(64, shuffle=True, **options), epoch)
        parts = [plan.rank_batch(k, World()).numbers for k in range(plan.num_batches)]
        when = np.empty(shards.sum())
        when[np.concatenate(parts)] = np.arange(shards.sum()) / shards.sum()
        times.append(when)
    correlations = np.corrcoef(times)[np.triu_indices(8, 1)]
    mean = np.mean(times, axis=0).reshape(num_shards, in_shard).mean(axis=0)

    assert abs(correlations.mean()) < 0.15
    # Eight epochs: the mean of random times is 0.5, give or take a tenth.
    assert (np.abs(mean[-in_shard // 50 :] - 0.5) < 0.35).all()


@pytest.mark.parametrize(("num_shards", "in_shard"), [(32, 2000), (64, 1000)])
def test_no_two_epochs_are_alike(num_shards: int, in_shard: int) -> None:
    """Streams begin at places of their own: two epochs are not one order, shifted as a whole."""
    total = num_shards * in_shard
    times = []
    for epoch in range(8):
        options = PlanOptions(64, shuffle=True, window=in_shard // 10)
        plan = EpochPlan(np.full(num_shards, in_shard), options, epoch)
        parts = [plan.rank_batch(k, World()).numbers for k in range(plan.num_batches)]
        when = np.empty(total)
        when[np.concatenate(parts)] = np.arange(total) / total
        times.append(when)

    assert np.abs(np.corrcoef(times)[np.triu_indices(8, 1)]).max() < 0.3


def test_with_one_shard_a_rank_sees_other_samples_each_epoch() -> None:
    """Where streams are cut changes, too."""
    options = PlanOptions(64, shuffle=True)
    seen = []
    for epoch in range(2):
        plan = EpochPlan(np.array([6400]), options, epoch)
        parts = [plan.rank_batch(k, World(0, 4)).numbers for k in range(plan.num_batches)]
        seen.append(set(np.concatenate(parts).tolist()))

    assert len(seen[0] & seen[1]) < 0.9 * len(seen[0])


@pytest.mark.parametrize("options", [{"seed": 1.5}, {"num_streams": 2.0}, {"window": "3"}])
def test_numbers_are_whole(options: dict[str, object]) -> None:
    """Found at once, not in the middle of a plan."""
    with pytest.raises(ConfigError, match="expected a whole number"):
        PlanOptions(4, **options)


@pytest.mark.parametrize("global_batch_size", [2, 4, 8, 16])
@pytest.mark.parametrize("sizes", [[3200], [1600, 1600], [50] * 64])
def test_samples_do_not_travel_together(sizes: list[int], global_batch_size: int) -> None:
    """Pairs of a batch meet again in another epoch as often as chance has it, roughly.

    Also where a batch is smaller than the number of streams, and shards are too few to be mixed.
    """
    total, epochs = sum(sizes), 6
    options = PlanOptions(
        global_batch_size, shuffle=True, num_streams=32, min_stream_samples=1, tail="drop"
    )
    met: Counter[tuple[int, int]] = Counter()
    for epoch in range(epochs):
        plan = EpochPlan(np.array(sizes), options, epoch)
        for k in range(plan.num_batches):
            batch = np.sort(plan.rank_batch(k, World()).numbers).tolist()
            met.update((a, b) for i, a in enumerate(batch) for b in batch[i + 1 :])
    again = sum(count * (count - 1) // 2 for count in met.values())
    chance = (global_batch_size - 1) / (total - 1)  # that a pair of one epoch meets in another
    expected = met.total() / epochs * chance * epochs * (epochs - 1) / 2

    assert again < 2.5 * expected + 10


@given(
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 5),
    st.sampled_from([[640], [10] * 64]),
)
def test_the_streams_of_a_rank_are_one_part_of_the_row(
    world_size: int, per_rank: int, streams_per_rank: int, epoch: int, sizes: list[int]
) -> None:
    """However streams are numbered: a run of a single shard, or few of many shards."""
    options = PlanOptions(
        world_size * per_rank,
        shuffle=True,
        num_streams=world_size * streams_per_rank,
        min_stream_samples=1,
        tail="drop",
    )
    plan = EpochPlan(np.array(sizes), options, epoch)
    for rank in range(world_size):
        world = World(rank, world_size)
        full = range(plan._tail.first_batch)  # after them, at most two samples a stream are left
        numbers = np.sort(np.concatenate([plan.rank_batch(k, world).numbers for k in full]))
        if len(sizes) == 1:  # a run that may go over the end
            gaps = np.diff([*numbers, numbers[0] + 640])
            assert (np.sort(gaps)[:-1] - 1).sum() <= 2 * streams_per_rank
        else:
            assert len(np.unique(numbers // 10)) <= len(sizes) / world_size + 3


@pytest.mark.parametrize("sizes", [[100, 100, 100], [97, 3, 200], [300]])
@pytest.mark.parametrize("options", [{}, {"window": 20}, {"num_streams": 12}])
def test_every_sample_comes_at_any_time(sizes: list[int], options: dict[str, int]) -> None:
    """Over many epochs, a sample's mean time and place in a batch are those of any other."""
    total, epochs = sum(sizes), 150
    fitted = PlanOptions(20, shuffle=True, min_stream_samples=20, **options)
    times, slots = np.empty((epochs, total)), np.empty((epochs, total))
    for epoch in range(epochs):
        plan = EpochPlan(np.array(sizes), fitted, epoch)
        parts = np.concatenate([plan.rank_batch(k, World()).numbers for k in range(15)])
        times[epoch, parts] = np.arange(total) / total
        slots[epoch, parts] = np.arange(total) % 20 / 20
    spread = 1 / np.sqrt(12 * epochs)  # of a mean of so many uniform numbers

    for values in (times, slots):
        means = values.mean(axis=0)
        assert np.abs(means - means.mean()).max() < 6 * spread
        assert (np.ptp(values, axis=0) > 0.8).all()


@pytest.mark.parametrize(
    ("sizes", "num_streams"), [([10_000], 1), ([2000] * 5, 1), ([10_000], 4), ([1] * 10_000, 1)]
)
def test_a_stream_within_its_window_is_mixed_as_a_whole(sizes: list[int], num_streams: int) -> None:
    """When a sample comes says nothing of the next epoch; neighbours come at any two times."""
    options = PlanOptions(64, shuffle=True, num_streams=num_streams)
    times = np.empty((8, 10_000))
    for epoch in range(8):
        plan = EpochPlan(np.array(sizes), options, epoch)
        parts = [plan.rank_batch(k, World()).numbers for k in range(plan.num_batches)]
        times[epoch, np.concatenate(parts)] = np.arange(10_000)
    chance = 1 / np.sqrt(10_000)  # the spread of the correlation of two random orders

    if num_streams == 1:
        assert np.abs(np.corrcoef(times)[np.triu_indices(8, 1)]).max() < 4 * chance
    assert np.abs(np.diff(times, axis=1)).mean() == pytest.approx(10_000 / 3, rel=0.02)
