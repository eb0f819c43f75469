"""`to_hf_iterable`: the dataset as Hugging Face's `datasets` streams it."""

from itertools import chain, islice
from typing import Any

import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

import vrs_wds as vw


def keys(samples: Any) -> list[str]:
    """Return the keys of samples."""
    return [sample["__key__"] for sample in samples]


def test_examples_are_the_samples(small_dataset: vw.ShardedDataset) -> None:
    """In order; bytes without stages, else what they give."""
    raw = list(vw.to_hf_iterable(small_dataset))
    decoded = list(vw.to_hf_iterable(small_dataset, vw.Decode(tasks="vqa"), vw.Targets("vqa")))

    assert raw == [sample.to_dict() for sample in small_dataset]
    assert keys(decoded) == keys(raw)
    assert decoded[1]["image"].shape == (16, 24, 3)
    assert decoded[1]["target"]["answers"] == ["1"]
    assert "captioning" not in decoded[1]


@pytest.mark.parametrize(("num_parts", "world_size"), [(8, 2), (64, 3), (1, 2), (5, 4)])
def test_ranks_share_the_samples(
    small_dataset: vw.ShardedDataset, num_parts: int, world_size: int
) -> None:
    """By parts if they can be dealt evenly, else by examples."""
    whole = vw.to_hf_iterable(small_dataset, num_parts=num_parts)
    ranks = [keys(split_dataset_by_node(whole, rank, world_size)) for rank in range(world_size)]

    assert whole.num_shards == min(num_parts, 23)
    assert sorted(chain(*ranks)) == sorted(small_dataset.column("key"))
    assert all(ranks)


def test_a_rank_reads_its_own_parts_only(small_dataset: vw.ShardedDataset) -> None:
    """Samples of others are not even opened."""
    seen: list[str] = []
    note = vw.Map(lambda sample: seen.append(sample["__key__"]) or sample)
    part = split_dataset_by_node(vw.to_hf_iterable(small_dataset, note, num_parts=4), 1, 2)

    assert seen == keys(part)[: len(seen)]
    assert len(seen) in (11, 12)


def test_epochs(small_dataset: vw.ShardedDataset) -> None:
    """`set_epoch` gives another order, on every rank the same parts again."""
    shuffled = vw.to_hf_iterable(small_dataset, num_parts=8).shuffle(seed=1, buffer_size=10)
    first = keys(shuffled)
    shuffled.set_epoch(1)
    second = keys(shuffled)
    shuffled.set_epoch(0)

    assert sorted(first) == sorted(second) == sorted(small_dataset.column("key"))
    assert first != second
    assert keys(shuffled) == first
    shuffled.set_epoch(3)
    ranks = [keys(split_dataset_by_node(shuffled, rank, 2)) for rank in range(2)]
    assert sorted(chain(*ranks)) == sorted(first)


@pytest.mark.parametrize("stop", [0, 1, 5, 6, 22, 23])
def test_resume(small_dataset: vw.ShardedDataset, stop: int) -> None:
    """With the state that `datasets` keeps."""
    whole = keys(vw.to_hf_iterable(small_dataset, num_parts=4))
    stopped = vw.to_hf_iterable(small_dataset, num_parts=4)
    head = keys(islice(stopped, stop))
    resumed = vw.to_hf_iterable(small_dataset, num_parts=4)
    resumed.load_state_dict(stopped.state_dict())

    assert head + keys(resumed) == whole


def test_workers_of_a_data_loader_share_the_parts(small_dataset: vw.ShardedDataset) -> None:
    """Two real processes; a selection."""
    part = small_dataset.select(where="num_objects != 3")
    samples = vw.to_hf_iterable(part, vw.Decode(size=(8, 8)), num_parts=4)
    loader = DataLoader(samples, batch_size=4, num_workers=2, collate_fn=vw.collate)
    keys_of = [batch["__key__"] for batch in loader]

    assert sorted(chain.from_iterable(keys_of)) == sorted(part.column("key"))


def test_an_empty_selection(small_dataset: vw.ShardedDataset) -> None:
    """Gives nothing, and is no error."""
    assert list(vw.to_hf_iterable(small_dataset[:0])) == []


def test_what_does_not_fit_is_refused(small_dataset: vw.ShardedDataset) -> None:
    """Other stages and no parts."""
    with pytest.raises(vw.ConfigError, match="num_parts: expected at least 1, got 0"):
        vw.to_hf_iterable(small_dataset, num_parts=0)
    with pytest.raises(vw.ConfigError, match=r"expected sample stages.*Batch"):
        vw.to_hf_iterable(small_dataset, vw.Batch(2))  # type: ignore[arg-type]
