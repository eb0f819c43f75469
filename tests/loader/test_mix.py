"""`mix`: several datasets or tasks in turn."""

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.loader.mix import MixedLoader, Part, mix
from vrs_wds.order.world import World
from vrs_wds.reader.dataset import ShardedDataset

GLOBAL_BATCH = 4


def make(dataset: ShardedDataset, world: World, **options: Any) -> MixedLoader:
    """Return a mixture of a dataset, a part of it, and its questions."""
    parts = [
        Part(dataset, 0.5, {"stages": []}),
        Part(dataset[::2], 0.3, {"stages": []}),
        Part(dataset, 0.2, {"per": "question", "task": "vqa", "size": (8, 8)}),
    ]
    size = GLOBAL_BATCH // world.world_size
    return mix(parts, batch_size=size, shuffle=True, world=world, **options)


def describe(parts: tuple[dict[str, Any], ...]) -> tuple[int, list[tuple[str, int]]]:
    """Return the part and the real examples of a global batch."""
    (part,) = {batch["part"] for batch in parts}
    found = []
    for batch in parts:
        items = batch.get("__item__", [0] * len(batch["__key__"]))
        rows = zip(batch["__key__"], items, batch["mask"], strict=True)
        found += [(key, int(item)) for key, item, real in rows if real]
    return part, found


def run(loaders: list[MixedLoader], number: int) -> list[tuple[int, list[tuple[str, int]]]]:
    """Return the next global batches, over epochs if need be."""
    found: list[tuple[int, list[tuple[str, int]]]] = []
    while len(found) < number:
        iterators = [iter(loader) for loader in loaders]
        found += map(describe, islice(zip(*iterators, strict=True), number - len(found)))
        for iterator in iterators:
            iterator.close()  # type: ignore[attr-defined]
    return found


def test_batches_come_in_proportion(small_dataset: ShardedDataset) -> None:
    """By the schedule, and as many as `len` says."""
    loader = make(small_dataset, World())
    batches = list(loader)

    assert len(batches) == len(loader)
    assert [batch["part"] for batch in batches[:10]] == [0, 1, 2, 0, 0, 1, 0, 2, 1, 0][
        : len(batches)
    ]
    assert "target" in next(batch for batch in batches if batch["part"] == 2)


def test_an_epoch_until_the_first_or_all_are_through(small_dataset: ShardedDataset) -> None:
    """No example twice; or every example at least once."""
    parts = [Part(small_dataset, 1, {"stages": []}), Part(small_dataset[:5], 1, {"stages": []})]
    for until, expected in (("first", 5), ("all", 12)):
        loader = mix(parts, batch_size=2, until=until)  # type: ignore[arg-type]
        batches = list(loader)
        keys = [key for batch in batches if batch["part"] == 0 for key in batch["__key__"]]
        assert len(keys) == len(set(keys))
        assert len([batch for batch in batches if batch["part"] == 0]) >= expected - 2
        if until == "all":
            assert sorted(keys) == sorted(small_dataset.column("key"))


def test_a_dataset_given_twice_has_two_orders(small_dataset: ShardedDataset) -> None:
    """One image may serve one task in a batch and another in the next."""
    parts = [
        Part(small_dataset, 1, {"task": "vqa", "size": (8, 8)}),
        Part(small_dataset, 1, {"task": "detection", "size": (8, 8)}),
    ]
    batches = list(mix(parts, batch_size=23, shuffle=True))

    assert [batch["part"] for batch in batches] == [0, 1]
    assert batches[0]["__key__"] != batches[1]["__key__"]
    assert sorted(batches[0]["__key__"]) == sorted(batches[1]["__key__"])
    assert "questions" in batches[0]["target"]
    assert "boxes" in batches[1]["target"]


@pytest.mark.parametrize("seed", range(25))
def test_stopped_twice_and_resumed_elsewhere(small_dataset: ShardedDataset, seed: int) -> None:
    """On any number of ranks, in mid-epoch, over the end of an epoch."""
    rng = random.Random(seed)
    options: dict[str, Any] = {"seed": seed, "until": rng.choice(["first", "all"])}
    length = len(make(small_dataset, World(), **options)) + 6
    expected = run([make(small_dataset, World(), **options)], length)
    found: list[Any] = []
    state = None
    for stop in (*sorted(rng.sample(range(1, length), 2)), length):
        size = rng.choice([1, 2, 4])
        loaders = [make(small_dataset, World(rank, size), **options) for rank in range(size)]
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
        found += run(loaders, stop - len(found))
        states = {json.dumps(loader.state_dict(), sort_keys=True) for loader in loaders}
        assert len(states) == 1
        state = json.loads(states.pop())

    assert found == expected


def test_folders_with_weights(small_root: Path) -> None:
    """The short form."""
    loader = mix({small_root: 1.0}, split="train", batch_size=8, task="vqa", size=(8, 8))

    assert len(list(loader)) == len(loader) == 3
    assert "MixedLoader(epoch 1" in repr(loader)


def test_epochs(small_dataset: ShardedDataset) -> None:
    """Another order each; `set_epoch` goes back to one."""
    loader = make(small_dataset, World())
    first, second = run([loader], len(loader)), run([loader], len(loader))
    loader.set_epoch(0)

    assert first != second
    assert run([loader], len(loader)) == first


def test_what_does_not_fit(small_dataset: ShardedDataset) -> None:
    """Other weights, other parts, no state."""
    state = make(small_dataset, World()).state_dict()
    parts = [Part(small_dataset, weight, {"stages": []}) for weight in (0.5, 0.3, 0.2)]
    with pytest.raises(ConfigError, match="the dataset, or its selection, has changed"):
        mix(parts, batch_size=4, shuffle=True).load_state_dict(state)
    with pytest.raises(ConfigError, match="weights was"):
        mix(parts[:2], batch_size=4).load_state_dict(state)
    for bad in ({}, None, []):
        with pytest.raises(ConfigError, match="what state_dict"):
            make(small_dataset, World()).load_state_dict(bad)  # type: ignore[arg-type]


def test_numpys_numbers_are_numbers(small_dataset: ShardedDataset) -> None:
    """Weights, seed and batch size; the state is plain values."""

    def make(weights: tuple[Any, Any], seed: Any, batch_size: Any) -> MixedLoader:
        parts = [Part(small_dataset, weight, {"stages": []}) for weight in weights]
        return mix(parts, seed=seed, batch_size=batch_size, shuffle=True)

    for one, three in ((np.float32(1), np.int64(3)), (np.float64(1), np.uint8(3))):
        numpys = make((one, three), np.int64(7), np.int16(2))
        plain = make((1, 3), 7, 2)
        plain.load_state_dict(json.loads(json.dumps(numpys.state_dict())))
        assert [b["__key__"] for b in numpys] == [b["__key__"] for b in plain]


def test_a_part_without_batches_is_refused_when_made(small_dataset: ShardedDataset) -> None:
    """Not after hours, when it is iterated."""
    parts = [Part(small_dataset), Part(small_dataset[:3], options={"drop_last": True})]
    with pytest.raises(ConfigError, match="part 1 of the mixture has no batch"):
        mix(parts, batch_size=4, stages=[])
