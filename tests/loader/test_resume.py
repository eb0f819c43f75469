"""Stop anywhere, go on anywhere: the global batches are those of an undisturbed run."""

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vrs_wds.errors import ConfigError
from vrs_wds.loader.loader import StreamingLoader
from vrs_wds.loader.mix import MixedLoader, Part, mix
from vrs_wds.loader.stream import stream
from vrs_wds.order.plan import PlanOptions
from vrs_wds.order.world import World
from vrs_wds.pipeline.decode import Decode
from vrs_wds.pipeline.select import Select
from vrs_wds.reader.dataset import ShardedDataset
from vrs_wds.reader.open import open_dataset
from vrs_wds.sample import SourceSample
from vrs_wds.writer.write import write_shards

GLOBAL_BATCH = 8
MIXED = [
    Part("here", 0.5, {"stages": []}),
    Part("some", 0.3, {"stages": []}),
    Part("here", 0.2, {"per": "question", "stages": [Decode(tasks="vqa", size=(8, 8))]}),
]
Loader = StreamingLoader | MixedLoader


@dataclass(frozen=True)
class Trial:
    """What one trial does; made of nothing but its number."""

    seed: int

    @property
    def processes(self) -> int:
        """Worker processes of the run between the two stops; few trials: they start slowly."""
        return 1 + self.seed // 25 % 4 if self.seed % 25 == 0 else 0

    @property
    def kind(self) -> str:
        """What is loaded."""
        if self.processes:
            return "mixture" if self.seed >= 100 else ("plain", "examples")[self.seed // 25 % 2]
        return ("plain", "selection", "examples", "selected examples", "mixture")[self.seed % 5]

    def options(self) -> dict[str, Any]:
        """Return the options that the order depends on."""
        rng = random.Random(self.seed)
        options = {
            "shuffle": rng.random() < 0.8,
            "seed": self.seed,
            "window": rng.choice([0, 5, 100]),
            "num_streams": rng.choice([1, 3, 8, 16]),
            "tail": rng.choice(["exact", "drop", "pad", "wrap"]),
            "stages": [],  # keys are enough; nothing is decoded
        }
        if "examples" in self.kind:
            options |= {"per": "question", "stages": [Decode(tasks="vqa", size=(8, 8))]}
        if self.kind == "mixture":
            options |= {"until": rng.choice(["first", "all"])}
            if options["tail"] == "drop":  # the selection may have no batch then
                options |= {"tail": "exact"}
            del options["stages"]
        return options

    def segments(self) -> list[tuple[int, int, dict[str, Any]]]:
        """Return, for each run: after how many batches it stops, its ranks, and its workers."""
        rng = random.Random(-self.seed)
        runs = []
        for stop in (*sorted(rng.sample(range(1, 9), 2)), 9):
            world_size = rng.choice([w for w in WORLDS if self.global_batch_size % w == 0])
            workers: dict[str, Any] = {"num_threads": rng.choice([1, 2, 5])}
            if self.processes and len(runs) == 1:
                workers = {"num_workers": self.processes, "persistent_workers": True}
                world_size = 2 if self.processes == 1 else 1
            runs.append((stop, world_size, workers))
        return runs

    @property
    def global_batch_size(self) -> int:
        """Divided by the ranks of any of the runs."""
        return (8, 12, 16)[self.seed // 5 % 3]

    def loaders(self, dataset: ShardedDataset, world_size: int, **workers: Any) -> list[Loader]:
        """Return the loaders of all ranks."""
        options = self.options() | workers
        options["batch_size"] = self.global_batch_size // world_size
        selected = dataset.select(where="num_objects != 3")[:: 1 - 2 * (self.seed % 2)]
        worlds = [World(rank, world_size) for rank in range(world_size)]
        if self.kind == "mixture":
            there = {"here": dataset, "some": selected}
            parts = [replace(part, dataset=there[str(part.dataset)]) for part in MIXED]
            if self.processes:  # each part has processes of its own
                parts = parts[1:]
            return [mix(parts, world=world, **options) for world in worlds]
        chosen = selected if "select" in self.kind else dataset
        return [StreamingLoader(chosen, world=world, **options) for world in worlds]


WORLDS = range(1, 17)


def make_loaders(dataset: ShardedDataset, world_size: int, **options: Any) -> list[StreamingLoader]:
    """Return the loaders of every rank."""
    size = GLOBAL_BATCH // world_size
    return [
        StreamingLoader(dataset, batch_size=size, world=World(rank, world_size), **options)
        for rank in range(world_size)
    ]


def real_keys(batch: dict[str, Any]) -> list[str]:
    """Return part, key and item of examples that are not repeated ones."""
    part, keys = batch.get("part", 0), batch["__key__"]
    rows = zip(keys, batch.get("__item__", [0] * len(keys)), batch["mask"], strict=True)
    return [f"{part} {key} {int(item)}" for key, item, real in rows if real]


def run(loaders: Sequence[Loader], num_batches: int) -> list[list[str]]:
    """Return the real samples of the next global batches, over epochs if need be."""
    found: list[list[str]] = []
    while len(found) < num_batches:
        iterators = [iter(loader) for loader in loaders]
        for parts in islice(zip(*iterators, strict=True), num_batches - len(found)):
            found += [[key for part in parts for key in real_keys(part)]]
        for iterator in iterators:
            iterator.close()  # type: ignore[attr-defined]
    return found


def save(loaders: Sequence[Loader]) -> dict[str, Any]:
    """Return the state as a checkpoint would hold it; every rank has the same."""
    states = [json.dumps(loader.state_dict(), sort_keys=True) for loader in loaders]

    assert len(set(states)) == 1
    assert len(states[0]) < 2000
    state: dict[str, Any] = json.loads(states[0])
    return state


# A machine may have fewer cores than there are workers in a trial.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("seed", range(200))
def test_stopped_twice_and_resumed_elsewhere(
    small_dataset: ShardedDataset, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """On other ranks, threads, workers; over epochs; selections, examples, mixtures."""
    # Else so few samples would make one stream.
    short_streams = partial(PlanOptions, min_stream_samples=1 + 63 * (seed % 4 == 3))
    monkeypatch.setattr("vrs_wds.loader.loader.PlanOptions", short_streams)
    trial = Trial(seed)
    expected = run(trial.loaders(small_dataset, 1), 9)
    found: list[list[str]] = []
    state = None
    for stop, world_size, workers in trial.segments():
        loaders = trial.loaders(small_dataset, world_size, **workers)
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
        found += run(loaders, stop - len(found))
        state = save(loaders)

    assert found == expected


def test_the_trials_cover_what_may_change() -> None:
    """Kinds of data, tails, streams, ranks, threads, processes."""
    trials = [Trial(seed) for seed in range(200)]
    segments = [segment for trial in trials for segment in trial.segments()]

    kinds = Counter(trial.kind for trial in trials)
    assert len(kinds) == 5
    assert min(kinds.values()) >= 30
    assert {world for _, world, _ in segments} == {1, 2, 3, 4, 6, 8, 12, 16}
    assert {workers.get("num_threads") for _, _, workers in segments} == {None, 1, 2, 5}
    for mixed in (False, True):
        with_processes = {t.processes for t in trials if (t.kind == "mixture") == mixed}
        assert with_processes == {0, 1, 2, 3, 4}
    for name in ("shuffle", "window", "num_streams", "tail", "until"):
        values = Counter(trial.options().get(name) for trial in trials)
        assert min(values.values()) >= 10, name


@pytest.mark.parametrize("persistent_workers", [False, True])
def test_resume_with_worker_processes(
    small_dataset: ShardedDataset, persistent_workers: bool
) -> None:
    """What threads began, processes finish, and the other way round."""
    options: dict[str, Any] = {"shuffle": True, "stages": []}
    workers = {"num_workers": 2, "persistent_workers": persistent_workers}
    expected = run(make_loaders(small_dataset, 1, **options), 7)
    first = make_loaders(small_dataset, 1, **options)
    found = run(first, 2)
    second = make_loaders(small_dataset, 1, **options, **workers)
    second[0].load_state_dict(save(first))
    found += run(second, 3)
    third = make_loaders(small_dataset, 1, **options)
    third[0].load_state_dict(save(second))

    assert found + run(third, 2) == expected


def test_at_the_end_of_an_epoch(small_dataset: ShardedDataset) -> None:
    """The next one follows; not the same again, not an empty rest."""
    whole = make_loaders(small_dataset, 1, shuffle=True, stages=[])
    expected = run(whole, 6)
    stopped = make_loaders(small_dataset, 1, shuffle=True, stages=[])
    run(stopped, 3)
    state = save(stopped)
    resumed = make_loaders(small_dataset, 1, shuffle=True, stages=[])
    resumed[0].load_state_dict(state)

    assert (state["epoch"], state["batch"]) == (1, 0)
    assert run(resumed, 3) == expected[3:]


def test_prefetched_batches_are_not_counted(small_dataset: ShardedDataset) -> None:
    """The state is what the consumer has, not what was read ahead."""
    loader = StreamingLoader(small_dataset, batch_size=2, stages=[], prefetch_factor=8)
    iterator = iter(loader)
    next(iterator)

    assert loader.state_dict()["batch"] == 1
    next(iterator)
    assert loader.state_dict()["batch"] == 2
    iterator.close()
    assert loader.state_dict()["batch"] == 2


def test_before_the_first_batch(small_dataset: ShardedDataset) -> None:
    """A fresh loader's state is its beginning; loading it changes nothing."""
    loader = StreamingLoader(small_dataset, batch_size=8, stages=[], shuffle=True)
    state = loader.state_dict()
    other = StreamingLoader(small_dataset, batch_size=8, stages=[], shuffle=True)
    other.load_state_dict(state)

    assert (state["epoch"], state["batch"]) == (0, 0)
    assert run([other], 3) == run([loader], 3)


def test_set_epoch_and_resume(small_dataset: ShardedDataset) -> None:
    """A trainer that sets the epoch it resumes does not lose the place in it."""
    loaders = make_loaders(small_dataset, 1, shuffle=True, stages=[])
    expected = run(loaders, 5)
    stopped = make_loaders(small_dataset, 1, shuffle=True, stages=[])
    run(stopped, 4)
    resumed = make_loaders(small_dataset, 1, shuffle=True, stages=[])
    resumed[0].load_state_dict(save(stopped))
    resumed[0].set_epoch(1)

    assert run(resumed, 1) == expected[4:]
    resumed[0].set_epoch(0)
    assert run(resumed, 2) == expected[:2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"shuffle": False}, "shuffle was True, is False"),
        ({"batch_size": 4}, "global_batch_size was 8, is 4.*choose batch_size so that"),
        ({"window": 3, "num_streams": 2}, "num_streams was 64, is 2; window was 16384, is 3"),
        ({"tail": "wrap"}, "tail was 'exact', is 'wrap'"),
    ],
)
def test_another_order_is_refused(
    small_dataset: ShardedDataset, options: dict[str, Any], message: str
) -> None:
    """The message says what differs, and what to do."""
    defaults: dict[str, Any] = {"batch_size": 8, "shuffle": True, "stages": []}
    state = StreamingLoader(small_dataset, **defaults).state_dict()
    with pytest.raises(ConfigError, match=message):
        StreamingLoader(small_dataset, **(defaults | options)).load_state_dict(state)


def test_other_data_are_refused(small_dataset: ShardedDataset, tmp_path: Path) -> None:
    """Another dataset, or another selection of it."""
    state = StreamingLoader(small_dataset, stages=[]).state_dict()
    shutil.copytree(small_dataset.url, tmp_path / "copy")
    StreamingLoader(open_dataset(tmp_path / "copy"), stages=[]).load_state_dict(state)

    sample = small_dataset[0]
    write_shards([SourceSample("a", sample["png"], "png")], tmp_path / "other", split="train")
    for other in (open_dataset(tmp_path / "other"), small_dataset[1:], small_dataset[::-1]):
        with pytest.raises(ConfigError, match=rf"had 23 samples.* now it has {len(other)} and"):
            StreamingLoader(other, stages=[]).load_state_dict(state)


@pytest.mark.parametrize("state", [{}, {"version": 1}, [], {"epoch": "x"}, None])
def test_anything_else_is_no_state(small_dataset: ShardedDataset, state: Any) -> None:
    """One clear error."""
    loader = StreamingLoader(small_dataset, stages=[])
    with pytest.raises(ConfigError, match=r"state: expected what state_dict\(\)"):
        loader.load_state_dict(state)
    with pytest.raises(ConfigError, match="state: expected version 1, found 2"):
        loader.load_state_dict(loader.state_dict() | {"version": 2})


def test_stages_that_change_the_number_cannot_resume(small_dataset: ShardedDataset) -> None:
    """They say so, and what to do instead."""
    loader = StreamingLoader(small_dataset, stages=[Decode(), Select(bool)])
    for call in (loader.state_dict, lambda: loader.load_state_dict({})):
        with pytest.raises(ConfigError, match=r"Select.*dataset\.select"):
            call()


def test_a_cut_epoch_and_then_another(small_dataset: ShardedDataset) -> None:
    """`set_epoch` after a break: the state points at the epoch that comes."""
    loader = StreamingLoader(small_dataset, batch_size=4, stages=[], shuffle=True)
    for _ in islice(loader, 2):
        pass
    loader.set_epoch(1)
    state = loader.state_dict()
    resumed = StreamingLoader(small_dataset, batch_size=4, stages=[], shuffle=True)
    resumed.load_state_dict(state)

    assert (state["epoch"], state["batch"]) == (1, 0)
    assert run([resumed], 3) == run([loader], 3)


def test_an_old_iterator_does_not_move_the_loader(small_dataset: ShardedDataset) -> None:
    """After a state was loaded, or another iteration begun."""
    loader = StreamingLoader(small_dataset, batch_size=4, stages=[])
    old = iter(loader)
    next(old)
    loader.load_state_dict(loader.state_dict() | {"epoch": 0, "batch": 3})
    next(old)
    assert loader.state_dict()["batch"] == 3
    assert len(list(loader)) == 3


@pytest.mark.parametrize("change", [{"batch": 99}, {"batch": -1}, {"epoch": -1}])
def test_places_that_are_not_there(small_dataset: ShardedDataset, change: dict[str, int]) -> None:
    """Refused when loaded."""
    loader = StreamingLoader(small_dataset, batch_size=4, stages=[])
    with pytest.raises(ConfigError, match="state: expected an epoch from 0 and at most 6 batches"):
        loader.load_state_dict(loader.state_dict() | change)
    with pytest.raises(ConfigError, match="epoch: expected a number from 0"):
        loader.set_epoch(-1)


@pytest.mark.parametrize("bad", [-1, 2**63, 1.0, "1", None])
def test_epochs_that_are_none(small_dataset: ShardedDataset, bad: Any) -> None:
    """Refused at once, by whatever has epochs."""
    loader = StreamingLoader(small_dataset, stages=[])
    parts = [Part(small_dataset, 1.0, {"stages": []})]
    for takes_epoch in (loader, mix(parts), stream(small_dataset)):
        with pytest.raises(ConfigError, match="epoch: expected a number from 0 to"):
            takes_epoch.set_epoch(bad)
    with pytest.raises(ConfigError, match="epoch: expected a number from 0 to"):
        stream(small_dataset, epoch=bad)


def test_numpys_numbers_are_numbers(small_dataset: ShardedDataset) -> None:
    """And the state is still plain values; so it is with True, which is 1 in Python."""
    options: dict[str, Any] = {"shuffle": True, "stages": [], "window": np.int64(9)}
    loader = StreamingLoader(small_dataset, batch_size=np.int8(4), seed=np.uint8(3), **options)
    plain = StreamingLoader(small_dataset, batch_size=4, seed=3, shuffle=True, stages=[], window=9)
    for epoch in (np.int64(7), True):
        loader.set_epoch(epoch)  # type: ignore[arg-type]
        plain.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        assert plain.epoch == int(epoch)
        assert run([loader], 3) == run([plain], 3)


def test_the_largest_epoch(small_dataset: ShardedDataset) -> None:
    """Is one as any other."""
    loader = StreamingLoader(small_dataset, batch_size=8, shuffle=True, stages=[])
    loader.set_epoch(2**63 - 1)
    next(iter(loader))
    resumed = StreamingLoader(small_dataset, batch_size=8, shuffle=True, stages=[])
    resumed.load_state_dict(loader.state_dict())

    assert len(list(resumed)) == 2


def test_a_state_at_the_very_end_goes_on_with_the_next_epoch(
    small_dataset: ShardedDataset,
) -> None:
    """Not with an epoch of no batches."""
    loader = StreamingLoader(small_dataset, batch_size=8, shuffle=True, stages=[])
    mixture = mix([Part(small_dataset, 1.0, {"stages": []})], batch_size=8)
    for any_loader in (loader, mixture):
        end = any_loader.state_dict() | {"epoch": 4, "batch": len(any_loader)}
        any_loader.load_state_dict(end)
        assert any_loader.epoch == 5
        assert any_loader.state_dict()["batch"] == 0
        assert len(list(any_loader)) == 3


def test_a_state_of_another_version_says_so(small_dataset: ShardedDataset) -> None:
    """Whatever else is in it."""
    loader = StreamingLoader(small_dataset, stages=[])
    mixture = mix([Part(small_dataset, 1.0, {"stages": []})])
    for any_loader in (loader, mixture):
        with pytest.raises(ConfigError, match=r"expected version 1, found 3\. Resume with the ver"):
            any_loader.load_state_dict({"version": 3, "where": "there"})


def test_an_iterator_that_was_not_begun_does_not_move_the_loader(
    small_dataset: ShardedDataset,
) -> None:
    """It is older than the state that was loaded, even if it begins later."""
    loader = StreamingLoader(small_dataset, batch_size=4, stages=[])
    mixture = mix([Part(small_dataset, 1.0, {"stages": []})], batch_size=4)
    for any_loader in (loader, mixture):
        old = iter(any_loader)
        any_loader.load_state_dict(any_loader.state_dict() | {"batch": 3})
        next(old)
        assert any_loader.state_dict()["batch"] == 3


@pytest.mark.parametrize("per", [{}, {"per": "question", "task": "vqa", "size": (4, 4)}])
def test_persistent_workers_follow(small_dataset: ShardedDataset, per: dict[str, Any]) -> None:
    """`set_epoch`, a break, a state: the same batches as from threads."""
    options: dict[str, Any] = {"shuffle": True, "batch_size": 4, **(per or {"stages": []})}
    alive = StreamingLoader(small_dataset, num_workers=2, persistent_workers=True, **options)
    plain = StreamingLoader(small_dataset, **options)
    found = []
    for loader in (alive, plain):
        batches = run([loader], 2)
        loader.set_epoch(5)
        batches += run([loader], 1)
        loader.load_state_dict(loader.state_dict() | {"epoch": 2, "batch": 1})
        batches += run([loader], len(loader) + 1)
        found.append((batches, loader.state_dict()))

    assert found[0] == found[1]


@pytest.mark.parametrize("tail", ["exact", "drop", "pad", "wrap"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_fewer_samples_than_ranks(small_dataset: ShardedDataset, tail: Any, shuffle: bool) -> None:
    """Every rank makes the step; each sample is real once."""
    few = small_dataset[:3]
    loaders = [
        StreamingLoader(
            few, batch_size=2, tail=tail, shuffle=shuffle, stages=[], world=World(rank, 8)
        )
        for rank in range(8)
    ]
    batches = [list(loader) for loader in loaders]

    assert {len(rank) for rank in batches} == {0 if tail == "drop" else 1}
    found = sorted(key for rank in batches for batch in rank for key in real_keys(batch))
    expected = [] if tail == "drop" else [f"0 {key} 0" for key in sorted(few.column("key"))]
    assert found == expected


def test_nothing_to_load(small_dataset: ShardedDataset) -> None:
    """A selection of nothing has epochs of no batches, and states."""
    loader = StreamingLoader(small_dataset[:0], shuffle=True, stages=[])
    assert loader.state_dict()["epoch"] == 0
    assert [list(loader), list(loader)] == [[], []]
    assert loader.state_dict()["epoch"] == 2
    loader.load_state_dict(loader.state_dict())
    assert list(loader) == []


def both_loaders(dataset: ShardedDataset) -> list[Any]:
    """Return a loader and a mixture, of 6 batches both."""
    return [
        StreamingLoader(dataset, batch_size=4, shuffle=True, stages=[]),
        mix([Part(dataset, 1.0, {"stages": []})], batch_size=4, shuffle=True),
    ]


def test_going_back_to_the_beginning_of_an_epoch(small_dataset: ShardedDataset) -> None:
    """`set_epoch` after a break in it, or after all of it: the state says what comes next."""
    for count in (2, 6):
        for loader, resumed in zip(*map(both_loaders, [small_dataset] * 2), strict=True):
            for _ in islice(loader, count):
                pass
            loader.set_epoch(0)
            state = loader.state_dict()
            resumed.load_state_dict(state)

            assert (state["epoch"], state["batch"]) == (0, 0)
            assert [b["__key__"] for b in resumed] == [b["__key__"] for b in loader]


def test_set_epoch_of_an_iteration_that_was_made(small_dataset: ShardedDataset) -> None:
    """It still says where the loader stands."""
    for loader in both_loaders(small_dataset):
        iterator = iter(loader)
        loader.set_epoch(0)
        next(iterator)
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (0, 1)


@pytest.mark.parametrize("wrong", [{"batch": 99}, {"version": 9}, {"epoch": -1}, {"order": {}}])
def test_a_refused_state_changes_nothing(
    small_dataset: ShardedDataset, wrong: dict[str, Any]
) -> None:
    """The iteration that is going on says where the loader stands, as before."""
    for loader in both_loaders(small_dataset):
        iterator = iter(loader)
        next(iterator)
        state = loader.state_dict() | wrong
        if "parts" in state and "order" in wrong:
            del state["order"]
            state["parts"] = [part | wrong for part in state["parts"]]
        with pytest.raises(ConfigError):
            loader.load_state_dict(state)
        next(iterator)
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (0, 2)


def test_another_selection_of_the_same_length_is_told_apart(small_dataset: ShardedDataset) -> None:
    """The message shows the part of the fingerprint that differs."""
    state = StreamingLoader(small_dataset[:10], batch_size=2).state_dict()

    with pytest.raises(ConfigError, match=r"it had 10 samples and fingerprint (\S+),") as caught:
        StreamingLoader(small_dataset[10:20], batch_size=2).load_state_dict(state)

    had, has = re.findall(r"[0-9a-f]{12}\+[0-9a-f]+", str(caught.value))
    assert had != has
