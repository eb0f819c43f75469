"""torchdata's StatefulDataLoader over a stream that remembers where it was."""

import json
from itertools import chain, islice
from typing import Any

import pytest

import vrs_wds as vw

stateful_dataloader = pytest.importorskip(
    "torchdata.stateful_dataloader", reason="TORCHDATA MISSING: pip install -e '.[test]'"
)

pytestmark = pytest.mark.filterwarnings(
    # torchdata 0.11, maintained for bugs only, calls what newer torch deprecates
    "ignore:'set_vital' is deprecated:UserWarning"
)


def make_stream(dataset: vw.ShardedDataset, **options: Any) -> vw.StatefulStream:
    """Return a shuffled stream of small pictures."""
    options = {"shuffle": True, "num_streams": 3} | options
    return vw.StatefulStream(vw.stream(dataset, **options).compose(vw.Decode(size=(8, 8))))


def make_loader(
    dataset: vw.ShardedDataset, num_workers: int, batch_size: int = 4, **options: Any
) -> tuple[vw.StatefulStream, Any]:
    """Return a stream and a loader over it."""
    stream = make_stream(dataset)
    loader = stateful_dataloader.StatefulDataLoader(
        stream, batch_size, num_workers=num_workers, collate_fn=vw.collate, **options
    )
    return stream, loader


def keys(batches: Any) -> list[list[str]]:
    """Return the keys of each batch."""
    return [batch["__key__"] for batch in batches]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumes_in_mid_epoch(small_dataset: vw.ShardedDataset, num_workers: int) -> None:
    """The rest of the epoch, then the next; twice in a row."""
    stream, loader = make_loader(small_dataset, num_workers)
    epochs = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        epochs.append(keys(loader))
    assert sorted(chain(*epochs[1])) == sorted(small_dataset.column("key"))
    assert epochs[0] != epochs[1]

    stream, loader = make_loader(small_dataset, num_workers)
    stream.set_epoch(1)
    found = keys(islice(loader, 2))
    for count in (2, 100):
        state = json.loads(json.dumps(loader.state_dict()))
        del loader
        stream, loader = make_loader(small_dataset, num_workers)
        loader.load_state_dict(state)
        found += keys(islice(loader, count))

    assert found == epochs[1]
    stream.set_epoch(0)
    assert keys(loader) == epochs[0]


@pytest.mark.parametrize(
    ("num_workers", "options"), [(0, {}), (2, {}), (2, {"persistent_workers": True})]
)
def test_when_some_workers_have_given_all(
    small_dataset: vw.ShardedDataset, num_workers: int, options: dict[str, Any]
) -> None:
    """They give nothing more of the epoch, and all of the next one."""
    stream, loader = make_loader(small_dataset, num_workers, batch_size=5, **options)
    epochs: list[list[list[str]]] = []
    states = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        epochs.append([])
        for batch in loader:
            epochs[-1].append(batch["__key__"])
            states.append(loader.state_dict())

    whole = len(epochs[0])
    for stop in (whole - 1, whole):
        for chosen in (True, False):
            stream, loader = make_loader(small_dataset, num_workers, batch_size=5, **options)
            loader.load_state_dict(states[stop - 1])
            if chosen:
                stream.set_epoch(0)
            assert keys(loader) == epochs[0][stop:]
            stream.set_epoch(1)
            assert keys(loader) == epochs[1]


def test_after_the_loop_has_ended(small_dataset: vw.ShardedDataset) -> None:
    """The loader begins an epoch at once, and the stream by itself gives the rest: nothing."""
    stream, loader = make_loader(small_dataset, 0)
    whole = keys(loader)
    state = loader.state_dict()
    alone = make_stream(small_dataset)
    alone.load_state_dict(stream.state_dict())
    stream, loader = make_loader(small_dataset, 0)
    loader.load_state_dict(state)

    assert keys(loader) == whole
    assert list(alone) == []
    assert len(list(alone)) == 23


def test_another_epoch_chosen_after_loading(small_dataset: vw.ShardedDataset) -> None:
    """Begins at its beginning."""
    stream = make_stream(small_dataset)
    list(islice(iter(stream), 5))
    resumed = make_stream(small_dataset)
    resumed.load_state_dict(stream.state_dict())
    resumed.set_epoch(1)

    assert len(list(resumed)) == 23


def test_every_stop(small_dataset: vw.ShardedDataset) -> None:
    """Without a loader around it, after every sample, for each of four readers."""
    worlds = [vw.World(rank, 2, worker, 2) for rank in range(2) for worker in range(2)]
    for world in worlds:
        whole = [sample["__key__"] for sample in make_stream(small_dataset, world=world)]
        for stop in range(len(whole) + 1):
            stopped = make_stream(small_dataset, world=world)
            head = [sample["__key__"] for sample in islice(iter(stopped), stop)]
            resumed = make_stream(small_dataset, world=world)
            resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))

            assert head + [sample["__key__"] for sample in resumed] == whole
            assert [sample["__key__"] for sample in resumed] == whole


def test_beyond_the_first_chunk(small_dataset: vw.ShardedDataset) -> None:
    """A place far into the epoch is found without reading what comes before."""
    numbers = list(range(23)) * 13
    repeated = small_dataset._selection(small_dataset.numbers[numbers])
    for world in (vw.World(), vw.World(1, 2, 1, 2)):
        whole = [sample["__key__"] for sample in make_stream(repeated, world=world)]
        for start in (0, 1, 63, 64, 65, len(whole) - 1, len(whole)):
            resumed = make_stream(repeated, world=world)
            state = resumed.state_dict() | {"samples": start}
            resumed.load_state_dict(state)

            assert [sample["__key__"] for sample in resumed] == whole[start:]


def test_what_does_not_fit_is_refused(small_dataset: vw.ShardedDataset) -> None:
    """Other readers, another order, other data, no state."""
    state = make_stream(small_dataset, world=vw.World(0, 2)).state_dict()
    with pytest.raises(vw.ConfigError, match=r"saved by 2 readers .* here are 3"):
        make_stream(small_dataset, world=vw.World(0, 3)).load_state_dict(state)
    make_stream(small_dataset, world=vw.World(1, 2)).load_state_dict(state)
    with pytest.raises(vw.ConfigError, match="seed was 0, is 1"):
        make_stream(small_dataset, world=vw.World(0, 2), seed=1).load_state_dict(state)
    with pytest.raises(vw.ConfigError, match="has changed"):
        make_stream(small_dataset[1:], world=vw.World(0, 2)).load_state_dict(state)
    for wrong in ({}, None, {"samples": 1}, {"samples": 1, "stream": {}}):
        with pytest.raises(vw.ConfigError, match=r"state: expected what state_dict\(\)"):
            make_stream(small_dataset).load_state_dict(wrong)  # type: ignore[arg-type]


def test_streams_that_cannot_be_counted_are_refused(small_dataset: vw.ShardedDataset) -> None:
    """Stages that drop samples, and shards without an index."""
    with pytest.raises(vw.ConfigError, match=r"Batch.*says nothing about what was read"):
        vw.StatefulStream(vw.stream(small_dataset).compose(vw.Batch(2)))
    with pytest.raises(vw.ConfigError, match="Make an index"):
        vw.StatefulStream(vw.stream(f"{small_dataset.url}/train-000000.tar"))


def test_repr_shows_the_stream(small_dataset: vw.ShardedDataset) -> None:
    """With its stages."""
    assert repr(make_stream(small_dataset)).startswith("StatefulStream\n")
